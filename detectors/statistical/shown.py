"""What apps show: their APIs, hosts, pages, scenes and versions by the hour, and in which cohorts; counted once for all who look at it.

An event shows one thing: a request its host, a page view its page, anything else its action; what nobody does, as an app's server that sends
messages to all, is told apart (`SERVICE`), for it says nothing of what people meet there. What was ever shown is remembered as
first, last and how often, in 35 bytes a value; names only for the hour. What is tried before it is released (``miniprogram.stage``)
is no app's content. A deploy is a version that an app has not shown before and of which the registry does not say that it is
in review.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.detector import State
from detectors.statistical import hashes
from detectors.statistical.hashes import ACTION, APP, ASKED, VIEWED, hash_of
from detectors.statistical.pending import GROUP, KEY, WINDOW, Merging, Pending, merged_as
from detectors.statistical.rows import NOWHERE, Rows
from detectors.statistical.statistic import Suite
from detectors.statistical.tallies import Tallies, grouped
from detectors.statistical.windows import WINDOWS_PER_DAY, WINDOWS_PER_HOUR, Window

Array = npt.NDArray[Any]
Keys = npt.NDArray[np.uint64]

API, HOST, PAGE, SCENE, VERSION, SERVICE = range(6)
KINDS: Final = ("calls", "requests", "pages", "entries", "versions", "calls")

REGION, SYSTEM, RELEASE = range(3)
DIMENSIONS: Final = ("region", "system", "release")

BINS: Final = 64
"""Of an app's behaviour vector: the top six bits of what is shown."""

COUNTED_MAX: Final = 4_000_000
"""Values of all apps that are counted in an hour; of more, those with the smallest keys."""

SETTINGS_MAX: Final = 500_000
"""Settings of all apps (what cohorts people are in, all at once) that are told apart in an hour."""

LEARNING: Final = 72 * WINDOWS_PER_HOUR
"""What an app shows in so long a time after it is first seen is taken for its own."""

SETTLED: Final = 48 * WINDOWS_PER_HOUR
"""What was shown first so long ago is not new any more."""

DEPLOY: Final = 120 * WINDOWS_PER_HOUR
"""For so long a deploy explains what is new: its rare pages are not seen on the first day."""

EXPLAINED: Final = 1
DECLARED: Final = 2
"""Bits of a value's flags: first shown after a deploy; a host that the app has declared."""

NOT_RELEASED: Final = ("review",)
"""A retired version was released once; a registry that was written later says no more of it."""

LAUNCH: Final = "App.onLaunch"

NEEDS: Final = frozenset(
    {
        "event.action",
        "event.dataset",
        "event.outcome",
        "miniprogram.app_id",
        "miniprogram.developer_id",
        "miniprogram.page",
        "miniprogram.scene",
        "miniprogram.stage",
        "miniprogram.version",
        "url.domain",
        "host.os.name",
        "source.geo.country_iso_code",
        "session.id",
        "user.id",
        "app.declared_domains",
        "app.version_status",
    }
)

_NAMES: Final[dict[str, Merging]] = {
    "kind": "first",
    "what": "first",
    "app": "first",
    "owner": "max",
    "declared": "max",
}


class ShownConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is remembered."""

    values_max: int = 1_000_000
    values_per_app_max: int = 500  # new ones in an hour
    cohorts_per_app_max: int = 64  # in an hour
    apps_max: int = 200_000
    forget_days: int = 60


class Hashed:
    """Rows of one hour with the hashes of their values: arrays with a value a row, 0 where there is none."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self.rows = rows
        self.hour = int(rows[WINDOW][0]) // WINDOWS_PER_HOUR
        self.app, self.action, self.host, self.page = (self.of(name) for name in (APP, ACTION, ASKED, VIEWED))
        self.asks, self.views = self.host != 0, self.page != 0

    def of(self, name: str) -> Keys:
        """The hashes of a field."""
        return hashes.of(self.rows, name)

    def has(self, field: str) -> npt.NDArray[np.bool_]:
        """Which rows have a field."""
        column = self.rows[field]
        if not column.null_count():
            return np.ones(len(column), np.bool_)
        return column.is_not_null().to_numpy()


