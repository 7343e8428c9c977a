"""The whole path, door to archive, on simulated traffic: events per CPU second, and nanoseconds an event for each stage.

    make bench        (or: python tests/bench/whole_path.py [--events N] [--repeat N])

All apps are registered. For 20 and for 100 rules: built-in ones, and beyond them copies whose words are changed. Also: 1 % of malformed lines against
none, and stored bytes an event. Figures are of this machine, CPU time of the whole process, the best of the runs.
"""

# ruff: noqa: E402 - what libraries are told comes before they are imported

from __future__ import annotations

import argparse
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

from monitor import process

process.prepare()  # as `miniwatch run` does

from detectors import kernel
from detectors.sigma import Rule, parse_rules
from monitor import app
from monitor.config import load_config
from monitor.registry import Registry, parse_registry
from monitor.rules import builtin_folder, load_rules
from monitor.rules.lineup import Lineup
from monitor.simulate import bad_lines as with_bad_lines
from monitor.simulate import registry, simulation
from monitor.telemetry import Telemetry

SEED = 11
APPS = registry(SEED, 1_000)


def rule_set(count: int) -> tuple[Rule, ...]:
    """So many speaking rules: the built-in ones, then copies of them that look for other words."""
    folder = builtin_folder().path
    sources = [(str(path), path.read_text()) for path in sorted(folder.rglob("*.yml"))]
    rules: list[Rule] = list(load_rules([builtin_folder()]).rules)
    if count < len(rules):
        bases = {base for rule in rules if rule.window for base in rule.window.bases}
        return tuple([rule for rule in rules if rule.id not in bases and not rule.window][:count])
    turn = 0
    while len(rules) < count:
        turn += 1
        changed = [(path + str(turn), _changed(text, turn)) for path, text in sources if "correlation" not in text]
        rules.extend(parse_rules(changed).rules)
    return tuple(rules[:count])


def _changed(text: str, turn: int) -> str:
    """The same rule with another id and other words."""
    lines = []
    for line in text.splitlines():
        if line.startswith("id: "):
            lines.append(line[:-4] + f"{turn:04x}")
        elif line.startswith("      - ") and not {"*", "&", "'", '"'} & set(line):
            lines.append(f"{line}x{turn}")
        else:
            lines.append(line)
    return "\n".join(lines)


def run(stream: Path, rules: tuple[Rule, ...], folder: Path) -> tuple[float, dict[str, float], int]:
    """CPU seconds of one run on a fresh data folder, seconds by stage, and bytes stored."""
    shutil.rmtree(folder, ignore_errors=True)
    config = load_config(None, {}, {"data_dir": str(folder), "sources": [{"uri": f"file:{stream}"}]})
    stages: dict[str, float] = {}
    with app.open_daemon(config, Telemetry(level="error"), until_end=True) as daemon:
        records, _ = parse_registry(APPS, 0)
        known = Registry(records)
        daemon.pipeline.registry = lambda: known
        daemon.pipeline.lineup = Lineup.of(rules, config.rules.window_events_max)

        def note(pipeline: object) -> None:
            for stage, seconds in pipeline.stages.items():  # type: ignore[attr-defined]
                stages[stage] = stages.get(stage, 0.0) + seconds

        begun = time.process_time()
        daemon.run(note)
        spent = time.process_time() - begun
        stored = sum(segment.bytes for segment in daemon.kept.store.segments())
    return spent, stages, stored


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        clean, dirty = Path(scratch, "clean.ndjson"), Path(scratch, "dirty.ndjson")
        clean.write_bytes(b"".join(simulation(SEED, asked.events).blocks()))
        blocks, truth = with_bad_lines(simulation(SEED, asked.events).blocks(), asked.events, SEED, 0.01)
        dirty.write_bytes(b"".join(blocks))
        size = clean.stat().st_size / asked.events
        reader = "native kernel" if kernel.available() else "pure Python"
        print(
            f"{platform.machine()}, Python {platform.python_version()}, {reader}; {asked.events:,} events of {size:.0f} bytes"
        )
        for count in (20, 100):
            rules = rule_set(count)
            spent, stages, stored = min(
                (run(clean, rules, Path(scratch, "data")) for _ in range(asked.repeat)), key=lambda r: r[0]
            )
            show(f"{len(rules)} rules", asked.events, spent, stages, stored)
        rules = rule_set(100)
        lines = asked.events + sum(truth.values())
        spent, stages, stored = min(
            (run(dirty, rules, Path(scratch, "data")) for _ in range(asked.repeat)), key=lambda r: r[0]
        )
        show(f"{len(rules)} rules, {sum(truth.values()):,} bad lines", lines, spent, stages, stored)


def show(name: str, events: int, spent: float, stages: dict[str, float], stored: int) -> None:
    nanoseconds = {stage: round(seconds / events * 1e9) for stage, seconds in stages.items()}
    print(
        f"{name}: {events / spent:,.0f} events per CPU second ({spent / events * 1e6:.2f} µs an event), {stored / events:.0f} bytes stored an event"
    )
    print("    ns an event: " + ", ".join(f"{stage} {value:,}" for stage, value in nanoseconds.items()))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
