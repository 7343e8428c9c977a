"""How large a share of an app's calls is refused: denied permissions, logins, payments that are declined, the sandbox, and all else.

Judged, when an hour ends, is the share of each API's calls in the hour and in each five minutes of it, and of all that an app does in the
hour, by the app's own usual share; where little is known of it, by that of the same API in other apps. Who tries slowly shows in what came
of late: refusals and how many were to be expected are summed with a half-life of half a day. What the platform or the server fails at by itself is left
out: status 5xx, timeouts, interrupted calls, ``-1``. Those are outages, and no abuse. A payment that the person called off is none either.

What fools it: who keeps the share and raises the number (`series.py` sees that); an app in which most calls were always refused; what
is refused without a code, a status or a word that says so. Source: beta-binomial shares, by their negative binomial tail (`tails.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.detector import State
from detectors.statistical import lately, tails
from detectors.statistical.hashes import ACTION, APP
from detectors.statistical.names import OTHERS, Names
from detectors.statistical.pending import GROUP, KEY, WINDOW, Merging, Pending, merged_as
from detectors.statistical.rows import NOWHERE, Rows
from detectors.statistical.series import CALLS, Series
from detectors.statistical.shown import API, HOST, PAGE, SERVICE, Shown, key_of
from detectors.statistical.statistic import FLAGGED, SHOWN_MIN, STREAK, Suite, not_flagged
from detectors.statistical.tails import Numbers
from detectors.statistical.tallies import grouped
from detectors.statistical.telling import unusual
from detectors.statistical.windows import WINDOWS_PER_DAY, WINDOWS_PER_HOUR, Window

Array = npt.NDArray[Any]

DENIED, LOGIN, DECLINED, SANDBOX, REFUSED = range(5)
MEASURES: Final = ("denied permissions", "refused logins", "declined payments", "sandbox violations", "refusals")
BEHAVIOURS: Final = (1, 8, 12, 16, None)

COUNT_MIN: Final = 5
"""Fewer refusals are no share."""

KNOWN: Final = 24 * WINDOWS_PER_HOUR
"""Apps that were first seen later are not judged."""

HOURS_MEAN: Final = 168
KEPT: Final = 1.0 - 1.0 / HOURS_MEAN

OTHERS_COUNT: Final = 30.0
"""What other apps show counts for as much as so many calls of one's own."""

SHARE_LEAST: Final = 1e-4
"""Of an API that nobody was refused before."""

SPREAD_USUAL: Final = 0.2
SPREAD_HOURS: Final = 24.0
"""By how much counts vary beyond a Poisson's variance where little is known, and for how many hours that counts."""

CUT: Final = 4.0
RELEARN_H: Final = 48

WAITING_MAX: Final = 20_000
"""Rows that may have been refused that wait to be looked at."""

CALLS_MAX: Final = 2_000_000
"""Counts of windows that are kept until the hour ends; of more, only the hour is judged."""

NO_WINDOW: Final = -1
"""In the place of windows that were put together."""

CLASS_BITS: Final = 3
PART: Final = np.uint64(0b1111 << CLASS_BITS)
CALL: Final = np.uint64(2**64 - 2**7)
"""Bits of a key: what became of a call, in which five minutes of the hour, and which call."""

FAILURE_MIN: Final = 400

LOGINS: Final = ("login", "checkSession", "code2Session")
_DENIALS: Final = (104, 112)
_LOGIN_CODES: Final = (40029, 40163, 40226, 45011)
_SANDBOX_CODES: Final = (1300013, 1300014, 1301000, 1301004, 1302001, 1300202)
_NOBODYS: Final = (-1, -2)
_OUTAGE: Final = "timeout|time out|interrupted|network error|cancel"
_REFUSING: Final = (40_000, 99_999)

NEEDS: Final = frozenset(
    {
        "event.action",
        "event.dataset",
        "event.outcome",
        "event.provider",
        "error.code",
        "error.message",
        "http.response.status_code",
        "miniprogram.app_id",
        "miniprogram.developer_id",
        "miniprogram.permission",
    }
)

