"""A race against another Sigma engine, rsigma: the same rules, the same events, every match written by both, CPU time of whole processes.

    python tests/bench/race.py [--peer rsigma] [--sets 10,100,1000,3000] [--events N] [--repeat N]

Install the peer with `cargo install rsigma`. Both read the same file one after the other, in turns; the least CPU time of the
runs counts. Of each the time of a run over a single event is taken off, which is starting, and reading the rules; what both
need in all is shown beside it. Then the verdicts, pairs of rule and event, are compared one by one.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml
from race_material import Material, literals_of

from detectors import kernel

SEED = 7


def prepare(folder: Path, sets: Sequence[int], events: int) -> None:
    """Rule files of each size, and one stream for all: what the first rules look for is sown most often."""
    material = Material(SEED)
    rules = material.rules(max(sets))
    for count in sets:
        text = "---\n".join(yaml.safe_dump(rule, sort_keys=False) for rule in rules[:count])
        (folder / f"{count}.yml").write_text(text)
    sown = literals_of(rules) + literals_of(rules[:100]) * 30 + literals_of(rules[:10]) * 100
    with (folder / "all.ndjson").open("wb") as stream:
        stream.writelines(material.events(events, sown))
    with (folder / "all.ndjson").open("rb") as stream:
        (folder / "one.ndjson").write_bytes(stream.readline())


def cpu_s(command: Sequence[str], output: Path) -> float:
    """CPU seconds of a process that writes into a file; raises when it fails."""
    with output.open("wb") as stream:
        child = os.posix_spawnp(
            command[0],
            command,
            dict(os.environ),
            file_actions=[(os.POSIX_SPAWN_DUP2, stream.fileno(), 1)],
        )
        _, status, usage = os.wait4(child, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_utime + usage.ru_stime


def ours(folder: Path, count: int, stream: str) -> list[str]:
    miniwatch = str(Path(sys.executable).with_name("miniwatch"))
    told = [
        "--rules",
        str(folder / f"{count}.yml"),
        "--source",
        f"file:{folder / stream}",
        "--data-dir",
        str(folder / "data"),
    ]
    return [miniwatch, "backtest", "--verdicts", *told]


def theirs(peer: str, folder: Path, count: int, stream: str) -> list[str]:
    return [peer, "engine", "eval", "-q", "-r", str(folder / f"{count}.yml"), "-e", f"@{folder / stream}"]


def our_verdicts(output: Path) -> set[tuple[str, str]]:
    found = [json.loads(line) for line in output.read_text().splitlines()]
    return {(one["rule"], one["event"]) for one in found}


def their_verdicts(peer: str, folder: Path, count: int) -> set[tuple[str, str]]:
    """With the events in them, in a run of its own, which is not timed."""
    output = folder / "with-events"
    cpu_s([*theirs(peer, folder, count, "all.ndjson"), "--include-event"], output)
    found = [json.loads(line) for line in output.read_text().splitlines()]
    return {(one["rule_id"], one["event"]["event"]["id"]) for one in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default="rsigma")
    parser.add_argument("--sets", default="10,100,1000,3000")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    if shutil.which(asked.peer) is None:
        raise SystemExit(f"{asked.peer} is not here: cargo install rsigma, or name it with --peer")
    sets = [int(count) for count in asked.sets.split(",")]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder, sets, asked.events)
        size = (folder / "all.ndjson").stat().st_size / asked.events
        print(
            f"{asked.events:,} events of {size:.0f} bytes; {'native kernel' if kernel.available() else 'pure Python'}"
        )
        for count in sets:
            race(asked.peer, folder, count, asked.events, asked.repeat)


def race(peer: str, folder: Path, count: int, events: int, repeat: int) -> None:
    times: dict[tuple[str, str], float] = {}
    for _ in range(repeat):
        for stream in ("one.ndjson", "all.ndjson"):
            for who, command in (
                ("ours", ours(folder, count, stream)),
                ("theirs", theirs(peer, folder, count, stream)),
            ):
                spent = cpu_s(command, folder / who)
                times[who, stream] = min(times.get((who, stream), spent), spent)
    mine, other = our_verdicts(folder / "ours"), their_verdicts(peer, folder, count)
    net = {who: times[who, "all.ndjson"] - times[who, "one.ndjson"] for who in ("ours", "theirs")}
    print(
        f"{count} rules: ours {events / net['ours']:,.0f} events a CPU second, theirs {events / net['theirs']:,.0f}: "
        f"{net['theirs'] / net['ours']:.1f} times; in all {times['ours', 'all.ndjson']:.2f} s and "
        f"{times['theirs', 'all.ndjson']:.2f} s; {len(mine):,} verdicts of ours, {len(other):,} of theirs, "
        f"{len(mine ^ other):,} differ"
    )
    for rule, event in sorted(mine ^ other)[:5]:
        print(f"    {'ours' if (rule, event) in mine else 'theirs'} alone: rule {rule}, event {event}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
