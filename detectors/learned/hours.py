"""What apps did in an hour of event time, as whole numbers: the same however the stream is cut.

Hours are those of the clock, one after the other, and not the last sixty minutes at every moment. So every event counts in one
row, rows of one app do not share events (or one happening would be learned, and calibrated, twelve times), and how many different
visitors came need not be put together out of twelve parts. It costs up to an hour until something is told, which is time enough for
what leads to a warning at most; bursts within minutes are seen by statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.detector import State
from detectors.event import DTYPES, LATE, MICROSECONDS, TIME, WATERMARK, Batch, kind_of
from detectors.learned.calls import Kind, kinds_of_calls
from detectors.sigma.distinct import distinct
from detectors.statistical.pending import GROUP, KEY, WINDOW, Merging, Pending

UNKNOWN: Final = "unknown"
"""The category of apps that no registry and no event names one for."""

HOUR_US: Final = 3_600 * MICROSECONDS
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
    """How much is remembered of an hour under way.

    Of one app's visitors, pages and so on `different_per_app_max` are told apart; of more it is estimated how many they are, from
    how densely the smallest of their keys lie.
    """

    apps_max: int = 200_000
    different_per_app_max: int = 4_096
    different_max: int = 2_000_000


@dataclass(frozen=True, slots=True)
class Hour:
    """What was counted in an hour that has ended: a row an app, in the order of keys; of `Different` how many, and the most of one."""

    index: int
    frame: pl.DataFrame

    @property
    def start(self) -> int:
        """Microseconds; its first instant."""
        return self.index * HOUR_US


class Hours:
    """Counts batches, and gives each hour once it has ended."""

    def __init__(self, config: HoursConfig | None = None) -> None:
        self.config = config or HoursConfig()
        self._apps = Pending(_MERGING, group_keys_max=1, keys_max=self.config.apps_max)
        self._different = Pending(
            {"n": "sum", "app": "first", "what": "first"},
            group_keys_max=self.config.different_per_app_max,
            keys_max=self.config.different_max,
        )

    @property
    def forgotten(self) -> int:
        return self._apps.forgotten + self._different.forgotten

    def count(self, batch: Batch) -> None:
        """Take a batch."""
        rows = _rows(batch.frame)
        if not rows.height:
            return
        hours = rows[WINDOW].to_numpy()
        first, last = int(hours.min()), int(hours.max())
        for part in [rows] if first == last else rows.partition_by(WINDOW):
            counted = _Counted(part)
            self._apps.add(counted.sums())
            self._different.add(counted.different())

    def ended(self, batch: Batch) -> list[tuple[int, int]]:
        """The hours that end during a batch, in order, each with the row that ends it; an hour without events is none."""
        marks: npt.NDArray[np.int64] = batch.frame[WATERMARK].to_numpy() if batch.frame.height else _NO_MARKS
        found = []
        for index in self._apps.windows(NEVER):
            last = (index + 1) * HOUR_US - 1
            row = int(np.searchsorted(marks, last, side="left"))
            if row < len(marks):
                found.append((row, index))
            elif batch.watermark >= last:
                found.append((max(0, len(marks) - 1), index))
        return found

    def take(self, index: int) -> Hour:
        """An hour that has ended; it is forgotten here."""
        sums, different = self._apps.take(index), self._different.take(index)
        if not sums.height:
            return Hour(index, sums)
        found = self._counted(different)
        for what in Different:
            mine = found.filter(pl.col("what") == what.value).select(
                KEY,
                pl.col("number").alias(what.name.lower()),
                pl.col("most").alias(f"most_{what.name.lower()}"),
            )
            sums = sums.join(mine, on=KEY, how="left", maintain_order="left")
        return Hour(index, sums.with_columns(pl.col(pl.Int64, pl.Float64).fill_null(0)))

    def _counted(self, different: pl.DataFrame) -> pl.DataFrame:
        """Of each app and `Different` how many there were, and how often the most frequent one was there."""
        most = self.config.different_per_app_max
        told = pl.len().cast(pl.Float64)
        reach = pl.col(KEY).max().cast(pl.Float64) / 2.0**64
        number = pl.when(pl.len() < most).then(told).otherwise((told - 1.0) / reach.clip(1e-18))
        grouped = different.group_by(pl.col("app").alias(KEY), "what")
        return grouped.agg(number.round().alias("number"), pl.col("n").max().alias("most"))

    def snapshot(self) -> State:
        return self._apps.snapshot("hours.apps") | self._different.snapshot("hours.different")

    def restore(self, state: State) -> None:
        self._apps.restore("hours.apps", state)
        self._different.restore("hours.different", state)


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
        (pl.col(TIME) // HOUR_US).alias(WINDOW),
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
    """Events of one hour, counted by app. Apps are small numbers here, so that sums are made by looking up, and not by searching."""

    def __init__(self, rows: pl.DataFrame) -> None:
        self._rows = rows
        self._window = rows[WINDOW][0]
        self._apps, self._of = distinct(rows["app"])
        self._keys = self._apps.hash().to_numpy()

    def sums(self) -> pl.DataFrame:
        """A row an app."""
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
                WINDOW: np.full(len(self._apps), self._window, np.int64),
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
        ).select(WINDOW, KEY, GROUP, *_MERGING)

    def _sum(self, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        at = np.flatnonzero(values)
        return np.bincount(self._of[at], weights=values[at], minlength=len(self._apps)).astype(np.int64)

    def _greatest(self, texts: pl.Series) -> pl.Series:
        """Of each app the last in the order of texts, so that it does not depend on which came first."""
        if texts.null_count() == len(texts):
            return pl.repeat(None, len(self._apps), dtype=pl.String, eager=True)
        values, places = distinct(texts)
        order = values.arg_sort().to_numpy()
        rank = np.zeros(len(values) + 1, np.int64)  # where there is none, 0
        rank[order] = np.arange(1, len(values) + 1)
        greatest = np.zeros(len(self._apps), np.int64)
        np.maximum.at(greatest, self._of, rank[places])
        return pl.Series(["", *values[order]])[greatest].replace("", None)

    def different(self) -> pl.DataFrame:
        """A row an app and each of its visitors, addresses and so on."""
        parts = [self._told_apart(what) for what in Different]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return pl.DataFrame({WINDOW: np.full(len(columns[KEY]), self._window, np.int64), **columns})

    def _told_apart(self, what: Different) -> dict[str, npt.NDArray[np.generic]]:
        """Sorted with the app's small number before the value, all at once; keys are made of those that are left."""
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
        app = self._keys[(joined >> (np.uint64(64) - bits)).astype(np.intp)]
        group = app * np.uint64(2 * what.value + 3)
        return {
            KEY: group + ((joined << bits) & _KEPT_BITS),
            GROUP: group,
            "n": np.diff(begins, append=len(is_first)),
            "app": app,
            "what": np.full(len(app), what.value, np.int64),
        }
