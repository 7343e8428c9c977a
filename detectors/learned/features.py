"""What a model sees of an app and hour: some numbers, each of which is the higher the more there is to wonder at.

Amounts are logarithms, as twice as much means the same wherever one begins. A share has `SHARE_OF_MORE` added to what it is a share of,
so that few events show no large share; hours with few events are not looked at, for shares of them are mostly chance. How many
events and visitors there are is no feature: to be large, or to have a crowd one day, is nothing to wonder at. The hour of the
day is no feature: what is usual at night is asked by statistics, which know each app's own days.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.learned.hours import UNKNOWN, Hour
from detectors.statistical.pending import KEY

Matrix = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]

EVENTS_MIN: Final = 20
"""An hour with fewer events says too little of an app."""

SHARE_OF_MORE: Final = 10.0


class Unit(StrEnum):
    """How people read a feature's value."""

    NUMBER = "number"  # its logarithm is what the model sees
    SHARE = "share"


@dataclass(frozen=True, slots=True)
class Feature:
    """A number about an app and hour: of counts, or of one count among another."""

    name: str
    words: str
    unit: Unit
    count: str
    among: str = ""


def _number(name: str, words: str, count: str, among: str = "") -> Feature:
    return Feature(name, words, Unit.NUMBER, count, among)


def _share(name: str, words: str, count: str, among: str = "events") -> Feature:
    return Feature(name, words, Unit.SHARE, count, among)


FEATURES: Final = (
    _number("events_per_visitor", "events for each visitor", "events", "visitors"),
    _number("events_per_minute", "events in a minute that has any", "events", "minutes"),
    _number("visitors_per_address", "visitors for each address", "visitors", "addresses"),
    _number("apis", "different calls", "apis"),
    _number("hosts", "different hosts", "hosts"),
    _number("pages", "different pages", "pages"),
    _number("sent_per_visitor", "bytes sent for each visitor", "sent", "visitors"),
    _number("received_per_visitor", "bytes received for each visitor", "received", "visitors"),
    _number("amount_per_visitor", "amounts of payments for each visitor", "amount", "visitors"),
    _share("busiest_visitor", "share of the busiest visitor", "most_visitors"),
    _share("busiest_address", "share of the busiest address", "most_addresses"),
    _share("busiest_api", "share of the most frequent call", "most_apis"),
    _share("busiest_page", "share of the most visited page", "most_pages"),
    _share("busiest_minute", "share of the busiest minute", "most_minutes"),
    _share("privacy", "share of calls for personal data", "privacy"),
    _share("storage", "share of calls for storage", "storage"),
    _share("network", "share of calls to the network", "network"),
    _share("payment", "share of calls for payments", "payment"),
    _share("login", "share of calls for login", "login"),
    _share("sharing", "share of calls to pass on", "share"),
    _share("clipboard", "share of calls for the clipboard", "clipboard"),
    _share("leaving", "share of jumps elsewhere", "leaving"),
    _share("device", "share of calls about the device", "device"),
    _share("failures", "share of failures", "failures"),
    _share("denials", "share of denied permissions", "denials"),
    _share("background", "share from the background", "background", "seen"),
    _share("untapped", "share of sensitive calls without a tap", "untapped", "sensitive"),
    _share("refused", "share of refused requests", "refused", "answers"),
)

NAMES: Final = tuple(feature.name for feature in FEATURES)


@dataclass(frozen=True, slots=True)
class Rows:
    """The apps of an hour that are looked at, in the order of their keys: a row of the matrix each.

    `index` is when the hour began, in slots since 1970; it is that of the apps of one slot.
    """

    index: int
    frame: pl.DataFrame  # key, app, category, owner, events
    matrix: Matrix

    def __len__(self) -> int:
        return len(self.matrix)


def rows_of(hour: Hour) -> Rows:
    """The features of an hour's apps."""
    frame = hour.frame
    if not frame.height:
        return Rows(hour.index, pl.DataFrame(schema=_ROWS), np.empty((0, len(FEATURES)), np.float32))
    frame = frame.filter(pl.col("events") >= EVENTS_MIN)
    counted = {name: frame[name].to_numpy().astype(np.float64) for name in _COUNTS}
    matrix = np.empty((frame.height, len(FEATURES)), np.float32)
    for place, feature in enumerate(FEATURES):
        matrix[:, place] = _value(feature, counted)
    told = frame.select(KEY, "app", pl.col("category").fill_null(UNKNOWN), "owner", "events")
    return Rows(hour.index, told, matrix)


def _value(feature: Feature, counted: dict[str, Numbers]) -> Numbers:
    count = counted[feature.count]
    if feature.unit is Unit.SHARE:
        return count / (counted[feature.among] + SHARE_OF_MORE)
    value: Numbers = np.log2(1.0 + (count / np.maximum(counted[feature.among], 1.0) if feature.among else count))
    return value


def read_as(place: int, value: float) -> float:
    """A feature's value as people read it: the number, or the share, that the model sees."""
    return float(2.0**value - 1.0) if FEATURES[place].unit is Unit.NUMBER else float(value)


_COUNTS: Final = sorted({name for feature in FEATURES for name in (feature.count, feature.among) if name})

_ROWS: Final = pl.Schema(
    {KEY: pl.UInt64(), "app": pl.String(), "category": pl.String(), "owner": pl.String(), "events": pl.Int64()}
)