def key_of(app: Keys, kind: Array | int, value: Keys) -> Keys:
    """The key of what an app shows; what is shown can be had back from it."""
    return app * (2 * np.asarray(kind) + 5).astype(np.uint64) + value


_BY: Final = {
    hashes.REGION: np.uint64(0x9E37_79B9_7F4A_7C15),
    hashes.SYSTEM: np.uint64(0xC2B2_AE3D_27D4_EB4F),
    hashes.VERSION: np.uint64(0x1656_67B1_9E37_79F9),
    hashes.STAGE: np.uint64(0xD6E8_FEB8_6659_FD93),
    hashes.STATUS: np.uint64(0xA076_1D64_78BD_642F),
}
_LOW: Final = np.uint64(BINS - 1)


class Hour:
    """What apps showed in an hour, a row each app and value in the order of keys, with what was known of it before."""

    def __init__(self, counted: pl.DataFrame, shown: Shown, window: Window) -> None:
        self.counted = counted
        self.key, self.group = counted[KEY].to_numpy(), counted[GROUP].to_numpy()
        self.n = counted["n"].to_numpy()
        self.kind = counted["kind"].to_numpy().astype(np.int64)
        self.declared = counted["declared"].to_numpy()
        self.value = self.key - self.group * (2 * self.kind + 5).astype(np.uint64)
        self.apps, first = np.unique(self.group, return_index=True)
        self.names = counted[first].select("app", "owner")
        self.app = np.searchsorted(self.apps, self.group)  # row of `apps`
        self.place = shown.apps.find(self.apps)  # of those, in `Shown.apps`
        here = self.place != NOWHERE
        at = np.where(here, self.place, 0)
        since = shown.apps["first"][at] if len(shown.apps) else np.zeros(len(at), np.int64)
        self.since = np.where(here, since, window.index)
        self.learned = np.where(here, shown.apps["hours"][at], 0) if len(shown.apps) else np.zeros(len(at), np.int64)
        deployed = shown.apps["deployed"][at] if len(shown.apps) else np.zeros(len(at), np.int64)
        self.deployed = np.where(here, deployed, 0)
        known = shown.values.find(self.key)
        self.new = known == NOWHERE
        at = np.where(self.new, 0, known)
        some = len(shown.values) > 0
        self.first = np.where(self.new, window.index, shown.values["first"][at] if some else 0)
        self.flags = np.where(self.new, 0, shown.values["flags"][at] if some else 0)
        self.hours = np.where(self.new, 0, shown.values["hours"][at] if some else 0)

    def deploys(self, window: Window, within: int = DEPLOY) -> npt.NDArray[np.bool_]:
        """Which apps had a deploy lately (by row of `apps`); this hour's included."""
        return (self.deployed > 0) & (window.index - self.deployed < within)

    def known_for(self, window: Window, windows: int) -> npt.NDArray[np.bool_]:
        """Which apps were first seen so long ago."""
        known: npt.NDArray[np.bool_] = window.index - self.since >= windows
        return known


Watcher = Callable[[Hashed], None]


