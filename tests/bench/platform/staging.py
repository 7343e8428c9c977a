"""Where misbehaviour is staged upon honest traffic: picks an app and a time, adds and hides events, and writes down the truth."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl
from machines import IDS
from telling import COLUMNS, told
from traits import HOUR_US, US, names
from visits import KIND, NOBODY, POOL, SIX, identity
from walks import lay_out

from detectors.event import TIME

STAGED = 2**40
PER_INCIDENT = 2**24
STRANGERS = POOL // 2
BUSY, MIDDLE = 0.2, 0.55
"""Of the apps by their visits: the first share is busy, those up to the second are neither busy nor small."""


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """The truth about one happening. Times are microseconds; its events lie between them, both included."""

    kind: str
    behaviour: int  # of `domain.md` 3.2
    variant: str  # loud or quiet
    start: int
    end: int
    entities: tuple[tuple[str, str], ...]  # scope and value of all who may rightly be accused
    related: tuple[tuple[str, str], ...]  # whose events these are beside them
    events: int  # added; misbehaviour may also hide events
    busy: str  # busy, middle or small: the app
    cohort: str  # who sees it


class Staged(NamedTuple):
    """All misbehaviour of a run."""

    incidents: list[Incident]
    frame: pl.DataFrame  # added events by time, with the place of their incident
    hidden: np.ndarray  # of each honest event, whether it is missing
    removed: dict[int, int]


class Ground:
    """The honest traffic, indexed for staging, and which apps have been used."""

    def __init__(self, platform):
        self.platform = platform
        rows, visits = platform.rows, platform.visits
        self.row_app = visits.app[rows.visit]
        self.row_order = np.argsort(self.row_app, kind="stable")
        self.row_begins = np.searchsorted(self.row_app[self.row_order], np.arange(platform.apps + 1))
        self.people = np.flatnonzero((visits.id < IDS) & (visits.person != NOBODY))
        self.people = self.people[np.lexsort((visits.begin[self.people], visits.app[self.people]))]
        self.begins = np.searchsorted(visits.app[self.people], np.arange(platform.apps + 1))
        self.hidden = np.zeros(len(rows), dtype=bool)
        self.used = set()
        self._usual = {}
        order = np.argsort(-np.diff(self.begins), kind="stable")
        self.place = np.empty(platform.apps)
        self.place[order] = np.arange(platform.apps) / platform.apps

    def busy(self, app):
        return "busy" if self.place[app] < BUSY else "middle" if self.place[app] < MIDDLE else "small"

    def visits_of(self, app, begin, end):
        """The places of an app's visits by people that begin in a time."""
        own = self.people[self.begins[app] : self.begins[app + 1]]
        first, last = np.searchsorted(self.platform.visits.begin[own], [begin, end])
        return own[first:last]

    def rows_of(self, app, begin, end):
        """The places of an app's events in a time."""
        own = self.row_order[self.row_begins[app] : self.row_begins[app + 1]]
        first, last = np.searchsorted(self.platform.rows.time[own], [begin, end])
        return own[first:last]

    def usual(self, app):
        """How often an app called each API for a visit in the quiet days."""
        if app not in self._usual:
            self._usual[app] = self._counted(app)
        return self._usual[app]

    def _counted(self, app):
        platform, table = self.platform, self.platform.table
        steps = platform.rows.step[self.rows_of(app, platform.start, platform.quiet_end)]
        steps = steps[table.called[steps]]
        visits = max(1, len(self.visits_of(app, platform.start, platform.quiet_end)))
        return {api: count / visits for api, count in Counter(table.action[steps].tolist()).items()}


