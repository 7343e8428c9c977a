"""Numbers instead of names: what several statistics ask of every event is hashed once."""

from __future__ import annotations

from typing import Final

import polars as pl

APP: Final = "hash of app"
WHO: Final = "hash of who"
"""Of the person; where there is none of the device; where there is none either, of the address."""

ACTION: Final = "hash of action"

NEEDS: Final = frozenset({"miniprogram.app_id", "user.id", "device.id", "source.ip", "event.action"})


def hashed(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Rows with their hashes; those of nulls are of no use."""
    return rows.with_columns(
        pl.col("miniprogram.app_id").hash().alias(APP),
        pl.coalesce("user.id", "device.id", "source.ip").hash().alias(WHO),
        pl.col("event.action").hash().alias(ACTION),
    )
