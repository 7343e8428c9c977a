"""How fast workers that were away catch up, while events go on coming.

    python tests/bench/outage.py [--rate 20000] [--outage 600] [--workers 1]

A real broker with a topic of 8 partitions, the record in PostgreSQL, 100 rules and the responder. Ordinary events of now come at a steady rate; the workers get
SIGKILL and are started again after so many seconds. Timed from then to the moment at which no more than a second's events are left.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from kafka_latency import Traffic
from workers import Kafka, Postgres, Site, cpu_s, fill, received, resident_mib, wait_for, write_rules

from detectors import kernel

STEADY_S = 30.0
TOLD_S = 10.0
CAUGHT_UP_S_MAX = 1_800.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=20_000, help="events a second")
    parser.add_argument("--outage", type=float, default=600.0, help="seconds")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where it is kept; without, it is removed at the end")
    given = parser.parse_args()
    print(f"native kernel: {kernel.standing()}")
    with ExitStack() as stack:
        folder = given.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kafka, postgres = Kafka(), Postgres()
        for server in (kafka, postgres):
            stack.callback(server.remove)
            server.start()
        fill(kafka.bootstrap, "events", iter(()))
        write_rules(100, folder / "rules")
        source = f"kafka://{kafka.bootstrap}/events?group=outage"
        site = Site(folder / "site", source, postgres.url, f'[rules]\nfolders = ["{folder / "rules"}"]\n')
        stack.callback(site.end)
        kept = site.kept()
        stack.callback(kept.store.close)
        site.start("--role", "respond")
        traffic = Traffic(kafka.bootstrap)
        running = [site.start("--role", "detect") for _ in range(given.workers)]
        threading.Thread(target=traffic.run, args=(given.rate,), daemon=True).start()
        stack.callback(traffic.leave)
        wait_for(lambda: traffic.sent - received(kept) < given.rate and received(kept) > given.rate * STEADY_S)
        for worker in running:
            worker.kill()
            worker.wait()
        before = traffic.sent
        time.sleep(given.outage)
        behind, sent, begun = traffic.sent - received(kept), traffic.sent, time.monotonic()
        print(f"{(sent - before) / given.outage:,.0f} events a second for {given.outage:.0f} s: {behind:,} behind")
        first, pids = received(kept), [site.start("--role", "detect").pid for _ in range(given.workers)]
        told = begun
        while (left := traffic.sent - received(kept)) > given.rate:
            now = time.monotonic()
            if now - begun > CAUGHT_UP_S_MAX:
                raise TimeoutError(f"{left:,} events are still left")
            if now - told > TOLD_S:
                told = now
                print(f"  after {now - begun:.0f} s {left:,} behind", flush=True)
            time.sleep(0.1)
        seconds = time.monotonic() - begun
        taken, came = (received(kept) - first) / seconds, (traffic.sent - sent) / seconds
        memory = max(resident_mib(pid) for pid in pids)
        print(
            f"caught up after {seconds:.0f} s: {taken:,.0f} events a second taken, {came:,.0f} came, {taken / came:.2f} times as many; "
            f"{(received(kept) - first) / cpu_s(pids):,.0f} a CPU second, {memory:,.0f} MiB at most"
        )


if __name__ == "__main__":
    main()
