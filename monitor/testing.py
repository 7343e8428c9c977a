"""Stand-ins for the outside world, and the laws that every member of a family keeps."""

# ruff: noqa: S101 - assertions are how a battery speaks

from __future__ import annotations

import errno
import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
import numpy as np

from detectors.finding import Entity, Evidence, Finding, RuleRef, Scope, Severity
from monitor import durable
from monitor.audit import AuditEntry, verify
from monitor.decoders import DeadLetter, DeadLetterReason
from monitor.sealing import Seal
from monitor.sources import LINES_MAX, Position, RawBatch, Source
from monitor.sources.lines import LINE_BYTES_MAX, Cut, LineCutter
from monitor.stores import (
    CONTROLS_KEPT,
    AppRecord,
    Control,
    Mark,
    Message,
    Progress,
    Segment,
    StaleTurn,
    Standing,
    StandingKind,
    StoreError,
    Turn,
)
from monitor.stores.record import AlreadyEnded, DeliveryState, NotFound, Query, Record, UnknownFilter
from monitor.stores.sqlite import SqliteStore
from playbooks.decision import Act, Considered, Decision, DecisionState, Mode, Reason, Tier
from playbooks.incident import Incident
from playbooks.risk import Risk

__all__ = [
    "MemorySource",
    "check_batches",
    "check_resume",
    "check_source",
    "check_store",
    "scratch_store",
    "whole_turn",
]


class MemorySource:
    """A source whose stream is given by the test: whole from the start, or fed as the test goes on.

    Unless `follow`, it ends where `content` ends. `append` is the writer; it may stop in the middle of a line.
    """

    def __init__(
        self,
        content: bytes = b"",
        *,
        partition: str = "memory:1",
        follow: bool = False,
        format: str = "ndjson",  # noqa: A002 - the word of the configuration
        line_bytes_max: int = LINE_BYTES_MAX,
    ) -> None:
        self.partition = partition
        self.content = content
        self.follow = follow
        self._format = format
        self._line_bytes_max = line_bytes_max
        self._ready: deque[Cut] = deque()
        self._finished = False
        self._cutter = LineCutter(0, line_bytes_max)
        self._at = 0

    def append(self, data: bytes) -> None:
        """Write more into the stream."""
        self.content += data

    @property
    def ready(self) -> bool:
        """Whether lines that were cut wait to be given."""
        return bool(self._ready)

    @property
    def ended(self) -> bool:
        """Whether all has been given and no more will come."""
        return self._finished and not self._ready

    @property
    def lag_bytes(self) -> int | None:
        """What has been written and not given."""
        return len(self.content) - (self._ready[0].start if self._ready else self._cutter.position)

    @property
    def missing(self) -> str | None:
        """Nothing: all of it is in memory."""
        return None

    def open(self, position: Position | None) -> None:
        """Go to the position, or to the beginning."""
        self._at = position.end if position else 0
        self._cutter = LineCutter(self._at, self._line_bytes_max)
        self._ready.clear()
        self._finished = False

    def read(self, bytes_max: int, wait_s: float, lines_max: int = LINES_MAX) -> RawBatch | None:
        """The next lines at once, or None: nobody writes while we would wait."""
        del wait_s
        while not self._ready and not self._finished:
            block = self.content[self._at : self._at + bytes_max]
            self._at += len(block)
            self._ready.extend(self._cutter.feed(block, lines_max))
            if not block and self.follow:
                return None
            if not block:
                self._ready.extend(self._cutter.finish())
                self._finished = True
        if not self._ready:
            return None
        cut = self._ready.popleft()
        return RawBatch(self.partition, self._format, cut.data, cut.start, cut.end, b"", cut.oversized)

    def close(self) -> None:
        """Nothing to let go."""


SOURCE_LINE_BYTES_MAX: Final = 64
"""The bound on a line that the sources made for `check_source` must have."""

_STREAMS: Final = (
    b"",
    b"\n",
    b"one line\n",
    b"no newline",
    b"\n\n  \n",
    b"a\nbb\nccc\n" * 40 + b"last, unfinished",
    b"\r\n\x00\xff\xfe\n\xe4\xb8\xad\n" * 9,
    b"x" * 64 + b"\n" + b"y" * 65 + b"\n" + b"z" * 64,
    b"short\n" + b"o" * 1000 + b"\n" + b"p" * 70 + b"\nshort\n" + b"q" * 5000,
    b"".join(b"%d:%s\n" % (number, b"v" * (number * 7 % 90)) for number in range(200)),
)
_BYTES_MAX: Final = (1, 7, 64, 100, 4096, 1 << 20)
_LINES_MAX: Final = (1, 3, 7)
_READS_MAX: Final = 100_000


