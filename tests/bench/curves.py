"""How the cost of decoding and matching grows: over rules, over lines a batch, over the share of distinct values. Draws docs/figures/*.svg.

    python tests/bench/curves.py [--events N] [--repeat N]

Rules and events are those of the race. Microseconds of CPU time an event in one process; the least of the runs counts.
"""

# ruff: noqa: E402 - what libraries are told comes before they are imported

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from monitor import process

process.prepare()  # as `miniwatch run` does

import yaml
from drawing import Curve, drawn
from race_material import Material, literals_of

from detectors.event import Batch
from detectors.sigma import Rule, SigmaDetector, parse_rules
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.door import Door, PeopleHash
from monitor.native import NativeNdjson, kernel
from monitor.pipeline import decoded_fields
from monitor.sources import RawBatch

SEED = 7
FIGURES = Path(__file__).parents[2] / "docs" / "figures"
RULES = (10, 30, 100, 300, 1_000, 3_000)
LINES = (500, 2_000, 5_000, 10_000, 20_000, 40_000)
SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)

CAPTION = "µs of CPU time an event: decoding and door (blue), matching (orange)"


def measured(lines: Sequence[bytes], rules: Sequence[Rule], rows: int, repeat: int) -> tuple[float, float]:
    """Microseconds an event for decoding (door included) and for matching, in batches of so many rows."""
    detector = SigmaDetector(rules)
    fields = decoded_fields(detector.needs)
    batches = [b"".join(lines[at : at + rows]) for at in range(0, len(lines), rows)]
    best = [float("inf"), float("inf")]
    for _ in range(repeat + 1):  # the first warms up
        people, spent = PeopleHash(b"k" * 32), [0.0, 0.0]
        decoder = NdjsonDecoder()
        door = Door(people, decoder)
        native = NativeNdjson(people) if kernel is not None else None
        for data in batches:
            raw = RawBatch("bench", "ndjson", data, 0, len(data))
            begun = time.process_time()
            admitted = native.admit(raw, fields) if native else door.admit(decoder.decode(raw, fields), fields)
            read = time.process_time()
            detector.matches(Batch(admitted.frame, 0))
            spent[0] += read - begun
            spent[1] += time.process_time() - read
        best = [min(pair) for pair in zip(best, spent, strict=True)]
    decode, match = (seconds / len(lines) * 1e6 for seconds in best)
    return decode, match


def loaded(documents: Sequence[dict[str, object]]) -> tuple[Rule, ...]:
    return parse_rules([("race.yml", "---\n".join(yaml.safe_dump(one, sort_keys=False) for one in documents))]).rules


def less_distinct(lines: Sequence[bytes], share: float) -> list[bytes]:
    """The lines with the texts of their larger fields taken from a few, but for a share of them."""
    few = [json.loads(line) for line in lines[:50]]
    changed = []
    for number, line in enumerate(lines):
        if number % 100 < share * 100:
            changed.append(line)
            continue
        event = json.loads(line)
        for name in ("url", "user_agent", "message"):
            event[name] = few[number % len(few)][name]
        changed.append(json.dumps(event, separators=(",", ":")).encode() + b"\n")
    return changed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=80_000)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    material = Material(SEED)
    documents = material.rules(max(RULES))
    rules = {count: loaded(documents[:count]) for count in RULES}
    lines = list(material.events(asked.events, literals_of(documents)))

    def point(some: Sequence[bytes], count: int, rows: int) -> tuple[float, float]:
        return measured(some, rules[count], rows, asked.repeat)

    curves: dict[str, tuple[str, Curve]] = {
        "rules": ("rules", [(count, *point(lines, count, 40_000)) for count in RULES]),
        "batch": ("events a batch (1,000 rules)", [(rows, *point(lines, 1_000, rows)) for rows in LINES]),
        "distinct": (
            "% of events with values of their own (1,000 rules)",
            [(share * 100, *point(less_distinct(lines, share), 1_000, 40_000)) for share in SHARES],
        ),
    }
    FIGURES.mkdir(exist_ok=True)
    for name, (label, curve) in curves.items():
        (FIGURES / f"cost-over-{name}.svg").write_text(drawn(label, CAPTION, curve, logarithmic=name != "distinct"))
        print(
            f"{label}: "
            + "; ".join(f"{at:g}: decode {decode:.2f} + match {match:.2f} µs" for at, decode, match in curve)
        )


if __name__ == "__main__":
    main()