class Shown:
    """Counts what apps show. It says nothing itself: statistics that come after it look at `hour` when one has ended."""

    name = "shown"

    def __init__(self, config: ShownConfig | None = None) -> None:
        self.config = config or ShownConfig()
        self.values = Rows(
            {"hours": (np.uint16, 1), "count": (np.int32, 1), "value": (np.uint32, 1), "flags": (np.uint8, 1)},
            self.config.values_max,
        )
        self.apps = Rows({"hours": (np.int32, 1), "deployed": (np.int32, 1)}, self.config.apps_max)
        self._counts = Tallies(COUNTED_MAX)
        self._declaring = Tallies(COUNTED_MAX)  # what is declared of hosts
        self._names = Pending(
            _NAMES,
            group_keys_max=self.config.values_per_app_max,
            keys_max=self.config.values_max,
            known=self.values.knows,
        )
        most, apart = self.config.values_max, self.config.cohorts_per_app_max
        self._cells = Tallies(COUNTED_MAX)  # of settings, by bins of what is shown
        self._told_apart = Tallies(SETTINGS_MAX)
        self._settings = Pending(dict.fromkeys(DIMENSIONS, "first"), group_keys_max=SETTINGS_MAX, keys_max=SETTINGS_MAX)
        self._cohort_names = Pending({"dimension": "first", "name": "first"}, group_keys_max=apart, keys_max=most)
        self._common = np.empty(0, np.uint32)  # values of several apps, in order
        self._common_apps = np.empty(0, np.int64)  # of how many
        self._watchers: list[Watcher] = []
        self.tests = Suite(self.name, {})  # who looks at its hours has some
        self.hour: Hour | None = None
        self.cohorts: tuple[Keys, Array, pl.DataFrame] | None = None
        self.closed = 0  # the window with which the last hour ended

    @property
    def needs(self) -> frozenset[str]:
        return NEEDS

    @property
    def forgotten(self) -> int:
        waiting = self._names.forgotten + self._cohort_names.forgotten
        waiting += (
            self._counts.forgotten + self._cells.forgotten + self._told_apart.forgotten + self._settings.forgotten
        )
        return waiting + self.values.forgotten + self.values.refused + self.apps.forgotten + self.apps.refused

    @property
    def bytes(self) -> int:
        """What is remembered takes so much."""
        return self.values.bytes + self.apps.bytes + self._common.nbytes + self._common_apps.nbytes

    def watched_by(self, watcher: Watcher) -> None:
        """Somebody else wants the hashes of the same rows."""
        self._watchers.append(watcher)

    # Counting

    def count(self, rows: pl.DataFrame) -> None:
        if rows["miniprogram.app_id"].null_count():
            rows = rows.filter(pl.col("miniprogram.app_id").is_not_null())
        if not rows.height:
            return
        hour = rows[WINDOW].to_numpy() // WINDOWS_PER_HOUR
        is_one = bool((hour == hour[0]).all())
        for one in hour[:1] if is_one else np.unique(hour):
            self._count(Hashed(rows if is_one else rows.filter(pl.Series(hour == one))))

    def _count(self, hashed: Hashed) -> None:
        self._take(hashed)
        for watcher in self._watchers:
            watcher(hashed)

    def _take(self, hashed: Hashed) -> None:
        """Count values; who is told from whom is looked at for the first of each kind in an hour only."""
        whose: Array | int = API
        if hashed.rows["user.id"].null_count():
            whose = np.where(hashed.has("user.id") | hashed.has("session.id"), API, SERVICE)
        kind = np.where(hashed.asks, HOST, np.where(hashed.views, PAGE, whose))
        value = np.where(hashed.asks, hashed.host, np.where(hashed.views, hashed.page, hashed.action))
        key = key_of(hashed.app, kind, value)
        stage = hashed.of(hashes.STAGE)
        released = (stage == 0) | (stage == hash_of("release"))
        own = np.flatnonzero(released & (value != 0))
        self._name_values(hashed, own[self._counts.add(hashed.hour, key[own])], key, kind)
        self._take_declared(hashed, own, key, kind)
        self._take_scenes(hashed)
        self._take_settings(hashed, released, key)

    def _take_declared(self, hashed: Hashed, own: Array, key: Keys, kind: Array) -> None:
        """Hosts of which it is told anew whether the app has declared them."""
        if not hashed.asks.any() or hashed.rows["app.declared_domains"].null_count() == hashed.rows.height:
            return
        asks = own[hashed.asks[own]]
        domains = hashed.rows["app.declared_domains"].gather(asks).hash().to_numpy()
        self._name_values(hashed, asks[self._declaring.add(hashed.hour, key[asks] + domains)], key, kind)

    def _name_values(self, hashed: Hashed, fresh: Array, key: Keys, kind: Array) -> None:
        if len(fresh):
            self._name(_values(hashed, fresh, key[fresh], kind[fresh]))

    def _take_scenes(self, hashed: Hashed) -> None:
        """Ways in: where apps are launched from."""
        if hashed.rows["miniprogram.scene"].null_count() == hashed.rows.height:
            return
        at = np.flatnonzero((hashed.action == hash_of(LAUNCH)) & hashed.has("miniprogram.scene"))
        scene = hashed.rows["miniprogram.scene"].gather(at).cast(pl.String)
        key = key_of(hashed.app[at], SCENE, scene.hash().to_numpy())
        fresh = self._counts.add(hashed.hour, key)
        if len(fresh):
            self._name(_told(hashed, at[fresh], key[fresh], SCENE, scene.gather(fresh)))

    def _take_settings(self, hashed: Hashed, released: npt.NDArray[np.bool_], key: Keys) -> None:
        """The behaviour of those in each setting of an app; of a setting that comes for the first time, what cohorts and version it is of."""
        apart = hashed.app
        for name, by in _BY.items():
            if name in hashed.rows.columns:
                apart = apart + hashed.of(name) * by
        new = self._cells.add(hashed.hour, (apart & ~_LOW) | (key >> np.uint64(58)))
        at = new[self._told_apart.add(hashed.hour, apart[new] & ~_LOW)]
        if not len(at):
            return
        app, version = hashed.app[at], hashed.of(hashes.VERSION)[at]
        release = version * np.uint64(3) + hashed.of(hashes.STAGE)[at]
        cohorts = {}
        for dimension, value in enumerate((hashed.of(hashes.REGION)[at], hashed.of(hashes.SYSTEM)[at], release)):
            has = hashed.has(COHORTS[dimension])[at]
            cohort = key_of(app, dimension + len(KINDS), value) & ~_LOW
            cohorts[DIMENSIONS[dimension]] = np.where(has, cohort, 0)
            if has.any():
                self._cohort_names.add(_cohorts(hashed, at[has], cohort[has], dimension))
        hour = np.full(len(at), hashed.hour)
        self._settings.add(pl.DataFrame({WINDOW: hour, KEY: apart[at] & ~_LOW, GROUP: app, **cohorts}))
        out = np.flatnonzero(released[at] & (version != 0))
        self._name(_versions(hashed, at[out], key_of(app[out], VERSION, version[out])))

    def _bins(self, hour: int) -> tuple[Keys, Array]:
        """What each cohort showed in an hour that has ended, by bins, in the order of keys."""
        cells, n = self._cells.take(hour)
        settings = self._settings.take(hour)
        self._told_apart.take(hour)
        self._declaring.take(hour)
        if not len(cells) or not settings.height:
            return np.empty(0, np.uint64), np.empty(0, np.int64)
        known = settings[KEY].to_numpy()
        at = np.minimum(np.searchsorted(known, cells & ~_LOW), len(known) - 1)
        here = known[at] == cells & ~_LOW
        keys, counts = [], []
        for name in DIMENSIONS:
            cohort = settings[name].to_numpy()[at]
            has = here & (cohort != 0)
            keys.append(cohort[has] | (cells[has] & _LOW))
            counts.append(n[has])
        whole = np.concatenate(keys)
        first, sums = grouped(whole, np.concatenate(counts))
        return whole[first], sums

    def _name(self, told: pl.DataFrame) -> None:
        """Write down what is new in the hour; a row an hour and key."""
        if told.height:
            self._names.add(told.group_by(WINDOW, KEY).agg(pl.col(GROUP).first(), *merged_as(_NAMES)))

    # Remembering

    def close(self, window: Window) -> Sequence[pl.DataFrame]:
        self.hour, self.cohorts = None, None
        if window.ends_hour:
            counted = self._counted(window)
            if counted.height:
                self.hour = self._remember(counted, window)
            bins, n = self._bins(window.hour)
            names = self._cohort_names.take(window.hour)
            if len(bins) and names.height:
                self.cohorts = (bins, n, names)
            self.closed = window.index
        if window.ends_day:
            self._end_day(window)
        return []

    def _counted(self, window: Window) -> pl.DataFrame:
        """What was shown in the hour that ends: names with how often, in the order of keys; what has no name is left out."""
        keys, n = self._counts.take(window.hour)
        names = self._names.take(window.hour)
        if not len(keys) or not names.height:
            return names
        named = names[KEY].to_numpy()
        at = np.minimum(np.searchsorted(keys, named), len(keys) - 1)
        counted = keys[at] == named
        kept = counted | (names["kind"] == VERSION).to_numpy()
        return names.with_columns(pl.Series("n", np.where(counted, n[at], 0))).filter(pl.Series(kept))

    def _remember(self, counted: pl.DataFrame, window: Window) -> Hour:
        hour = Hour(counted, self, window)
        older = hour.place != NOWHERE
        at, _ = self.apps.seen(hour.apps, window.index)
        here = at != NOWHERE
        fresh = np.zeros(len(hour.apps), np.bool_)
        fresh[hour.app[(hour.kind == VERSION) & hour.new]] = True
        hour.deployed = np.where(fresh & older, window.index, hour.deployed)
        self.apps["deployed"][at[here]] = hour.deployed[here]
        self.apps["hours"][at[here]] += 1
        explained = hour.deploys(window)[hour.app]
        declared = hour.declared > 0
        flags = np.where(hour.new, EXPLAINED * explained, hour.flags & EXPLAINED) | DECLARED * declared
        place, _ = self.values.seen(hour.key, window.index)
        kept = place != NOWHERE
        place = place[kept]
        self.values["flags"][place] = flags[kept]
        self.values["value"][place] = (hour.value[kept] >> np.uint64(32)).astype(np.uint32)
        self.values["hours"][place] = np.minimum(hour.hours[kept] + 1, 65_535)
        count = self.values["count"][place].astype(np.int64) + hour.n[kept]
        self.values["count"][place] = np.minimum(count, 2**31 - 1)
        hour.flags = flags
        return hour

    def others(self, hour: Hour) -> npt.NDArray[np.int64]:
        """How many other apps show each value of an hour, by the day before and this hour."""
        value = (hour.value >> np.uint64(32)).astype(np.uint32)
        before = np.zeros(len(value), np.int64)
        if len(self._common):
            at = np.minimum(np.searchsorted(self._common, value), len(self._common) - 1)
            before = np.where(self._common[at] == value, self._common_apps[at], 0)
        before -= (before > 0) & ~hour.new
        _, of, now = np.unique(value, return_inverse=True, return_counts=True)
        return np.maximum(before, now[of] - 1)

    def settled(self, apps: Keys, keys: Keys, hours_min: int) -> npt.NDArray[np.bool_]:
        """Which values are the app's own, by what was known when the last hour ended: not new, and not rare."""
        place, of = self.values.find(keys), self.apps.find(apps)
        if not len(self.values):
            return np.zeros(len(keys), np.bool_)
        own = (self.values["first"][place] - self.apps["first"][of] < LEARNING) & (of != NOWHERE)
        old = self.closed - self.values["first"][place] >= SETTLED
        explained = (self.values["flags"][place] & EXPLAINED) > 0
        often = self.values["hours"][place] >= hours_min
        found: npt.NDArray[np.bool_] = (place != NOWHERE) & (own | old | explained) & often
        return found

    def _end_day(self, window: Window) -> None:
        before = window.index - self.config.forget_days * WINDOWS_PER_DAY
        self.values.forget_unseen(before)
        self.apps.forget_unseen(before)
        common, apps = np.unique(self.values["value"][self.values.places], return_counts=True)
        self._common, self._common_apps = common[apps > 1], apps[apps > 1].astype(np.int64)

    # Memory

    def snapshot(self) -> State:
        common = pl.DataFrame({"value": self._common, "apps": self._common_apps})
        frames: dict[str, pl.DataFrame] = {
            "shown.common": common,
            "shown.closed": pl.DataFrame({"window": [self.closed]}),
        }
        for name, part in self._parts().items():
            frames |= part.snapshot(name)
        return frames

    def restore(self, state: State) -> None:
        for name, part in self._parts().items():
            part.restore(name, state)
        if "shown.common" not in state or "shown.closed" not in state:
            raise ValueError("there is no shown.common or shown.closed")
        self._common = state["shown.common"]["value"].to_numpy().copy()
        self._common_apps = state["shown.common"]["apps"].to_numpy().copy()
        self.closed = int(state["shown.closed"]["window"][0])
        self._declaring, self._told_apart = Tallies(COUNTED_MAX), Tallies(SETTINGS_MAX)

    def _parts(self) -> dict[str, Rows | Pending | Tallies]:
        return {
            "shown.values": self.values,
            "shown.apps": self.apps,
            "shown.counts": self._counts,
            "shown.names": self._names,
            "shown.cells": self._cells,
            "shown.settings": self._settings,
            "shown.cohort_names": self._cohort_names,
        }


