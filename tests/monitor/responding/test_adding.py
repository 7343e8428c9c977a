import json

import pytest
from acting import (
    ALICE,
    APP,
    BAN,
    DAY,
    HOUR,
    REMOVE,
    SLOW,
    SLOWER,
    added,
    exempted,
    registered,
    standing,
    token_of,
    words,
)

from detectors.finding import Entity, Scope
from monitor.audit import verify
from monitor.responding.refusals import ActRefused, No
from playbooks.action import Throttle
from playbooks.decision import DecisionState, Reason
from playbooks.testing import NOON


def refused(store, action=SLOW, **more):
    before = (list(store.decisions()), list(store.audit_entries()), store.rulings_version())
    with pytest.raises(ActRefused) as caught:
        added(store, action, **more)
    assert (list(store.decisions()), list(store.audit_entries()), store.rulings_version()) == before
    return caught.value


def test_what_a_person_adds_is_in_force_until_its_end_and_says_who_and_why(store):
    made = added(store).decision
    assert standing(store) == [("wx01", "throttle", "login")]
    assert (made.state, made.reason, made.origin, made.expires) == (
        DecisionState.ACTIVE,
        Reason.OPERATOR,
        ALICE,
        NOON + DAY,
    )
    assert made.explanation == (
        "App wx01: login limited to 60 in 1 minute, for 24 hours; decided by alice: it must be."
    )


def test_adding_is_audited_whole_and_overtakes_turns_under_way(store):
    version = store.rulings_version()
    made = added(store).decision
    (entry,) = (chained.entry for chained in store.audit_entries())
    assert (entry.action, entry.actor, entry.reason, entry.before) == ("decision.add", ALICE, "it must be", "")
    assert json.loads(entry.after)["id"] == made.id
    assert store.rulings_version() > version
    assert verify(store.audit_entries()).broken is None


def test_a_ban_is_only_asked_for(store):
    made = added(store, BAN).decision
    assert (made.state, made.reason) == (DecisionState.AWAITING_APPROVAL, Reason.HELD_APPROVAL)
    assert made.answer_by == NOON + 7 * DAY
    assert "held, because a ban needs a second person" in made.explanation
    assert standing(store) == []


def test_a_tighter_act_takes_the_place_of_the_one_in_force(store):
    first = added(store).decision
    second = added(store, SLOWER, now=NOON + HOUR)
    assert [gone.id for gone in second.superseded] == [first.id]
    assert standing(store) == [("wx01", "throttle", "login")]
    assert store.decision(first.id).state is DecisionState.SUPERSEDED
    assert words(store) == [("decision.add", ALICE), ("decision.supersede", ALICE), ("decision.add", ALICE)]


def test_a_weaker_act_changes_nothing(store):
    first = added(store, SLOWER).decision
    weaker = Throttle(duration_s=3_600, target="login", limit=500, per_s=60)
    again = added(store, weaker, now=NOON + HOUR)
    assert (again.changed, again.decision.id) == (False, first.id)
    assert len(words(store)) == 1


def test_the_same_act_is_prolonged_by_saying_it_again_but_not_by_sending_it_twice(store):
    added(store)
    assert not added(store, now=NOON + 1_000_000).changed
    renewed = added(store, now=NOON + HOUR)
    assert renewed.changed
    assert renewed.decision.expires == NOON + HOUR + DAY


def test_acts_with_other_targets_stand_beside_each_other(store):
    added(store)
    added(store, Throttle(duration_s=60, target="pay", limit=1, per_s=60), now=NOON)
    assert len(standing(store, NOON + 1)) == 2


def test_the_same_key_is_the_same_decision_however_often_it_is_sent(store):
    one = added(store, key="k" * 32)
    two = added(store, SLOWER, key="k" * 32, now=NOON + HOUR)
    assert (two.changed, two.decision) == (False, one.decision)


