"""What statistics cost: processor time an event, and bytes a key, over the number of keys that are remembered.

    python tests/bench/statistical_state.py [--keys 10000,100000,1000000] [--batches 60] [--plot docs/figures/statistics.svg]

Batches of 50,000 events of Zipf-distributed (app, API) pairs; twenty batches are a window of five minutes. All keys are there before
the clock starts, and a day is learned. The same batches are then parsed by nobody: only `StatisticalDetector.observe` is timed.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import polars as pl

from detectors.event import LATE, TIME, WATERMARK, Batch
from detectors.statistical.detector import StatisticalDetector, StatisticsConfig
from detectors.statistical.windows import WINDOW_US

ROWS = 50_000
BATCHES_A_WINDOW = 20
START = 1_772_409_600_000_000
APIS = 100


class Stream:
    """Events of so many pairs of app and API, one batch after the other."""

    def __init__(self, keys: int, seed: int = 1) -> None:
        self.keys = keys
        self.rng = np.random.default_rng(seed)
        weights = 1.0 / np.arange(1, keys + 1) ** 0.9
        self.cumulated = np.cumsum(weights / weights.sum())
        self.apps = pl.Series([f"wx{number:016x}" for number in range(max(1, keys // APIS))])
        self.apis = pl.Series([f"api{number}" for number in range(APIS)])
        self.people = pl.Series([f"o{number:027x}" for number in range(200_000)])
        self.hosts = pl.Series([f"api.host-{number}.example" for number in range(1_000)])

    def batch(self, index: int, pairs: np.ndarray | None = None) -> Batch:
        rows = ROWS if pairs is None else len(pairs)
        pair = np.searchsorted(self.cumulated, self.rng.random(rows)) if pairs is None else pairs
        first = START + index * WINDOW_US // BATCHES_A_WINDOW
        times = np.sort(first + self.rng.integers(0, WINDOW_US // BATCHES_A_WINDOW, rows))
        app, network = pair // APIS, self.rng.random(rows) < 0.3
        frame = pl.DataFrame(
            {
                TIME: times,
                WATERMARK: times - 2_000_000,
                LATE: np.zeros(rows, np.bool_),
                "miniprogram.app_id": self.apps.gather(np.minimum(app, len(self.apps) - 1)),
                "miniprogram.developer_id": self.apps.gather(np.minimum(app // 4, len(self.apps) - 1)),
                "event.action": self.apis.gather(pair % APIS),
                "user.id": self.people.gather(self.rng.integers(0, len(self.people), rows)),
                "event.outcome": np.where(self.rng.random(rows) < 0.02, "failure", "success"),
            }
        ).with_columns(
            pl.when(pl.Series(network))
            .then(pl.lit("miniprogram.network"))
            .otherwise(pl.lit("miniprogram.api"))
            .alias("event.dataset"),
            pl.when(pl.Series(network)).then(self.hosts.gather(app % 1_000)).alias("url.domain"),
            pl.lit("pages/index/index").alias("miniprogram.page"),
            pl.lit("1.0.0").alias("miniprogram.version"),
            pl.lit("CN").alias("source.geo.country_iso_code"),
            pl.lit(None, pl.Int64).alias("miniprogram.scene"),
        )
        return Batch(frame, int(frame[WATERMARK][-1]))


def measured(keys: int, batches: int) -> dict[str, float]:
    """Microseconds an event and bytes a key."""
    stream = Stream(keys)
    before = _resident()
    detector = StatisticalDetector(StatisticsConfig())
    every = np.arange(keys)
    for index, first in enumerate(range(0, keys, ROWS)):  # every key once
        detector.observe(stream.batch(index, every[first : first + ROWS]))
    begins = -(-keys // ROWS)
    for index in range(begins, begins + BATCHES_A_WINDOW):
        detector.observe(stream.batch(index))
    after = _resident()
    spent = []
    for index in range(begins + BATCHES_A_WINDOW, begins + BATCHES_A_WINDOW + batches):
        one = stream.batch(index)
        begun = time.process_time()
        detector.observe(one)
        spent.append(time.process_time() - begun)
    events = batches * ROWS
    return {
        "keys": detector.remembered,
        "us_an_event": sum(spent) / events * 1e6,
        "worst_batch_ms": max(spent) * 1e3,
        "median_batch_ms": float(np.median(spent)) * 1e3,
        "bytes_a_key": detector.bytes / max(detector.remembered, 1),
        "resident_mb": (after - before) / 1e6,
    }


def _resident() -> float:
    """Bytes; the most so far."""
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", default="10000,100000,1000000")
    parser.add_argument("--batches", type=int, default=60)
    given = parser.parse_args()
    print("keys        µs/event  median batch ms  worst batch ms  bytes/key  resident MB")
    for keys in (int(each) for each in given.keys.split(",")):
        one = measured(keys, given.batches)
        print(
            f"{one['keys']:>10,}  {one['us_an_event']:8.3f}  {one['median_batch_ms']:15.1f}  {one['worst_batch_ms']:14.1f}"
            f"  {one['bytes_a_key']:9.0f}  {one['resident_mb']:11.0f}"
        )


if __name__ == "__main__":
    main()