def check_source(make: Callable[[bytes], Source], *, rewinds: bool = True) -> None:
    """The laws that every source keeps. `make` gives a new source of the stream that holds just these bytes.

    Its lines are bounded by `SOURCE_LINE_BYTES_MAX`, and it does not follow. Called again with the same bytes it gives
    the same partition. Where a stream cannot be read twice, `rewinds` is false and resuming is not tried.
    """
    for content in _STREAMS:
        for bytes_max in _BYTES_MAX:
            batches = _read_to_end(make(content), None, bytes_max)
            check_batches(content, batches)
            if rewinds and bytes_max >= 64:
                check_resume(make, content, batches, bytes_max)
        for lines_max in _LINES_MAX:
            batches = _read_to_end(make(content), None, 1 << 20, lines_max)
            check_batches(content, batches)
            most = max((batch.data.count(b"\n") + len(batch.oversized) for batch in batches), default=0)
            assert most <= lines_max, f"{most} lines in a batch, where {lines_max} were asked for"
            if rewinds:
                check_resume(make, content, batches, 1 << 20)


def check_batches(content: bytes, batches: Sequence[RawBatch], line_bytes_max: int = SOURCE_LINE_BYTES_MAX) -> None:
    """Every line of the content stands once, whole and in order, in the batches, at its position."""
    expected: list[tuple[int, int, bytes | None]] = []
    position = 0
    for line in _lines(content):
        text = line.removesuffix(b"\n")
        expected.append((position, len(text), text if len(text) <= line_bytes_max else None))
        position += len(line)
    found: list[tuple[int, int, bytes | None]] = []
    end = 0
    for batch in batches:
        assert batch.start == end, f"a batch begins at {batch.start} where {end} was next"
        assert batch.end > batch.start, f"a batch at {batch.start} goes nowhere"
        assert not batch.data or batch.data.endswith(b"\n"), f"the batch at {batch.start} splits a line"
        lines = _lines(batch.data)
        offsets = np.cumsum([0, *(len(line) for line in lines)], dtype=np.int64)[:-1]
        for line, at, offset in zip(lines, batch.positions(offsets).tolist(), offsets.tolist(), strict=True):
            assert batch.offset(at) == offset, f"the position {at} leads to another line"
            found.append((at, len(line) - 1, line[:-1]))
        for large in batch.oversized:
            assert content.startswith(large.head, large.position), f"wrong head of the line at {large.position}"
            assert 0 < len(large.head) <= large.length, f"no head of the line at {large.position}"
            found.append((large.position, large.length, None))
        end = batch.end
    assert sorted(found) == expected, "the lines given are not the lines of the stream"
    assert end == len(content), f"the last batch ends at {end}, the stream at {len(content)}"


def check_resume(make: Callable[[bytes], Source], content: bytes, batches: Sequence[RawBatch], bytes_max: int) -> None:
    """From every committed position on, the same lines come as without the stop."""
    for number, batch in enumerate(batches):
        again = _read_to_end(make(content), Position(batch.partition, batch.end, batch.cursor), bytes_max)
        rest = batches[number + 1 :]
        assert b"".join(one.data for one in again) == b"".join(one.data for one in rest), f"resumed at {batch.end}"
        assert [line for one in again for line in one.oversized] == [line for one in rest for line in one.oversized]
        assert (again[-1].end if again else batch.end) == batches[-1].end


def _read_to_end(
    source: Source, position: Position | None, bytes_max: int, lines_max: int = LINES_MAX
) -> list[RawBatch]:
    source.open(position)
    batches = []
    for _ in range(_READS_MAX):
        batch = source.read(bytes_max, 0.0, lines_max)
        if batch is not None:
            assert batch.partition == source.partition
            batches.append(batch)
        elif source.ended:
            break
        assert not (source.ready and source.ended), "what waits to be given is not at its end"
    assert source.ended, "a source that does not follow ends"
    assert source.read(bytes_max, 0.0) is None, "nothing comes after the end"
    assert source.lag_bytes in {0, None}, "nothing is left to read at the end"
    source.close()
    return batches


def _lines(data: bytes) -> list[bytes]:
    """Lines with their newlines; only a newline byte ends one."""
    return io.BytesIO(data).readlines()


