"""What it costs that events of an app may be in any partition: hits that are sent, and the processor's time, beside a topic that is keyed by app.

`python tests/bench/keyed.py [EVENTS [PARTITIONS]]`; needs no server: the log and the topic of hits are in memory, the record is SQLite.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "monitor" / "partitions"))

from partition_site import Site, log_of, spread_log, told_lines, whole_lineup

from monitor.partitions.sending import decoded, rows_of
from monitor.testing.logs import MemoryHits

APPS = 200


def measured(name: str, log: object, keyed_by: str, events: int) -> None:
    hits = MemoryHits("calls.miniwatch-hits", 4)
    with tempfile.TemporaryDirectory() as folder:
        lineup = partial(whole_lineup(), keyed_by=keyed_by)
        site = Site(Path(folder), log, lineup, rows_max=20_000, hits=hits, snapshot_s=1e9)
        (worker, group), (counter, of_hits) = site.worker("a"), site.counter("a")
        group.assign(*log.partitions)
        of_hits.assign(*hits.names)
        seeing = counting = 0.0
        works = True
        while works:
            begun = time.process_time()
            works = worker.look()
            seen = time.process_time()
            works = counter.look() or works
            seeing, counting = seeing + seen - begun, counting + time.process_time() - seen
        lines = [line for number in range(hits.partitions) for line in hits.written(number).splitlines()]
        rows = sum(rows_of(decoded(line)).height for line in lines)
        size = sum(map(len, lines))
        print(
            f"{name}: {rows} hits of {events} events ({rows / events:.3f}), {size / events:.0f} bytes an event; "
            f"seeing {1e6 * seeing / events:.1f} µs, counting {1e6 * counting / events:.1f} µs an event; {len(site.findings())} findings"
        )


def main(events: int = 300_000, partitions: int = 8) -> None:
    lines = told_lines(3, events, apps=APPS, duration_s=max(events // 40, 600), kinds=None)
    for _ in range(2):  # the first is for warming up as well
        measured("keyed by app    ", log_of(lines, partitions), "miniprogram.app_id", events)
        measured("keyed by nothing", spread_log(lines, partitions, random.Random(1)), "", events)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