_COUNTED: Final[dict[str, Merging]] = {
    "n": "sum",
    "call": "first",
    "class": "first",
    "app": "first",
    "what": "first",
    "owner": "max",
}


class OutcomesConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is remembered."""

    keys_max: int = 200_000
    keys_per_app_max: int = 500
    names_max: int = 200_000
    forget_days: int = 21


class Outcomes:
    """Counts what is refused, of apps and of their APIs. `series` counts all calls, `shown` what apps do in all."""

    name = "outcomes"

    def __init__(self, series: Series, shown: Shown, config: OutcomesConfig | None = None) -> None:
        self.config = config or OutcomesConfig()
        self._series, self._shown = series, shown
        self._counts = Pending(_COUNTED, group_keys_max=self.config.keys_per_app_max, keys_max=self.config.keys_max)
        self._rows = Rows(
            {
                "hits": (np.float32, 1),
                "of": (np.float32, 1),
                "vary": (np.float32, 2),
                "hours": (np.int32, 1),
                **lately.summed(2),  # refusals, and how many were to be expected
                **STREAK,
                "call": (np.uint64, 1),  # as `series` counts it; 0 for all calls of an app
                "group": (np.uint64, 1),
                "class": (np.int8, 1),
                "app": (np.int32, 1),
                "what": (np.int32, 1),
                "owner": (np.int32, 1),
            },
            self.config.keys_max,
        )
        self._waiting: list[pl.DataFrame] = []
        self._rows_waiting = 0
        self._calls: dict[int, tuple[Array, Array]] = {}  # what `series` counted, by the windows of the hour
        self._app_names, self._what_names, self._owner_names = (Names(self.config.names_max) for _ in range(3))
        # One calibration for all kinds of refusals: most are too seldom to have one of their own.
        self.tests = Suite(self.name, {"refusals": 2, "refusal_burst": 2, "refusals_slow": 2})

    @property
    def needs(self) -> frozenset[str]:
        return NEEDS

    @property
    def forgotten(self) -> int:
        return self._counts.forgotten + self._rows.forgotten + self._rows.refused

    @property
    def bytes(self) -> int:
        """What is remembered takes so much."""
        return self._rows.bytes

    # Counting

    def count(self, rows: pl.DataFrame) -> None:
        """Keep rows that may have been refused; what became of them is asked of many at once."""
        maybe = rows["event.outcome"] == "failure"
        for field, seldom in (
            ("error.code", pl.Series.is_not_null),
            ("miniprogram.permission", lambda column: column == "denied"),
            ("http.response.status_code", lambda column: column.cast(pl.Int64) >= FAILURE_MIN),
        ):
            if rows[field].null_count() < rows.height:
                maybe = maybe.fill_null(value=False) | seldom(rows[field]).fill_null(value=False)
        at = np.flatnonzero(maybe.fill_null(value=False).to_numpy())
        if len(at):
            some = rows[[WINDOW, APP, ACTION, *sorted(NEEDS)]][at]
            self._waiting.append(some)
            self._rows_waiting += some.height
            if self._rows_waiting >= WAITING_MAX:
                self._flush()

    def _flush(self) -> None:
        """Count the rows that wait: a key tells the call, in which five minutes of the hour it was, and what became of it."""
        if not self._waiting:
            return
        some = _refused(pl.concat(self._waiting))
        self._waiting, self._rows_waiting = [], 0
        if not some.height:
            return
        told = some.select(
            pl.col(WINDOW),
            pl.col(APP).alias(GROUP),
            pl.col(ACTION).alias("call"),
            pl.col("class").cast(pl.Int8),
            app="miniprogram.app_id",
            what="event.action",
            owner="miniprogram.developer_id",
        )
        window, group = told[WINDOW].to_numpy(), told[GROUP].to_numpy()
        low = told["class"].to_numpy().astype(np.uint64)
        part = (window % WINDOWS_PER_HOUR).astype(np.uint64) << np.uint64(CLASS_BITS)
        call = key_of(group, CALLS, told["call"].to_numpy())
        hour = pl.Series(WINDOW, window // WINDOWS_PER_HOUR)
        one = told.with_columns(hour, pl.Series("call", call), pl.Series(KEY, (call & CALL) | part | low))
        whole = told.with_columns(
            hour,
            pl.Series("call", np.zeros(len(call), np.uint64)),
            pl.Series(KEY, ((group * np.uint64(31) + np.uint64(7)) & CALL) | low),
            pl.lit("").alias("what"),
        )
        both = pl.concat([one, whole.select(one.columns)]).with_columns(pl.lit(1, pl.Int64).alias("n"))
        self._counts.add(both.group_by(WINDOW, KEY).agg(pl.col(GROUP).first(), *merged_as(_COUNTED)))

    # Judging

    def close(self, window: Window) -> Sequence[pl.DataFrame]:
        keys, counts = self._series.counted
        if len(keys):
            self._calls[window.index] = keys, counts
            if sum(len(each) for each, _ in self._calls.values()) > CALLS_MAX:
                self._calls = {NO_WINDOW: _together(self._calls)}
        found: list[pl.DataFrame | None] = []
        if window.ends_hour:
            self._flush()
            counted = self._counts.take(window.hour)
            if len(self._rows) or counted.height:
                found = self._hour(counted, window)
            self._calls = {}
        if window.ends_day:
            self._end_day(window)
        return [frame for frame in found if frame is not None]

    def _hour(self, counted: pl.DataFrame, window: Window) -> list[pl.DataFrame | None]:
        """Judge the hour that ends, and its windows, then learn it."""
        if counted.height:
            key = counted[KEY].to_numpy() & ~PART
            first, _ = grouped(key)
            place, new = self._rows.seen(key[first], window.index)
            self._name(counted[first].filter(pl.Series(new)), place[new])
            counted = counted.with_columns(pl.Series("place", self._rows.find(key))).filter(pl.col("place") != NOWHERE)
        self._share = self._pooled()
        places = self._rows.places
        found: list[pl.DataFrame | None] = []
        now = np.zeros(len(self._share))
        if counted.height:
            part = ((counted[KEY].to_numpy() & PART) >> np.uint64(CLASS_BITS)).astype(np.int64)
            apis = places[self._rows["call"][places] > 0]
            for index in [index for index in self._calls if index != NO_WINDOW]:
                mine = counted.filter(pl.Series(part == index % WINDOWS_PER_HOUR))
                found.append(self._five_minutes(apis, mine, Window(index)))
            now += np.bincount(counted["place"].to_numpy(), counted["n"].to_numpy(), len(now))
        call = self._rows["call"][places]
        of = np.where(call > 0, _calls_of(call, _together(self._calls)), self._of_apps(self._rows["group"][places]))
        of = np.maximum(of.astype(np.float64), now[places])
        active = places[of > 0]
        found.append(self._judge("refusals", active, now[active], of[of > 0], window, WINDOWS_PER_HOUR))
        found.append(self._slowly(active, now[active], of[of > 0], window))
        self._learn(active, now[active], of[of > 0])
        return found

    def _five_minutes(self, apis: Array, counted: pl.DataFrame, window: Window) -> pl.DataFrame | None:
        """Judge a window of the hour."""
        of = _calls_of(self._rows["call"][apis], self._calls[window.index]).astype(np.float64)
        now = np.zeros(len(self._share))
        now[counted["place"].to_numpy()] = counted["n"].to_numpy()
        active = apis[of > 0]
        return self._judge("refusal_burst", active, now[active], of[of > 0], window, 1)

    def _name(self, fresh: pl.DataFrame, place: Array) -> None:
        for field, names in (("app", self._app_names), ("what", self._what_names), ("owner", self._owner_names)):
            self._rows[field][place] = names.numbers(fresh[field].fill_null(OTHERS).to_list())
        for field, column in (("call", "call"), ("group", GROUP), ("class", "class")):
            self._rows[field][place] = fresh[column].to_numpy()

    def _of_apps(self, groups: Array) -> Array:
        """How many events apps had in the hour."""
        hour = self._shown.hour
        if hour is None or not len(groups):
            return np.zeros(len(groups), np.int64)
        happened = np.isin(hour.kind, (API, HOST, PAGE, SERVICE))
        of = np.bincount(hour.app[happened], hour.n[happened], len(hour.apps)).astype(np.int64)
        at = np.minimum(np.searchsorted(hour.apps, groups), len(hour.apps) - 1)
        return np.where(hour.apps[at] == groups, of[at], 0)

    def _pooled(self) -> Numbers:
        """What share of an API's calls, or of all that is done, is refused in all apps; by row."""
        rows, places = self._rows, self._rows.places
        call = rows["call"][places]
        what = np.where(call > 0, call - rows["group"][places] * np.uint64(2 * CALLS + 5), 0)
        _, alike = np.unique(what * np.uint64(8) + rows["class"][places].astype(np.uint64), return_inverse=True)
        hits = np.bincount(alike, rows["hits"][places])
        of = np.bincount(alike, rows["of"][places])
        share = np.zeros(len(rows["hits"]))
        share[places] = np.maximum((hits + 0.5 * SHARE_LEAST) / (of + 0.5), SHARE_LEAST)[alike]
        return share

    def _usual(self, place: Array) -> tuple[Numbers, Numbers]:
        """Hits and trials by which a share is judged: the app's own, and a little of the same API's in all apps."""
        own = self._rows["hits"][place].astype(np.float64) + OTHERS_COUNT * self._share[place]
        return own, self._rows["of"][place].astype(np.float64) + OTHERS_COUNT

    def _expected(self, place: Array, expected: Numbers) -> Numbers:
        """Of an app as a whole at least as much as of its APIs together: what it does more often is refused more often."""
        call = self._rows["call"][place]
        key = self._rows["group"][place] * np.uint64(8) + self._rows["class"][place].astype(np.uint64)
        _, of = np.unique(key, return_inverse=True)
        together = np.bincount(of, np.where(call > 0, expected, 0.0)) if len(of) else np.empty(0)
        return np.where(call > 0, expected, np.maximum(expected, together[of]))

    _share: Numbers = np.empty(0)
    _flagged: npt.NDArray[np.bool_] = np.empty(0, np.bool_)

    def _judge(self, test: str, place: Array, hits: Numbers, of: Numbers, window: Window, windows: int) -> pl.DataFrame | None:  # fmt: skip
        expected, spread = self._to_expect(place, hits, of)
        scores = tails.many(np.where(hits >= COUNT_MIN, hits, 0.0), expected, spread)
        return self._told(test, place, scores, hits, expected, window, windows)

    def _slowly(self, place: Array, hits: Numbers, of: Numbers, window: Window) -> pl.DataFrame | None:
        """What came of late, in hours in which more of it comes."""
        expected, spread = self._to_expect(place, hits, of)
        sums = lately.sum_up(self._rows, place, np.stack([hits, expected], axis=1), window)
        some = np.flatnonzero(hits > 0)
        came, usual = sums[some].T
        scores = tails.many(np.where(came >= COUNT_MIN, came, 0.0), usual, spread[some])
        hours, flagged = lately.HALF_LIFE_H * WINDOWS_PER_HOUR, self._flagged
        found = self._told("refusals_slow", place[some], scores, came, usual, window, hours)
        flagged[some] |= self._flagged
        self._flagged = flagged
        return found

    def _to_expect(self, place: Array, hits: Numbers, of: Numbers) -> tuple[Numbers, Numbers]:
        """How many refusals, and by how much they vary beyond a Poisson's variance."""
        usual_hits, usual_of = self._usual(place)
        expected = self._expected(place, np.maximum(of, hits) * usual_hits / usual_of)
        hours = self._rows["hours"][place].astype(np.float64)
        vary = self._rows["vary"][place].astype(np.float64)
        own = np.clip(vary[:, 0], 0.0, None) / np.maximum(vary[:, 1], 1e-9)
        spread = (own * hours + SPREAD_USUAL * SPREAD_HOURS) / (hours + SPREAD_HOURS)
        return expected, spread + 1.0 / (usual_hits + 0.5)

    def _told(
        self, test: str, place: Array, scores: Numbers, hits: Numbers, expected: Numbers, window: Window, windows: int
    ) -> pl.DataFrame | None:
        known = self._known(place, window)
        judged = np.flatnonzero(known)
        classes = (self._rows["call"][place] == 0).astype(np.int64)
        worth = np.zeros(len(place))
        worth[judged] = self.tests[test].worth(scores[judged], classes[judged], self._rows["group"][place][judged])
        self._flagged = worth >= FLAGGED
        told = np.flatnonzero(worth >= SHOWN_MIN)
        if not len(told):
            return None
        rows, place = self._rows, place[told]
        names = {
            "app": self._app_names.told(rows["app"][place]),
            "owner": [None if name == OTHERS else name for name in self._owner_names.told(rows["owner"][place])],
        }
        kinds = rows["class"][place].tolist()
        return unusual(
            test,
            window,
            windows,
            apps=pl.DataFrame(names, schema={"app": pl.String(), "owner": pl.String()}),
            worth=worth[told],
            about=self._what_names.told(rows["what"][place]),
            measure=[MEASURES[kind] for kind in kinds],
            behaviour=[BEHAVIOURS[kind] for kind in kinds],
            value=hits[told],
            usual=expected[told],
            count=hits[told],
            learned=rows["hours"][place],
        )

    def _known(self, place: Array, window: Window) -> npt.NDArray[np.bool_]:
        """Whose app was there a day ago."""
        apps = self._shown.apps
        if not len(apps):
            return np.zeros(len(place), np.bool_)
        at = apps.find(self._rows["group"][place])
        known: npt.NDArray[np.bool_] = (at != NOWHERE) & (window.index - apps["first"][at] >= KNOWN)
        return known

    def _learn(self, place: Array, hits: Numbers, of: Numbers) -> None:
        rows = self._rows
        usual_hits, usual_of = self._usual(place)
        expected = self._expected(place, of * usual_hits / usual_of)
        kept = not_flagged(rows, place, self._flagged, RELEARN_H)
        place, hits, of, expected = place[kept], hits[kept], of[kept], expected[kept]
        by = np.sqrt(expected + SPREAD_USUAL * expected * expected)
        known = rows["hours"][place] > 0
        cut = np.where(known, np.minimum(hits, expected + CUT * by + 1.0), hits)
        for name, value in (("hits", cut), ("of", of)):
            rows[name][place] = (rows[name][place].astype(np.float64) * KEPT + value).astype(np.float32)
        off = np.where(known, (cut - expected) ** 2 - expected, 0.0)
        for number, value in enumerate((off, np.where(known, expected * expected, 0.0))):
            now = rows["vary"][place, number].astype(np.float64)
            rows["vary"][place, number] = (now * KEPT + value).astype(np.float32)
        rows["hours"][place] += 1

    def _end_day(self, window: Window) -> None:
        self._rows.forget_unseen(window.index - self.config.forget_days * WINDOWS_PER_DAY)
        places = self._rows.places
        for field, names in (("app", self._app_names), ("what", self._what_names), ("owner", self._owner_names)):
            renumbered = names.keep(self._rows[field][places])
            self._rows[field][places] = renumbered[self._rows[field][places]]
        self.tests.fade()

    # Memory

    def snapshot(self) -> State:
        self._flush()
        calls = [
            pl.DataFrame({"window": np.full(len(keys), window), "key": keys, "count": counts}, schema=_CALLS)
            for window, (keys, counts) in self._calls.items()
        ]
        frames: dict[str, pl.DataFrame] = {"outcomes.calls": pl.concat([pl.DataFrame(schema=_CALLS), *calls])}
        for name, part in self._parts().items():
            frames |= part.snapshot(name)
        frames |= self.tests.snapshot()
        return frames

    def restore(self, state: State) -> None:
        for name, part in self._parts().items():
            part.restore(name, state)
        self.tests.restore(state)
        if "outcomes.calls" not in state:
            raise ValueError("there is no outcomes.calls")
        calls = state["outcomes.calls"].partition_by("window", maintain_order=True)
        self._calls = {
            int(each["window"][0]): (each["key"].to_numpy().copy(), each["count"].to_numpy().copy()) for each in calls
        }
        self._waiting, self._rows_waiting = [], 0

    def _parts(self) -> dict[str, Rows | Names | Pending]:
        return {
            "outcomes": self._rows,
            "outcomes.counts": self._counts,
            "outcomes.app_names": self._app_names,
            "outcomes.what_names": self._what_names,
            "outcomes.owner_names": self._owner_names,
        }


