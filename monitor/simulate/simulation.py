"""The stream of a simulated platform: honest traffic and staged misbehaviour, in the order of arrival."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import pyarrow as pa

from detectors.event import MICROSECONDS
from monitor.simulate.encode import encode
from monitor.simulate.honest import honest_slice
from monitor.simulate.letters import Integers, instants
from monitor.simulate.misbehaviour import Label, event_ids, staged
from monitor.simulate.steps import step_table
from monitor.simulate.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAM: Final = 30
SLICE_EVENTS: Final = 40_000
"""Honest events made at a time: what bounds the memory."""
IDS_PER_SLICE: Final = 2**24
DELAY_MS_MEDIAN: Final = 40
DELAY_MS_MAX: Final = 1_000
DUPLICATE_SHARE: Final = 0.001
DUPLICATE_MS_MAX: Final = 900  # a second delivery follows so soon that neither it nor the first is late
LATE_SHARE: Final = 0.0003
LATE_MS: Final = (3_000, 120_000)
GROUPS: Final = {
    "miniprogram.network": 1,
    "miniprogram.gateway": 2,
    "miniprogram.storage": 3,
    "miniprogram.api": 3,
    "miniprogram.lifecycle": 3,
}


@dataclass(frozen=True)
class Simulation:
    """One run of the simulator; everything follows from these values."""

    world: World
    kinds: frozenset[str]
    loud: bool

    @cached_property
    def _staged(self) -> tuple[pl.DataFrame, list[Label]]:
        frame, labels = staged(self.world, self.kinds, loud=self.loud)
        return (
            _written(frame, _delays(frame.height, self.world.generator(STREAM), 0.0)) if frame.height else _NOTHING
        ), labels

    @property
    def labels(self) -> list[Label]:
        """The truth: one label an incident."""
        return self._staged[1]

    def _slice(self, count: int, part: int, parts: int) -> pl.DataFrame:
        """Honest lines, some of them delivered twice; exactly `count`."""
        if not count:
            return _NOTHING
        rng = self.world.generator(STREAM, part)
        repeated = int(count * DUPLICATE_SHARE)
        frame = honest_slice(self.world, step_table(), count - repeated, part, parts)
        ids = event_ids(self.world, part * IDS_PER_SLICE + np.arange(frame.height))
        lines = _written(frame.with_columns(ids.alias("event.id")), _delays(frame.height, rng, LATE_SHARE))
        again = lines[np.sort(rng.choice(lines.height, repeated, replace=False))]
        after = pl.Series((rng.uniform(5, DUPLICATE_MS_MAX, repeated) * 1_000).astype(np.int64))
        return pl.concat([lines, again.with_columns(pl.col("order") + after)])

    def blocks(self) -> Iterator[bytes]:
        """Lines of NDJSON in blocks, in the order of arrival."""
        waiting, _ = self._staged
        honest = self.world.events - waiting.height
        parts = max(1, -(-honest // SLICE_EVENTS))
        for part in range(parts):
            count = honest * (part + 1) // parts - honest * part // parts
            waiting = pl.concat([waiting, self._slice(count, part, parts)])
            # What begins in later parts happens after this moment; whatever arrived before it can go out now.
            until = int(self.world.instants_of(np.array([(part + 1) / parts]))[0])
            ready = waiting if part + 1 == parts else waiting.filter(pl.col("order") < until)
            waiting = waiting.filter(pl.col("order") >= until)
            if ready.height:
                yield _bytes(ready.sort("order", "id")["line"])


_NOTHING: Final = pl.DataFrame(schema={"order": pl.Int64, "id": pl.String, "line": pl.String})


def _delays(count: int, rng: np.random.Generator, late_share: float) -> Integers:
    """From happening to arriving, in whole milliseconds as microseconds."""
    usual = rng.lognormal(np.log(DELAY_MS_MEDIAN), 0.9, count).clip(2, DELAY_MS_MAX)
    late = rng.uniform(*LATE_MS, count)
    delays: Integers = np.where(rng.random(count) < late_share, late, usual).astype(np.int64) * 1_000
    return delays


def _written(frame: pl.DataFrame, delays: Integers) -> pl.DataFrame:
    """Events as lines, with the time of their arrival to order them by."""
    arrival = frame["_time"].to_numpy() + delays
    told = frame.with_columns(
        instants(frame["_time"].to_numpy()).alias("@timestamp"),
        instants(arrival).alias("event.ingested"),
        pl.Series("_order", arrival),
    )
    # Datasets carry different fields: each group is written without the columns that all of its events lack.
    group = pl.col("event.dataset").replace_strict(GROUPS, default=0, return_dtype=pl.Int8)
    parts = told.with_columns(group.alias("_group")).partition_by("_group", maintain_order=True)
    return pl.concat([part.select(pl.col("_order").alias("order"), pl.col("event.id").alias("id"), encode(part).alias("line")) for part in parts])  # fmt: skip


def _bytes(lines: pl.Series) -> bytes:
    """Lines as they stand side by side in memory, each with its end."""
    ended = lines.to_frame("line").select(pl.concat_str("line", pl.lit("\n"))).to_series()
    array = ended.rechunk().to_arrow().cast(pa.large_string())
    _, offsets, text = array.buffers()
    begin, end = (
        int.from_bytes(offsets[place * 8 : place * 8 + 8], sys.byteorder)
        for place in (array.offset, array.offset + len(array))
    )
    return bytes(memoryview(text)[begin:end])


def world_of(seed: int, events: int, apps: int, start_us: int, duration_s: int) -> World:
    """The world of a run; raises `ValueError` with what is wrong when it cannot be one."""
    for name, value, least in (("events", events, 0), ("apps", apps, 1), ("duration_s", duration_s, 600)):
        if value < least:
            raise ValueError(f"{name} is {value}, must be at least {least}")
    if seed < 0:
        raise ValueError(f"seed is {seed}, must not be negative")
    return World(seed, events, apps, start_us // MICROSECONDS * MICROSECONDS, duration_s)
