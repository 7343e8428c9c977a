"""The loop closed: what the gateway logs is found by a rule, decided, and enforced by the same gateway."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack

import pytest
from loop import PLAYBOOK, RELEASED, TOOLS, AgentProgram, Caller, Miniwatch, Shipper
from standing import eventually

OFFENDER, BYSTANDER = "wxoffender", "wxbystander"


@pytest.fixture
def miniwatch(tmp_path):
    (tmp_path / "miniwatch").mkdir()
    made = Miniwatch(tmp_path / "miniwatch", PLAYBOOK.format(api="login", limit=1, per_s=600, lasts_s=600))
    with made:
        yield made


def _call(gateway, app, referer):
    return gateway.ask(app=app, Referer=referer.format(app=app))[0]


def test_an_offender_is_found_by_the_gateways_log_limited_explained_and_served_again_once_that_is_lifted(
    gateway, miniwatch
):
    with Shipper(gateway, miniwatch), AgentProgram(gateway, miniwatch):
        assert eventually(lambda: _call(gateway, OFFENDER, TOOLS) == 429, within_s=20)
        assert (_call(gateway, BYSTANDER, RELEASED), _call(gateway, OFFENDER, RELEASED)) == (200, 429)
        (decision,) = miniwatch.in_force()
        assert decision.value == OFFENDER
        refused = [event for event in gateway.logged(1) if event["event"]["action"] == "refuse"]
        assert {event["event"]["reason"] for event in refused} == {decision.id}
        miniwatch.told("decisions", "revoke", decision.id, "--reason", "It was a test", "--exempt-for", "1h")
        assert eventually(lambda: _call(gateway, OFFENDER, RELEASED) == 200, within_s=10)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_whoever_is_killed_when_the_gateway_ends_up_with_what_is_in_force(gateway, miniwatch, seed):
    chance, apps = random.Random(seed), [f"wx{number}" for number in range(12)]
    with ExitStack() as stack:
        stack.enter_context(Shipper(gateway, miniwatch))
        agent = stack.enter_context(AgentProgram(gateway, miniwatch))
        stack.enter_context(Caller(gateway, BYSTANDER, 20))
        for app in apps:
            stack.enter_context(Caller(gateway, app, 2, referer=TOOLS))
        for _ in range(6):
            time.sleep(chance.uniform(0.5, 2.0))
            victim = chance.choice(["agent", "gateway", "daemon"])
            if victim == "agent":
                agent.kill()
                agent.start()
            elif victim == "gateway":
                gateway.kill()
                gateway.start()
            else:
                miniwatch.kill()
                miniwatch.start()
        miniwatch.wait()
        assert eventually(lambda: {one.value for one in miniwatch.in_force()} == set(apps), within_s=90)
        lifted = chance.sample(sorted(one.id for one in miniwatch.in_force()), 4)
        miniwatch.told("decisions", "revoke", *lifted, "--reason", "A test", "--exempt-for", "1h")
        agent.kill()
        agent.start()
        refused = {one.value for one in miniwatch.in_force()}
        assert len(refused) == len(apps) - 4
        assert eventually(
            lambda: {app for app in apps if 429 in [_call(gateway, app, RELEASED) for _ in range(2)]} == refused, 30
        )
        assert _call(gateway, BYSTANDER, RELEASED) == 200