_CALLS: Final = pl.Schema({"window": pl.Int64(), "key": pl.UInt64(), "count": pl.Int64()})


def _together(calls: Mapping[int, tuple[Array, Array]]) -> tuple[Array, Array]:
    """The counts of several windows as one, in the order of keys."""
    if len(calls) == 1:
        return next(iter(calls.values()))
    if not calls:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    keys = np.concatenate([each for each, _ in calls.values()])
    first, counts = grouped(keys, np.concatenate([each for _, each in calls.values()]))
    return keys[first], counts


def _calls_of(call: Array, counted: tuple[Array, Array]) -> Array:
    """How many calls of each there were."""
    keys, counts = counted
    if not len(keys):
        return np.zeros(len(call), np.int64)
    at = np.minimum(np.searchsorted(keys, call), len(keys) - 1)
    return np.where(keys[at] == call, counts[at], 0)


def _refused(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows that were refused, with their ``class``."""
    code, status = pl.col("error.code"), pl.col("http.response.status_code").cast(pl.Int64)
    denied = (pl.col("miniprogram.permission") == "denied").fill_null(value=False)
    failed = (pl.col("event.outcome") == "failure").fill_null(value=False)
    some = rows.filter(pl.col("miniprogram.app_id").is_not_null() & pl.col("event.action").is_not_null())
    provider, dataset = pl.col("event.provider"), pl.col("event.dataset")
    message = pl.col("error.message").fill_null("")
    number = code.cast(pl.Int64, strict=False)
    http = (provider == "http").fill_null(value=False) | (provider.is_null() & number.is_between(400, 599))
    answered = pl.coalesce(pl.when(http).then(number), status)
    pays = (dataset == "miniprogram.payment").fill_null(value=False)
    nobodys = (answered >= 500) | message.str.contains(_OUTAGE) | number.is_in(_NOBODYS)
    refused = answered.is_between(400, 499) | number.is_between(*_REFUSING) | message.str.contains("not in domain list")
    refused = refused | ((provider == "wx.errno") & (number > 0))
    logs_in = pl.col("event.action").is_in(LOGINS) | (dataset == "miniprogram.auth")
    kinds = (
        pl.when(denied | (number.is_in(_DENIALS) & ~http) | message.str.contains("auth den"))
        .then(DENIED)
        .when(nobodys.fill_null(value=False))
        .then(None)
        .when(number.is_in(_SANDBOX_CODES))
        .then(SANDBOX)
        .when(number.is_in(_LOGIN_CODES) | (logs_in & refused))
        .then(LOGIN)
        .when(pays & (failed | (number < 0)))
        .then(DECLINED)
        .when(refused)
        .then(REFUSED)
    )
    return some.with_columns(kinds.alias("class")).filter(pl.col("class").is_not_null())