class Stage:
    """One incident while it is being staged."""

    def __init__(self, ground, number, variant, turn):
        self.ground, self.number, self.variant, self.turn = ground, number, variant, turn
        self.platform = ground.platform
        self.population, self.table = self.platform.population, self.platform.table
        self.rng = self.population.rng(7, number)
        self.app, self.begin, self.end = -1, 0, 0
        self.behaviour, self.frames, self.accused, self.hides = None, [], [], 0
        self._visits = self._pages = STAGED + number * PER_INCIDENT

    @property
    def loud(self):
        return self.variant == "loud"

    def pick(self, loud, quiet):
        """A value by the variant; a pair is a range to draw from."""
        value = loud if self.loud else quiet
        if not isinstance(value, tuple):
            return value
        low, high = value
        return int(self.rng.integers(low, high + 1)) if isinstance(low, int) else float(self.rng.uniform(low, high))

    def choose(self, hours, visits=10, fits=None, busy=None):
        """An app that has not been used, for a time in the days after the quiet ones; False where none fits."""
        busy = busy or self._class()
        platform, population, ground = self.platform, self.population, self.ground
        room = platform.end - platform.quiet_end - HOUR_US
        alive = (population.born < platform.quiet_end - 48 * HOUR_US) & (population.gone > platform.end)
        apps = np.flatnonzero(alive)
        fresh = [app for app in apps if app not in ground.used]
        classy = [app for app in fresh if ground.busy(app) in busy]
        for some in (classy, fresh, apps):
            for _ in range(80 if len(some) else 0):
                length = min((self.pick(*hours) if isinstance(hours, tuple) else hours) * HOUR_US, 0.9 * room)
                self.begin = platform.quiet_end + int(self.rng.uniform(0, room - length))
                self.end = self.begin + int(length)
                self.app = int(some[int(self.rng.integers(len(some)))])
                if len(self.visits_at()) >= visits and (fits is None or fits(self.app)):
                    ground.used.add(self.app)
                    return True
        return False

    def _class(self):
        if self.loud:
            return [("busy", "middle"), ("middle", "small"), ("busy", "middle", "small")][self.turn % 3]
        return [("busy",), ("middle", "small")][self.turn % 2]

    def visits_at(self):
        """The places of the app's visits in the incident's time."""
        return self.ground.visits_of(self.app, self.begin, self.end)

    def visits(self, places=None):
        """The app's visits in the incident's time."""
        return self.platform.visits.take(self.visits_at() if places is None else places)

    @property
    def usual(self):
        """How often each API was called for a visit in the quiet days."""
        return self.ground.usual(self.app)

    def ever(self):
        """All APIs that the app calls honestly in the whole run."""
        steps = self.platform.rows.step[self.ground.rows_of(self.app, 0, self.platform.end)]
        return set(self.table.action[np.unique(steps)].tolist())

    # Who and where.

    def strangers(self, count, begins, devices=None, addresses=None, region=0):
        """Visits by people whom the app has not seen, at their own devices unless told otherwise."""
        first = STRANGERS + self.number * 4_096
        local = first + np.arange(count)
        ids = self._visits + np.arange(count)
        self._visits += count
        visits = self.platform.people.visits(np.full(count, self.app), local, begins, 1001, 1, ids)
        changes = {"region": np.full(count, region)}
        changes |= {} if devices is None else {"device": np.asarray(devices)}
        changes |= {} if addresses is None else {"address": np.asarray(addresses)}
        return visits.changed(**changes)

    def device(self, place=0):
        """A device that nobody honest has."""
        return 2 * KIND + self.number * 256 + place

    def address(self, place=0):
        """An address that nobody honest has."""
        return SIX * KIND + 5_000 * 10_000 + (self.number * 64 + place) * 7_919 % 40_000_000

    def host(self, words=("c", "e", "k", "m", "r", "t")):
        """A host that no app has talked to."""
        tail = names(np.array([self.number + self.population.salt]), 91)[0][:7]
        return f"{words[self.number % len(words)]}{tail}.stray.example"

    # What happens.

    def event(self, visits, times, dataset, action, fields=None, *, called=True, server=False, tapped=False):
        """One event a visit, at its time, with the given columns."""
        count = len(visits)
        if not count:
            return
        age = (
            (15 - 220 * np.log1p(-self.rng.random(count))) if tapped else self.rng.lognormal(np.log(5_000), 1.1, count)
        )
        known = identity(self.population, visits)
        usual = {
            TIME: np.asarray(times, dtype=np.int64),
            "event.dataset": f"miniprogram.{dataset}",
            "event.action": action,
            "event.outcome": "success" if called else None,
        }
        if server:
            known = known.drop(
                "miniprogram.scene", "device.id", "session.id", "host.os.name", "source.geo.country_iso_code"
            )
        else:
            usual |= {
                "miniprogram.api": action if called else None,
                "miniprogram.phase": "event",
                "miniprogram.page": "pages/home/home",
                "miniprogram.foreground": True,
                "miniprogram.user_gesture_age_ms": age.astype(np.int64),
            }
        frame = known.with_columns(_column(name, value, count) for name, value in (usual | (fields or {})).items())
        self._add(frame)

    def like(self, action):
        """Dataset and fixed columns of an API as honest pages call it."""
        place = np.flatnonzero((self.table.action == action) & self.table.called)
        if not len(place):
            return "permission" if action in SCOPES else "api", {"miniprogram.scope": SCOPES.get(action)}
        step, page = self.table.steps[int(place[0])], self.table.names[self.table.page[int(place[0])]].replace(" ", "-")
        return step.dataset, {
            "miniprogram.scope": step.scope,
            "miniprogram.permission": "granted" if step.scope else None,
            "miniprogram.phase": step.phase,
            "miniprogram.page": f"pages/{page}/{page}",
        }

    def calls(self, visits, times, action, fields=None, *, tapped=False):
        dataset, usual = self.like(action)
        self.event(visits, times, dataset, action, usual | (fields or {}), tapped=tapped)

    def request(self, visits, times, host, path, sent, action="request", fields=None):
        """Data sent to a host by the app's code."""
        usual = {
            "url.domain": host,
            "url.path": path,
            "http.request.method": "POST",
            "http.request.bytes": sent,
            "http.response.status_code": 200,
            "http.response.bytes": self.rng.lognormal(5.5, 0.6, len(visits)).astype(np.int64),
        }
        self.event(visits, times, "network", action, usual | (fields or {}))

    def access(self, visits, times, path, fields):
        """Lines of the app's own server."""
        usual = {"url.domain": self.population.hosts(self.app)[0], "url.path": path, "http.request.method": "GET"}
        self.event(visits, times, "gateway", "access", usual | fields, server=True)

    def walk(self, visits, visit, page):
        """Whole pages, as honest people walk them."""
        rows = lay_out(self.population, self.table, self.rng, visits, visit, page, self._pages)
        self._pages += len(page)
        ids = np.zeros(len(rows), dtype=np.int64)  # given to all together at the end
        self._add(told(self.population, self.table, visits, identity(self.population, visits), rows, ids))

    def hide(self, places):
        """Honest events that do not come."""
        fresh = places[~self.ground.hidden[places]]
        self.ground.hidden[fresh] = True
        self.hides += len(fresh)

    def accuse(self, scope, *values):
        self.accused += [(scope, str(value)) for value in values]

    def _add(self, frame):
        missing = [pl.lit(None, dtype).alias(name) for name, dtype in COLUMNS.items() if name not in frame.columns]
        frame = frame.with_columns(*missing, pl.col(TIME) // 1_000 * 1_000).select(
            [pl.col(name).cast(dtype) for name, dtype in COLUMNS.items()]
        )
        self.frames.append(frame)

    def done(self, kind, behaviour, cohort):
        """The events with their ids, and the label."""
        frame = pl.concat(self.frames) if self.frames else pl.DataFrame(schema=COLUMNS)
        frame = frame.filter(pl.col(TIME) < self.platform.end).sort(TIME, maintain_order=True)
        ids = names(STAGED + self.number * PER_INCIDENT + np.arange(frame.height) + self.population.salt, 71)
        frame = frame.with_columns(ids.alias("event.id"))
        begin, end = (frame[TIME][0], frame[TIME][-1]) if frame.height else (self.begin, self.end)
        accused = [
            *self.accused,
            ("AppId", str(self.population.app_ids[self.app])),
            ("DeveloperId", str(self.population.developer_ids[self.app])),
        ]
        columns = {"AppId": "miniprogram.app_id", "DeveloperId": "miniprogram.developer_id", "OpenId": "user.id", "DeviceId": "device.id", "SessionId": "session.id"}  # fmt: skip
        around = [
            (scope, value) for scope, name in columns.items() for value in frame[name].drop_nulls().unique().sort()
        ]
        entities = tuple(dict.fromkeys(accused))
        return frame, Incident(
            kind=kind,
            behaviour=self.behaviour or behaviour,
            variant=self.variant,
            start=begin,
            end=end,
            entities=entities,
            related=tuple(pair for pair in around if pair not in set(entities)),
            events=frame.height,
            busy=self.ground.busy(self.app),
            cohort=cohort or "all",
        )


