import msgspec
import pytest

from playbooks.action import Ban, Throttle
from playbooks.decision import DecisionState, Reason
from playbooks.review import SamePersonError, StillProtectedError, WrongStateError, approve, expire, revoke
from playbooks.risk import MICROSECONDS
from playbooks.testing import NOON, decision

LIVE = decision(Throttle(duration_s=3_600, limit=1, per_s=1))
ASKED = decision(
    Ban(duration_s=3_600), state=DecisionState.AWAITING_APPROVAL, reason=Reason.HELD_APPROVAL, origin="operator:ann"
)
HOUR = 3_600 * MICROSECONDS


def test_a_decision_ends_at_its_expiry_and_not_before():
    assert expire([LIVE], NOON + HOUR - 1) == []
    assert [ended.state for ended in expire([LIVE, ASKED], NOON + HOUR)] == [DecisionState.EXPIRED] * 2


def test_what_is_over_does_not_end_again():
    assert expire([msgspec.structs.replace(LIVE, state=DecisionState.REVOKED)], NOON + HOUR) == []


def test_a_revoked_decision_says_who_and_why():
    revoked = revoke(LIVE, "bob", "false alarm", NOON)
    assert revoked.state is DecisionState.REVOKED
    assert revoked.explanation.endswith("Taken back by bob: false alarm.")
    with pytest.raises(WrongStateError):
        revoke(revoked, "bob", "again", NOON)


def test_who_asked_may_not_approve():
    with pytest.raises(SamePersonError):
        approve(ASKED, "ann", "sure", NOON)


def test_an_approved_decision_lasts_its_whole_duration_from_then():
    approved = approve(ASKED, "bob", "seen the evidence", NOON + 60)
    assert (approved.state, approved.reason) == (DecisionState.ACTIVE, Reason.OPERATOR)
    assert (approved.time, approved.expires) == (NOON + 60, NOON + 60 + HOUR)


@pytest.mark.parametrize("reason", [Reason.HELD_EXEMPT, Reason.HELD_PROTECTED])
def test_an_exemption_cannot_be_approved_away(reason):
    with pytest.raises(StillProtectedError):
        approve(msgspec.structs.replace(ASKED, reason=reason, state=DecisionState.HELD), "bob", "do", NOON)


def test_only_what_waits_can_be_approved():
    for late in (NOON + HOUR, NOON + 2 * HOUR):
        with pytest.raises(WrongStateError):
            approve(ASKED, "bob", "too late", late)
    with pytest.raises(WrongStateError):
        approve(LIVE, "bob", "sure", NOON)