COHORTS: Final = ("source.geo.country_iso_code", "host.os.name", "miniprogram.version")
"""The fields by which people are told apart, by dimension."""


def _told(hashed: Hashed, rows: Array, key: Keys, kind: Array | int, what: pl.Series) -> pl.DataFrame:
    """What some rows show. Whose an app is is taken to be the same for all of its events in an hour."""
    return hashed.rows.select("miniprogram.app_id", "miniprogram.developer_id")[rows].select(
        pl.lit(hashed.hour, pl.Int64).alias(WINDOW),
        pl.Series(KEY, key),
        pl.Series(GROUP, hashed.app[rows]),
        kind=pl.Series(np.broadcast_to(np.asarray(kind, np.int8), key.shape)),
        what=what,
        app="miniprogram.app_id",
        owner="miniprogram.developer_id",
        declared=pl.lit(-1, pl.Int8),
    )


def _values(hashed: Hashed, rows: Array, key: Keys, kind: Array) -> pl.DataFrame:
    """APIs, hosts and pages."""
    fields = ("event.action", "url.domain", "miniprogram.page", "app.declared_domains")
    some = hashed.rows.select(fields)[rows].with_columns(pl.Series("kind", kind.astype(np.int8)))
    asks = pl.col("kind") == HOST
    what = (
        pl.when(asks).then("url.domain").when(pl.col("kind") == PAGE).then("miniprogram.page").otherwise("event.action")
    )
    told = _told(hashed, rows, key, kind, some.select(what).to_series())
    host = pl.concat_str(pl.lit('"'), "url.domain", pl.lit('"'))
    declares = pl.col("app.declared_domains").str.contains(host, literal=True).cast(pl.Int8).fill_null(-1)
    declared = np.full(len(rows), -1, np.int8)
    at = np.flatnonzero(kind == HOST)
    if len(at):
        declared[at] = some[at].select(declares.alias("declared"))["declared"].to_numpy()
    return told.with_columns(pl.Series("declared", declared))


def _versions(hashed: Hashed, rows: Array, key: Keys) -> pl.DataFrame:
    """Versions, but for those of which the registry says that they are in review."""
    some = hashed.rows.select("miniprogram.version", "app.version_status")[rows]
    told = _told(hashed, rows, key, VERSION, some["miniprogram.version"])
    return told.filter(~some["app.version_status"].is_in(NOT_RELEASED).fill_null(value=False))


def _cohorts(hashed: Hashed, rows: Array, cohort: Keys, dimension: int) -> pl.DataFrame:
    """What cohorts are called; a row each."""
    field = COHORTS[dimension]
    first, _ = grouped(cohort)
    name = (
        pl.col(field)
        if dimension != RELEASE
        else pl.concat_str("miniprogram.stage", field, separator=" ", ignore_nulls=True)
    )
    return hashed.rows.select(field, "miniprogram.stage")[rows[first]].select(
        pl.lit(hashed.hour, pl.Int64).alias(WINDOW),
        pl.Series(KEY, cohort[first]),
        pl.Series(GROUP, hashed.app[rows[first]]),
        dimension=pl.lit(dimension, pl.Int8),
        name=name,
    )