SCOPES = {
    "getLocation": "scope.userLocation",
    "startLocationUpdateBackground": "scope.userLocationBackground",
    "addPhoneContact": "scope.addPhoneContact",
    "addPhoneCalendar": "scope.addPhoneCalendar",
    "getWeRunData": "scope.werun",
    "startRecord": "scope.record",
    "chooseContact": None,
    "getWifiList": "scope.userLocation",
    "chooseMessageFile": None,
}
"""Calls that honest pages do not make, and what they ask for."""


def _column(name, value, count):
    if isinstance(value, (list, np.ndarray, pl.Series)):
        if len(value) != count:
            raise ValueError(f"{name}: {len(value)} values for {count} events")
        return pl.Series(name, value)
    return pl.lit(value).alias(name)


def seconds(values):
    """Seconds as microseconds."""
    return (np.asarray(values) * US).astype(np.int64)


def staged(platform, kinds, rounds):
    """Every kind, `rounds` times loud and `rounds` times quiet, each where it can be staged."""
    from misdeeds import KINDS  # noqa: PLC0415  # they stage with what is written above

    unknown = set(kinds or ()) - KINDS.keys()
    if unknown:
        raise ValueError(f"no such kinds: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    ground = Ground(platform)
    incidents, frames, removed = [], [], {}
    plan = [
        (turn, place, variant) for turn in range(rounds) for variant in ("quiet", "loud") for place in range(len(KINDS))
    ]
    for turn, place, variant in plan:
        kind, (behaviour, stage_it) = list(KINDS.items())[place]
        if kinds is not None and kind not in kinds:
            continue
        stage = Stage(ground, (turn * 2 + (variant == "loud")) * 64 + place, variant, turn)
        cohort = stage_it(stage)
        if cohort is None:
            continue
        frame, incident = stage.done(kind, behaviour, cohort)
        if incident.events or stage.hides:
            frames.append(frame.with_columns(pl.lit(len(incidents), pl.Int32).alias("_incident")))
            removed[len(incidents)] = stage.hides
            incidents.append(incident)
    empty = pl.DataFrame(schema=COLUMNS | {"_incident": pl.Int32})
    return Staged(incidents, pl.concat([empty, *frames]).sort(TIME, maintain_order=True), ground.hidden, removed)
