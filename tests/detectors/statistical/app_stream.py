"""Small streams for tests of statistics: plain numbers of what apps do, hour by hour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from detectors.event import LATE, TIME, WATERMARK, Batch

START = 1_772_409_600_000_000
"""Monday 2026-03-02, midnight."""

HOUR = 3_600_000_000
LATENESS = 2_000_000


def stream(times: np.ndarray, columns: dict[str, Any]) -> pl.DataFrame:
    """Events with their times (microseconds since `START`), in the order of time, and watermarks two seconds behind."""
    frame = pl.DataFrame({TIME: times.astype(np.int64) + START, **columns}).sort(TIME, maintain_order=True)
    reached = np.maximum.accumulate(frame[TIME].to_numpy()) - LATENESS
    return frame.with_columns(pl.Series(WATERMARK, reached), pl.lit(value=False).alias(LATE))


def cut(frame: pl.DataFrame, at: Sequence[int]) -> Iterator[Batch]:
    """The stream in batches that end at these rows."""
    for first, last in zip([0, *at], [*at, frame.height], strict=True):
        if first < last:
            part = frame[first:last]
            yield Batch(part, int(part[WATERMARK][-1]))


def honest(seed: int, apps: int, hours: int, per_hour: float) -> pl.DataFrame:
    """Apps of some popularity whose people call four APIs, more at day than at night."""
    rng = np.random.default_rng(seed)
    shape = 1.0 + 0.8 * np.sin(np.arange(hours) % 24 / 24 * 2 * np.pi - 2)
    times, app = [], []
    for number in range(apps):
        counts = rng.poisson(per_hour * (1 + number % 3) * shape)
        times.append((np.repeat(np.arange(hours), counts) + rng.random(counts.sum())) * HOUR)
        app.append(np.full(counts.sum(), number))
    when, who = np.concatenate(times), np.concatenate(app)
    people = rng.integers(0, 40, len(who))
    action = rng.choice(["request", "getStorage", "login", "getLocation"], len(who), p=[0.6, 0.25, 0.1, 0.05])
    return stream(
        when,
        {
            "miniprogram.app_id": [f"wx{number:04}" for number in who],
            "miniprogram.developer_id": [f"dev-{number // 2}" for number in who],
            "user.id": [f"u{one}-{number}" for one, number in zip(people, who, strict=True)],
            "event.action": action,
            "event.dataset": ["miniprogram.api"] * len(who),
        },
    )
