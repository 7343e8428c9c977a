"""A whole run of the daemon on a data folder, and all that it leaves behind in a form that can be compared."""

from __future__ import annotations

import dataclasses
import io
import math
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from detectors.event import LINE
from detectors.finding import Finding
from monitor import durable
from monitor.app import Daemon, Kept, imbalance, open_daemon
from monitor.config import Config, load_config
from monitor.simulate import simulate
from monitor.telemetry import Telemetry
from playbooks.decision import Considered, Decision
from playbooks.incident import Incident

PEOPLE_KEY: Final = "5e" * 32
"""One key for all runs: people's hashes are part of what is compared."""

NOW: Final = 1_772_500_000_000_000
"""The daemon's clock in runs to the end: it must not matter."""

LOUD: Final = frozenset({"plain-http", "carding", "injection", "resource-enumeration", "sandbox-escape"})
"""Misbehaviour that brings findings of single events and of windows, of apps, devices, people and addresses."""


def stream(seed: int, events: int, kinds: frozenset[str] = LOUD, duration_s: int = 600) -> bytes:
    """Simulated traffic, dense enough that a part of it is dense too."""
    return b"".join(simulate(seed, events, apps=20, duration_s=duration_s, kinds=kinds))


def troubled(seed: int, events: int) -> list[bytes]:
    """Lines of a stream with everything in it that batches could get wrong.

    Some come twice, some again with other content, some late, some claim the far future, some cannot be read.
    """
    chance = random.Random(seed)
    lines = stream(seed, events).splitlines(keepends=True)
    for line in chance.sample(lines, 12):
        lines.insert(lines.index(line) + chance.randrange(1, 400), line)
    for line in chance.sample(lines, 6):
        other = line.replace(b'"event":{', b'"labels":{"told":"otherwise"},"event":{', 1)
        lines.insert(lines.index(line) + chance.randrange(1, 400), other)
    for line in chance.sample(lines, 12):
        place = lines.index(line)
        del lines[place]
        lines.insert(place + chance.randrange(50, 600), line)
    for place in chance.sample(range(len(lines)), 4):
        lines[place] = re.sub(rb'"@timestamp":"2026', b'"@timestamp":"2031', lines[place])
    for bad in (
        b"{",
        b"",
        b"[1]",
        b'{"@timestamp":"soon"}',
        b"\xff",
        b'{"event":{"id":"x"}}',
        b'{"@timestamp":1,"@timestamp":2}',
    ):
        lines.insert(chance.randrange(len(lines)), bad + b"\n")
    return lines


def configured(data_dir: Path, sources: Sequence[Path | str], **keys: object) -> Config:
    """A configuration for a data folder; `keys` are of ``config.toml``, with two underscores for the dot."""
    data_dir.mkdir(parents=True, exist_ok=True)
    key_file = data_dir.parent / "people.key"
    if not key_file.exists():
        key_file.touch(0o600)
        key_file.write_text(PEOPLE_KEY)
    overrides: dict[str, object] = {
        "data_dir": str(data_dir),
        "sources": [{"uri": place if isinstance(place, str) else f"file:{place}"} for place in sources],
        "people.key_file": str(key_file),
        "http.listen": "",
    }
    return load_config(None, {}, overrides | {name.replace("__", "."): value for name, value in keys.items()})


@contextmanager
def daemon(config: Config, log: io.StringIO | None = None, **more: Any) -> Iterator[Daemon]:
    """A daemon that reads to the end, its log in `log`."""
    telemetry = Telemetry(level="info", log_format="json", stream=log or io.StringIO())
    with open_daemon(config, telemetry, until_end=True, clock=lambda: NOW, **more) as opened:
        yield opened


def run(config: Config, *, stop_after: int | None = None, log: io.StringIO | None = None) -> bool:
    """Read to the end, or stop in order after some turns; whether the end was reached."""
    with daemon(config, log) as opened:
        left = [stop_after]

        def count(_: object) -> None:
            if left[0] is not None:
                left[0] -= 1
                if left[0] <= 0:
                    opened.stop()

        opened.run(count)
        return all(intake.exhausted for intake in opened.pipeline.intakes)


