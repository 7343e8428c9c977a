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
from monitor.app import Daemon, open_daemon
from monitor.config import Config, load_config
from monitor.kept import Kept
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


def crowded(seed: int, bursts: int = 80, *, troubled: bool = True, begun_s: float = 0.0) -> list[bytes]:
    """Short lines of bursts that make windows fire, in the order of their arrival, which is not that of their times.

    Some collectors tell when an event arrived and others do not, so the arrival clock has to know. With `troubled`, now and
    then nobody has anything to say for longer than a clock believes at once, some events come too late, and some claim times
    ahead, by a minute or by years. The stream begins `begun_s` after 2026-03-03T01:06:40Z.
    """
    chance = random.Random(seed)
    events: list[tuple[float, bytes]] = []
    for burst in range(bursts):
        begun_s += chance.uniform(0.5, 4.0) + (SILENCE_S if troubled and burst % 8 == 7 else 0.0)
        kind = chance.choice([_declined, _exchanged, _seen_on_devices])
        for number in range(chance.randrange(2, 9)):
            happened_s = begun_s + chance.uniform(0, 3.0)
            held_up_s = 3.0 if troubled and chance.random() < 0.04 else 0.0
            arrived_s = happened_s + held_up_s + chance.uniform(0, DELAY_S_MAX)
            body = kind(burst, number)
            told = {"ingested": _milliseconds(arrived_s)} if chance.random() < 0.4 else {}
            events.append((arrived_s, _line(happened_s, {"id": f"{burst}-{number}", **told}, body)))
    lines = [line for _, line in sorted(events, key=lambda event: event[0])]
    return _with_forged(lines, chance) if troubled else lines


SILENCE_S: Final = 400.0
"""More than ``clock.step_s_max`` and ``clock.skew_s_max``: what comes after it is believed when a second event says the same."""

DELAY_S_MAX: Final = 0.9
"""How long the crowded events are on their way: less than half of the lateness, so that as much is left for shuffling."""

BEFORE_MIDNIGHT_S: Final = 80_300.0
"""A beginning of the crowded events whose middle is the end of a day."""

_BEGINNING_MS: Final = 1_772_500_000_000


def _declined(burst: int, number: int) -> dict[str, Any]:
    """One device whose payments are declined; five in ten minutes are too many."""
    payment = {"payment": {"payer_id": f"p{burst}-{number}"}, "error": {"code": "-15020"}}
    return {"dataset": "miniprogram.payment", "action": "requestPayment", "device": {"id": f"d{burst}"}, **payment}


def _exchanged(burst: int, number: int) -> dict[str, Any]:
    """One login code that is exchanged again; three times are too many."""
    event = {"dataset": "miniprogram.gateway", "action": "code2Session", "outcome": "failure"}
    return {**event, "auth": {"code": f"code-of-burst-{burst}"}, "source": {"ip": f"198.18.0.{number}"}}


def _seen_on_devices(burst: int, number: int) -> dict[str, Any]:
    """One login code on several devices; two are too many."""
    event = {"dataset": "miniprogram.auth", "action": "login"}
    return {**event, "auth": {"code": f"code-of-burst-{burst}"}, "device": {"id": f"d{burst}-{number // 2}"}}


def _line(happened_s: float, event: dict[str, Any], body: dict[str, Any]) -> bytes:
    event |= {key: body.pop(key) for key in ("dataset", "action", "outcome") if key in body}
    app = {"miniprogram": {"app_id": "wx5b1e7c90a4d2f836", "developer_id": "dev-1"}}
    return msgspec.json.encode({"@timestamp": _milliseconds(happened_s), "event": event, **app, **body}) + b"\n"


def _milliseconds(seconds: float) -> int:
    return _BEGINNING_MS + int(seconds * 1000)


def _with_forged(lines: list[bytes], chance: random.Random) -> list[bytes]:
    """Single lines with a time ahead: two in a row would be believed."""
    mixed: list[bytes] = []
    for number, line in enumerate(lines):
        mixed.append(line)
        if number % 12 == 6:
            known = msgspec.json.decode(line)["@timestamp"]
            ahead_ms = chance.choice([90_000, 5 * 365 * 86_400_000])
            forged = {"@timestamp": known + ahead_ms, "event": {"id": f"forged-{number}", "action": "login"}}
            mixed.append(msgspec.json.encode(forged) + b"\n")
    return mixed


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
def daemon(config: Config, log: io.StringIO | None = None, *, now: int = NOW, **more: Any) -> Iterator[Daemon]:
    """A daemon that reads to the end, its log in `log`, its clock standing at `now`."""
    telemetry = Telemetry(level="info", log_format="json", stream=log or io.StringIO())
    with open_daemon(config, telemetry, **{"until_end": True, "clock": lambda: now, **more}) as opened:
        yield opened


def run(
    config: Config, *, stop_after: int | None = None, log: io.StringIO | None = None, lot_bytes: int | None = None
) -> bool:
    """Read to the end, or stop in order after some turns; whether the end was reached.

    `lot_bytes` is what is read at once, smaller than any configuration may ask.
    """
    with daemon(config, log) as opened:
        if lot_bytes is not None:
            opened.pipeline.settings = dataclasses.replace(opened.pipeline.settings, bytes_max=lot_bytes)
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
    strays: list[str]

    @property
    def counts(self) -> dict[str, int]:
        """Findings and how much evidence each has."""
        return {key: finding.evidence.count for key, finding in self.findings.items()}


def outcome(data_dir: Path, config: Config | None = None) -> Outcome:
    """Read all that is compared from a data folder, and from the record that is configured, if that is elsewhere."""
    kept = Kept.open(data_dir) if config is None else Kept.of(config)
    try:
        store = kept.store
        findings = {finding.id: finding for finding in store.findings()}
        decisions = {decision.id: decision for decision in store.decisions()}
        incidents = {incident.id: incident for incident in store.incidents()}
        entities = {finding.entity for finding in findings.values()}
        progress = list(store.progress().values())
        segments = store.segments()
        frames = kept.archive.scan(segments, columns=["event.id", LINE])
        files = {path.relative_to(kept.archive.folder).as_posix() for path in kept.archive.folder.glob("*/*.*")}
        names = ("received", "processed", "dead_lettered", "late", "duplicate", "future")
        return Outcome(
            findings=findings,
            incidents=incidents,
            decisions=decisions,
            considered={key: store.considered(key) for key in findings},
            risks={f"{entity.scope}:{entity.value}": risk.score for entity, risk in store.risks(entities).items()},
            totals={name: sum(getattr(each, name) for each in progress) for name in names},
            imbalance=sum(abs(each.imbalance) for each in progress),
            dead_letters=dict(store.counts().dead_letters_by_reason),
            archived=[(row[0], row[1]) for frame in frames for row in frame.iter_rows()],
            strays=sorted(files - {segment.path for segment in segments}),
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
    if found.strays:
        wrong["files that nothing names"] = found.strays[:3]
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


def refusing(times: Callable[[str, int], bool], number: int) -> Callable[[str], None]:
    """An observer that refuses some passings of boundaries, as a disk does with this error number."""
    passed: Counter[str] = Counter()

    def observe(name: str) -> None:
        passed[name] += 1
        if times(name, passed[name]):
            raise OSError(number, os.strerror(number))

    return observe


KILLS: Final = int(os.environ.get("MINIWATCH_KILLS", "50"))
"""How many random kills the long kill journey has."""
