import pytest
from acting import (
    ALICE,
    BAN,
    BOB,
    CAROL,
    DAY,
    HOUR,
    REMOVE,
    SLOW,
    SLOWER,
    added,
    approved,
    exempted,
    held,
    registered,
    rejected,
    standing,
    token_of,
    words,
)

from detectors.finding import Entity, Scope
from monitor.responding.refusals import ActRefused, No
from monitor.stores import Turn
from monitor.stores.record import NotFound
from monitor.testing import stored_incident
from playbooks.decision import DecisionState, Mode, Reason
from playbooks.testing import NOON


def refused(act, store, key, **more):
    before = (list(store.decisions()), list(store.audit_entries()))
    with pytest.raises(ActRefused) as caught:
        act(store, key, **more)
    assert (list(store.decisions()), list(store.audit_entries())) == before
    return caught.value


def test_an_approved_decision_is_in_force_from_now_on_for_its_whole_duration(store):
    waiting = held(store)
    made = approved(store, waiting.id).decision
    assert (made.state, made.reason, made.time) == (DecisionState.ACTIVE, Reason.OPERATOR, NOON + HOUR)
    assert made.expires == NOON + HOUR + 7 * DAY
    assert made.answer_by is None
    assert made.explanation == "App wx01: something happened; by playbook test: done; approved by bob: seen it."
    assert standing(store) == [("wx01", "remove", None)]
    assert words(store) == [("decision.approve", BOB)]


@pytest.mark.parametrize("reason", [Reason.HELD_EVIDENCE, Reason.HELD_BUDGET, Reason.HELD_APPROVAL])
def test_what_the_machine_asked_for_needs_one_person(store, reason):
    waiting = held(store, BAN if reason is Reason.HELD_APPROVAL else REMOVE, reason=reason)
    assert approved(store, waiting.id).changed


def test_a_ban_needs_another_person_than_the_one_who_asked(store):
    asked = added(store, BAN).decision
    error = refused(approved, store, asked.id, by=ALICE)
    assert error.why is No.SECOND_PERSON
    assert str(error) == "alice asked for this ban: it needs a second person"
    assert approved(store, asked.id, by=BOB).decision.state is DecisionState.ACTIVE


def test_two_approvals_of_one_ban_are_one(store):
    asked = added(store, BAN).decision
    approved(store, asked.id, by=BOB)
    assert refused(approved, store, asked.id, by=CAROL).why is No.NOT_WAITING


@pytest.mark.parametrize("name", ["alice", "Alice", " ALICE ", "ａｌｉｃｅ"])
def test_a_person_is_the_same_with_a_token_and_at_the_command_line(store, name):
    asked = added(store, BAN, by=ALICE).decision
    assert refused(approved, store, asked.id, by=token_of(store, name)).why is No.SECOND_PERSON
    other = added(store, BAN, by=token_of(store, name), on=Entity(Scope.APP, "wx02")).decision
    assert refused(approved, store, other.id, by=ALICE).why is No.SECOND_PERSON


def test_who_made_a_token_is_not_the_second_person_to_who_comes_with_it(store):
    bobs = token_of(store, "bob", maker=ALICE)
    asked = added(store, BAN, by=ALICE).decision
    error = refused(approved, store, asked.id, by=bobs)
    assert str(error) == "alice asked for this ban, and made the token that bob came with: it needs a second person"
    other = added(store, BAN, by=bobs, on=Entity(Scope.APP, "wx02")).decision
    error = refused(approved, store, other.id, by=ALICE)
    assert str(error) == "this ban was asked for with a token that alice made: it needs a second person"


def test_two_tokens_of_two_people_made_by_a_third_are_two_people(store):
    asked = added(store, BAN, by=token_of(store, "alice")).decision
    assert approved(store, asked.id, by=token_of(store, "bob")).changed


@pytest.mark.parametrize("by", ["system:held", "playbook:test", "first"])
def test_no_machine_approves_a_ban(store, by):
    waiting = held(store, BAN, reason=Reason.HELD_APPROVAL)
    by = token_of(store, "first admin", maker="system:start") if by == "first" else by
    assert refused(approved, store, waiting.id, by=by).why is No.NO_PERSON