def remember_every_turn(opened: Daemon) -> None:
    """Let a daemon save a snapshot after every turn, more often than any configuration may ask."""
    opened.pipeline.settings = dataclasses.replace(opened.pipeline.settings, snapshot_s=0.0)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has left in its data folder."""

    findings: dict[str, Finding]
    incidents: dict[str, Incident]
    decisions: dict[str, Decision]
    considered: dict[str, Considered | None]
    risks: dict[str, float]
    totals: dict[str, int]
    imbalance: int
    dead_letters: dict[str, int]
    archived: list[tuple[str, str]]

    @property
    def counts(self) -> dict[str, int]:
        """Findings and how much evidence each has."""
        return {key: finding.evidence.count for key, finding in self.findings.items()}


def outcome(data_dir: Path) -> Outcome:
    """Read all that is compared from a data folder."""
    kept = Kept.open(data_dir)
    try:
        store = kept.store
        findings = {finding.id: finding for finding in store.findings()}
        decisions = {decision.id: decision for decision in store.decisions()}
        incidents = {incident.id: incident for incident in store.incidents()}
        entities = {finding.entity for finding in findings.values()}
        progress = list(store.progress().values())
        frames = kept.archive.scan(store.segments(), columns=["event.id", LINE])
        names = ("received", "processed", "dead_lettered", "late", "duplicate", "future")
        return Outcome(
            findings=findings,
            incidents=incidents,
            decisions=decisions,
            considered={key: store.considered(key) for key in findings},
            risks={f"{entity.scope}:{entity.value}": risk.score for entity, risk in store.risks(entities).items()},
            totals={name: sum(getattr(each, name) for each in progress) for name in names},
            imbalance=sum(abs(imbalance(each)) for each in progress),
            dead_letters=dict(Counter(letter.reason.value for letter in store.dead_letters())),
            archived=[(row[0], row[1]) for frame in frames for row in frame.iter_rows()],
        )
    finally:
        store.close()


def differences(expected: Outcome, found: Outcome, *, decided: bool = True, ordered: bool = True) -> dict[str, Any]:
    """What differs, by name, a few of each; empty when two runs have come to the same.

    Without `decided`, only what does not depend on the wall clock. Without `ordered`, the archive may hold its events
    in another order.
    """
    wrong: dict[str, Any] = {}
    tables = ["findings", "dead_letters", "totals", *(["incidents", "decisions", "considered"] if decided else [])]
    for name in tables:
        wrong |= _unlike(name, getattr(expected, name), getattr(found, name))
    if decided:
        wrong |= _unlike("risks", expected.risks, found.risks)
    arrange: Callable[[list[tuple[str, str]]], list[tuple[str, str]]] = list if ordered else sorted
    if arrange(expected.archived) != arrange(found.archived):
        lost, more = (
            Counter(expected.archived) - Counter(found.archived),
            Counter(found.archived) - Counter(expected.archived),
        )
        wrong["archived"] = {"lost": list(lost)[:3], "more": list(more)[:3], "events": len(found.archived)}
    if len(set(found.archived)) != len(found.archived):
        wrong["archived twice"] = [key for key, count in Counter(found.archived).items() if count > 1][:3]
    if found.imbalance:
        wrong["imbalance"] = found.imbalance
    return wrong


def _unlike(name: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    lost = [expected[key] for key in expected.keys() - found.keys()]
    more = [found[key] for key in found.keys() - expected.keys()]
    other = [
        (expected[key], found[key]) for key in expected.keys() & found.keys() if not _alike(expected[key], found[key])
    ]
    every = {"lost": lost, "more": more, "other": other}
    return {f"{name} {kind}": (len(some), some[:2]) for kind, some in every.items() if some}


def _alike(one: Any, other: Any) -> bool:
    """Equal; fractions (a risk) to nine digits."""
    if isinstance(one, Incident) and isinstance(other, Incident):
        return _alike(one.risk, other.risk) and one == msgspec.structs.replace(other, risk=one.risk)
    if isinstance(one, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return bool(one == other)


@contextmanager
def watched(observer: Callable[[str], None]) -> Iterator[None]:
    """Let `observer` see every durable boundary."""
    earlier, durable.observer = durable.observer, observer
    try:
        yield
    finally:
        durable.observer = earlier


KILLS: Final = int(os.environ.get("MINIWATCH_KILLS", "6"))
"""How many random kills the kill journey has."""