APP: Final = Entity(Scope.APP, "wx0001")
"""The app that the turns made here are about."""


def stored_finding(key: str = "f1", time: int = 100, *, count: int = 1, rule: str = "rule", **more: Any) -> Finding:
    """A finding about `APP` with one event id for each time it was counted."""
    given: dict[str, Any] = {
        "detector": "sigma",
        "kind": "rule",
        "rule": RuleRef(rule, "v1"),
        "entity": APP,
        "severity": Severity.HIGH,
        "title": "Something was seen",
        "evidence": Evidence(count=count, event_ids=tuple(f"{key}@{time}#{n}" for n in range(min(count, 20)))),
    }
    return Finding(id=key, time=time, first_event=time, last_event=time, **{**given, **more})


def stored_decision(key: str = "d1", time: int = 100, expires: int = 1000, **more: Any) -> Decision:
    """A live decision about `APP`."""
    given: dict[str, Any] = {
        "scope": APP.scope,
        "value": APP.value,
        "type": Act.THROTTLE,
        "tier": Tier.THROTTLE,
        "duration_s": 1,
        "origin": "playbook:test",
        "reason": Reason.PLAYBOOK,
        "explanation": "Seen once.",
        "mode": Mode.LIVE,
        "state": DecisionState.ACTIVE,
    }
    return Decision(id=key, time=time, expires=expires, **{**given, **more})


def stored_incident(key: str = "i1", opened: int = 100, **more: Any) -> Incident:
    """An open incident of `APP`."""
    given: dict[str, Any] = {
        "last_finding": opened,
        "due": opened + 10,
        "severity": Severity.HIGH,
        "risk": 50.0,
        "tier": Tier.WARN.value,
        "findings": 1,
        "title": "Trouble",
    }
    return Incident(id=key, entity=APP, opened=opened, **{**given, **more})


def whole_turn(number: int, **more: Any) -> Turn:
    """A turn that touches everything; `more` replaces parts of it."""
    day = "2026-01-01"
    given: dict[str, Any] = {
        "time": number * 100,
        "mark": Mark(watermark=number * 100 - 5, inputs="file:a"),
        "progress": [Progress(partition="file:a", end=number * 10, received=number * 2, processed=number * 2)],
        "dead_letters": [DeadLetter("file:a", number, DeadLetterReason.BROKEN_JSON, "at 3", b"{\x00\xff", 3)],
        "findings": [stored_finding(f"f{number}", number * 100), stored_finding("grows", number * 100)],
        "risks": [Risk(entity=APP, score=float(number), at=number)],
        "incidents": [stored_incident("i1", 100, findings=number)],
        "decisions": [stored_decision(f"d{number}", number * 100, number * 100 + 500, incident="i1")],
        "considered": [
            Considered(finding=f"f{number}", incident="i1", decision=f"d{number}", reason=Reason.PLAYBOOK, detail="")
        ],
        "messages": [Message(key=f"m{number}", channel="webhook:test", body=b"{}", created=number * 100)],
        "segments": [
            Segment(
                path=f"{day}/{number}",
                day=day,
                turn_first=number,
                turn_last=number,
                rows=2,
                bytes=9,
                time_min=0,
                time_max=1,
                sha256="",
            )
        ],
        "audit": [AuditEntry(time=number, actor="test", action="turn", subject=str(number), reason="because")],
    }
    return Turn(number=number, **{**given, **more})


