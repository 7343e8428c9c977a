"""A decision as the platform's penalty event: each act has its number and detail, and an end cannot be taken for a beginning."""

from __future__ import annotations

import json

import pytest

from monitor.enforcers import Enforcer
from monitor.enforcers.penalty import penalty
from monitor.enforcers.telling import telling
from monitor.testing import stored_decision
from playbooks.decision import Act, DecisionState, Mode, Reason, Tier

DAY_US = 86_400_000_000
BEGUN = 1_772_500_000_000_000
ENFORCER = Enforcer(
    name="platform", rule_url="https://platform.example/rules", guide_url="https://platform.example/appeal"
)


def _decision(act: Act, days: float = 3, **more):
    given = {"target": None, "parameters": {}, "duration_s": int(days * 86_400), "rule": "rule-1"}
    return stored_decision("d1", BEGUN, BEGUN + int(days * DAY_US), type=act, **{**given, **more})


def _told(decision, enforcer: Enforcer = ENFORCER):
    told = json.loads(penalty(decision, enforcer, BEGUN + 1_500_000))
    return {**told, "detail": json.loads(told["detail"])}


def test_the_whole_event():
    assert _told(_decision(Act.FUNCTION_BAN, target="share", labels=("owner",), incident="i1", owner="dev-1")) == {
        "ToUserName": "wx0001",
        "FromUserName": "miniwatch",
        "CreateTime": 1_772_500_001,
        "MsgType": "event",
        "Event": "wxa_punish_event",
        "punish_id": "d1",
        "appid": "wx0001",
        "punish_time": 1_772_500_000,
        "illegal_reason": "Seen once.",
        "illegal_content": [],
        "rule_name": "rule-1",
        "rule_url": "https://platform.example/rules",
        "adjust_guide_url": "https://platform.example/appeal",
        "event_type": 2,
        "detail": {"banned_function_names": ["share"], "banned_days": [3]},
        "miniwatch": {
            "schema": "miniwatch.penalty/1",
            "in_force": True,
            "state": "active",
            "decision": "d1",
            "scope": "AppId",
            "value": "wx0001",
            "type": "function-ban",
            "tier": "throttle",
            "target": "share",
            "parameters": {},
            "begun": "2026-03-03T01:06:40.000000Z",
            "expires": "2026-03-06T01:06:40.000000Z",
            "labels": ["owner"],
            "reason": "playbook",
            "origin": "playbook:test",
            "incident": "i1",
            "owner": "dev-1",
        },
    }


DETAILS = {
    Act.WARN: (
        1,
        {},
        {"warned_type": 2, "warned_function_names": [], "warned_ban_days": [], "rectify_deadline": 1_772_759_200},
    ),
    Act.FUNCTION_BAN: (2, {"target": "pay"}, {"banned_function_names": ["pay"], "banned_days": [3]}),
    Act.REMOVE: (3, {}, {"suspended_days": 3}),
    Act.BAN: (4, {}, {"banned_days": 3}),
    Act.THROTTLE: (
        101,
        {"target": "login", "parameters": {"limit": 60, "per_s": 60}},
        {"throttled_function_names": ["login"], "limit": 60, "per_s": 60},
    ),
    Act.CAPTCHA: (102, {}, {}),
    Act.FORCE_UPDATE: (103, {"parameters": {"version_min": "1.2.3"}}, {"version_min": "1.2.3"}),
}


@pytest.mark.parametrize("act", Act)
def test_every_act_has_its_number_and_detail(act):
    number, more, detail = DETAILS[act]
    told = _told(_decision(act, **more))
    assert (told["event_type"], told["detail"]) == (number, detail)


@pytest.mark.parametrize(("days", "told"), [(1 / 24, 1), (1, 1), (1.5, 2), (7, 7)])
def test_days_are_rounded_up_and_never_nought_which_is_for_good(days, told):
    assert _told(_decision(Act.BAN, days))["detail"] == {"banned_days": told}


@pytest.mark.parametrize("state", [DecisionState.EXPIRED, DecisionState.REVOKED, DecisionState.SUPERSEDED])
def test_an_end_has_another_event_and_the_same_id(state):
    told = _told(_decision(Act.REMOVE, state=state))
    assert (told["Event"], told["punish_id"]) == ("wxa_punish_end_event", "d1")
    assert (told["miniwatch"]["in_force"], told["miniwatch"]["state"]) == (False, state)


def test_what_is_about_no_app_names_none():
    told = _told(_decision(Act.CAPTCHA, scope="DeviceId", value="0" * 32))
    assert (told["appid"], told["ToUserName"], told["miniwatch"]["scope"]) == ("", "0" * 32, "DeviceId")


@pytest.mark.parametrize(("enforcer", "taken"), [
    ({}, True),
    ({"scopes": ("Ip",)}, False),
    ({"types": (Act.REMOVE,)}, True),
    ({"types": (Act.BAN,)}, False),
    ({"tiers": (Tier.REMOVE,)}, True),
    ({"tiers": (Tier.THROTTLE,)}, False),
    ({"labels": ("a", "z")}, True),
    ({"labels": ("z",)}, False),
])  # fmt: skip
def test_an_enforcer_takes_what_it_asked_for(enforcer, taken):
    decision = _decision(Act.REMOVE, tier=Tier.REMOVE, labels=("a", "b"))
    assert Enforcer(name="e", **enforcer).takes(decision) == taken


@pytest.mark.parametrize(("more", "messages"), [
    ({}, 1),
    ({"mode": Mode.SHADOW}, 0),
    ({"mode": Mode.REPLAY}, 0),
    ({"state": DecisionState.HELD, "reason": Reason.HELD_BUDGET}, 0),
    ({"state": DecisionState.AWAITING_APPROVAL, "reason": Reason.HELD_APPROVAL}, 0),
    ({"state": DecisionState.REVOKED, "reason": Reason.HELD_APPROVAL}, 0),
    ({"state": DecisionState.EXPIRED, "reason": Reason.HELD_BUDGET}, 0),
    ({"state": DecisionState.REJECTED, "reason": Reason.HELD_APPROVAL}, 0),
    ({"state": DecisionState.REVOKED}, 1),
    ({"state": DecisionState.EXPIRED}, 1),
    ({"state": DecisionState.SUPERSEDED}, 1),
    ({"reason": Reason.OPERATOR}, 1),
])  # fmt: skip
def test_only_what_was_in_force_is_told(more, messages):
    assert len(telling([ENFORCER], lambda: BEGUN)([_decision(Act.REMOVE, **more)], lambda _entities: ())) == messages
