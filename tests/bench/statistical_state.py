"""What statistics and models cost: processor time an event, and bytes a key, over the number of keys that are remembered.

    python tests/bench/statistical_state.py [--keys 10000,100000,1000000] [--a-window 20] [--windows 3] [--figures docs/figures]

Batches of 50,000 events of Zipf-distributed (app, API) pairs; as many as is said, twenty without, are a window of five minutes. All keys
are there before the clock starts, and a window has gone by. What a window takes when it ends is the same for few events as for many. The batches are parsed by nobody: only `observe` is timed. Models are asked about all apps of an hour at its end.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from drawing import Curve, drawn

from detectors.event import LATE, TIME, WATERMARK, Batch
from detectors.learned.detector import LearnedDetector
from detectors.learned.features import NAMES
from detectors.learned.hours import SLOT_US, SLOTS
from detectors.learned.model import ROWS_MIN, Model, trained
from detectors.statistical.detector import StatisticalDetector, StatisticsConfig
from detectors.statistical.windows import WINDOW_US

ROWS = 50_000
START = 1_772_409_600_000_000
APIS = 100


class Stream:
    """Events of so many pairs of app and API, one batch after the other."""

    def __init__(self, keys: int, a_window: int = 20, seed: int = 1) -> None:
        self.keys, self.a_window = keys, a_window
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
        first = START + index * WINDOW_US // self.a_window
        times = np.sort(first + self.rng.integers(0, WINDOW_US // self.a_window, rows))
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


def measured(keys: int, a_window: int, windows: int) -> dict[str, float]:
    """Microseconds an event and bytes a key."""
    stream = Stream(keys, a_window)
    before = _resident()
    detector = StatisticalDetector(StatisticsConfig())
    every = np.arange(keys)
    for index, first in enumerate(range(0, keys, ROWS)):  # every key once
        detector.observe(stream.batch(index, every[first : first + ROWS]))
    begins = -(-keys // ROWS)
    for index in range(begins, begins + a_window):
        detector.observe(stream.batch(index))
    after = _resident()
    spent = []
    series = _timed(detector)
    batches = windows * a_window
    for index in range(begins + a_window, begins + a_window + batches):
        one = stream.batch(index)
        begun = time.process_time()
        detector.observe(one)
        spent.append(time.process_time() - begun)
    events = batches * ROWS
    return {
        "keys": detector.remembered,
        "us_an_event": sum(spent) / events * 1e6,
        "series_us": series[0] / events * 1e6,
        "worst_batch_ms": max(spent) * 1e3,
        "median_batch_ms": float(np.median(spent)) * 1e3,
        "bytes_a_key": detector.bytes / max(detector.remembered, 1),
        "resident_mb": (after - before) / 1e6,
    }


def learned(apps: int, model: Model, batches: int) -> dict[str, float]:
    """Models with so many apps in an hour: microseconds an event for counting; milliseconds when hours of apps end (a twelfth of them at
    a time, the longest is told) for what was counted to come together, and for the scores.
    """
    stream = Stream(apps * APIS)
    detector = LearnedDetector(model)
    every = np.arange(apps * APIS)
    rows = max(len(every), 30 * apps)  # of each app enough to be looked at
    first = stream.batch(0, every[np.arange(rows) % len(every)])
    detector.observe(first)
    spent = 0.0
    for index in range(1, batches + 1):
        one = stream.batch(index)
        begun = time.process_time()
        detector.observe(one)
        spent += time.process_time() - begun
    scoring = [0.0]
    (watch,) = detector._watches.values()
    watch.look = partial(_clocked, watch.look, scoring)  # type: ignore[method-assign]  # to time it
    mergings, scorings = [], []
    for slot in range(2 * SLOTS + 1):
        scoring[0], begun = 0.0, time.process_time()
        detector.observe(Batch(first.frame.clear(), START + slot * SLOT_US))
        mergings.append(time.process_time() - begun - scoring[0])
        scorings.append(scoring[0])
    return {
        "us_an_event": spent / (batches * ROWS) * 1e6,
        "merging_ms": max(mergings) * 1e3,
        "scoring_ms": max(scorings) * 1e3,
    }


def fitted(apps: int = 200) -> Model:
    """A model of hours that look like those of `Stream`, as large as models are."""
    rows = ROWS_MIN * 4
    matrix = np.random.default_rng(1).gamma(2.0, 1.0, (rows, len(NAMES))).astype(np.float32)
    names = np.array([f"wx{number % apps:016x}" for number in range(rows)])
    return trained(np.full(rows, "shop"), names, matrix, np.arange(rows) % 5 == 0, 100)


def _timed(detector: StatisticalDetector) -> list[float]:
    """Seconds that series take from now on, with the rows that all statistics share."""
    spent = [0.0]
    for owner, name in ((detector._series, "count"), (detector._series, "close"), (detector, "_rows")):
        setattr(owner, name, partial(_clocked, getattr(owner, name), spent))
    return spent


def _clocked(act: Callable[..., Any], spent: list[float], *given: Any) -> Any:
    begun = time.process_time()
    found = act(*given)
    spent[0] += time.process_time() - begun
    return found


def _resident() -> float:
    """Bytes; the most so far."""
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keys", default="10000,30000,100000,300000,1000000")
    parser.add_argument("--apps", default="100,1000,3000,10000")
    parser.add_argument("--a-window", type=int, default=20, help="batches in five minutes")
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--figures", type=Path, help="draw cost-over-keys.svg and cost-over-apps.svg into this folder")
    given = parser.parse_args()
    print("keys        µs/event  of it series  median batch ms  worst batch ms  bytes/key  resident MB")
    by_keys: Curve = []
    for keys in (int(each) for each in given.keys.split(",")):
        one = measured(keys, given.a_window, given.windows)
        by_keys.append((keys, one["series_us"], one["us_an_event"] - one["series_us"]))
        print(
            f"{one['keys']:>10,}  {one['us_an_event']:8.3f}  {one['series_us']:12.3f}  {one['median_batch_ms']:15.1f}"
            f"  {one['worst_batch_ms']:14.1f}  {one['bytes_a_key']:9.0f}  {one['resident_mb']:11.0f}"
        )
    print("apps        models µs/event  hours of a twelfth end: merging ms  scoring ms")
    by_apps: Curve = []
    model = fitted()
    for apps in (int(each) for each in given.apps.split(",")):
        two = learned(apps, model, 20)
        by_apps.append((apps, two["us_an_event"] * ROWS / 1e3, two["scoring_ms"]))
        print(f"{apps:>10,}  {two['us_an_event']:15.3f}  {two['merging_ms']:26.1f}  {two['scoring_ms']:10.1f}")
    if given.figures is not None:
        said = "µs of CPU time an event: series (blue), all other statistics (orange)"
        (given.figures / "cost-over-keys.svg").write_text(drawn("counts remembered", said, by_keys, logarithmic=True))
        said = "ms of CPU time: counting 50,000 events (blue), scoring apps of which an hour ends (orange)"
        (given.figures / "cost-over-apps.svg").write_text(drawn("apps in an hour", said, by_apps, logarithmic=True))


if __name__ == "__main__":
    main()
