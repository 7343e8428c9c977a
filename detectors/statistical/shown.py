"""What apps show: their APIs, hosts, pages, scenes and versions by the hour, and in which cohorts; counted once for all who look at it.

An event shows one thing: a request its host, a page view its page, anything else its action; what nobody does, as an app's server that sends
messages to all, is told apart (`SERVICE`), for it says nothing of what people meet there. What was ever shown is remembered as
first, last and how often, in 35 bytes a value; names only for the hour. What is tried before it is released (``miniprogram.stage``)
is no app's content. A deploy is a version that an app has not shown before and of which the registry does not say that it is
in review.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.detector import State
from detectors.event import TIME
from detectors.statistical.hashes import ACTION, APP
from detectors.statistical.pending import GROUP, KEY, WINDOW, Merging, Pending, merged_as
from detectors.statistical.rows import NOWHERE, Rows
from detectors.statistical.statistic import Suite
from detectors.statistical.sums import Sums, grouped
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

WAITING_MAX: Final = 100_000
"""Rows that wait to be counted together: one by one would cost several times as much."""

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

VIEWS: Final = ("Page.onLoad", "Page.onShow")
LAUNCH: Final = "App.onLaunch"
NETWORK: Final = "miniprogram.network"

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

_HASHED: Final = {
    "host": "url.domain",
    "page": "miniprogram.page",
    "version": "miniprogram.version",
    "stage": "miniprogram.stage",
    "status": "app.version_status",
    "region": "source.geo.country_iso_code",
    "system": "host.os.name",
    "dataset": "event.dataset",
}

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
    """Rows with the hashes of their values, each made once: arrays with a value a row."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self.rows = rows
        here = {name: field for name, field in _HASHED.items() if rows[field].null_count() < rows.height}
        hashed = rows.select(pl.col(field).hash().alias(name) for name, field in here.items())
        self._nothing = np.zeros(rows.height, np.uint64)
        self._hashes = {name: hashed[name].to_numpy() for name in here} | {"action": rows[ACTION].to_numpy()}
        self.hour = rows[WINDOW].to_numpy() // WINDOWS_PER_HOUR
        self.app = rows[APP].to_numpy()
        self.asks = (self.of("dataset") == hash_of(NETWORK)) & self.has("url.domain")
        action = self.of("action")
        view = (action == hash_of(VIEWS[0])) | (action == hash_of(VIEWS[1]))
        self.views = view & self.has("miniprogram.page")

    def of(self, name: str) -> Keys:
        """The hashes of a field; 0 where no row has it."""
        return self._hashes.get(name, self._nothing)

    def has(self, field: str) -> npt.NDArray[np.bool_]:
        """Which rows have a field."""
        column = self.rows[field]
        if not column.null_count():
            return np.ones(len(column), np.bool_)
        return column.is_not_null().to_numpy()


def hash_of(text: str) -> np.uint64:
    """The hash of a text, as of those in columns."""
    if text not in _hashes_of:
        _hashes_of[text] = pl.Series([text]).hash().to_numpy()[0]
    return _hashes_of[text]


@cache
def hashes_of(texts: frozenset[str]) -> Keys:
    """Of several, in order. To be asked for when it is needed, not where a module is imported: Polars' first work starts its threads, and a
    process that is forked from one that has them waits for them for ever.
    """
    found: Keys = np.sort(np.array([hash_of(text) for text in texts], np.uint64))
    return found


_hashes_of: dict[str, np.uint64] = {}


def key_of(app: Keys, kind: Array | int, value: Keys) -> Keys:
    """The key of what an app shows; what is shown can be had back from it."""
    return app * (2 * np.asarray(kind) + 5).astype(np.uint64) + value


