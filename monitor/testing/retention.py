"""The laws of what retention deletes, which every record keeps."""

# ruff: noqa: S101 - assertions are how a battery speaks

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from detectors.finding import Entity, Scope, Severity
from monitor.audit import AuditEntry
from monitor.stores import Turn
from monitor.stores.appeals import Appeal, AppealState
from monitor.stores.clocks import IncidentAct, IncidentWord
from monitor.stores.sql import SqlStore
from monitor.testing.stores import stored_decision, stored_finding, stored_incident
from playbooks.clocks import Clock, ClockKind
from playbooks.decision import Considered, DecisionState, Reason
from playbooks.incident import IncidentState

BEFORE: Final = 500
NOW: Final = 1_000
OLD: Final = BEFORE - 1


def _of_old(store: SqlStore, turn: int, name: str, **more: Any) -> None:
    """A finding, its decision and its incident, all over before the time; `more` are what is otherwise, by what it is of."""
    entity = Entity(Scope.APP, name)
    finding: dict[str, Any] = {"time": OLD, **more.get("finding", {})}
    decision: dict[str, Any] = {"time": 100, "expires": OLD, "state": DecisionState.EXPIRED, **more.get("decision", {})}
    incident: dict[str, Any] = {"last_finding": OLD, "state": IncidentState.CLOSED, **more.get("incident", {})}
    clock: dict[str, Any] = {"stopped": OLD, "stopped_by": "operator:ada", **more.get("clock", {})}
    found, seen, decided = f"f-{name}", f"i-{name}", f"d-{name}"
    decision = {"incident": seen, "finding": found, **decision}
    clocks = [
        Clock(incident=seen, episode=Severity.HIGH, kind=kind, begun=100, due=900, next=None, **clock)
        for kind in ClockKind
    ]
    store.commit(
        Turn(
            number=turn,
            findings=[stored_finding(found, entity=entity, **finding)],
            incidents=[stored_incident(seen, entity=entity, **incident)],
            clocks=clocks,
            decisions=[stored_decision(decided, value=name, **decision)],
            considered=[Considered(finding=found, incident=seen, decision=decided, reason=Reason.PLAYBOOK, detail="")],
        )
    )


def _appealed(store: SqlStore, name: str, state: AppealState, answered: int | None) -> None:
    appeal = Appeal(
        id=f"a-{name}",
        decision=f"d-{name}",
        scope=Scope.APP.value,
        value=name,
        appellant="its maker",
        statement="it was a test",
        filed=100,
        answer_by=400,
        actor="operator:ada",
        state=state,
        answered=answered,
    )
    entry = AuditEntry(time=100, actor="operator:ada", action="appeal.file", subject=appeal.id, reason="r", after="{}")
    with store.acting() as acting:
        acting.put_appeal(appeal, entry)


def _noted(store: SqlStore, name: str, time: int) -> None:
    said = IncidentWord(
        id=f"w-{name}", incident=f"i-{name}", time=time, actor="operator:ada", act=IncidentAct.NOTE, text="it leaks"
    )
    entry = AuditEntry(time=time, actor="operator:ada", action="incident.note", subject=said.incident, reason="r")
    with store.acting() as acting:
        acting.add_word(said, None, entry)


def _forget(store: SqlStore) -> tuple[int, int, int]:
    """How many findings, decisions and incidents went."""
    return (
        store.forget_findings(BEFORE, NOW),
        store.forget_decisions(BEFORE, NOW),
        store.forget_incidents(BEFORE, NOW),
    )


def _check_what_is_over_goes_together(store: SqlStore) -> None:
    """A finding, its decision with an appeal that was answered, its incident with clocks and words: nothing is left of them but the audit."""
    _of_old(store, 1, "wx1")
    _appealed(store, "wx1", AppealState.REJECTED, 300)
    _noted(store, "wx1", 300)
    assert _forget(store) == (1, 1, 1)
    assert not list(store.decisions())
    assert not store.clocks_of(["i-wx1"])
    assert not store.words_about(["i-wx1"])
    assert not list(store.appeals())
    assert not list(store.incidents())
    said = {link.entry.action for link in store.audit_entries()}
    assert {"findings.delete", "decisions.delete", "incidents.delete", "appeals.delete"} <= said
    assert _forget(store) == (0, 0, 0)


def _check_what_is_not_over_stays(store: SqlStore) -> None:
    """Whatever is new, open, in force or not answered keeps what it hangs on."""
    kept: dict[str, tuple[int, int, int]] = {}
    cases: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
        "seen-since": ({"finding": {"time": BEFORE}}, (0, 0, 0)),
        "weighed": ({"finding": {"time": BEFORE}, "decision": {"incident": None, "finding": None}}, (0, 1, 0)),
        "decided-since": ({"decision": {"time": BEFORE}}, (1, 0, 0)),
        "ends-later": ({"decision": {"expires": BEFORE, "state": DecisionState.REVOKED}}, (1, 0, 0)),
        "in-force": ({"decision": {"state": DecisionState.ACTIVE}}, (1, 0, 0)),
        "waits": ({"decision": {"state": DecisionState.HELD}}, (1, 0, 0)),
        "open": ({"incident": {"state": IncidentState.OPEN}}, (1, 1, 0)),
        "found-since": ({"incident": {"last_finding": BEFORE}}, (1, 1, 0)),
        "clock-runs": ({"clock": {"stopped": None, "stopped_by": ""}}, (1, 1, 0)),
        "closed-since": ({"clock": {"stopped": BEFORE}}, (1, 1, 0)),
        "note": ({}, (1, 1, 0)),
        "appeal": ({}, (1, 0, 0)),
        "answered-since": ({}, (1, 0, 0)),
    }
    for turn, (name, (more, goes)) in enumerate(cases.items(), 1):
        _of_old(store, turn, name, **more)
        kept[name] = goes
    _noted(store, "note", BEFORE)
    _appealed(store, "appeal", AppealState.REVIEWING, None)
    _appealed(store, "answered-since", AppealState.REJECTED, BEFORE)
    assert _forget(store) == tuple(map(sum, zip(*kept.values(), strict=True)))
    for what, stays, place in (
        ("f", [one.id for one in store.findings()], 0),
        ("d", [one.id for one in store.decisions()], 1),
        ("i", [one.id for one in store.incidents()], 2),
    ):
        assert sorted(stays) == sorted(f"{what}-{name}" for name, goes in kept.items() if not goes[place])


def check_retention(make: Callable[[], SqlStore]) -> None:
    """The laws, each on a record of its own that `make` gives, empty."""
    for law in (_check_what_is_over_goes_together, _check_what_is_not_over_stays):
        store = make()
        try:
            law(store)
        finally:
            store.close()
