import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.decide import decide
from playbooks.decision import DecisionState, Reason
from playbooks.known import Known
from playbooks.playbook import parse_playbooks
from playbooks.policy import Policy
from playbooks.testing import NOON, finding
from playbooks.versions import is_below, is_version

VERSIONS = st.lists(st.integers(0, 20), min_size=1, max_size=5).map(lambda parts: ".".join(map(str, parts)))


@pytest.mark.parametrize(("older", "newer"), [("1.9", "1.10"), ("1", "1.0.1"), ("0.9.9", "1"), ("2.0", "2.0.0.1")])
def test_numbers_are_compared_and_not_letters(older, newer):
    assert is_below(older, newer)
    assert not is_below(newer, older)


@pytest.mark.parametrize("same", ["2", "2.0", "2.0.0", "02.00"])
def test_zeros_at_the_end_say_nothing(same):
    assert not is_below(same, "2")
    assert not is_below("2", same)


@pytest.mark.parametrize("text", ["", "latest", "1.0-beta", "v1", "1..2", "1." * 9 + "1", "1٣", "9" * 10])
def test_what_has_no_order_is_not_below(text):
    assert not is_version(text)
    assert not is_below(text, "99")
    assert not is_below("0", text)


@given(VERSIONS, VERSIONS, VERSIONS)
def test_versions_have_one_order(one, two, three):
    assert is_below(one, two) + is_below(two, one) <= 1
    if is_below(one, two) and is_below(two, three):
        assert is_below(one, three)


UPDATES = """\
name: updates
title: Old versions
priority: 1
steps:
  - {tier: throttle, when: {findings: 1}, actions: [{type: force-update, version_min: latest, deadline: 24h, for: 30d}]}
"""
PLAYBOOKS, PROBLEMS = parse_playbooks([("updates", UPDATES)])


def decided(released, **about):
    policy = Policy(playbooks=PLAYBOOKS, released=lambda _app, _at: released)
    (made,) = decide([finding(**about)], Known(), policy, now=NOON).decisions
    return made


def test_the_latest_version_is_named_when_it_is_decided():
    assert PROBLEMS == []
    made = decided("2.1.0")
    assert made.parameters == {"version_min": "2.1.0", "deadline": "2026-06-02T12:00:00.000000Z"}
    assert "versions below 2.1.0 refused after 24 hours of warning, for 30 days" in made.explanation


@pytest.mark.parametrize(
    ("released", "about", "why"),
    [
        (None, {}, "the registry names no released version"),
        ("beta", {}, "the registry names no released version"),
        ("2.1.0", {"scope": "DeviceId", "value": "0a"}, "only an app has versions"),
    ],
)
def test_a_version_that_nobody_can_name_is_not_demanded(released, about, why):
    made = decided(released, **about)
    assert (made.state, made.reason) == (DecisionState.HELD, Reason.HELD_VERSION)
    assert why in made.explanation


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ("version_min: 2.1", "version_min as text"),
        ("version_min: newest", "a version like '2.1.0', or latest"),
        ("version_min: latest, deadline: 40d", "a deadline before the end"),
        ("version_min: latest, version: latest", "unknown key 'version'"),
    ],
)
def test_what_is_wrong_with_an_update_is_told_at_its_line(written, wrong):
    text = UPDATES.replace("version_min: latest, deadline: 24h", written)
    (problem,) = parse_playbooks([("updates", text)])[1]
    assert wrong in str(problem)
    assert problem.line == 5
