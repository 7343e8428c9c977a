from typing import get_args

import pytest

from playbooks.action import Action, Ban, Captcha, ForceUpdate, FunctionBan, Remove, Throttle, Warn, describe
from playbooks.decision import Act
from playbooks.testing import NOON, check_action

ACTIONS = [
    Warn(duration_s=86_400),
    Throttle(duration_s=86_400, target="login", limit=60, per_s=60),
    Throttle(duration_s=60, limit=1, per_s=1),
    Captcha(duration_s=3_600),
    FunctionBan(duration_s=259_200, target="share"),
    ForceUpdate(duration_s=86_400, version_min="latest"),
    ForceUpdate(duration_s=86_400, version_min="1.10", grace_s=3_600),
    Remove(duration_s=604_800),
    Ban(duration_s=7_776_000),
]


@pytest.mark.parametrize("action", ACTIONS, ids=describe)
def test_every_action_keeps_the_laws(action):
    check_action(action)


def test_every_action_is_in_the_battery_and_every_act_has_an_action():
    assert {type(action) for action in ACTIONS} == set(get_args(Action))
    assert {action.type for action in ACTIONS} == set(Act)


@pytest.mark.parametrize("duration_s", [0, -1, 366 * 86_400])
def test_an_action_without_an_end_cannot_be_made(duration_s):
    with pytest.raises(ValueError, match="duration_s"):
        Ban(duration_s=duration_s)


def test_a_throttle_lets_something_through():
    with pytest.raises(ValueError, match="limit"):
        Throttle(duration_s=60, limit=0, per_s=1)


@pytest.mark.parametrize("target", ["", "share\n", "\x1b[2J", "x" * 129])
def test_what_goes_to_gateways_and_terminals_is_a_name(target):
    with pytest.raises(ValueError, match="target"):
        FunctionBan(duration_s=60, target=target)
    with pytest.raises(ValueError, match="target"):
        Throttle(duration_s=60, target=target, limit=1, per_s=1)


@pytest.mark.parametrize(("version", "grace_s"), [("newest", 0), ("1.0", 86_400), ("1.0", -1), ("", 0)])
def test_an_update_is_to_a_version_and_its_deadline_lies_before_its_end(version, grace_s):
    with pytest.raises(ValueError, match=r"version_min|deadline"):
        ForceUpdate(duration_s=86_400, version_min=version, grace_s=grace_s)


def test_an_update_tells_its_version_and_the_time_from_which_on_older_ones_are_refused():
    update = ForceUpdate(duration_s=86_400, version_min="1.10", grace_s=3_600)
    assert update.parameters_at(NOON) == {"version_min": "1.10", "deadline": "2026-06-01T13:00:00.000000Z"}
    assert describe(update) == "versions below 1.10 refused after 1 hour of warning, for 24 hours"


def test_an_action_is_described_in_plain_words():
    assert describe(ACTIONS[1]) == "login limited to 60 in 1 minute, for 24 hours"
