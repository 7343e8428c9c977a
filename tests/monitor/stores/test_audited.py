"""Everything that writes into the record says what the audit has of it: an entry with who, when, why, before and after; or why it needs none.

A new writing method fails here until it stands in one of the two tables.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest
from made_models import row as model_row

from monitor.audit import AuditEntry, verify
from monitor.enforcers.telling import telling
from monitor.stores import AppRecord, Control, GivenUp, Standing, StandingKind, Turn
from monitor.stores.models import ModelState
from monitor.stores.record import PackRow, PackState, Reply, Request
from monitor.stores.sql import SqlStore
from monitor.stores.undos import Marking, UndoAsked, Verdict
from monitor.testing import scratch_store, stored_decision, stored_finding, stored_incident, whole_turn
from monitor.tokens import Role, Token
from playbooks.correction import Correction
from playbooks.decision import DecisionState, Mode, Reason
from playbooks.incident import IncidentState

NOW = 5_000_000
WHO = "operator:ada"


class Case(NamedTuple):
    """What is done, and the entries that must come of it: who and what."""

    act: Callable[[SqlStore], object]
    entries: list[tuple[str, str]]
    prepare: Callable[[SqlStore], object] = lambda _store: None


def _standing() -> Standing:
    return Standing(
        id="s1",
        kind=StandingKind.EXEMPTION,
        scope="AppId",
        value="wx1",
        reason="r",
        actor=WHO,
        created=1,
        expires=2**50,
    )


def _token() -> Token:
    return Token(id="t1", name="n", roles=(Role.VIEWER,), digest="0" * 64, actor=WHO, created=1, expires=2**50)


def _pack(state: PackState = PackState.OFFERED) -> PackRow:
    return PackRow(digest="d", name="p", version=1, signer="s", state=state, stage="", since=1)


def _undone(store: SqlStore) -> None:
    marking = Marking(findings=("f1",), verdict=Verdict.FALSE)
    asked = UndoAsked(id="u1", what=marking, because="it is false", reason="r", actor=WHO, now=NOW)
    store.undo(asked, lambda _gathered: Correction())


def _entry(action: str) -> AuditEntry:
    return AuditEntry(time=NOW, actor=WHO, action=action, subject="s", reason="r", before="b", after="a")


def _request() -> Request:
    return Request(id="r1", kind="rules.reload", subject="rules", reason="r", actor=WHO, created=NOW)


def _decided(store: SqlStore) -> None:
    store.commit(Turn(number=1, time=NOW, decisions=[stored_decision(expires=NOW)]))


def _turn(store: SqlStore) -> None:
    """One act begins and another ends by it; guards hold one, and one is only tried."""
    decisions = [
        stored_decision("begins"),
        stored_decision("gives-way", state=DecisionState.SUPERSEDED),
        stored_decision("held", state=DecisionState.HELD, reason=Reason.HELD_BUDGET),
        stored_decision("tried", mode=Mode.SHADOW),
    ]
    control = Control(subject="rules", digest="d2", content=b"")
    store.commit(Turn(number=2, time=NOW, decisions=decisions, controls=[control]))


def _acted(store: SqlStore) -> None:
    with store.acting() as acting:
        acting.write([stored_decision("by-hand")], [_entry("decision.add")])


AUDITED: dict[str, Case] = {
    "commit_together": Case(
        _turn,
        [
            ("system:daemon", "rules.in-force"),
            ("system:playbook test", "decision.begin"),
            ("system:playbook test", "decision.supersede"),
        ],
        lambda store: store.commit(Turn(number=1, controls=[Control(subject="rules", digest="d1", content=b"")])),
    ),
    "audit": Case(lambda store: store.audit(_entry("dead-letter.read")), [(WHO, "dead-letter.read")]),
    "ask": Case(lambda store: store.ask(_request()), [(WHO, "rules.reload")]),
    "answer_request": Case(
        lambda store: store.answer_request(
            Reply(request="r1", answer="{}", time=NOW, entry=_entry("rules.reload.done"))
        ),
        [(WHO, "rules.reload.done")],
        lambda store: store.ask(_request()),
    ),
    "add_pack": Case(lambda store: store.add_pack(_pack(), b"", _entry("pack.offer")), [(WHO, "pack.offer")]),
    "change_packs": Case(
        lambda store: store.change_packs([_pack(PackState.ACTIVE)], _entry("pack.live")),
        [(WHO, "pack.live")],
        lambda store: store.add_pack(_pack(), b"", _entry("pack.offer")),
    ),
    "add_model": Case(
        lambda store: store.add_model(model_row(digest="d1"), b"", _entry("model.train")), [(WHO, "model.train")]
    ),
    "change_models": Case(
        lambda store: store.change_models([model_row(digest="d1", state=ModelState.ACTIVE)], _entry("model.activate")),
        [(WHO, "model.activate")],
        lambda store: store.add_model(model_row(digest="d1"), b"", _entry("model.train")),
    ),
    "undo": Case(_undone, [(WHO, "finding.mark"), (WHO, "finding.undo")], _decided),
    "acting": Case(_acted, [(WHO, "decision.add")]),
    "expire_decisions": Case(
        lambda store: store.expire_decisions(NOW), [("system:expiry", "decision.expire")], _decided
    ),
    "add_standing": Case(lambda store: store.add_standing(_standing()), [(WHO, "exemption.add")]),
    "remove_standing": Case(
        lambda store: store.remove_standing("s1", WHO, "r", NOW),
        [(WHO, "exemption.remove")],
        lambda store: store.add_standing(_standing()),
    ),
    "add_token": Case(lambda store: store.add_token(_token(), "r"), [(WHO, "token.add")]),
    "revoke_token": Case(
        lambda store: store.revoke_token("t1", WHO, "r", NOW),
        [(WHO, "token.revoke")],
        lambda store: store.add_token(_token(), "r"),
    ),
    "renew_keys": Case(lambda store: store.renew_keys({"people": "f2"}, _entry("keys.renew")), [(WHO, "keys.renew")]),
    "import_apps": Case(
        lambda store: store.import_apps([AppRecord(app_id="wx1", as_of=1, document="{}")], WHO, NOW),
        [(WHO, "apps.import")],
    ),
    "forget_findings": Case(
        lambda store: store.forget_findings(500, NOW),
        [("system:retention", "findings.delete")],
        lambda store: store.commit(Turn(number=1, findings=[stored_finding()])),
    ),
    "forget_decisions": Case(
        lambda store: store.forget_decisions(500, NOW),
        [("system:retention", "decisions.delete")],
        lambda store: store.commit(
            Turn(number=1, decisions=[stored_decision(expires=400, state=DecisionState.REJECTED)])
        ),
    ),
    "forget_incidents": Case(
        lambda store: store.forget_incidents(500, NOW),
        [("system:retention", "incidents.delete")],
        lambda store: store.commit(Turn(number=1, incidents=[stored_incident(state=IncidentState.CLOSED)])),
    ),
    "forget_dead_letters": Case(
        lambda store: store.forget_dead_letters(500, NOW),
        [("system:retention", "dead-letters.delete")],
        lambda store: store.commit(msgspec.structs.replace(whole_turn(1), audit=(), decisions=())),
    ),
    "forget_messages": Case(
        lambda store: store.forget_messages(500, NOW),
        [("system:retention", "messages.delete")],
        lambda store: (
            store.commit(msgspec.structs.replace(whole_turn(1), audit=(), decisions=())),
            store.message_sent("m1", "HTTP 200", 400),
        ),
    ),
    "mark_replayed": Case(
        lambda store: store.mark_replayed([next(store.dead_letters()).id], WHO, NOW),
        [(WHO, "dead-letter.replay")],
        lambda store: store.commit(msgspec.structs.replace(whole_turn(1), audit=(), decisions=())),
    ),
    "message_failed": Case(
        lambda store: store.message_failed(
            "m1", "gone", NOW, dead=True, given_up=GivenUp(audit=(_entry("enforcement.undelivered"),))
        ),
        [(WHO, "enforcement.undelivered")],
        lambda store: store.commit(msgspec.structs.replace(whole_turn(1), audit=(), decisions=())),
    ),
    "send_again": Case(lambda store: store.send_again("enforcer:e", None, WHO, "r", NOW), [(WHO, "enforcer.retry")]),
    "drop_given_up": Case(
        lambda store: store.drop_given_up("webhook:test", WHO, "r", NOW),
        [(WHO, "notifier.drop")],
        lambda store: (
            store.commit(msgspec.structs.replace(whole_turn(1), audit=(), decisions=())),
            store.message_failed("m1", "gone", NOW, dead=True),
        ),
    ),
    "ask_comparison": Case(lambda store: store.ask_comparison("topic:t", WHO, "r", NOW), [(WHO, "topic.compare")]),
    "note_configuration": Case(
        lambda store: store.note_configuration({"mode": "live"}, NOW),
        [("system:daemon", "configuration.change")],
        lambda store: store.note_configuration({"mode": "shadow"}, NOW - 1),
    ),
    "begin_anew": Case(lambda store: store.begin_anew(_entry("backup.restore")), [(WHO, "backup.restore")]),
    "replace_segments": Case(
        lambda store: store.replace_segments([], [], _entry("archive.delete")), [(WHO, "archive.delete")]
    ),
}
"""Methods that write an entry, and which."""

NOTHING: dict[str, str] = {
    "forget_marks": "bookkeeping of recovery: what is in force is in the entry of the turn that brought it",
    "forget_requests": "each request and its answer have entries, which stay",
    "message_sent": "the receipt is kept beside the message; a message changes nothing by itself",
    "messages_sent": "as for one",
    "findings_told": "which findings a topic knows of; they change nothing by that",
    "put_anew": "a topic is told once more of what has its entry already",
    "installation": "a name, made once",
    "fingerprint": "which key the record was begun with, once",
    "note_anchor": "an anchor is of the audit: an entry would call for the next anchor",
    "catch_up": "an enforcer is told of what has its entry already; the receipts are kept",
    "put_indexed": "how far the search has come; what is in it has its entries",
    "put_folder": "where files lie; what is in them has its entries",
    "note_rules": "since when rules are in force, for a guard; that they are is in the entry of the turn",
    **dict.fromkeys(("take", "seize", "renew", "give_up"), "which process works on what; what it writes has entries"),
    **dict.fromkeys(("read_out", "add_snapshot"), "how far a partition has been read, and where its memory lies"),
    "note_drift": "how features have moved, measured; what is done about it has its entry",
    **dict.fromkeys(("measure", "forget_measurements"), "how full and how busy all is; nothing is done about it"),
    "keep_gathered": "who comes by, counted: what is decided by it has entries",
    "put_pulls": "how far a bouncer has been told; the decisions themselves have entries",
}
"""Methods that write none, and why that is right."""


def _writing() -> set[str]:
    return {
        name
        for name, method in inspect.getmembers(SqlStore, inspect.isfunction)
        if not name.startswith("_") and ".writing(" in inspect.getsource(inspect.unwrap(method))
    }


def test_every_writing_method_says_what_the_audit_has_of_it():
    assert _writing() - set(AUDITED) - set(NOTHING) == set(), "add them to AUDITED or NOTHING above"
    assert (set(AUDITED) | set(NOTHING)) - _writing() == set(), "these write nothing any more"


@pytest.mark.parametrize("name", AUDITED)
def test_a_change_has_its_entries_with_who_when_why_and_what(name, tmp_path):
    case = AUDITED[name]
    store = scratch_store(tmp_path, tell=telling([], lambda: NOW))
    case.prepare(store)
    before = len(list(store.audit_entries()))
    case.act(store)
    entries = [link.entry for link in store.audit_entries()][before:]
    assert sorted((entry.actor, entry.action) for entry in entries) == sorted(case.entries)
    for entry in entries:
        assert entry.time > 0
        assert entry.reason
        assert entry.subject
        assert entry.before or entry.after
    assert verify(store.audit_entries()).breach is None
    store.close()


def test_what_changes_nothing_has_no_entry(tmp_path):
    store: Any = scratch_store(tmp_path)
    store.note_configuration({"mode": "live"}, NOW)
    before = len(list(store.audit_entries()))
    store.expire_decisions(NOW)
    store.forget_findings(NOW, NOW)
    store.forget_decisions(NOW, NOW)
    store.forget_incidents(NOW, NOW)
    store.forget_dead_letters(NOW, NOW)
    store.forget_messages(NOW, NOW)
    store.drop_given_up("webhook:test", WHO, "r", NOW)
    store.mark_replayed(["absent"], WHO, NOW)
    store.note_configuration({"mode": "live"}, NOW)
    assert len(list(store.audit_entries())) == before
    store.close()


def test_a_change_of_the_configuration_names_what_differs(tmp_path):
    store = scratch_store(tmp_path)
    store.note_configuration({"mode": "live", "budgets.ban_per_h": "5", "gone": "1"}, 1)
    store.note_configuration({"mode": "live", "budgets.ban_per_h": "50", "new": "2"}, 2)
    entry = [link.entry for link in store.audit_entries()][-1]
    assert (entry.before, entry.after) == (
        '{"budgets.ban_per_h":"5","gone":"1"}',
        '{"budgets.ban_per_h":"50","new":"2"}',
    )
    store.close()