def test_a_longer_ban_needs_a_second_person_again(store):
    asked = added(store, BAN).decision
    approved(store, asked.id)
    longer = type(BAN)(duration_s=200 * 86_400)
    again = added(store, longer, by=BOB, now=NOON + 2 * HOUR).decision
    assert again.state is DecisionState.AWAITING_APPROVAL
    assert [each.id for each in store.decisions_in_force(NOON + 3 * HOUR)] == [asked.id]
    assert refused(approved, store, again.id, by=BOB, now=NOON + 3 * HOUR).why is No.SECOND_PERSON
    assert approved(store, again.id, by=ALICE, now=NOON + 3 * HOUR).superseded[0].id == asked.id


def test_what_is_protected_or_exempt_cannot_be_approved_either(store):
    waiting = held(store, reason=Reason.HELD_PROTECTED)
    registered(store, ("wx01", '{"app_id":"wx01","protected":true}'))
    assert refused(approved, store, waiting.id).why is No.PROTECTED
    registered(store, ("wx01", '{"app_id":"wx01"}'), as_of=NOON - HOUR)
    exempted(store)
    assert refused(approved, store, waiting.id).why is No.EXEMPT
    store.remove_standing("e1", ALICE, "no longer", NOON)
    assert approved(store, waiting.id).changed


def test_of_one_place_only_one_is_in_force_after_an_approval(store):
    weaker = added(store, SLOW).decision
    waiting = held(store, SLOWER, reason=Reason.HELD_BUDGET)
    assert [gone.id for gone in approved(store, waiting.id).superseded] == [weaker.id]
    assert standing(store) == [("wx01", "throttle", "login")]


def test_what_is_answered_by_something_higher_in_force_waits_no_more(store):
    higher = added(store, SLOWER).decision
    waiting = held(store, SLOW, reason=Reason.HELD_BUDGET)
    answer = approved(store, waiting.id)
    assert (answer.changed, answer.decision.id) == (False, higher.id)
    assert store.decision(waiting.id).state is DecisionState.SUPERSEDED


def test_an_approval_raises_the_rung_of_the_incident(store):
    store.commit(Turn(number=1, incidents=[stored_incident("i1", NOON)]))
    waiting = held(store, incident="i1", turn=2)
    approved(store, waiting.id)
    assert store.incident("i1").tier == "remove"


def test_a_rejected_decision_never_was_in_force(store):
    waiting = held(store)
    assert rejected(store, waiting.id).state is DecisionState.REJECTED
    assert standing(store) == []
    assert words(store) == [("decision.reject", BOB)]
    assert refused(approved, store, waiting.id).why is No.NOT_WAITING


@pytest.mark.parametrize("act", [approved, rejected])
def test_only_what_waits_can_be_answered(store, act):
    active = added(store).decision
    assert refused(act, store, active.id).why is No.NOT_WAITING
    shadow = held(store, mode=Mode.SHADOW, key="s" * 32)
    assert refused(act, store, shadow.id).why is No.NOT_LIVE
    waiting = held(store, turn=2)
    assert refused(act, store, waiting.id, now=NOON + DAY).why is No.TOO_LATE
    with pytest.raises(NotFound):
        act(store, "nothing")


@pytest.mark.parametrize("act", [approved, rejected])
def test_an_answer_needs_a_reason(store, act):
    waiting = held(store)
    with pytest.raises(ActRefused) as caught:
        act.__globals__["approve" if act is approved else "reject"](
            store, waiting.id, actor=BOB, reason="  ", now=NOON + HOUR
        )
    assert caught.value.why is No.NO_REASON


def test_the_queue_has_the_most_urgent_first(store):
    later = held(store, key="l" * 32)
    sooner = held(store, key="s" * 32, answer_by=NOON + HOUR, turn=2)
    held(store, key="x" * 32, mode=Mode.SHADOW, turn=3)
    added(store)
    queue = store.waiting_decisions(10)
    assert [each.id for each in queue] == [sooner.id, later.id]
    assert store.count_waiting() == 2
    assert [each.id for each in store.waiting_decisions(1, (sooner.answer_by, sooner.id))] == [later.id]
