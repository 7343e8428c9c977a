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

Curve = list[tuple[float, float, float]]
"""Where, then microseconds an event of decoding and of matching."""


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
        (FIGURES / f"cost-over-{name}.svg").write_text(drawn(label, curve, logarithmic=name != "distinct"))
        print(
            f"{label}: "
            + "; ".join(f"{at:g}: decode {decode:.2f} + match {match:.2f} µs" for at, decode, match in curve)
        )


WIDTH, HEIGHT, LEFT, BOTTOM = 560, 300, 56, 44


def drawn(label: str, curve: Curve, *, logarithmic: bool) -> str:
    """Two areas, one upon the other: decoding and matching."""
    top = max(decode + match for _, decode, match in curve) * 1.15
    places = _places([at for at, _, _ in curve], logarithmic=logarithmic)
    height = HEIGHT - BOTTOM - 16

    def y(value: float) -> float:
        return 16 + height * (1 - value / top)

    def area(lower: Sequence[float], upper: Sequence[float], colour: str) -> str:
        points = [*zip(places, upper, strict=True), *reversed(list(zip(places, lower, strict=True)))]
        path = " ".join(f"{x:.1f},{y(value):.1f}" for x, value in points)
        return f'<polygon points="{path}" fill="{colour}"/>'

    decode, whole = [one[1] for one in curve], [one[1] + one[2] for one in curve]
    parts = [area([0.0] * len(curve), decode, "#9db4c8"), area(decode, whole, "#d98c5f")]
    for step in range(5):
        value = top * step / 4
        parts.append(_text(LEFT - 8, y(value) + 4, f"{value:.1f}", "end"))
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 16}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#ccc" stroke-width="0.5"/>'
        )
    parts += [_text(x, HEIGHT - BOTTOM + 16, f"{at:,g}", "middle") for x, (at, _, _) in zip(places, curve, strict=True)]
    parts.append(_text((LEFT + WIDTH) / 2, HEIGHT - 8, label, "middle"))
    parts.append(_text(LEFT + 10, 30, "µs of CPU time an event: decoding and door (blue), matching (orange)", "start"))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n{body}\n</svg>\n'
    )


def _places(values: Sequence[float], *, logarithmic: bool) -> list[float]:
    """Across the picture, evenly or by their order of magnitude: the values themselves grow about evenly in it."""
    room = WIDTH - LEFT - 32
    if logarithmic:
        return [LEFT + room * place / (len(values) - 1) for place in range(len(values))]
    return [LEFT + room * (value - values[0]) / (values[-1] - values[0]) for value in values]


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#333">{words}</text>'


if __name__ == "__main__":
    main()
