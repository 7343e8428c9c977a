"""What apps did in an hour of event time, as whole numbers: the same however the stream is cut.

An app's hours come one after the other, and are not the last sixty minutes at every moment. So every event counts in one
row, rows of one app do not share events (or one happening would be learned, and calibrated, twelve times), and how many different
visitors came need not be put together out of twelve parts. It costs up to an hour until something is told, which is time enough for
what leads to a warning at most; bursts within minutes are seen by statistics.

The hours of different apps begin at different minutes: each app has one of `SLOTS` by its hash. So what was counted is put
together, and models are asked, for a twelfth of all apps at a time, and nothing waits for all of them at the full hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.detector import State
from detectors.event import DTYPES, LATE, MICROSECONDS, TIME, WATERMARK, Batch, kind_of
from detectors.learned.calls import Kind, kinds_of_calls
from detectors.sigma.distinct import distinct
from detectors.statistical.pending import GROUP, KEY, Merging, Pending, Taken

UNKNOWN: Final = "unknown"
"""The category of apps that no registry and no event names one for."""

SLOTS: Final = 12
"""At how many moments of an hour hours of apps begin."""

HOUR_US: Final = 3_600 * MICROSECONDS
SLOT_US: Final = HOUR_US // SLOTS
SLOTS_A_DAY: Final = 24 * SLOTS
MINUTE_US: Final = 60 * MICROSECONDS

UNTAPPED_MS: Final = 10_000
"""A call that long after the last tap was not asked for by one."""

NEVER: Final = 2**62
"""An hour after all others."""

FAILED_STATUS: Final = 400
"""From this HTTP status on a request was not served."""

NEEDS: Final = frozenset(
    {
        "app.category",
        "catalogue.privacy",
        "device.id",
        "event.action",
        "event.outcome",
        "http.request.bytes",
        "http.response.bytes",
        "http.response.status_code",
        "miniprogram.app_id",
        "miniprogram.category",
        "miniprogram.developer_id",
        "miniprogram.foreground",
        "miniprogram.page",
        "miniprogram.permission",
        "miniprogram.user_gesture_age_ms",
        "payment.amount",
        "source.ip",
        "url.domain",
        "user.id",
    }
)

_MERGING: Final[dict[str, Merging]] = {
    "app": "first",
    "category": "max",
    "owner": "max",
    **dict.fromkeys(
        ("events", "failures", "denials", "seen", "background", "sensitive", "untapped", "answers", "refused"), "sum"
    ),
    **dict.fromkeys(("sent", "received", "amount", "privacy"), "sum"),
    **{kind.name.lower(): "sum" for kind in Kind if kind is not Kind.OTHER},
}

_SENSITIVE: Final = np.isin(list(Kind), [Kind.PAYMENT, Kind.SHARE, Kind.CLIPBOARD, Kind.LEAVING])
"""Kinds of calls that somebody's tap is expected before, as it is before those that touch personal data."""

NUMBER_MAX: Final = 2**32
"""Sizes and amounts are cut to this, so that sums of a batch's stay whole where they are kept as floating numbers."""


APP_BITS_MAX: Final = 24
"""Bits in which a batch's apps are numbered, at most; what is told apart of an app is told by the other bits of its hash."""

_NO_MARKS: Final = np.empty(0, np.int64)

_KEPT_BITS: Final = ~np.uint64((1 << APP_BITS_MAX) - 1)

_GROUP_BITS: Final = ~np.uint64(7)
"""An app's hash without its last bits, in which a group has its `Different`."""

_MIXING: Final = np.uint64(0x9E37_79B9_7F4A_7C15)
"""Odd, so that different groups stay different; groups that differ in their last bits lie far apart by it."""

_SLOT_BITS: Final = np.uint64(32)
"""An app's slot is told by the upper half of its hash."""

TABLE_MAX: Final = 1 << 22
"""Of more combinations of a batch's apps and hours those that there are are sorted, and not looked up in a table of all."""

SLACK: Final = 2

Keys = npt.NDArray[np.uint64]


class Different(IntEnum):
    """What of an app is told apart, to know how much of it there was."""

    VISITORS = 0
    ADDRESSES = 1
    APIS = 2
    HOSTS = 3
    PAGES = 4
    MINUTES = 5


class HoursConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is remembered of hours under way: apps, and what is told apart (about 20 bytes each, and up to six times as much
    while it is put together).

    Of one app's visitors, pages and so on `different_per_app_max` are told apart, and of all apps `different_max`; of more it is
    estimated how many they are, from how densely the smallest of their keys lie.
    """

    apps_max: int = 200_000
    different_per_app_max: int = 4_096
    different_max: int = 3_000_000


@dataclass(frozen=True, slots=True)
class Hour:
    """What was counted in an hour that has ended: a row an app, in the order of keys; of `Different` how many, and the most of one.

    `index` is when it began, in slots since 1970.
    """

    index: int
    frame: pl.DataFrame


class Hours:
    """Counts batches, and gives each hour once it has ended."""

    def __init__(self, config: HoursConfig | None = None) -> None:
        self.config = config or HoursConfig()
        self._apps = Pending(_MERGING, group_keys_max=1, keys_max=_room(self.config.apps_max))
        self._different = Pending(
            {"n": "sum"},
            group_keys_max=self.config.different_per_app_max,
            keys_max=_room(self.config.different_max),
            slack=SLACK,
        )

    @property
    def forgotten(self) -> int:
        return self._apps.forgotten + self._different.forgotten

    def count(self, batch: Batch) -> None:
        """Take a batch."""
        rows = _rows(batch.frame)
        if rows.height:
            counted = _Counted(rows)
            sums = counted.sums()
            for window, pairs, different in counted.by_hour():
                self._apps.park(window, sums[pairs])
                self._different.park(window, different)

    def ended(self, batch: Batch) -> list[tuple[int, int]]:
        """The hours that end during a batch, in order, each with the row that ends it; an hour without events is none."""
        marks: npt.NDArray[np.int64] = batch.frame[WATERMARK].to_numpy() if batch.frame.height else _NO_MARKS
        found = []
        for index in self._apps.windows(NEVER):
            last = (index + SLOTS) * SLOT_US - 1
            row = int(np.searchsorted(marks, last, side="left"))
            if row < len(marks):
                found.append((row, index))
            elif batch.watermark >= last:
                found.append((max(0, len(marks) - 1), index))
        return found

    def take(self, index: int) -> Hour:
        """An hour that has ended; it is forgotten here."""
        sums, different = self._apps.take(index), self._different.taken(index)
        if not sums.height:
            return Hour(index, sums)
        found = _how_many(different, self.config.different_per_app_max)
        groups = sums[KEY].to_numpy() & _GROUP_BITS
        for what in Different:
            mine = pl.DataFrame({GROUP: groups | np.uint64(what.value)}).join(
                found, on=GROUP, how="left", maintain_order="left"
            )
            sums = sums.with_columns(
                mine["number"].fill_null(0.0).alias(what.name.lower()),
                mine["most"].fill_null(0).alias(f"most_{what.name.lower()}"),
            )
        return Hour(index, sums)

    def snapshot(self) -> State:
        return self._apps.snapshot("hours.apps") | self._different.snapshot("hours.different")

    def restore(self, state: State) -> None:
        self._apps.restore("hours.apps", state)
        self._different.restore("hours.different", state)


def _room(most: int) -> int:
    """For one slot's part of so many: some have more than others, by chance."""
    mean = most / SLOTS
    return int(mean + 6.0 * mean**0.5) + 16


def _how_many(different: Taken, most: int) -> pl.DataFrame:
    """Of each app and `Different` how many there were, and how often the most frequent one was there.

    All keys up to `reach`, a share of all possible ones, are there; of a group with `most` of them those up to its last.
    """
    told = pl.len().cast(pl.Float64)
    last = (pl.col(KEY).max().cast(pl.Float64) / 2.0**64).clip(1e-18)
    number = pl.when(pl.len() < most).then(told / different.reach).otherwise((told - 1.0) / last)
    return different.frame.group_by(GROUP).agg(number.round().alias("number"), pl.col("n").max().alias("most"))