_BY_HOUR: Final = np.uint64(0x9E37_79B9_7F4A_7C15)
_BY: Final = tuple(
    np.uint64(number) for number in (0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0xD6E8_FEB8_6659_FD93)
)
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
        self._counts = Sums(COUNTED_MAX)
        self._names = Pending(
            _NAMES,
            group_keys_max=self.config.values_per_app_max,
            keys_max=self.config.values_max,
            known=self.values.knows,
        )
        most, apart = self.config.values_max, self.config.cohorts_per_app_max
        self._cohorts = Sums(COUNTED_MAX)
        self._cohort_names = Pending({"dimension": "first", "name": "first"}, group_keys_max=apart, keys_max=most)
        self._named = np.empty(0, np.uint64)  # what was written down in this hour, in order
        self._common = np.empty(0, np.uint32)  # values of several apps, in order
        self._common_apps = np.empty(0, np.int64)  # of how many
        self._waiting: list[pl.DataFrame] = []
        self._rows_waiting = 0
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
        waiting += self._counts.forgotten + self._cohorts.forgotten
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
        self._waiting.append(rows.select(WINDOW, TIME, APP, ACTION, *sorted(NEEDS)))
        self._rows_waiting += rows.height
        if self._rows_waiting >= WAITING_MAX:
            self.flush()

    def flush(self) -> None:
        """Count the rows that wait."""
        if not self._waiting:
            return
        rows = pl.concat(self._waiting)
        self._waiting, self._rows_waiting = [], 0
        if rows["miniprogram.app_id"].null_count():
            rows = rows.filter(pl.col("miniprogram.app_id").is_not_null())
        if not rows.height:
            return
        hashed = Hashed(rows)
        self._take(hashed)
        for watcher in self._watchers:
            watcher(hashed)

    def _take(self, hashed: Hashed) -> None:
        """Count values; who is told from whom is looked at for the first of each kind in an hour only."""
        whose = np.where(hashed.has("user.id") | hashed.has("session.id"), API, SERVICE)
        kind = np.where(hashed.asks, HOST, np.where(hashed.views, PAGE, whose))
        value = np.where(hashed.asks, hashed.of("host"), np.where(hashed.views, hashed.of("page"), hashed.of("action")))
        key = key_of(hashed.app, kind, value)
        declared = np.zeros(len(key), np.uint64)
        if hashed.asks.any():
            declared[hashed.asks] = hashed.rows["app.declared_domains"].filter(pl.Series(hashed.asks)).hash().to_numpy()
        region, system, version = hashed.of("region"), hashed.of("system"), hashed.of("version")
        release = version * np.uint64(3) + hashed.of("stage")
        apart = region * _BY[0] + system * _BY[1] + release * _BY[2] + declared + hashed.of("status")
        whole = key + apart + hashed.hour.astype(np.uint64) * _BY_HOUR
        first, n = grouped(whole)
        hour, key, kind = hashed.hour[first], key[first], kind[first]
        released = ~hashed.has("miniprogram.stage") | (hashed.of("stage") == hash_of("release"))
        own = released[first] & (hashed.has("event.action")[first] | (kind == HOST) | (kind == PAGE))
        self._counts.add(hour[own], key[own], n[own])
        fresh = self._unnamed(whole[first])
        hours = hour.astype(np.uint64) * _BY_HOUR
        of = self._first_of(fresh[own[fresh]], key + declared[first] + hours)
        self._name(_values(hashed, first[of], key[of], kind[of]))
        versions = key_of(hashed.app[first], VERSION, version[first])
        has = fresh[(released & hashed.has("miniprogram.version"))[first[fresh]]]
        has = self._first_of(has, versions + hashed.of("status")[first] + hours)
        self._name(_versions(hashed, first[has], versions[has]))
        self._take_scenes(hashed)
        for dimension, values in enumerate((region, system, release)):
            self._take_cohorts(hashed, dimension, key_of(hashed.app[first], dimension + len(KINDS), values[first]) & ~_LOW, first, n, key, fresh)  # fmt: skip

    def _take_scenes(self, hashed: Hashed) -> None:
        """Ways in: where apps are launched from."""
        at = np.flatnonzero((hashed.of("action") == hash_of(LAUNCH)) & hashed.has("miniprogram.scene"))
        if not len(at):
            return
        scene = hashed.rows["miniprogram.scene"].gather(at).cast(pl.String)
        key = key_of(hashed.app[at], SCENE, scene.hash().to_numpy())
        self._counts.add(hashed.hour[at], key, np.ones(len(at), np.int64))
        whole = key + hashed.hour[at].astype(np.uint64) * _BY_HOUR
        first, _ = grouped(whole)
        of = first[self._unnamed(whole[first])]
        self._name(_told(hashed, at[of], key[of], SCENE, scene.gather(of)))

    def _take_cohorts(
        self, hashed: Hashed, dimension: int, cohort: Keys, first: Array, n: Array, key: Keys, fresh: Array
    ) -> None:
        """The behaviour of each app's regions, systems or releases."""
        has = hashed.has(COHORTS[dimension])[first]
        if not has.any():
            return
        self._cohorts.add(hashed.hour[first][has], cohort[has] | (key[has] >> np.uint64(58)), n[has])
        of = self._first_of(fresh[has[fresh]], cohort + hashed.hour[first].astype(np.uint64) * _BY_HOUR)
        if len(of):
            self._cohort_names.add(_cohorts(hashed, first[of], cohort[of], dimension))

    def _first_of(self, rows: Array, ids: Keys) -> Array:
        """Of some rows one for each id that was not written down in this hour."""
        first, _ = grouped(ids[rows])
        of = rows[first]
        return of[self._unnamed(ids[of])]

    def _unnamed(self, ids: Keys) -> Array:
        """Which of these (in order, each once) were not written down in this hour; they are taken to be now."""
        if not len(self._named):
            self._named = ids
            return np.arange(len(ids))
        at = np.minimum(np.searchsorted(self._named, ids), len(self._named) - 1)
        fresh = np.flatnonzero(self._named[at] != ids)
        if len(fresh) and len(self._named) < COUNTED_MAX:
            self._named = np.sort(np.concatenate([self._named, ids[fresh]]))
        return fresh

    def _name(self, told: pl.DataFrame) -> None:
        """Write down what is new in the hour; a row an hour and key."""
        if told.height:
            self._names.add(told.group_by(WINDOW, KEY).agg(pl.col(GROUP).first(), *merged_as(_NAMES)))

    # Remembering

    def close(self, window: Window) -> Sequence[pl.DataFrame]:
        self.hour, self.cohorts = None, None
        if window.ends_hour:
            self.flush()
            counted = self._counted(window)
            if counted.height:
                self.hour = self._remember(counted, window)
            bins, n = self._cohorts.take(window.hour)
            names = self._cohort_names.take(window.hour)
            if len(bins) and names.height:
                self.cohorts = (bins, n, names)
            self._named = np.empty(0, np.uint64)
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
        self.flush()
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
        self._waiting, self._rows_waiting = [], 0
        self._named = np.empty(0, np.uint64)

    def _parts(self) -> dict[str, Rows | Pending | Sums]:
        return {
            "shown.values": self.values,
            "shown.apps": self.apps,
            "shown.counts": self._counts,
            "shown.names": self._names,
            "shown.cohorts": self._cohorts,
            "shown.cohort_names": self._cohort_names,
        }


COHORTS: Final = ("source.geo.country_iso_code", "host.os.name", "miniprogram.version")
"""The fields by which people are told apart, by dimension."""


def _told(hashed: Hashed, rows: Array, key: Keys, kind: Array | int, what: pl.Series) -> pl.DataFrame:
    """What some rows show. Whose an app is is taken to be the same for all of its events in an hour."""
    return hashed.rows.select("miniprogram.app_id", "miniprogram.developer_id")[rows].select(
        pl.Series(WINDOW, hashed.hour[rows]),
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
    first, _ = grouped(cohort + hashed.hour[rows].astype(np.uint64) * _BY_HOUR)
    name = (
        pl.col(field)
        if dimension != RELEASE
        else pl.concat_str("miniprogram.stage", field, separator=" ", ignore_nulls=True)
    )
    return hashed.rows.select(field, "miniprogram.stage")[rows[first]].select(
        pl.Series(WINDOW, hashed.hour[rows[first]]),
        pl.Series(KEY, cohort[first]),
        pl.Series(GROUP, hashed.app[rows[first]]),
        dimension=pl.lit(dimension, pl.Int8),
        name=name,
    )
