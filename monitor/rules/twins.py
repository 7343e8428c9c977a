"""Twins: events that a rule must fire on and events it must not, run through the decoder and the rule engine.

The twin of ``NAME.yml`` is ``NAME/hit.jsonl`` and ``NAME/miss.jsonl`` beside it, with ``NAME/apps.jsonl`` where the rule names
registry fields. Every line of the one must match and no line of the other; where the file counts events in a window, the
whole of the one must make each of its correlations fire, and the whole of the other none. The events stand as they are
behind the door: people hashed, secrets replaced and listed in ``redaction.kinds``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from detectors.event import (
    ARRIVAL,
    DUPLICATE,
    END_OF_TIME,
    FUTURE,
    HASH,
    INDEX,
    LATE,
    LINE,
    PARTITION,
    POSITION,
    TIME,
    WATERMARK,
    Batch,
)
from detectors.sigma import Explanation, Rule, explain
from detectors.sigma.distinct import Rows
from detectors.sigma.match import Matcher
from detectors.sigma.nearest import Look, left_out, look, look_text
from detectors.sigma.rule import Window
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.registry import Registry, parse_registry
from monitor.sources import RawBatch

TWIN_BYTES_MAX: Final = 16 << 20
"""Size of one file of a twin."""

FAILURES_MAX: Final = 50
"""Lines told one by one of each file of a twin."""

REASON_CHARACTERS_MAX: Final = 500
"""Of why a line matches or does not; conditions can be long."""

SILENCE_CHARACTERS_MAX: Final = 1_000
"""Of why a correlation does not speak."""

HIT: Final = "hit.jsonl"
MISS: Final = "miss.jsonl"
APPS: Final = "apps.jsonl"


class TwinFailure(msgspec.Struct, frozen=True):
    """Where a twin and its rule disagree; line 0 is the file as a whole."""

    path: str
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.message}"


class _Twin(msgspec.Struct, frozen=True):
    """The two files, read."""

    hit: pl.DataFrame
    miss: pl.DataFrame


def twin_digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of a twin that is there."""
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in (HIT, MISS, APPS)
        if (folder / name).is_file()
    }


def missing(folder: Path) -> list[Path]:
    """The files that a twin must have and that are not there."""
    return [folder / name for name in (HIT, MISS) if not (folder / name).is_file()]


def run_twin(rules: Sequence[Rule], own: frozenset[str], folder: Path) -> list[TwinFailure]:
    """What the twin in a folder says about a rule file: nothing when all is well.

    `rules` are those of the file and all that they count; `own` are the ids of the file's own.
    """
    if absent := missing(folder):
        return [TwinFailure(str(path), 0, "is not there; a rule without a twin is refused") for path in absent]
    failures: list[TwinFailure] = []
    needed = frozenset(INDEX).union(*(rule.needs for rule in rules))
    registry, problems = _registry(folder / APPS)
    failures.extend(problems)
    hit, bad_hit = _events(folder / HIT, needed, registry)
    miss, bad_miss = _events(folder / MISS, needed, registry)
    failures.extend((*bad_hit, *bad_miss))
    if failures:
        return failures
    for name, frame in ((HIT, hit), (MISS, miss)):
        if not frame.height:
            failures.append(TwinFailure(str(folder / name), 0, "has no events"))
    twin = _Twin(hit, miss)
    mine = [rule for rule in rules if rule.id in own]
    told = [rule for rule in mine if not rule.silent] or mine  # a file may hold only what other files count
    if any(rule.is_correlation for rule in told):
        failures.extend(_windows(rules, [rule for rule in told if rule.is_correlation], twin, folder))
    else:
        failures.extend(_lines(told, twin, folder))
    return failures


def why_not(rule: Rule, frame: pl.DataFrame, row: int) -> str:
    """Why a rule on single events is not true of a row: the first part of it that had to hold and does not."""
    return _failed(explain(rule, Batch(frame, END_OF_TIME), row))


def _failed(part: Explanation) -> str:
    if part.text == "not" and part.parts:
        return f"excluded because {_held(part.parts[0])}"
    if part.text == "any of":
        return "none of: " + "; ".join(_failed(one) for one in part.parts)
    failed = next((one for one in part.parts if not one.true), None)
    if failed is not None:
        return _failed(failed)
    return f"{part.text} ({'the event has no such field' if part.found is None else f'found {part.found!r}'})"


def _held(part: Explanation) -> str:
    """What makes an exclusion true."""
    held = [one for one in part.parts if one.true]
    if part.text == "not" and part.parts:
        return f"not so: {_failed(part.parts[0])}"
    if not held:
        return f"{part.text} (found {part.found!r})"
    return " and ".join(_held(one) for one in (held[:1] if part.text == "any of" else held))