def test_a_protected_app_cannot_be_acted_on_until_the_registry_says_otherwise(store):
    registered(store, ("wx01", '{"app_id":"wx01","protected":true}'))
    assert refused(store).why is No.PROTECTED
    assert "import a line of the registry" in str(refused(store, REMOVE))
    registered(store, ("wx01", '{"app_id":"wx01"}'), as_of=NOON - HOUR)
    assert added(store).changed


def test_a_developer_with_a_protected_app_cannot_be_acted_on(store):
    registered(store, ("wx09", '{"app_id":"wx09","developer_id":"dev1","protected":true}'))
    error = refused(store, BAN, on=Entity(Scope.DEVELOPER, "dev1"))
    assert error.why is No.PROTECTED
    assert "app wx09 of developer dev1" in str(error)
    registered(store, ("wx09", '{"app_id":"wx09","developer_id":"dev1"}'), as_of=NOON - HOUR)
    assert added(store, BAN, on=Entity(Scope.DEVELOPER, "dev1")).changed


@pytest.mark.parametrize(
    ("exempt", "on"),
    [
        (APP, APP),
        (Entity(Scope.DEVELOPER, "dev1"), APP),
        (Entity(Scope.RANGE, "203.0.113.0/24"), Entity(Scope.ADDRESS, "203.0.113.7")),
        (Entity(Scope.ADDRESS, "203.0.113.7"), Entity(Scope.RANGE, "203.0.113.0/24")),
    ],
)
def test_an_exempt_entity_cannot_be_acted_on_until_the_exemption_is_lifted(store, exempt, on):
    registered(store, ("wx01", '{"app_id":"wx01","developer_id":"dev1"}'))
    exempted(store, exempt)
    error = refused(store, on=on)
    assert error.why is No.EXEMPT
    assert "miniwatch allowlists remove e1" in str(error)
    store.remove_standing("e1", ALICE, "no longer", NOON)
    assert added(store, on=on).changed


def test_an_exemption_that_is_over_protects_nobody(store):
    exempted(store, until=NOON)
    assert added(store).changed


def test_an_app_is_its_developers_so_that_their_acts_are_counted_together(store):
    registered(store, ("wx01", '{"app_id":"wx01","developer_id":"dev1"}'))
    assert added(store).decision.owner == "dev1"


@pytest.mark.parametrize(
    ("scope", "value"),
    [
        ("Host", "web-1"),
        ("AppId", " "),
        ("AppId", "x" * 513),
        ("AppId", "a\nb"),
        ("Ip", "203.0.113.0/24"),
        ("Ip", "nonsense"),
        ("Range", "0.0.0.0/0"),
        ("Range", "2001:db8::/18"),
    ],
)
def test_what_nothing_can_be_done_to_is_refused(store, scope, value):
    assert refused(store, on=Entity(Scope(scope), value)).why is No.BAD_ENTITY


@pytest.mark.parametrize(
    ("scope", "value", "kept"),
    [("Ip", " 2001:DB8:0::7 ", "2001:db8::7"), ("Range", "203.0.113.9/24", "203.0.113.0/24"), ("AppId", "wx1 ", "wx1")],
)
def test_an_address_is_kept_in_its_one_spelling(store, scope, value, kept):
    assert added(store, on=Entity(Scope(scope), value)).decision.value == kept


@pytest.mark.parametrize("by", ["system:expiry", "", "nobody"])
def test_only_people_add_decisions(store, by):
    assert refused(store, by=by).why is No.NO_PERSON


def test_the_first_token_is_nobodys_and_cannot_ask_for_a_ban(store):
    first = token_of(store, "first admin", maker="system:start")
    assert added(store, by=first).changed
    assert refused(store, BAN, by=first).why is No.NO_PERSON


def test_nothing_lasts_for_ever():
    for duration_s in (0, -1, 365 * 86_400 + 1):
        with pytest.raises(ValueError, match="must lie in"):
            Throttle(duration_s=duration_s, limit=1, per_s=1)
