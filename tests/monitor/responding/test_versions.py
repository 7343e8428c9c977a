import json

import pytest
from acting import APP, DAY, HOUR, added, approved, held, registered, words

from detectors.finding import Entity, Scope
from monitor.responding.refusals import ActRefused, No
from monitor.responding.versions import end_followed
from playbooks.action import ForceUpdate
from playbooks.decision import DecisionState, Reason
from playbooks.testing import NOON

UPDATE = ForceUpdate(duration_s=30 * 86_400, version_min="2.0", grace_s=7 * 86_400)
LATEST = ForceUpdate(duration_s=30 * 86_400, version_min="latest")


def releases(store, *versions, as_of=NOON - DAY):
    """What the registry calls released from a time on."""
    told = [{"version": version, "status": "released"} for version in versions]
    registered(store, ("wx01", json.dumps({"app_id": "wx01", "versions": told})), as_of=as_of)


def test_an_update_says_from_when_on_older_versions_are_refused(store):
    made = added(store, UPDATE).decision
    assert made.parameters == {"version_min": "2.0", "deadline": "2026-06-08T12:00:00.000000Z"}
    assert "versions below 2.0 refused after 7 days of warning, for 30 days" in made.explanation


def test_the_latest_version_is_the_one_that_is_released_now(store):
    releases(store, "1.9.1")
    assert added(store, LATEST).decision.parameters["version_min"] == "1.9.1"


@pytest.mark.parametrize("versions", [(), ("beta",)])
def test_where_no_version_can_be_named_none_is_demanded(store, versions):
    releases(store, *versions)
    with pytest.raises(ActRefused) as caught:
        added(store, LATEST)
    assert caught.value.why is No.NO_VERSION


def test_only_apps_have_versions(store):
    with pytest.raises(ActRefused) as caught:
        added(store, UPDATE, on=Entity(Scope.ADDRESS, "203.0.113.7"))
    assert caught.value.why is No.NO_VERSION


def test_an_approved_update_names_its_version_and_counts_its_deadline_from_the_approval(store):
    waiting = held(store, LATEST, reason=Reason.HELD_VERSION)
    with pytest.raises(ActRefused):
        approved(store, waiting.id)
    releases(store, "3.1")
    parameters = approved(store, waiting.id).decision.parameters
    assert parameters == {"version_min": "3.1", "deadline": "2026-06-01T13:00:00.000000Z"}


def test_a_newer_version_takes_the_place_of_an_older_one_and_the_same_does_not(store):
    first = added(store, UPDATE).decision
    assert not added(store, UPDATE, now=NOON + 1).changed
    newer = ForceUpdate(duration_s=30 * 86_400, version_min="2.1", grace_s=60)
    assert added(store, newer, now=NOON + HOUR).superseded[0].id == first.id


def test_an_update_ends_by_itself_when_its_version_is_released(store):
    releases(store, "1.9")
    made = added(store, UPDATE).decision
    assert end_followed(store, NOON + HOUR) == []
    releases(store, "1.10", as_of=NOON + HOUR)
    assert end_followed(store, NOON + HOUR) == []
    releases(store, "2.0.0", as_of=NOON + 2 * HOUR)
    assert [ended.id for ended in end_followed(store, NOON + 2 * HOUR)] == [made.id]
    assert store.decision(made.id).state is DecisionState.EXPIRED
    assert words(store)[-1] == ("decision.follow", "system:registry")


def test_an_update_to_what_was_released_already_is_ended_by_time_alone(store):
    releases(store, "1.9")
    made = added(store, LATEST).decision
    releases(store, "2.0", as_of=NOON + HOUR)
    assert end_followed(store, NOON + HOUR) == []
    assert store.decision(made.id).state is DecisionState.ACTIVE


def test_of_an_app_that_the_registry_does_not_know_nothing_is_ended(store):
    added(store, UPDATE, on=APP)
    assert end_followed(store, NOON + HOUR) == []
