"""A record to test with, what can stand in it, and the laws that every record keeps."""

# ruff: noqa: S101 - assertions are how a battery speaks

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec

from detectors.finding import Entity, Evidence, Finding, RuleRef, Scope, Severity
from monitor import durable
from monitor.audit import AuditEntry, verify
from monitor.decoders import DeadLetter, DeadLetterReason
from monitor.sealing import Seal
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
    Store,
    StoreError,
    Turn,
)
from monitor.stores.record import DeliveryState, NotFound, Query, Record, UnknownFilter
from monitor.stores.sql import SqlStore
from monitor.stores.sqlite import sqlite_store
from monitor.testing.leases import LEASE_LAWS
from monitor.testing.streams import STREAM_LAWS
from playbooks.clocks import Clock, ClockKind
from playbooks.decision import Act, Considered, Decision, DecisionState, Mode, Reason, Tier
from playbooks.incident import Incident
from playbooks.risk import Risk

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
        "entity": APP,
        "last_finding": opened,
        "due": opened + 10,
        "severity": Severity.HIGH,
        "risk": 50.0,
        "tier": Tier.WARN.value,
        "findings": 1,
        "title": "Trouble",
    }
    return Incident(id=key, opened=opened, **{**given, **more})


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
        "clocks": [
            Clock(incident="i1", episode=Severity.HIGH, kind=kind, begun=number, due=number + 100, next=number + 50)
            for kind in ClockKind
        ],
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
        sqlite_store(path, seal=Seal(bytes(32))).close()
        return path.read_bytes()


def scratch_store(folder: Path, **options: Any) -> SqlStore:
    """A record of its own in a folder, for one test; `options` are those of `SqlStore`."""
    path = folder / "miniwatch.db"
    if not path.exists():
        path.write_bytes(_empty_record())
    return sqlite_store(path, seal=Seal(bytes(32)), **options)


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
        "clocks": list(store.clocks_of([incident.id for incident in store.incidents()])),
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
    assert verify(store.audit_entries()).entries == 4, "of each turn its own word, and one of the act that begins"


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
    several = [Turn(number=1, stream=name, reached=5) for name in ("a", "b")]
    with failing_at("commit:turn:done"):
        _refused(lambda: store.commit_together(several), StoreError)
    store.commit_together(several[1:])  # the other is another's by now
    assert [(one.name, one.turn) for one in store.streams()] == [("a", 1), ("b", 1)]
    _refused(lambda: store.commit_together(several[1:]), StaleTurn)


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


def _told(store: Store, after: int) -> list[tuple[int, int]]:
    return [(mark.turn, mark.watermark) for mark in store.marks(after)]


def _check_marks(store: Record) -> None:
    assert (store.last_mark(), store.marks(0)) == (None, [])
    for number in (1, 2, 4):
        store.commit(whole_turn(number))
    store.commit(Turn(number=5))
    assert (_told(store, 0), _told(store, 2)) == ([(1, 95), (2, 195), (4, 395)], [(4, 395)])
    store.forget_marks(2)
    assert _told(store, 0) == [(2, 195), (4, 395)]
    store.forget_marks(9)
    assert (_told(store, 0), store.last_mark()) == ([(4, 395)], Mark(watermark=395, inputs="file:a"))


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
    told = [link.entry.subject for link in store.audit_entries() if link.entry.action == "decision.expire"]
    assert told == ["active", "held", "replayed"]


def _check_people(store: Record) -> None:
    store.commit(whole_turn(1))
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
    assert store.mark_replayed([row.id, "absent"], "operator:a", 8) == 1
    again = store.dead_letter(row.id)
    assert again is not None
    assert again.replayed == 8
    actions = [link.entry.action for link in store.audit_entries(2)]
    assert actions == ["exemption.add", "exemption.remove", "apps.import", "apps.import", "dead-letter.replay"]
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
    many = [Message(key=f"many{number}", channel="enforcer:gone", body=b"{}", created=401) for number in range(9)]
    few = [Message(key=f"few{number}", channel="webhook:test", body=b"{}", created=402) for number in range(2)]
    store.commit(Turn(number=4, messages=[*many, *few]))
    first = [one.message.key for one in store.due_messages(500, 5)]
    assert first == ["many0", "few0", "many1", "few1", "many2"], "many for one channel crowd out no other's"
    for message in (*many, *few):
        store.message_sent(message.key, "", 500)
    assert (store.forget_messages(301, 400), store.forget_messages(302, 400)) == (0, 1)
    assert (store.forget_messages(400, 400), store.forget_messages(401, 400)) == (0, 1), (
        "what was given up goes with its time"
    )
    assert store.delivery("m2") is None


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
    *LEASE_LAWS,
    *STREAM_LAWS,
)
