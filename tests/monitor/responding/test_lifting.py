import pytest
from acting import ALICE, APP, BAN, BOB, DAY, HOUR, REMOVE, added, approved, held, registered, standing, words

from detectors.finding import Entity, Scope
from monitor.responding.lifting import exempt, revoke
from monitor.responding.refusals import ActRefused, No
from monitor.stores.record import AlreadyEnded
from playbooks.decision import DecisionState
from playbooks.testing import NOON


def revoked(store, key, **more):
    return revoke(store, key, actor=BOB, reason="fixed", now=NOON + HOUR, **more)


def exempted(store, entity=APP, for_s=7 * 86_400):
    return exempt(store, entity, for_s=for_s, actor=BOB, reason="ours", now=NOON + HOUR)


def test_a_revoked_decision_is_in_force_no_more(store):
    made = added(store).decision
    (lifted,) = revoked(store, made.id).decisions
    assert (lifted.id, lifted.state) == (made.id, DecisionState.REVOKED)
    assert standing(store) == []
    assert words(store)[-1] == ("decision.revoke", BOB)
    with pytest.raises(AlreadyEnded):
        revoked(store, made.id)


def test_revoking_can_hold_for_a_time(store):
    made = added(store).decision
    other = added(store, REMOVE).decision
    lifted = revoked(store, made.id, exempt_for_s=7 * 86_400)
    assert {each.id for each in lifted.decisions} == {made.id, other.id}
    assert lifted.exemption.expires == NOON + HOUR + 7 * DAY
    with pytest.raises(ActRefused, match="an exemption by operator:bob"):
        added(store, now=NOON + 2 * HOUR)
    assert added(store, now=NOON + 8 * DAY).changed


def test_an_exemption_lifts_what_is_in_force_and_refuses_what_waits(store):
    added(store)
    asked = added(store, BAN).decision
    untouched = added(store, on=Entity(Scope.APP, "wx02")).decision
    lifted = exempted(store)
    assert {each.state for each in lifted.decisions} == {DecisionState.REVOKED, DecisionState.REJECTED}
    assert store.decision(asked.id).state is DecisionState.REJECTED
    assert [each.id for each in store.decisions_in_force(NOON + HOUR)] == [untouched.id]
    (row,) = store.standings(NOON + HOUR)
    assert (row.kind.value, row.value, row.actor, row.reason) == ("exemption", "wx01", BOB, "ours")


def test_an_exempt_developers_apps_and_a_ranges_addresses_are_lifted_with_them(store):
    registered(store, ("wx01", '{"app_id":"wx01","developer_id":"dev1"}'))
    added(store)
    assert len(exempted(store, Entity(Scope.DEVELOPER, "dev1")).decisions) == 1
    added(store, on=Entity(Scope.ADDRESS, "203.0.113.7"))
    added(store, on=Entity(Scope.ADDRESS, "203.0.114.7"))
    assert len(exempted(store, Entity(Scope.RANGE, "203.0.113.0/24")).decisions) == 1


@pytest.mark.parametrize("for_s", [0, -1, 366 * 86_400 + 1])
def test_an_exemption_has_an_end(store, for_s):
    with pytest.raises(ActRefused) as caught:
        exempted(store, for_s=for_s)
    assert caught.value.why is No.TOO_LONG
    assert store.standings(NOON) == []


def test_all_of_it_happens_or_nothing(store):
    made = added(store).decision
    version = store.rulings_version()
    with pytest.raises(ActRefused):
        revoked(store, made.id, exempt_for_s=0)
    assert standing(store)
    assert store.rulings_version() == version


def test_what_waits_can_be_taken_back_by_who_asked(store):
    asked = added(store, BAN).decision
    assert revoke(store, asked.id, actor=ALICE, reason="a slip", now=NOON + HOUR).decisions[0].state == "revoked"
    with pytest.raises(ActRefused):
        approved(store, asked.id)


def test_machines_lift_nothing_here(store):
    waiting = held(store)
    with pytest.raises(ActRefused) as caught:
        revoke(store, waiting.id, actor="system:me", reason="x", now=NOON)
    assert caught.value.why is No.NO_PERSON


@pytest.mark.parametrize(("scope", "value"), [(Scope.RANGE, "10.0.0.0/33"), (Scope.ADDRESS, "10.0.0.0/8")])
def test_an_exemption_of_what_nobody_can_read_is_refused(store, scope, value):
    with pytest.raises(ActRefused) as refused:
        exempted(store, Entity(scope, value))
    assert refused.value.why is No.BAD_ENTITY


def test_a_range_may_be_exempt_however_wide_it_is(store):
    assert exempted(store, Entity(Scope.RANGE, "::1/3")).exemption.value == "::/3"
