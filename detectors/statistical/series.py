"""How often each app does what: counted by API or action, by the scene it is opened from, by host; judged for its rate, silence and shift.

Rate: more in five minutes, or in an hour, than is usual at this hour of the day *and* than as many visitors usually make. A flash
crowd is many visitors, so it is not unusual; one who calls an API without visitors is. The visitor who does most is not counted: in small
apps nearly all that is unusual is one person who is busy, which says nothing of the app. Of ways in only those are judged that
somebody's share opened: campaigns bring many through others. Silence: fewer in an hour than the visitors usually make. Shift: a
deviation from the slow mean for each visitor that goes on for hours or days; a new version explains that something is done less.
Repeats: see `repeats.py`.

What fools it: who brings as many invented visitors as calls (fan-out and regularity see those); who acts upon one person at a time; who is
new (a day must be known); who rises more slowly than the slow mean follows, a few percent a day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.detector import State
from detectors.statistical import baseline, lately, repeats, tails
from detectors.statistical.baseline import Usual
from detectors.statistical.deploys import Deploys
from detectors.statistical.hashes import ACTION, APP, ASKED, VERSION, WHO, hash_of, of
from detectors.statistical.meaning import SHARED_SCENES, behaviour_of
from detectors.statistical.names import OTHERS, Names
from detectors.statistical.pending import GROUP, KEY, WINDOW, Merging, Pending
from detectors.statistical.rows import NOWHERE, Rows
from detectors.statistical.statistic import FLAGGED, SHOWN_MIN, UNUSUAL, Suite
from detectors.statistical.tails import Numbers
from detectors.statistical.tallies import Busiest, Counts, Keys, Tallies, Visitors, distinct_of
from detectors.statistical.windows import WINDOW_US, WINDOWS_PER_DAY, WINDOWS_PER_HOUR, Window

CALLS, SCENES, HOSTS = 0, 1, 2
KINDS: Final = ("calls", "entries", "requests")
"""What is counted, by number."""

TESTS: Final = {"burst": 1, "rate": 1, "silence": 12, "rise": 1, "fall": 1, "repeats": 1}
"""Classes of volume in which each is calibrated apart: powers of three of what is usual, from a tenth on."""

BLOCK: Final = 65_536
"""Rows that are judged and learned at a time: what bounds the memory of it."""

COUNTED_MAX: Final = 4_000_000
"""Different counts of a window; of more, those with the smallest keys."""

HOUR_MAX: Final = 2**31 - 1
"""Events of one count in an hour; more are no more."""

COUNT_MIN: Final = 5
"""Fewer events in a stretch of time are no rate."""

PEERS_MIN: Final = 5
"""Apps that do the same before they are anybody's peers."""

EXPECTED_MIN: Final = 8.0
"""Where fewer were to be expected in an hour, none is no silence."""

NEEDS: Final = frozenset(
    {
        "event.action",
        "event.dataset",
        "miniprogram.app_id",
        "miniprogram.developer_id",
        "miniprogram.scene",
        "miniprogram.version",
        "url.domain",
        "user.id",
        "device.id",
        "source.ip",
    }
)


class SeriesConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is remembered."""

    keys_max: int = 1_000_000
    keys_per_app_max: int = 2_000
    apps_max: int = 200_000
    visitors_max: int = 4_000_000
    forget_days: int = 21


class Series:
    """Counts of everything that apps do, and what is usual."""

    name = "series"

    def __init__(self, config: SeriesConfig | None = None) -> None:
        self.config = config or SeriesConfig()
        self._rows = Rows(
            {
                **baseline.FIELDS,
                **repeats.FIELDS,
                "app": (np.int32, 1),
                "what": (np.int32, 1),
                "kind": (np.int8, 1),
                "owner": (np.int32, 1),
                "at": (np.int32, 1),
            },
            self.config.keys_max,
        )
        self._apps = Rows(
            {
                "visits": (np.int64, 1),
                "now": (np.int64, 1),
                "name": (np.int32, 1),
                "usual": (np.float32, 1),
                "hours": (np.int32, 1),
            },
            self.config.apps_max,
        )
        self._deploys = Deploys(self.config.keys_max)
        self._app_names = Names(self.config.apps_max)
        self._what_names = Names(self.config.apps_max)
        self._owner_names = Names(self.config.apps_max)
        self._counts = Tallies(COUNTED_MAX)
        named: dict[str, Merging] = {"app": "first", "what": "first", "kind": "first", "owner": "max"}
        self._new = Pending(
            named,
            group_keys_max=self.config.keys_per_app_max,
            keys_max=self.config.keys_max,
            known=self._rows.knows,
        )
        self._visitors = Visitors(self.config.visitors_max)
        self._busiest = Busiest(self.config.visitors_max)
        self._peers: Numbers = np.zeros(1)
        self.left_out = 0  # counts of keys for which there was no room
        self.counted: tuple[Keys, Counts] = (np.empty(0, np.uint64), np.empty(0, np.int64))  # of the window closed last
        self.tests = Suite(self.name, TESTS)

    @property
    def needs(self) -> frozenset[str]:
        return NEEDS

    @property
    def forgotten(self) -> int:
        return self._counts.forgotten + self._new.forgotten + self._rows.forgotten + self._rows.refused

    @property
    def apps(self) -> int:
        """How many apps are remembered."""
        return len(self._apps)

    @property
    def remembered(self) -> int:
        """Counts that have a place."""
        return len(self._rows)

    @property
    def bytes(self) -> int:
        """What is remembered of keys takes so much."""
        return self._rows.bytes + self._apps.bytes

    # Counting

    def count(self, rows: pl.DataFrame) -> None:
        known = rows
        if rows["miniprogram.app_id"].null_count():
            known = rows.filter(pl.col("miniprogram.app_id").is_not_null())
        if not known.height:
            return
        windows = known[WINDOW].to_numpy()
        first, last = int(windows.min()), int(windows.max())
        for window in [first] if first == last else distinct_of(windows).tolist():
            self._count(window, known if first == last else known.filter(pl.Series(windows == window)))

    def _count(self, window: int, rows: pl.DataFrame) -> None:
        """Count rows of one window."""
        app, visitor, version = (of(rows, name) for name in (APP, WHO, VERSION))
        self._visitors.add(window, Visitors.keyed(app, visitor))
        told = version != 0
        self._deploys.add(window, *((app, version) if told.all() else (app[told], version[told])))
        keys, who, places, kinds = [], [], [], []
        for kind, at, what in _done(rows):
            keys.append(app[at] * np.uint64(2 * kind + 5) + what)
            who.append(visitor[at])
            places.append(np.arange(rows.height) if isinstance(at, slice) else at)
            kinds.append(np.full(len(what), kind, np.int8))
        key, by = np.concatenate(keys), np.concatenate(who)
        somebody = by != 0
        pairs = Visitors.keyed(key, by)
        self._busiest.add(window, pairs if somebody.all() else pairs[somebody])
        fresh = self._counts.add(window, key)
        unknown = fresh[~self._rows.knows(key[fresh])]
        if len(unknown):
            told_at, kind_of = np.concatenate(places)[unknown], np.concatenate(kinds)[unknown]
            self._name_new(window, rows, told_at, kind_of, key[unknown])

    def _name_new(self, window: int, rows: pl.DataFrame, at: Counts, kind: npt.NDArray[np.int8], keys: Keys) -> None:
        """Write down what those are that have no row yet."""
        named = rows.select(
            "miniprogram.app_id", "event.action", "miniprogram.scene", "url.domain", "miniprogram.developer_id", APP
        )[at]
        of = pl.Series(kind)
        frame = named.select(
            pl.lit(window, pl.Int64).alias(WINDOW),
            pl.Series(KEY, keys),
            pl.col(APP).alias(GROUP),
            app="miniprogram.app_id",
            what=pl.when(of == CALLS)
            .then("event.action")
            .when(of == SCENES)
            .then(pl.col("miniprogram.scene").cast(pl.String))
            .otherwise("url.domain"),
            kind=of,
            owner="miniprogram.developer_id",
        )
        self._new.add(frame)

    # Judging

    def close(self, window: Window) -> Sequence[pl.DataFrame]:
        visited, people = self._visitors.take(window.index)
        keys, counts = self._counts.take(window.index)
        busiest = self._busiest.take_most(window.index, Visitors.visited(keys), repeats.AGAIN)
        new = self._new.take(window.index)
        self._deploys.close(window.index)
        self.counted = keys, counts
        found: list[pl.DataFrame | None] = []
        if len(keys):
            apps, _ = self._apps.seen(visited, window.index)
            here = apps != NOWHERE
            self._apps["visits"][apps[here]] += people[here]
            self._apps["now"][apps[here]] = people[here]
            places = self._seen(keys, counts, busiest, new, window)
            found.append(self._burst(places, window))
            self._apps["now"][apps[here]] = 0
        if window.ends_hour:
            found += self._hour(window)
        if window.ends_day:
            self._day(window)
        return [frame for frame in found if frame is not None]

    def _seen(
        self, keys: Keys, counts: Counts, busiest: tuple[Counts, Counts, Counts], new: pl.DataFrame, window: Window
    ) -> Counts:
        """The rows of what was counted in a window, with the counts added; newcomers get theirs."""
        places = self._rows.find(keys)
        unknown = places == NOWHERE
        if unknown.any():
            fresh = new.filter(~pl.Series(self._rows.knows(new[KEY].to_numpy())))
            at, _ = self._rows.seen(fresh[KEY].to_numpy(), window.index)
            self._name(fresh.filter(pl.Series(at != NOWHERE)), at[at != NOWHERE], window)
            self._new.forget_known()
            places = self._rows.find(keys)
        kept = places != NOWHERE
        self.left_out += int(len(keys) - kept.sum())
        places, self._now = places[kept], counts[kept]
        self._most, did, again = (each[kept] for each in busiest)
        self._rows["did"][places] += did.astype(np.int32)
        self._rows["again"][places] += again.astype(np.int32)
        self._rows["last"][places] = window.index
        rest = self._now - self._most
        for name, more in (("count", self._now), ("rest", rest)):
            self._rows[name][places] = np.minimum(self._rows[name][places] + more, HOUR_MAX)
        self._rows["squares"][places] += rest.astype(np.float64) ** 2
        self._rows["most"][places] = np.maximum(self._rows["most"][places], self._most)
        found: Counts = places
        return found

    def _name(self, fresh: pl.DataFrame, at: Counts, window: Window) -> None:
        names = self._app_names.numbers(fresh["app"].to_list())
        self._rows["app"][at] = names
        self._rows["what"][at] = self._what_names.numbers(fresh["what"].to_list())
        self._rows["kind"][at] = fresh["kind"].to_numpy()
        self._rows["owner"][at] = self._owner_names.numbers(fresh["owner"].fill_null(OTHERS).to_list())
        of = self._apps.find(Visitors.visited(fresh[GROUP].to_numpy()))
        self._rows["at"][at] = of
        known = of != NOWHERE
        self._apps["name"][of[known]] = names[known]
        deployed = self._deploys.lately(Visitors.visited(fresh[GROUP].to_numpy()), window.index)
        old = known & ~deployed
        baseline.inherit(self._rows, at[old], self._apps["hours"][of[old]], self._apps["usual"][of[old]])

    def _of_those(self, places: Counts, apps: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which rows are of some apps, of which it is said by their own rows."""
        at = self._rows["at"][places]
        found: npt.NDArray[np.bool_] = (
            (at != NOWHERE) & (self._apps["name"][at] == self._rows["app"][places]) & apps[at]
        )
        return found

    def _visitors_of(self, places: Counts, field: str) -> Numbers:
        """How many visitors the apps of some rows have had, this hour or now."""
        at = self._rows["at"][places]
        mine = (at != NOWHERE) & (self._apps["name"][at] == self._rows["app"][places])
        found: Numbers = np.where(mine, self._apps[field][at], 0).astype(np.float64)
        return found

    def _burst(self, places: Counts, window: Window) -> pl.DataFrame | None:
        """Too many within five minutes, not counting the visitor who did most: what one person does is not what the app does."""
        rest = self._now - self._most
        often = rest >= COUNT_MIN
        places = places[often]
        most, count = (each[often].astype(np.float64) for each in (self._most, rest))
        visitors = self._visitors_of(places, "now")
        peers = self._peers_of(places)
        usual = Usual(self._rows, places, window.hour_of_day, visitors, 1.0 / WINDOWS_PER_HOUR, peers)
        judged = usual.known & self._is_settled(places)
        visits = usual.without_one(visitors, most)
        around = usual.around()
        by_hour = tails.many(count, around, usual.rest_hour + usual.spread_within)
        by_visits = tails.many(count, visits, usual.rest_visit + usual.spread_within)
        expected = np.maximum(around, visits)
        return self._unusual("burst", places, judged, np.minimum(by_hour, by_visits), count, expected, window, 1)

    def _hour(self, window: Window) -> list[pl.DataFrame | None]:
        """Judge the hour that ends, then learn it."""
        found: list[pl.DataFrame | None] = []
        if not self._apps["visits"].any():
            return found  # nobody was seen anywhere: our own input had a gap, which says nothing about apps
        deployed, still = np.zeros((2, len(self._apps["name"])), np.bool_)
        deployed[self._apps.places] = self._deploys.lately(self._apps.keys, window.index)
        still[self._apps.places] = self._deploys.lately(self._apps.keys, window.index + WINDOWS_PER_HOUR)
        shares = repeats.shares(self._rows, self._rows["what"][self._rows.places], len(self._what_names) + 1)
        for places in _blocks(self._rows.places):
            visitors = self._visitors_of(places, "visits")
            usual = Usual(self._rows, places, window.hour_of_day, visitors, peers=self._peers_of(places))
            count = self._rows["count"][places].astype(np.float64)
            calls = self._rows["kind"][places] == CALLS
            rate = self._rate(places, usual, count, visitors, window)
            least = np.minimum(usual.hour, usual.visits)
            none = np.minimum(
                tails.few(count, usual.hour, usual.spread_hour),
                tails.few(count, usual.visits, usual.spread_visit),
            )
            missed = usual.known & (least >= EXPECTED_MIN) & calls
            silence = self._unusual("silence", places, missed, none, count, least, window, WINDOWS_PER_HOUR)
            again = self._again(places, usual.known & calls, shares[self._rows["what"][places]], window)
            repeats.learn(self._rows, places, self._flagged)
            ended = baseline.learn(self._rows, places, window.hour_of_day, visitors, self._flagged)
            for apps, ends in ((deployed & still, False), (deployed & ~still, True)):
                baseline.excuse(self._rows, places[self._of_those(places, apps)], ends=ends)
            found += [
                rate,
                silence,
                again,
                *self._shift(places, usual, count, ended, window),
            ]  # a shift that goes on is learned, slowly
        self._learn_apps()
        self._peers = self._learn_peers()
        return found

    def _rate(
        self, places: Counts, usual: Usual, count: Numbers, visitors: Numbers, window: Window
    ) -> pl.DataFrame | None:
        """Too many within the hour, not counting the five minutes of the visitor who did most."""
        most = self._rows["most"][places].astype(np.float64)
        count = np.maximum(count - most, 0.0)
        visits = usual.without_one(visitors, most)
        around = usual.around()
        many = np.minimum(tails.many(count, around, usual.rest_hour), tails.many(count, visits, usual.rest_visit))
        self._flagged = np.zeros(len(places), np.bool_)
        judged = usual.known & (count >= COUNT_MIN) & self._is_settled(places)
        expected = np.maximum(around, visits)
        return self._unusual("rate", places, judged, many, count, expected, window, WINDOWS_PER_HOUR)

    def _again(
        self, places: Counts, judged: npt.NDArray[np.bool_], share: Numbers, window: Window
    ) -> pl.DataFrame | None:
        """What several visitors do again and again."""
        found = repeats.Repeats(self._rows, places, share, window)
        which = np.flatnonzero(judged[found.at])
        at = found.at[which]
        worth, value, usual = np.zeros((3, len(places)))
        worth[at] = self.tests["repeats"].worth(found.scores[which], who=self._rows["app"][places[at]])
        value[found.at], usual[found.at] = found.value, found.usual
        self._flagged |= worth >= FLAGGED
        hours = lately.HALF_LIFE_H * WINDOWS_PER_HOUR
        return self._told("repeats", places, worth, value, usual, window, hours, "repeaters")

    def _peers_of(self, places: Counts) -> Numbers:
        """How often a visitor of any app does what some rows count."""
        what = self._rows["what"][places]
        known = what < len(self._peers)
        found: Numbers = np.where(known & (what > 0), self._peers[np.where(known, what, 0)], 0.0)
        return found

    def _learn_peers(self) -> Numbers:
        """Of everything that several apps do, by the number of its name, how often a visitor does it."""
        places = self._rows.places
        what = self._rows["what"][places]
        names = len(self._what_names) + 1
        apps = np.bincount(what, minlength=names)
        counted = np.bincount(what, weights=self._rows["counted"][places], minlength=names)
        visited = np.bincount(what, weights=self._rows["visited"][places], minlength=names)
        found: Numbers = np.where(apps >= PEERS_MIN, counted / np.maximum(visited, 1e-9), 0.0)
        return found

    def _learn_apps(self) -> None:
        """How many visitors an hour each app has; then the next hour begins."""
        apps = self._apps.places
        hours = self._apps["hours"][apps] + 1
        now = self._apps["usual"][apps].astype(np.float64)
        step = 1.0 / np.minimum(hours, baseline.HOURS_FAST)
        self._apps["usual"][apps] = (now + step * (self._apps["visits"][apps] - now)).astype(np.float32)
        self._apps["hours"][apps] = hours
        self._apps["visits"][:] = 0

    def _shift(
        self, places: Counts, usual: Usual, count: Numbers, ended: Mapping[str, tuple[Counts, Numbers]], window: Window
    ) -> list[pl.DataFrame | None]:
        """A deviation that goes on, in hours in which its sum is larger than ever: sums exceed h with a probability of about exp(-h)."""
        judged = usual.known & (self._rows["hours"][places] >= baseline.SHIFT_KNOWN_H)
        judged &= ~self._invited(places) & ~self._of_nobody(places)
        calls = self._rows["kind"][places] == CALLS
        found = []
        for name, mask in (("rise", judged & (count > usual.slow)), ("fall", judged & calls & (count < usual.slow))):
            now, most = self._rows[name][places].astype(np.float64).T
            score = now / np.log(10.0)
            at = np.flatnonzero(mask & (now >= most))
            worth = np.zeros(len(places))
            worth[at] = self.tests[name].calibration.worth(score[at])
            over, most_of = ended[name]
            self.tests[name].learn(most_of / np.log(10.0), who=self._rows["app"][places[over]])
            found.append(self._told(name, places, worth, count, usual.slow, window, WINDOWS_PER_HOUR))
        return found

    _now: Counts = np.empty(0, np.int64)
    _most: Counts = np.empty(0, np.int64)
    _flagged: npt.NDArray[np.bool_] = np.empty(0, np.bool_)

    def _unusual(
        self,
        test: str,
        places: Counts,
        judged: npt.NDArray[np.bool_],
        scores: Numbers,
        count: Numbers,
        usual: Numbers,
        window: Window,
        windows: int,
    ) -> pl.DataFrame | None:
        """Judge some of the rows, and learn their scores; those that are worth telling."""
        at = np.flatnonzero(judged & ~self._invited(places))
        classes = np.clip(np.log(np.maximum(usual[at], 0.1) * 10.0) / np.log(3.0), 0, TESTS[test] - 1).astype(np.int64)
        worth = np.zeros(len(places))
        worth[at] = self.tests[test].worth(scores[at], classes, self._rows["app"][places[at]])
        if windows == WINDOWS_PER_HOUR:
            self._flagged |= worth >= FLAGGED
        return self._told(test, places, worth, count, usual, window, windows)

    def _invited(self, places: Counts) -> npt.NDArray[np.bool_]:
        """Ways in that the app's owner or a search opens: messages, codes on posters, advertisements bring many at once."""
        shared = np.isin(self._rows["what"][places], self._what_names.known(SHARED_SCENES))
        found: npt.NDArray[np.bool_] = (self._rows["kind"][places] == SCENES) & ~shared
        return found

    def _of_nobody(self, places: Counts) -> npt.NDArray[np.bool_]:
        """Calls that no visitor ever made: an app's own servers make them."""
        nobody = (self._rows["did_before"][places] == 0) & (self._rows["did"][places] == 0)
        found: npt.NDArray[np.bool_] = nobody & (self._rows["kind"][places] == CALLS)
        return found

    def _is_settled(self, places: Counts) -> npt.NDArray[np.bool_]:
        """What servers do, once a day, takes longer to be known than what people do."""
        found: npt.NDArray[np.bool_] = ~self._of_nobody(places) | (
            self._rows["hours"][places] >= baseline.SHIFT_KNOWN_H
        )
        return found

    def _told(
        self,
        test: str,
        places: Counts,
        worth: Numbers,
        count: Numbers,
        usual: Numbers,
        window: Window,
        windows: int,
        measure: str | None = None,
    ) -> pl.DataFrame | None:
        shown = np.flatnonzero(worth >= SHOWN_MIN)
        if not len(shown):
            return None
        rows = places[shown]
        kinds = self._rows["kind"][rows]
        what = self._what_names.told(self._rows["what"][rows])
        owners = self._owner_names.told(self._rows["owner"][rows])
        values = {
            "scope": ["AppId"] * len(shown),
            "entity": self._app_names.told(self._rows["app"][rows]),
            "owner": [None if owner == OTHERS else owner for owner in owners],
            "about": what,
            "test": [test] * len(shown),
            "measure": [measure or KINDS[kind] for kind in kinds],
            "behaviour": [behaviour_of(name, KINDS[kind]) for name, kind in zip(what, kinds.tolist(), strict=True)],
            "worth": worth[shown],
            "value": count[shown],
            "usual": usual[shown],
            "count": count[shown].astype(np.int64),
            "begins": [window.end - windows * WINDOW_US] * len(shown),
            "learned": self._rows["hours"][rows].astype(np.int64),
        }
        return pl.DataFrame(values, schema=UNUSUAL)

    def _day(self, window: Window) -> None:
        """What nobody has seen for long is forgotten, and so are scores, slowly."""
        self._rows.forget_unseen(window.index - self.config.forget_days * WINDOWS_PER_DAY)
        self._apps.forget_unseen(window.index - self.config.forget_days * WINDOWS_PER_DAY)
        self._deploys.forget_unseen(window.index, self.config.forget_days)
        self._keep_names()
        self.tests.fade()

    def _keep_names(self) -> None:
        """Names that no row has any more are forgotten."""
        used = self._rows.places
        for names, field in ((self._app_names, "app"), (self._what_names, "what"), (self._owner_names, "owner")):
            renumbered = names.keep(self._rows[field][used])
            self._rows[field][used] = renumbered[self._rows[field][used]]
            if field == "what":
                self._peers = self._learn_peers()
            if field == "app":
                apps = self._apps.places
                self._apps["name"][apps] = renumbered[self._apps["name"][apps]]

    # Memory

    def snapshot(self) -> State:
        frames: dict[str, pl.DataFrame] = {}
        for name, part in self._parts().items():
            frames |= part.snapshot(name)
        frames |= self.tests.snapshot()
        return frames | {"series.left_out": pl.DataFrame({"left_out": [self.left_out]})}

    def restore(self, state: State) -> None:
        for name, part in self._parts().items():
            part.restore(name, state)
        self.tests.restore(state)
        self._peers = self._learn_peers() if len(self._rows) else np.zeros(1)
        self.left_out = int(state["series.left_out"]["left_out"][0])

    def _parts(self) -> dict[str, Rows | Names | Pending | Tallies | Busiest | Visitors | Deploys]:
        return {
            "series": self._rows,
            "series.apps": self._apps,
            "series.app_names": self._app_names,
            "series.what_names": self._what_names,
            "series.owner_names": self._owner_names,
            "series.deploys": self._deploys,
            "series.counts": self._counts,
            "series.new": self._new,
            "series.visitors": self._visitors,
            "series.busiest": self._busiest,
        }


def _done(rows: pl.DataFrame) -> Iterator[tuple[int, slice | Counts, Keys]]:
    """What rows count as, by kind: which rows, and the hashes of what it is."""
    action, host = of(rows, ACTION), of(rows, ASKED)
    acts = action != 0
    yield (CALLS, slice(None), action) if acts.all() else (CALLS, np.flatnonzero(acts), action[acts])
    if rows["miniprogram.scene"].null_count() < rows.height:
        launched = rows["miniprogram.scene"].is_not_null().to_numpy() & (action == hash_of("App.onLaunch"))
        entered = np.flatnonzero(launched)
        yield SCENES, entered, rows["miniprogram.scene"].gather(entered).cast(pl.String).hash().to_numpy()
    asked = np.flatnonzero(host)
    yield HOSTS, asked, host[asked]


def _blocks(places: Counts) -> Iterator[Counts]:
    for first in range(0, len(places), BLOCK):
        yield places[first : first + BLOCK]