@cache
def _empty_record() -> bytes:
    """A new record's file: making one costs a third of a second, a copy nothing."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "miniwatch.db"
        SqliteStore(path, seal=Seal(bytes(32))).close()
        return path.read_bytes()


def scratch_store(folder: Path, **options: Any) -> SqliteStore:
    """A record of its own in a folder, for one test; `options` are those of `SqliteStore`."""
    path = folder / "miniwatch.db"
    if not path.exists():
        path.write_bytes(_empty_record())
    return SqliteStore(path, seal=Seal(bytes(32)), **options)


def check_store(make: Callable[[], Record]) -> None:
    """The laws that every record keeps. `make` gives a new one, empty."""
    for law in _STORE_LAWS:
        store = make()
        try:
            law(store)
        finally:
            store.close()


def store_state(store: Record) -> dict[str, object]:
    """All that can be read from a record, for comparing."""
    return {
        "last_turn": store.last_turn(),
        "progress": store.progress(),
        "marks": [store.last_mark(), *store.marks(0)],
        "controls": [(one, store.content(one.digest)) for of in ("rules", "playbooks") for one in store.controls(of)],
        "findings": list(store.findings()),
        "incidents": list(store.incidents()),
        "decisions": list(store.decisions()),
        "dead_letters": [(row.id, row.time, row.replayed, store.unseal(row)) for row in store.dead_letters()],
        "considered": [store.considered(finding.id) for finding in store.findings()],
        "risks": store.risks([APP]),
        "messages": list(store.due_messages(2**60, 1000)),
        "segments": list(store.segments()),
        "audit": list(store.audit_entries()),
        "standings": list(store.standings(0)),
        "apps": list(store.apps()),
    }


@contextmanager
def failing_at(name: str, number: int = errno.ENOSPC) -> Iterator[None]:
    """Let one durable boundary fail as a full disk does."""

    def observe(boundary: str) -> None:
        if boundary == name:
            raise OSError(number, "No space left on device")

    earlier, durable.observer = durable.observer, observe
    try:
        yield
    finally:
        durable.observer = earlier


class _Raises:
    """A sequence that cannot be read."""

    def __iter__(self) -> Iterator[AuditEntry]:
        raise RuntimeError("planted")


def _refused(act: Callable[[], object], kind: type[StoreError]) -> StoreError:
    """What an act is refused with."""
    try:
        act()
    except kind as error:
        return error
    raise AssertionError(f"not refused with {kind.__name__}")


def _check_whole_turn(store: Record) -> None:
    store.commit(whole_turn(1))
    store.commit(whole_turn(2))
    assert store.last_turn() == 2
    assert store.progress()["file:a"].end == 20
    assert len(store.segments()) == 2
    assert store.risks([APP, Entity(Scope.APP, "other")]) == {APP: Risk(entity=APP, score=2.0, at=2)}
    assert store.open_incidents([APP])[APP].findings == 2
    assert [decision.id for decision in store.decisions_of([APP])[APP]] == ["d2", "d1"]
    assert store.known_findings(["f1", "grows", "absent"]) == {"f1", "grows"}
    considered = store.considered("f1")
    assert considered is not None
    assert considered.decision == "d1"
    rows = list(store.dead_letters())
    assert store.unseal(rows[0]) == whole_turn(2).dead_letters[0]
    assert verify(store.audit_entries()).entries == 2


def _check_stale_turn(store: Record) -> None:
    store.commit(whole_turn(5))
    before = store_state(store)
    for number in (5, 4):
        assert not _refused(lambda number=number: store.commit(whole_turn(number)), StaleTurn).retryable  # type: ignore[misc]
    assert store_state(store) == before, "a stale turn changed something"


def _check_merge(store: Record) -> None:
    first, second = stored_finding(time=100, count=15), stored_finding(time=50, count=15)
    third = stored_finding(time=300, count=2, title="Another title")
    store.commit(Turn(number=1, findings=[first, second]))
    store.commit(Turn(number=2, findings=[third]))
    found = store.finding("f1")
    assert found is not None
    assert (found.time, found.first_event, found.last_event) == (100, 50, 300)
    assert found.title == "Something was seen"
    assert (found.evidence.count, len(found.evidence.event_ids), found.evidence.truncated) == (32, 20, True)
    assert [one.evidence.count for one in store.findings()] == [32], "the parts of a finding are one"


def _check_whole_or_nothing(store: Record) -> None:
    store.commit(whole_turn(1))
    before = store_state(store)
    with suppress(RuntimeError):
        store.commit(whole_turn(2, audit=_Raises()))
    assert store_state(store) == before, "a turn that failed half-way left something"
    turn = whole_turn(2)
    with failing_at("commit:turn"):
        assert _refused(lambda: store.commit(turn), StoreError).retryable
    assert store_state(store) == before, "a turn that was refused left something"
    with failing_at("commit:turn:done"):
        _refused(lambda: store.commit(turn), StoreError)
    after = store_state(store)
    assert after["last_turn"] == 2
    store.commit(turn)  # the caller could not know
    assert store_state(store) == after, "a turn was counted twice"
    _refused(lambda: store.commit(turn), StaleTurn)


def _check_lists(store: Record) -> None:
    findings = [
        stored_finding(f"f{n:04d}", n // 2, severity=list(Severity)[n % 5], rule=f"r{n % 3}") for n in range(1203)
    ]
    store.commit(Turn(number=1, findings=findings, incidents=[stored_incident()]))
    store.commit(Turn(number=2, decisions=[stored_decision(state=DecisionState.HELD), stored_decision("d2", 200)]))
    times = [(one.time, one.id) for one in store.findings()]
    assert times == sorted(((one.time, one.id) for one in findings), reverse=True), "newest first, each once"
    assert [one.id for one in store.findings(Query(limit=3))] == ["f1202", "f1201", "f1200"]
    assert len(list(store.findings(Query(severity_min=Severity.HIGH, rule="r1", since=100, until=200)))) == sum(
        one.severity.rank >= 3 and one.rule.id == "r1" and 100 <= one.time < 200 for one in findings
    )
    assert not list(store.findings(Query(scope="AppId", value="other")))
    assert [one.id for one in store.decisions(Query(state="held"))] == ["d1"]
    assert store.incident("i1") == stored_incident()
    absent = [store.finding("-"), store.incident("-"), store.decision("-"), store.dead_letter("-"), store.delivery("-")]
    assert absent == [None] * 5
    _refused(lambda: list(store.decisions(Query(severity_min=Severity.LOW))), UnknownFilter)
    store.commit(whole_turn(3))
    assert [one.id for one in store.findings(Query(incident="i1"))] == ["f3"]
    assert [one.id for one in store.decisions(Query(incident="i1"))] == ["d3"]


def _check_marks(store: Record) -> None:
    assert (store.last_mark(), store.marks(0)) == (None, [])
    for number in (1, 2, 4):
        store.commit(whole_turn(number))
    store.commit(Turn(number=5))
    assert (store.marks(0), store.marks(2)) == ([(1, 95), (2, 195), (4, 395)], [(4, 395)])
    store.forget_marks(2)
    assert store.marks(0) == [(2, 195), (4, 395)]
    store.forget_marks(9)
    assert (store.marks(0), store.last_mark()) == ([(4, 395)], Mark(watermark=395, inputs="file:a"))


def _check_controls(store: Record) -> None:
    def commit(number: int, name: str, of: str = "rules") -> None:
        one = Control(subject=of, digest=name, content=f"{name}{number}".encode(), positions={"file:a": number, "b": 0})
        store.commit(Turn(number=number, time=70, controls=[one]))

    def turns(forget_before: int) -> list[int]:
        store.forget_marks(forget_before)
        return [one.turn for one in store.controls("rules")]

    for number, name, of in [(1, "a", "rules"), (3, "b", "rules"), (6, "a", "rules"), (7, "p", "playbooks")]:
        commit(number, name, of)
    first = store.controls("rules")[0]
    assert (first.turn, first.time, first.digest, first.positions) == (1, 70, "a", {"file:a": 1, "b": 0})
    assert turns(7) == [1, 3, 6], "the newest are kept for people"
    for number in (many := range(8, 7 + CONTROLS_KEPT)):
        commit(number, f"c{number}")
    assert turns(2) == [1, 3, 6, *many], "what is in force at turn 2 was forgotten"
    assert (turns(3), store.content("a")) == ([3, 6, *many], b"a6"), "a later turn needs it again"
    assert (turns(99), store.content("b"), store.content("p")) == ([6, *many], None, b"p7")


def _check_owners(store: Record) -> None:
    decisions = [stored_decision(f"d{n}", n, value=f"wx{n}", owner=f"dev{n % 2}") for n in range(4)]
    store.commit(Turn(number=1, decisions=[*decisions, stored_decision("d9", 9)]))
    of = store.decisions_of_owners(["dev1", "dev7"])
    assert {owner: [one.id for one in found] for owner, found in of.items()} == {"dev1": ["d3", "d1"], "dev7": []}
    assert [one.id for one in store.recent_decisions(2)] == ["d9", "d3", "d2"]


def _check_expiry(store: Record) -> None:
    states = {"held": DecisionState.HELD, "active": DecisionState.ACTIVE, "revoked": DecisionState.REVOKED}
    decisions = [stored_decision(key, state=state) for key, state in states.items()]
    replayed = stored_decision("replayed", mode=Mode.REPLAY)
    store.commit(Turn(number=1, decisions=[*decisions, replayed, stored_decision("later", expires=1001)]))
    assert [one.id for one in store.decisions_in_force(999)] == ["later", "active"]
    assert [one.id for one in store.decisions_in_force(1000)] == ["later"], "a decision ends when its time has come"
    assert [one.id for one in store.expire_decisions(1000)] == ["active", "held"]
    assert store.expire_decisions(1000) == []
    assert {one.id: one.state.value for one in store.decisions()} == {
        "held": "expired",
        "active": "expired",
        "revoked": "revoked",
        "replayed": "active",
        "later": "active",
    }
    assert [one.id for one in store.expire_decisions(1000, [Mode.REPLAY])] == ["replayed"]
    assert [link.entry.subject for link in store.audit_entries()] == ["active", "held", "replayed"]


def _check_people(store: Record) -> None:
    store.commit(whole_turn(1))
    lifted = store.revoke_decision("d1", "ann", "a mistake", 170)
    assert lifted.state is DecisionState.REVOKED
    assert store.decision("d1") == lifted
    _refused(lambda: store.revoke_decision("d1", "ann", "again", 171), AlreadyEnded)
    _refused(lambda: store.revoke_decision("absent", "ann", "", 171), NotFound)
    standing = Standing(
        id="s1", kind=StandingKind.EXEMPTION, scope="AppId", value="a", reason="ours", actor="bob", created=1, expires=9
    )
    store.add_standing(standing)
    assert (store.standings(8), store.standings(9)) == ([standing], [])
    assert store.remove_standing("s1", "bob", "done", 5) == standing
    _refused(lambda: store.remove_standing("s1", "bob", "done", 5), NotFound)
    lines = [AppRecord(app_id=f"wx{n:04d}", as_of=1, document="{}") for n in range(700)]
    store.import_apps(lines, "bob", 6)
    changed = msgspec.structs.replace(lines[0], document='{"name": "new"}')
    store.import_apps([changed], "bob", 7)
    assert list(store.apps()) == [changed, *lines[1:]]
    row = next(store.dead_letters())
    assert store.mark_replayed([row.id, "absent"], 8) == 1
    again = store.dead_letter(row.id)
    assert again is not None
    assert again.replayed == 8
    actions = [link.entry.action for link in store.audit_entries(1)]
    assert actions == ["decision.revoke", "exemption.add", "exemption.remove", "apps.import", "apps.import"]
    assert verify(store.audit_entries()).broken is None


def _check_outbox(store: Record) -> None:
    store.commit(whole_turn(1))
    changed = Message(key="m1", channel="webhook:test", body=b"other", created=1)
    store.commit(whole_turn(2, messages=[changed, changed]))
    assert [one.message.body for one in store.due_messages(100, 10)] == [b"{}"], "the same key is the same message"
    assert store.due_messages(99, 10) == []
    store.message_failed("m1", "refused", 300, dead=False)
    assert (store.due_messages(299, 10), len(store.due_messages(300, 10))) == ([], 1)
    store.message_sent("m1", "receipt 7", 301)
    sent = store.delivery("m1")
    assert sent is not None
    assert (sent.state, sent.attempts, sent.receipt, sent.sent) == (DeliveryState.SENT, 2, "receipt 7", 301)
    assert store.due_messages(2**60, 10) == []
    store.commit(Turn(number=3, messages=[changed, whole_turn(2).messages[0]]))
    assert [one.message.key for one in store.due_messages(2**60, 10)] == ["m2"], "what was sent is not sent again"
    store.message_failed("m2", "gone", 400, dead=True)
    assert store.due_messages(2**60, 10) == []
    _refused(lambda: store.message_sent("absent", "", 1), NotFound)
    assert (store.forget_messages(301), store.forget_messages(302)) == (0, 1)


def _check_manifest(store: Record) -> None:
    for number in (1, 2, 3):
        store.commit(whole_turn(number))
    old = list(store.segments("2026-01-01"))
    joined = msgspec.structs.replace(old[0], path="2026-01-01/1-2", turn_last=2, rows=4)
    store.replace_segments(old[:2], [joined])
    assert list(store.segments()) == [joined, old[2]]
    _refused(lambda: store.replace_segments(old[1:], []), NotFound)
    assert list(store.segments()) == [joined, old[2]], "a swap that was refused changed something"
    assert store.segments("2026-01-02") == []
    counts = store.counts()
    assert (counts.archived_events, counts.tables["findings"], counts.findings_by_severity["high"]) == (6, 4, 4)
    assert counts.decisions_by_type == {"throttle": 3}


_STORE_LAWS: Final = (
    _check_whole_turn,
    _check_stale_turn,
    _check_merge,
    _check_whole_or_nothing,
    _check_lists,
    _check_marks,
    _check_controls,
    _check_owners,
    _check_expiry,
    _check_people,
    _check_outbox,
    _check_manifest,
)