def _rows(frame: pl.DataFrame) -> pl.DataFrame:
    """The events that count, and of each what is counted: all asked for at once, as each question by itself costs as much again."""
    there = [name for name in NEEDS if name in frame.columns]
    absent = [pl.lit(None, _dtype(name)).alias(name) for name in sorted(NEEDS - set(there))]
    told = ~pl.col(LATE) & pl.col("miniprogram.app_id").is_not_null()
    rows = frame.lazy().select(TIME, LATE, *there).with_columns(absent).filter(told)
    who = [pl.col(name) for name in ("user.id", "device.id", "source.ip")]
    other = pl.when(who[1].is_not_null()).then(who[1].hash()).otherwise(who[2].hash())
    visitor = pl.when(who[0].is_not_null()).then(who[0].hash()).otherwise(other)
    values = {
        Different.VISITORS: (visitor, pl.any_horizontal(one.is_not_null() for one in who)),
        **{
            what: (pl.col(name).hash(), pl.col(name).is_not_null())
            for what, name in (
                (Different.ADDRESSES, "source.ip"),
                (Different.APIS, "event.action"),
                (Different.HOSTS, "url.domain"),
                (Different.PAGES, "miniprogram.page"),
            )
        },
        Different.MINUTES: ((pl.col(TIME) // MINUTE_US).hash(), pl.lit(value=True)),
    }
    numbers = {
        "sent": pl.col("http.request.bytes"),
        "received": pl.col("http.response.bytes"),
        "amount": pl.col("payment.amount"),
    }
    status, age = pl.col("http.response.status_code"), pl.col("miniprogram.user_gesture_age_ms")
    return rows.select(
        (pl.col(TIME) // SLOT_US).alias("slot"),
        pl.col("miniprogram.app_id").alias("app"),
        pl.when(pl.col("app.category") != UNKNOWN)  # which is what the registry says of apps that it does not know
        .then("app.category")
        .otherwise("miniprogram.category")
        .alias("category"),
        pl.col("miniprogram.developer_id").alias("owner"),
        pl.col("event.action").alias("call"),
        (pl.col("event.outcome") == "failure").fill_null(value=False).alias("failures"),
        pl.col("miniprogram.permission").is_in(["denied", "revoked"]).fill_null(value=False).alias("denials"),
        pl.col("miniprogram.foreground").is_not_null().alias("seen"),
        (~pl.col("miniprogram.foreground")).fill_null(value=False).alias("background"),
        (age.fill_null(UNTAPPED_MS + 1) > UNTAPPED_MS).alias("untapped"),
        status.is_not_null().alias("answers"),
        (status >= FAILED_STATUS).fill_null(value=False).alias("refused"),
        pl.col("catalogue.privacy").is_not_null().alias("privacy"),
        *(number.fill_null(0).clip(0, NUMBER_MAX).alias(name) for name, number in numbers.items()),
        *(value.alias(f"value_{what.value}") for what, (value, _) in values.items()),
        *(known.alias(f"known_{what.value}") for what, (_, known) in values.items()),
    ).collect()


def _dtype(name: str) -> pl.DataType:
    return pl.String() if name.startswith(("app.", "catalogue.")) else DTYPES[kind_of(name)]


class _Counted:
    """Events counted by app and hour. These pairs are small numbers here, in the order of hours, so that sums are made by looking up,
    and not by searching.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        self._rows = rows
        apps, of = distinct(rows["app"])
        keys = apps.hash().to_numpy()
        now = rows["slot"].to_numpy()
        begin = now - (now - slots_of(keys)[of]) % SLOTS
        first = int(begin.min())
        pairs, self._of = _numbered((begin - first) * len(apps) + of)
        self._windows, which = pairs // len(apps) + first, pairs % len(apps)
        self._apps, self._keys = apps[which], keys[which]

    def sums(self) -> pl.DataFrame:
        """A row an app and hour."""
        rows = self._rows
        kinds = kinds_of_calls(rows["call"])
        by_kind = np.bincount(self._of * len(Kind) + kinds, minlength=len(self._apps) * len(Kind))
        by_kind = by_kind.reshape(len(self._apps), len(Kind))
        mask = {
            name: rows[name].to_numpy() for name in ("failures", "denials", "seen", "background", "answers", "refused")
        }
        private = rows["privacy"].to_numpy() & (kinds != Kind.CLIPBOARD)
        # Where the app itself speaks: what servers tell knows of no taps.
        sensitive = (private | _SENSITIVE[kinds]) & mask["seen"]
        told = {
            **mask,
            "sensitive": sensitive,
            "untapped": sensitive & rows["untapped"].to_numpy(),
            "privacy": private,
        }
        return pl.DataFrame(
            {
                KEY: self._keys,
                GROUP: self._keys,
                "app": self._apps,
                "category": self._greatest(rows["category"]),
                "owner": self._greatest(rows["owner"]),
                "events": np.bincount(self._of, minlength=len(self._apps)),
                **{name: np.bincount(self._of[which], minlength=len(self._apps)) for name, which in told.items()},
                **{name: self._sum(rows[name].to_numpy()) for name in ("sent", "received", "amount")},
                **{kind.name.lower(): by_kind[:, kind] for kind in Kind if kind is not Kind.OTHER},
            }
        ).select(KEY, GROUP, *_MERGING)

    def _sum(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        at = np.flatnonzero(values)
        return np.bincount(self._of[at], weights=values[at], minlength=len(self._apps)).astype(np.int64)

    def _greatest(self, texts: pl.Series) -> pl.Series:
        """Of each pair the last in the order of texts, so that it does not depend on which came first."""
        if texts.null_count() == len(texts):
            return pl.repeat(None, len(self._apps), dtype=pl.String, eager=True)
        values, places = distinct(texts)
        order = values.arg_sort().to_numpy()
        rank = np.zeros(len(values) + 1, np.int64)  # where there is none, 0
        rank[order] = np.arange(1, len(values) + 1)
        greatest = np.zeros(len(self._apps), np.int64)
        np.maximum.at(greatest, self._of, rank[places])
        return pl.Series(["", *values[order]])[greatest].replace("", None)

    def by_hour(self) -> Iterator[tuple[int, slice, pl.DataFrame]]:
        """Hours, each with the rows of its apps among all pairs, and a row an app and each of its visitors, addresses and so on."""
        parts = [self._told_apart(what) for what in Different]
        begins = np.flatnonzero(np.diff(self._windows, prepend=self._windows[0] - 1)).tolist()
        for first, end in pairwise([*begins, len(self._windows)]):
            rows = [slice(*np.searchsorted(pair, (first, end))) for pair, _ in parts]
            joined = {
                name: np.concatenate([columns[name][mine] for (_, columns), mine in zip(parts, rows, strict=True)])
                for name in (KEY, GROUP, "n")
            }
            yield int(self._windows[first]), slice(first, end), pl.DataFrame(joined)

    def _told_apart(self, what: Different) -> tuple[npt.NDArray[np.intp], dict[str, npt.NDArray[np.generic]]]:
        """Sorted with the pair's small number before the value, all at once; keys are made of those that are left."""
        known = self._rows[f"known_{what.value}"].to_numpy()
        bits = np.uint64(max(1, len(self._apps).bit_length()))
        joined = self._rows[f"value_{what.value}"].to_numpy() >> bits
        joined |= self._of.astype(np.uint64) << (np.uint64(64) - bits)
        joined = np.sort(joined if known.all() else joined[known])
        is_first = np.empty(len(joined), np.bool_)
        is_first[:1] = True
        np.not_equal(joined[1:], joined[:-1], out=is_first[1:])
        begins = np.flatnonzero(is_first)
        joined = joined[begins]
        pair = (joined >> (np.uint64(64) - bits)).astype(np.intp)
        group = (self._keys[pair] & _GROUP_BITS) | np.uint64(what.value)
        key = group * _MIXING + ((joined << bits) & _KEPT_BITS)
        return pair, {KEY: key, GROUP: group, "n": np.diff(begins, append=len(is_first))}


def slots_of(keys: Keys) -> npt.NDArray[np.int64]:
    """At which slot of the clock's hour the hours of apps begin, by the hashes of their ids."""
    return ((keys >> _SLOT_BITS) % SLOTS).astype(np.int64)


def _numbered(codes: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The distinct ones of some numbers that are not negative, in order, and of each its place among them."""
    span = int(codes.max()) + 1
    if span > TABLE_MAX:
        return np.unique(codes, return_inverse=True)
    is_there = np.zeros(span, np.bool_)
    is_there[codes] = True
    return np.flatnonzero(is_there), (np.cumsum(is_there) - 1)[codes]
