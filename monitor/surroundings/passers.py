"""Who comes by in a batch of events, as numbers: what the memories of the surroundings count."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from detectors.event import LATE, TIME, WATERMARK

APP_SEED: Final = 11
PERSON_SEED: Final = 13
ADDRESS_SEED: Final = 17

Array = np.ndarray[Any, Any]


class Passers(NamedTuple):
    """A row an event: its time, whether it is late, how far event time had come, and hashes of its app, its person (user, else device)
    and its address; 0 is none.
    """

    time: Array
    late: Array
    mark: Array
    app: Array
    person: Array
    address: Array

    @property
    def somebody(self) -> Array:
        """The person; where nobody is named, the address stands for one."""
        return np.where(self.person == 0, self.address, self.person)


def passers(frame: pl.DataFrame) -> Passers:
    """Who comes by in these events."""
    person = pl.coalesce("user.id", "device.id")
    told = frame.select(
        TIME,
        LATE,
        WATERMARK,
        app=_hash(pl.col("miniprogram.app_id"), APP_SEED),
        person=_hash(person, PERSON_SEED),
        address=_hash(pl.col("source.ip"), ADDRESS_SEED),
    )
    return Passers(*(told[name].to_numpy() for name in (TIME, LATE, WATERMARK, "app", "person", "address")))


def _hash(named: pl.Expr, seed: int) -> pl.Expr:
    return pl.when(named.is_not_null()).then(named.hash(seed)).otherwise(pl.lit(0, pl.UInt64))