def _lines(told: Sequence[Rule], twin: _Twin, folder: Path) -> Iterator[TwinFailure]:
    """Each line by itself, for rules that look at single events."""
    hits = Matcher(told).match(twin.hit)
    matched = {int(row) for rows in hits.values() for row in rows}
    unmatched = [row for row in range(twin.hit.height) if row not in matched]
    for row in unmatched[:FAILURES_MAX]:
        reason = "; ".join(why_not(rule, twin.hit, row) for rule in told)[:REASON_CHARACTERS_MAX]
        yield TwinFailure(str(folder / HIT), _line(twin.hit, row), f"must match and does not: {reason}")
    for rule in told:
        if twin.hit.height and rule.id not in hits and not unmatched:
            yield TwinFailure(str(folder / HIT), 0, f"no line matches {rule.title!r}")
        for row in Matcher([rule]).match(twin.miss).get(rule.id, [])[:FAILURES_MAX]:
            reason = _held(explain(rule, Batch(twin.miss, END_OF_TIME), int(row)))[:REASON_CHARACTERS_MAX]
            said = f"must not match and does: {rule.title!r}: {reason}"
            yield TwinFailure(str(folder / MISS), _line(twin.miss, int(row)), said)


def _windows(rules: Sequence[Rule], told: Sequence[Rule], twin: _Twin, folder: Path) -> Iterator[TwinFailure]:
    """The whole of each file, for rules that count events."""
    looks, matches = look(rules, Batch(twin.hit, END_OF_TIME))
    for rule in told:
        if rule.id not in looks or not looks[rule.id].spoke:
            said = _silent(rule, rules, looks, matches, twin.hit)[:SILENCE_CHARACTERS_MAX]
            yield TwinFailure(str(folder / HIT), 0, f"{rule.title!r} must fire and does not; {said}")
    looks, _ = look(rules, Batch(twin.miss, END_OF_TIME))
    for rule in told:
        found = looks.get(rule.id)
        if rule.window is not None and found is not None and found.spoke:
            said = look_text(rule.window, found, _base_names(rule.window, rules))[:REASON_CHARACTERS_MAX]
            line = _line_of(twin.miss, found)
            yield TwinFailure(
                str(folder / MISS), line, f"{rule.title!r} must not fire and does, with this event: {said}"
            )


def _silent(
    rule: Rule, rules: Sequence[Rule], looks: Mapping[str, Look], matches: Mapping[str, Rows], frame: pl.DataFrame
) -> str:
    """Why a correlation does not speak: what it had to count, what of that took no part, and how near it came."""
    if rule.window is None:
        return ""
    names = _base_names(rule.window, rules)
    parts = []
    for base, name in zip(rule.window.bases, names, strict=True):
        if any(one.id == base and one.window for one in rules):
            spoke = base in looks and looks[base].spoke
            parts.append(f"{name!r} speaks" if spoke else f"{name!r} does not speak")
        else:
            parts.append(f"{len(matches.get(base, []))} of {frame.height} events match {name!r}")
    parts += left_out(rule.window, frame, matches, names)
    found = looks.get(rule.id)
    if found is not None:
        parts.append(f"it came nearest at line {_line_of(frame, found)}, {look_text(rule.window, found, names)}")
    return "; ".join(parts)


def _base_names(window: Window, rules: Sequence[Rule]) -> list[str]:
    names = {rule.id: rule.name or rule.title for rule in rules}
    return [names.get(base, base) for base in window.bases]


def _line_of(frame: pl.DataFrame, found: Look) -> int:
    event = frame.filter((pl.col(TIME) == found.time) & (pl.col(HASH) == found.hash))
    return _line(event, 0)


def _line(frame: pl.DataFrame, row: int) -> int:
    return int(frame["_number"][row])


def _registry(path: Path) -> tuple[Registry, list[TwinFailure]]:
    lines = path.read_bytes().splitlines() if path.is_file() else []
    records, problems = parse_registry(lines, now=0)
    return Registry(records), [TwinFailure(str(path), problem.line, problem.message) for problem in problems]


def _events(path: Path, needed: frozenset[str], registry: Registry) -> tuple[pl.DataFrame, list[TwinFailure]]:
    """A file of a twin as the engine would see it, and its lines that are no events."""
    if path.stat().st_size > TWIN_BYTES_MAX:
        return pl.DataFrame(), [TwinFailure(str(path), 0, f"is larger than {TWIN_BYTES_MAX} bytes")]
    lines = [(number, line) for number, line in enumerate(path.read_bytes().split(b"\n"), start=1) if line.strip()]
    data = b"".join(line + b"\n" for _, line in lines)
    fields = frozenset(name for name in needed if not name.startswith(("app.", "catalogue."))) | registry.fields(needed)
    decoded = NdjsonDecoder().decode(
        RawBatch(partition="twin", format="ndjson", data=data, start=0, end=len(data)), fields
    )
    starts: dict[int, int] = {}
    offset = 0
    for number, line in lines:
        starts[offset] = number
        offset += len(line) + 1
    bad = [
        TwinFailure(str(path), starts[letter.position], f"is no event: {letter.detail}")
        for letter in decoded.dead_letters
    ]
    time = pl.col("@timestamp")
    frame = decoded.frame.with_columns(
        time.alias(TIME),
        time.alias(ARRIVAL),
        pl.lit(-1, dtype=pl.Int64).alias(WATERMARK),
        pl.col(LINE).hash().alias(HASH),
        pl.lit("twin").alias(PARTITION),
        pl.col(POSITION).replace_strict(starts, return_dtype=pl.Int64).alias("_number"),
        *(pl.lit(value=False).alias(name) for name in (LATE, FUTURE, DUPLICATE)),
    )
    return registry.join(frame, needed), bad
