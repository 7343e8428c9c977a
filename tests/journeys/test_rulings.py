"""What people lay down holds at the commit itself, however late it comes."""

from pathlib import Path

import journey
from journey import configured, daemon

from monitor.stores import Standing, StandingKind
from monitor.stream.committing import TurnCommitter
from playbooks.decision import DecisionState, Reason


def test_an_exemption_that_comes_between_deciding_and_committing_holds(tmp_path: Path, monkeypatch):
    source = tmp_path / "events.ndjson"
    source.write_bytes(journey.stream(seed=4, events=1300))
    with daemon(configured(tmp_path / "plain", [source])) as plain:
        plain.run()
        acted = {one.entity for one in plain.kept.store.decisions() if one.reason is Reason.PLAYBOOK}
    assert acted
    late = set()
    with daemon(configured(tmp_path / "late", [source])) as opened:
        store = opened.kept.store
        decided = opened.pipeline._committer.decided

        def decide_then_exempt(fresh, orders):
            outcome = decided(fresh, orders)
            for decision in outcome.decisions:
                if decision.reason is Reason.PLAYBOOK and decision.entity not in late:
                    late.add(decision.entity)
                    store.add_standing(_exempting(decision))
            return outcome

        monkeypatch.setattr(TurnCommitter, "decided", lambda _committer, *what: decide_then_exempt(*what))
        opened.run()
        found = list(store.decisions())
    assert late == acted
    assert found
    assert {one.state for one in found} <= {
        DecisionState.HELD,
        DecisionState.AWAITING_APPROVAL,
        DecisionState.SUPERSEDED,
    }
    assert {one.reason for one in found} == {Reason.HELD_EXEMPT}


def _exempting(decision) -> Standing:
    return Standing(
        id=f"{decision.scope}{decision.value}",
        kind=StandingKind.EXEMPTION,
        scope=decision.scope.value,
        value=decision.value,
        reason="just now",
        actor="operator:ann",
        created=journey.NOW,
        expires=2**60,
    )
