"""How often each app does what: counted by API or action, by the scene it is opened from, by host; judged for its rate, silence and shift.

Rate: more in five minutes, or in an hour, than is usual at this hour of the day *and* than as many visitors usually make. A flash
crowd is many visitors, so it is not unusual; one who calls an API without visitors is. Silence: fewer in an hour than the visitors
usually make. Shift: a deviation from the slow mean for each visitor that goes on for hours or days.

What fools it: who brings as many invented visitors as calls (fan-out and regularity see those); who is new (a day must be known);
who rises more slowly than the slow mean follows, a few percent a day.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.detector import State
from detectors.statistical import baseline, tails
from detectors.statistical.baseline import Usual
from detectors.statistical.calibration import Calibration
from detectors.statistical.meaning import behaviour_of
from detectors.statistical.names import Names
from detectors.statistical.pending import GROUP, KEY, WINDOW, Merging, Pending
from detectors.statistical.rows import NOWHERE, Rows
from detectors.statistical.statistic import FLAGGED, SHOWN_MIN, UNUSUAL, Test
from detectors.statistical.tails import Numbers
from detectors.statistical.windows import WINDOW_US, WINDOWS_PER_DAY, WINDOWS_PER_HOUR, Window

CALLS, SCENES, HOSTS = 0, 1, 2
KINDS: Final = ("calls", "entries", "requests")
"""What is counted, by number."""

CLASSES: Final = 8
"""Of volume: powers of four of what is usual."""

BLOCK: Final = 65_536
"""Rows that are judged and learned at a time: what bounds the memory of it."""

COUNT_MIN: Final = 5
"""Fewer events in a stretch of time are no rate."""

EXPECTED_MIN: Final = 8.0
"""Where fewer were to be expected in an hour, none is no silence."""

NEEDS: Final = frozenset(
    {
        "event.action",
        "event.dataset",
        "miniprogram.app_id",
        "miniprogram.developer_id",
        "miniprogram.scene",
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
    visitors_max: int = 2_000_000
    visitors_per_app_max: int = 200_000
    forget_days: int = 21


class Series:
    """Counts of everything that apps do, and what is usual."""

    name = "series"

    def __init__(self, config: SeriesConfig | None = None) -> None:
        self.config = config or SeriesConfig()
        self._rows = Rows(
            {**baseline.FIELDS, "app": (np.int32, 1), "what": (np.int32, 1), "kind": (np.int8, 1), "at": (np.int32, 1)},
            self.config.keys_max,
        )
        self._apps = Rows({"visits": (np.int64, 1), "owner": (np.int32, 1)}, self.config.apps_max)
        self._app_names = Names(self.config.apps_max)
        self._what_names = Names(self.config.apps_max)
        self._owner_names = Names(self.config.apps_max)
        counting: dict[str, Merging] = {"n": "sum", "app": "first", "what": "first", "kind": "first", "owner": "max"}
        self._counts = Pending(
            counting,
            group_keys_max=self.config.keys_per_app_max,
            keys_max=self.config.keys_max,
            known=self._rows.knows,
        )
        self._visitors = Pending(
            {"n": "sum"}, group_keys_max=self.config.visitors_per_app_max, keys_max=self.config.visitors_max
        )
        self._tests = {name: Test(name, Calibration(CLASSES)) for name in ("burst", "rate", "silence", "rise", "fall")}

    @property
    def needs(self) -> frozenset[str]:
        return NEEDS

    @property
    def forgotten(self) -> int:
        return self._counts.forgotten + self._visitors.forgotten + self._rows.forgotten + self._rows.refused

    @property
    def apps(self) -> int:
        """How many apps are remembered."""
        return len(self._apps)

    @property
    def bytes(self) -> int:
        """What is remembered of keys takes so much."""
        return self._rows.bytes + self._apps.bytes

    @property
    def tests(self) -> Mapping[str, int]:
        made = {name: test.made for name, test in self._tests.items()}
        for test in self._tests.values():
            test.made = 0
        return made

    # Counting

    def count(self, rows: pl.DataFrame) -> None:
        app = pl.col("miniprogram.app_id")
        known = rows.filter(app.is_not_null())
        if not known.height:
            return
        keyed = known.with_columns(app.hash().alias(GROUP))
        visitor = pl.coalesce("user.id", "device.id", "source.ip")
        people = keyed.select(WINDOW, GROUP, (pl.col(GROUP) * 3 + visitor.hash()).alias(KEY))
        self._visitors.add(people.group_by(WINDOW, KEY).agg(pl.col(GROUP).first(), pl.len().cast(pl.Int64).alias("n")))
        self._counts.add(_counted(keyed, "event.action", CALLS))
        entered = keyed.filter(pl.col("miniprogram.scene").is_not_null() & (pl.col("event.action") == "App.onLaunch"))
        if entered.height:
            self._counts.add(_counted(entered.with_columns(pl.col("miniprogram.scene").cast(pl.String)), "miniprogram.scene", SCENES))  # fmt: skip
        asked = keyed.filter(pl.col("url.domain").is_not_null() & (pl.col("event.dataset") == "miniprogram.network"))
        if asked.height:
            self._counts.add(_counted(asked, "url.domain", HOSTS))

    # Judging

    def close(self, window: Window) -> Sequence[pl.DataFrame]:
        visitors = self._visitors.take(window.index)
        counted = self._counts.take(window.index)
        found: list[pl.DataFrame | None] = []
        if counted.height:
            visits = visitors.group_by(GROUP).len().sort(GROUP)
            places, people = self._seen(counted, visits, window)
            found.append(self._burst(places, people, window))
        if window.ends_hour:
            found += self._hour(window)
        if window.ends_day:
            self._day(window)
        return [frame for frame in found if frame is not None]

    def _seen(
        self, counted: pl.DataFrame, visits: pl.DataFrame, window: Window
    ) -> tuple[npt.NDArray[np.int64], Numbers]:
        """The rows of what was counted in a window, with the counts added; and how many visitors each one's app had then."""
        groups = visits[GROUP].to_numpy()
        people = visits["len"].to_numpy().astype(np.int64)
        apps, _ = self._apps.seen(groups, window.index)
        here = apps != NOWHERE
        self._apps["visits"][apps[here]] += people[here]
        places, new = self._rows.seen(counted[KEY].to_numpy(), window.index)
        kept = places != NOWHERE
        if new.any():
            fresh, at = counted.filter(pl.Series(new)), places[new]
            self._rows["app"][at] = self._app_names.numbers(fresh["app"].to_list())
            self._rows["what"][at] = self._what_names.numbers(fresh["what"].to_list())
            self._rows["kind"][at] = fresh["kind"].to_numpy()
            owned = fresh.filter(pl.col("owner").is_not_null())
            of = self._apps.find(owned[GROUP].to_numpy())
            self._apps["owner"][of[of != NOWHERE]] = self._owner_names.numbers(owned["owner"].to_list())[of != NOWHERE]
        counted, places = (counted, places) if kept.all() else (counted.filter(pl.Series(kept)), places[kept])
        mine = self._apps.find(counted[GROUP].to_numpy())
        self._rows["at"][places] = mine
        count = counted["n"].to_numpy().astype(np.int64)
        self._rows["count"][places] += count
        self._rows["squares"][places] += count.astype(np.float64) ** 2
        order = np.searchsorted(groups, counted[GROUP].to_numpy())
        self._now = count
        return places, people[np.minimum(order, len(people) - 1)].astype(np.float64)

    def _burst(self, places: npt.NDArray[np.int64], visitors: Numbers, window: Window) -> pl.DataFrame | None:
        """Too many within five minutes."""
        usual = Usual(self._rows, places, window.hour_of_day, visitors, 1.0 / WINDOWS_PER_HOUR)
        count = self._now.astype(np.float64)
        judged = usual.known & (count >= COUNT_MIN)
        by_hour = tails.many(count, usual.hour, usual.spread_hour + usual.spread_within)
        by_visits = tails.many(count, usual.visits, usual.spread_visit + usual.spread_within)
        expected = np.maximum(usual.hour, usual.visits)
        return self._unusual("burst", places, judged, np.minimum(by_hour, by_visits), count, expected, window, 1)

    def _hour(self, window: Window) -> list[pl.DataFrame | None]:
        """Judge the hour that ends, then learn it."""
        found: list[pl.DataFrame | None] = []
        if not self._apps[
            "visits"
        ].any():  # nobody was seen anywhere: our own input had a gap, which says nothing about apps
            return found
        for places in _blocks(self._rows.places):
            at = self._rows["at"][places]
            visitors = np.where(at != NOWHERE, self._apps["visits"][at], 0).astype(np.float64)
            usual = Usual(self._rows, places, window.hour_of_day, visitors)
            count = self._rows["count"][places].astype(np.float64)
            expected = np.maximum(usual.hour, usual.visits)
            calls = self._rows["kind"][places] == CALLS
            many = np.minimum(
                tails.many(count, usual.hour, usual.spread_hour),
                tails.many(count, usual.visits, usual.spread_visit),
            )
            judged = usual.known & (count >= COUNT_MIN)
            self._flagged = np.zeros(len(places), np.bool_)
            rate = self._unusual("rate", places, judged, many, count, expected, window, WINDOWS_PER_HOUR)
            least = np.minimum(usual.hour, usual.visits)
            none = np.minimum(
                tails.few(count, usual.hour, usual.spread_hour),
                tails.few(count, usual.visits, usual.spread_visit),
            )
            missed = usual.known & (least >= EXPECTED_MIN) & calls
            silence = self._unusual("silence", places, missed, none, count, least, window, WINDOWS_PER_HOUR)
            baseline.learn(self._rows, places, window.hour_of_day, visitors, self._flagged)
            found += [
                rate,
                silence,
                *self._shift(places, usual, count, window),
            ]  # a shift that goes on is learned, slowly
        self._apps["visits"][:] = 0
        return found

    def _shift(
        self, places: npt.NDArray[np.int64], usual: Usual, count: Numbers, window: Window
    ) -> list[pl.DataFrame | None]:
        """A deviation that goes on: cumulated sums of a random walk with drift -1/2 exceed h with a probability of about exp(-h)."""
        judged = usual.known & (self._rows["hours"][places] >= 3 * baseline.KNOWN_H)
        calls = self._rows["kind"][places] == CALLS
        found = []
        for name, mask in (("rise", judged), ("fall", judged & calls)):
            score = self._rows[name][places].astype(np.float64) / np.log(10.0)
            found.append(self._unusual(name, places, mask, score, count, usual.slow, window, WINDOWS_PER_HOUR))
        return found

    _now: npt.NDArray[np.int64] = np.empty(0, np.int64)
    _flagged: npt.NDArray[np.bool_] = np.empty(0, np.bool_)

    def _unusual(
        self,
        test: str,
        places: npt.NDArray[np.int64],
        judged: npt.NDArray[np.bool_],
        scores: Numbers,
        count: Numbers,
        usual: Numbers,
        window: Window,
        windows: int,
    ) -> pl.DataFrame | None:
        """Judge some of the rows; those that are worth telling."""
        at = np.flatnonzero(judged)
        classes = np.minimum(np.log2(np.maximum(usual[at], 1.0)) / 2.0, CLASSES - 1).astype(np.int64)
        worth = self._tests[test].worth(scores[at], classes)
        if windows == WINDOWS_PER_HOUR:
            self._flagged[at] |= worth >= FLAGGED
        shown = at[worth >= SHOWN_MIN]
        if not len(shown):
            return None
        rows = places[shown]
        kinds = self._rows["kind"][rows]
        what = self._what_names.told(self._rows["what"][rows])
        apps = self._rows["at"][rows]
        owners = self._owner_names.told(np.where(apps != NOWHERE, self._apps["owner"][apps], 0))
        values = {
            "scope": ["AppId"] * len(shown),
            "entity": self._app_names.told(self._rows["app"][rows]),
            "owner": [None if owner == "(others)" else owner for owner in owners],
            "about": what,
            "test": [test] * len(shown),
            "measure": [KINDS[kind] for kind in kinds],
            "behaviour": [behaviour_of(name, KINDS[kind]) for name, kind in zip(what, kinds.tolist(), strict=True)],
            "worth": worth[worth >= SHOWN_MIN],
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
        self._rows["at"][self._rows.places] = self._again_at()
        for test in self._tests.values():
            test.calibration.fade()

    def _again_at(self) -> npt.NDArray[np.int32]:
        """The app rows of all keys, after some were given up: an app's row goes only after all of its keys' have."""
        at = self._rows["at"][self._rows.places]
        alive = np.zeros(max(len(self._apps["last"]), 1), np.bool_)
        alive[self._apps.places] = True
        return np.where(alive[at], at, NOWHERE).astype(np.int32)

    # Memory

    def snapshot(self) -> State:
        frames: dict[str, pl.DataFrame] = {}
        for name, part in self._parts().items():
            frames |= part.snapshot(name)
        for name, test in self._tests.items():
            frames |= test.calibration.snapshot(f"series.{name}")
        return frames

    def restore(self, state: State) -> None:
        for name, part in self._parts().items():
            part.restore(name, state)
        for name, test in self._tests.items():
            test.calibration.restore(f"series.{name}", state)

    def _parts(self) -> dict[str, Rows | Names | Pending]:
        return {
            "series": self._rows,
            "series.apps": self._apps,
            "series.app_names": self._app_names,
            "series.what_names": self._what_names,
            "series.owner_names": self._owner_names,
            "series.counts": self._counts,
            "series.visitors": self._visitors,
        }


def _blocks(places: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    for first in range(0, len(places), BLOCK):
        yield places[first : first + BLOCK]


def _counted(rows: pl.DataFrame, field: str, kind: int) -> pl.DataFrame:
    """How often each app has each value of a field, by window."""
    return (
        rows.select(
            WINDOW,
            GROUP,
            (pl.col(GROUP) * (2 * kind + 5) + pl.col(field).hash()).alias(KEY),
            app="miniprogram.app_id",
            what=field,
            owner="miniprogram.developer_id",
        )
        .group_by(WINDOW, KEY)
        .agg(
            pl.col(GROUP).first(),
            pl.len().cast(pl.Int64).alias("n"),
            pl.col("app").first(),
            pl.col("what").first(),
            pl.lit(kind, pl.Int8).alias("kind"),
            pl.col("owner").first(),
        )
    )
