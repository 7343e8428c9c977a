"""What windows cost: CPU milliseconds a batch of 50,000 events, over the number of correlations, of hits and of events remembered.

    python tests/bench/windows.py

Only the windows are timed: hits are given, not found. Figures are of this machine; the median of the batches after the first.
"""

from __future__ import annotations

import sys
import time
from typing import Final

import numpy as np
import polars as pl
import yaml

from detectors.event import HASH, LATE, TIME, WATERMARK, Batch
from detectors.sigma import Rule, parse_rules
from detectors.sigma.correlate import Correlator

ROWS: Final = 50_000
BATCH_US: Final = 5_000_000
EVENTS_MAX: Final = 3_000_000
ID: Final = "5d2b1c1e-0000-4000-8000-{:012}"
KINDS: Final = {
    "event_count": {"gte": 1_000_000},
    "value_count": {"gte": 1_000_000, "field": "url.domain"},
    "value_sum": {"gte": 1e12, "field": "number"},
    "value_percentile": {"gte": 1e12, "field": "number", "percentile": 95},
    "temporal": {"gte": 2},
    "temporal_ordered": {"gte": 2},
}
RANDOM: Final = np.random.default_rng(1)


def rules(
    count: int, kind: str = "event_count", span: str = "5m", groups: str = "miniprogram.app_id device.id"
) -> list[Rule]:
    """So many correlations, each over a rule of its own."""
    texts = []
    for place in range(count):
        base = {"title": "b", "id": ID.format(2 * place), "logsource": {"product": "miniprogram"}}
        texts.append({**base, "detection": {"s": {"event.action": f"a{place}"}, "condition": "s"}})
        asked = {
            "type": kind,
            "rules": [base["id"]],
            "group-by": groups.split(),
            "timespan": span,
            "condition": KINDS[kind],
        }
        texts.append({"title": "c", "id": ID.format(2 * place + 1), "correlation": asked})
    found = parse_rules([("bench.yml", "\n---\n".join(yaml.safe_dump(text) for text in texts))])
    if found.problems:
        raise SystemExit(str(found.problems[0]))
    return [rule for rule in found.rules if rule.window]


def frame(number: int) -> pl.DataFrame:
    """One batch: 500 apps, 100,000 devices, 1,000 domains."""
    random = np.random.default_rng(number)
    times = np.sort(number * BATCH_US + random.integers(0, BATCH_US, ROWS))
    return pl.DataFrame(
        {
            "event.id": [f"e{number}-{row}" for row in range(ROWS)],
            "event.dataset": ["miniprogram.api"] * ROWS,
            "miniprogram.app_id": [f"wx{one:016x}" for one in random.integers(0, 500, ROWS)],
            "miniprogram.developer_id": ["dev"] * ROWS,
            "device.id": [f"{one:032x}" for one in random.integers(0, 100_000, ROWS)],
            "url.domain": [f"d{one}.example" for one in random.integers(0, 1_000, ROWS)],
            "number": [str(one) for one in random.integers(1, 10_000, ROWS)],
            TIME: times,
            WATERMARK: times - 2_000_000,
            HASH: random.integers(0, 2**63, ROWS).astype(np.uint64),
            LATE: [False] * ROWS,
        }
    )


def cost(windows: list[Rule], active: int, hits: int, before: int = 0, batches: int = 8) -> str:
    """`active` of the correlations see `hits` events each in every batch; `before` batches fill the memory with all their events."""
    correlator = Correlator(windows, EVENTS_MAX)
    spent = []
    for number in range(before + batches):
        one = frame(number)
        chosen = RANDOM.choice(len(windows), active, replace=False)
        rows = ROWS if number < before else hits
        matches = {ID.format(2 * place): np.sort(RANDOM.choice(ROWS, rows, replace=False)) for place in chosen}
        begun = time.process_time()
        correlator.observe(Batch(one, int(one[WATERMARK][-1])), correlator.hits(one, matches))
        spent.append(time.process_time() - begun)
    kept = correlator.snapshot()
    return f"{np.median(spent[before + 1 :]) * 1_000:7.1f} ms   {kept.height:9,} events remembered"


def main() -> None:
    many = rules(3_000)
    for active, hits in ((0, 0), (20, 1), (300, 1), (3_000, 1)):
        sys.stdout.write(f"3,000 correlations, {active:5,} with {hits:6,} hits: {cost(many, active, hits)}\n")
    sys.stdout.write(f"  100 correlations,   100 with    100 hits: {cost(rules(100), 100, 100)}\n")
    for kind in KINDS:
        for hits in (2_500, ROWS):
            sys.stdout.write(f"{kind:>18}, one with {hits:12,} hits: {cost(rules(1, kind), 1, hits)}\n")
    for kind, groups in (("event_count", "miniprogram.app_id device.id"), *((kind, "") for kind in KINDS)):
        told = cost(rules(1, kind, "1d", groups), 1, 50, before=20)
        sys.stdout.write(f"{kind:>18}, 50 hits, a day, {'one group' if not groups else 'many groups':>11}: {told}\n")


if __name__ == "__main__":
    main()
