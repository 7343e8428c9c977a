"""A granted appeal that is killed has happened whole, or not at all."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from acting import BOB, CAROL
from hypothesis import given, settings
from hypothesis import strategies as st
from lives import ENTITIES, PLAYBOOKS, acts, lived, lives, opened, two
from town import Town

from monitor import durable
from monitor.audit import verify
from monitor.responding.appealing import _resting_on, file, grant, review
from monitor.stores import Message
from monitor.testing import scratch_store, store_state
from playbooks.decision import DecisionState
from playbooks.testing import finding

CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_killed_grant import granted, told_town
from monitor import durable
town = told_town(Path(sys.argv[2]))
passed = []
def observe(name):
    passed.append(name)
    if len(passed) == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
durable.observer = observe
granted(town, sys.argv[4], findings_stand=sys.argv[5] == "stand")
"""


def told_town(folder):
    """A town that tells of its decisions, half a minute after two findings."""

    def tell(decisions, _in_force):
        return [Message(key=f"{one.id}:{one.state.value}", channel="test", body=b"", created=0) for one in decisions]

    town = Town(folder)
    town.store.close()
    town.store = scratch_store(folder, tell=tell)
    town.now_s = 30
    return town


def reviewed(town, decision):
    filed, _ = file(town.store, decision.id, appellant="dev-7", statement="It is not so", actor=CAROL, now=town.now)
    return review(town.store, filed.id, actor=CAROL, reason="I look", now=town.now).id


def granted(town, appeal, **more):
    return grant(town.store, appeal, town.policy(), actor=BOB, reason="so it is", now=town.now, **more)


def appealed(folder):
    """The town with an act that an appeal is reviewed against."""
    town = told_town(folder)
    town.turn([finding(after_s=number, severity="high", proof=True) for number in (10, 20)])
    act = next(iter(town.in_force().values()))
    return town, act, reviewed(town, act)


def holds(town, act, appeal, way):
    """Which parts of a grant are there."""
    told = {one.message.key for one in town.store.due_messages(2**62, 1_000)}
    actions = {one.entry.action for one in town.store.audit_entries()}
    parts = {
        "appeal": town.store.appeal(appeal).state == "granted",
        "lifted": town.store.decision(act.id).state is DecisionState.REVOKED,
        "told": f"{act.id}:revoked" in told,
        "appeal in audit": "appeal.grant" in actions,
    }
    if way == "stand":
        return {**parts, "lift in audit": "decision.revoke" in actions}
    marks = town.store.finding_marks([act.finding])
    return {
        **parts,
        "marked": act.finding in marks and not marks[act.finding].counts,
        "mark in audit": "finding.mark" in actions,
        "lift in audit": "decision.undo" in actions,
        "undo": bool(town.store.undos()),
    }


@pytest.mark.parametrize("way", ["stand", "fall"])
def test_a_killed_grant_has_happened_whole_or_not_at_all(tmp_path, way, monkeypatch):
    (tmp_path / "whole").mkdir()
    town, _, appeal = appealed(tmp_path / "whole")
    passed = []
    with monkeypatch.context() as watched:
        watched.setattr(durable, "observer", passed.append)
        granted(town, appeal, findings_stand=way == "stand")
    town.close()
    commit = next(number for number, name in enumerate(passed, 1) if name.endswith(":done"))
    for number in range(1, len(passed) + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        town, act, appeal = appealed(folder)
        before = store_state(town.store)
        town.close()
        arguments = [str(Path(__file__).parent), str(folder), str(number), appeal, way]
        assert subprocess.run([sys.executable, "-c", CHILD, *arguments], check=False).returncode == -signal.SIGKILL
        town = told_town(folder)
        assert set(holds(town, act, appeal, way).values()) == {number >= commit}
        assert (store_state(town.store) == before) is (number < commit)
        if number < commit:
            granted(town, appeal, findings_stand=way == "stand")  # it can be done again
        assert all(holds(town, act, appeal, way).values())
        assert verify(town.store.audit_entries()).broken is None
        town.close()


@settings(max_examples=25, deadline=None)
@given(lives(), st.integers(0, 5), st.sampled_from(sorted(PLAYBOOKS)))
def test_a_granted_appeal_comes_to_the_same_as_marking_what_its_decision_rests_on(life, which, playbooks):
    town, marked = two(playbooks)
    marked.without = frozenset()
    lived(marked, life, lived(town, life))
    rest = sorted((one for one in town.in_force().values() if one.finding is not None), key=lambda one: one.id)
    if rest:
        act = rest[which % len(rest)]
        granted(town, reviewed(town, act))
        marked.mark(_resting_on(marked.store, act))
        assert set(town.in_force()) == set(marked.in_force())
        assert set(town.waiting()) == set(marked.waiting())
        assert acts(town) == acts(marked)
        assert town.risks(ENTITIES) == marked.risks(ENTITIES)
        assert opened(town) == opened(marked)
        assert town.store.decision(act.id).state is DecisionState.REVOKED
    town.close()
    marked.close()


def test_what_rested_on_others_findings_stays_when_an_appeal_is_granted(tmp_path):
    town = Town(tmp_path)
    town.turn([finding(app="wx0", rule="bad", severity="high"), finding(app="wx1", rule="good", severity="high")])
    town.now_s = 10
    town.turn([finding(app="wx0", rule="good", severity="high", after_s=10, proof=True)])
    bad = next(one for one in town.in_force().values() if one.rule == "bad" and one.type == "throttle")
    others = {key for key, one in town.in_force().items() if one.value == "wx1"}
    assert {one.type.value for one in town.in_force().values() if one.value == "wx0"} >= {"throttle", "remove"}
    granted(town, reviewed(town, bad))
    assert set(town.in_force()) == others  # the removal rested on the marked finding: two in the incident
    town.close()
