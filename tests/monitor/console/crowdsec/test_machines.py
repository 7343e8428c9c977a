"""What cscli asks for: it logs in with a token, lists, adds and lifts, within the rules of responding."""

import gzip
import json
import socket
import sys
import time
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from whole import whole_daemon

from detectors.finding import Scope
from monitor.clock import now_us
from monitor.stores import Standing, StandingKind, Turn
from monitor.testing import stored_decision
from monitor.tokens import Role, new_token
from playbooks.decision import Act, DecisionState

YEAR_US = 365 * 86_400_000_000


class Machine:
    """A machine that is logged in."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.store = daemon.kept.store
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{daemon.front.server.port}", timeout=20)
        self.token, self.text = self.made("ann", Role.RESPONDER)
        self.headers = {"Authorization": f"Bearer {self.login(self.text).json()['token']}"}

    def made(self, name, *roles):
        now = now_us()
        token, text = new_token(name, roles, created=now, expires=now + YEAR_US, actor="operator:bob")
        self.store.add_token(token, "")
        self.daemon.front.guard._known._read()
        return token, text

    def login(self, password):
        return self.client.post("/v1/watchers/login", json={"machine_id": "ann", "password": password, "scenarios": []})

    def ask(self, method, path, **options):
        return self.client.request(method, path, headers=self.headers | options.pop("headers", {}), **options)

    def add(self, value="192.0.2.1", scope="Ip", kind="captcha", duration="4h", **more):
        decision = {"scope": scope, "value": value, "type": kind, "duration": duration, "origin": "cscli", **more}
        alert = {"scenario": "manual", "source": {"scope": scope, "value": value}, "decisions": [decision]}
        return self.ask("POST", "/v1/alerts", json=[alert])

    def listed(self, query=""):
        return [one["source"]["value"] for one in self.ask("GET", f"/v1/alerts{query}").json()]


@pytest.fixture
def machine(tmp_path):
    with whole_daemon(tmp_path / "data") as daemon:
        yield Machine(daemon)


def test_a_machine_logs_in_with_a_token_and_is_out_once_it_is_revoked(machine):
    answer = machine.login(machine.text)
    assert (answer.status_code, sorted(answer.json())) == (200, ["code", "expire", "token"])
    assert machine.ask("GET", "/v1/heartbeat").status_code == 200
    assert machine.ask("GET", "/v1/refresh_token").json()["token"] == machine.text
    machine.store.revoke_token(machine.token.id, "operator:bob", "lost", now_us())
    machine.daemon.front.guard._known._read()
    answer = machine.ask("GET", "/v1/heartbeat")
    assert (answer.status_code, answer.json()["code"]) == (401, 401)
    assert machine.login(machine.text).status_code == 401


def test_logins_are_short_and_keep_no_place_of_events(machine):
    length = {"Content-Length": "20000"}
    assert machine.client.post("/v1/watchers/login", content=b" " * 20_000, headers=length).status_code == 413
    bounded = machine.daemon.front.server._server.config.app
    with socket.create_connection(("127.0.0.1", machine.daemon.front.server.port)) as slow:
        slow.sendall(b"POST /v1/watchers/login HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        time.sleep(0.2)
        assert bounded.in_flight == 0


@pytest.mark.parametrize("body", [b"", b"[]", b'{"password": 7}', b'{"machine_id": "x"}'])
def test_a_login_that_is_none_is_refused(machine, body):
    assert machine.client.post("/v1/watchers/login", content=body).status_code == 400


def test_a_wrong_password_and_a_bouncers_key_log_nobody_in(machine):
    assert machine.login("guess").status_code == 401
    assert machine.login(machine.made("gateway", Role.BOUNCER)[1]).status_code == 403


def test_nobody_registers_himself(machine):
    answer = machine.client.post("/v1/watchers", json={"machine_id": "x", "password": "y"})
    assert answer.status_code == 422
    assert "miniwatch tokens add" in answer.json()["message"]


def test_what_is_added_is_listed_told_to_bouncers_and_lifted(machine):
    answer = machine.add("wx1", "AppId", "throttle:60/60:getLocation", "1h", scenario="too many calls")
    assert (answer.status_code, answer.json()) == (201, ["1"])
    (alert,) = machine.ask("GET", "/v1/alerts?has_active_decision=true&include_capi=false&limit=100").json()
    (decision,) = alert["decisions"]
    assert (decision["type"], decision["scope"], decision["value"]) == ("throttle:getLocation", "AppId", "wx1")
    stored = machine.store.numbered_decision(1).decision
    assert stored.parameters == {"limit": 60, "per_s": 60}
    assert stored.origin == f"token:{machine.token.id} (ann)"
    assert "too many calls" in stored.explanation
    assert machine.ask("DELETE", "/v1/decisions/1").json() == {"nbDeleted": "1"}
    assert machine.ask("DELETE", "/v1/decisions/1").json() == {"nbDeleted": "0"}
    assert machine.store.numbered_decision(1).decision.state is DecisionState.REVOKED
    assert machine.listed("?has_active_decision=true") == []
    assert machine.listed() == ["wx1"]


def test_a_ban_waits_for_a_second_person_and_the_caller_is_told_so(machine):
    answer = machine.add(kind="ban")
    assert answer.status_code == 409
    assert "miniwatch decisions approve" in answer.json()["message"]
    assert machine.store.numbered_decision(1).decision.state is DecisionState.AWAITING_APPROVAL
    assert machine.listed("?has_active_decision=true") == []


def test_what_is_protected_stays_so(machine):
    exemption = Standing(
        id="e",
        kind=StandingKind.EXEMPTION,
        scope="Ip",
        value="192.0.2.1",
        reason="ours",
        actor="operator:bob",
        created=0,
        expires=2**52,
    )
    machine.store.add_standing(exemption)
    assert machine.add().status_code == 409
    assert machine.listed() == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "throttle"},
        {"kind": "nonsense"},
        {"kind": "captcha:x"},
        {"kind": "function-ban"},
        {"kind": "throttle:0/60"},
        {"kind": "throttle:²/60"},
        {"kind": "throttle:60/9999999999"},
        {"kind": "function-ban:\0"},
        {"duration": "never"},
        {"duration": "-1h"},
        {"scope": "Planet"},
        {"value": "not an address"},
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused_with_a_reason(machine, wrong):
    answer = machine.add(**wrong)
    assert (answer.status_code, bool(answer.json()["message"])) == (422, True)
    assert machine.listed() == []


@pytest.mark.parametrize("alerts", [[], [{"decisions": None}], [{"scenario": "crowdsecurity/ssh-bf"}]], ids=str)
def test_alerts_of_other_engines_are_refused_plainly(machine, alerts):
    answer = machine.ask("POST", "/v1/alerts", json=alerts)
    assert answer.status_code == 422
    assert "decisions" in answer.json()["message"]


def test_a_body_may_be_packed(machine):
    decision = {"scope": "ip", "value": "192.0.2.1", "type": "captcha", "duration": "1h"}
    body = gzip.compress(json.dumps([{"decisions": [decision]}]).encode())
    assert machine.ask("POST", "/v1/alerts", content=body, headers={"Content-Encoding": "gzip"}).status_code == 201


@pytest.fixture
def several(machine):
    for value, scope in [("1.2.3.4", "ip"), ("1.2.3.5", "Ip"), ("4.4.4.0/24", "range"), ("wx1", "AppId")]:
        assert machine.add(value, scope).status_code == 201
    return machine


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("?ip=1.2.3.4", ["wx1", "4.4.4.0/24", "1.2.3.5"]),
        ("?ip=4.4.4.3", ["wx1", "1.2.3.5", "1.2.3.4"]),
        ("?range=1.2.3.0/24&contains=false", ["wx1", "4.4.4.0/24"]),
        ("?range=4.4.0.0/16", ["wx1", "4.4.4.0/24", "1.2.3.5", "1.2.3.4"]),
        ("?scope=AppId&value=wx1", ["4.4.4.0/24", "1.2.3.5", "1.2.3.4"]),
        ("?scopes=AppId", ["4.4.4.0/24", "1.2.3.5", "1.2.3.4"]),
        ("?type=ban", ["wx1", "4.4.4.0/24", "1.2.3.5", "1.2.3.4"]),
        ("?origin=operator", []),
        ("", []),
    ],
)
def test_those_that_are_meant_are_lifted_and_no_others(several, query, left):
    count = 4 - len(left)
    assert several.ask("DELETE", f"/v1/decisions{query}").json() == {"nbDeleted": str(count)}
    assert several.listed("?has_active_decision=true") == left


def test_a_filter_that_is_not_known_lifts_nothing(several):
    assert several.ask("DELETE", "/v1/decisions?owner=x").status_code == 400
    assert len(several.listed("?has_active_decision=true")) == 4


def test_deleting_alerts_by_what_is_not_known_or_is_over_lifts_nothing(several):
    assert several.ask("DELETE", "/v1/alerts?scope=AppId&alert_source=x").status_code == 400
    assert several.ask("DELETE", "/v1/alerts?has_active_decision=false").json() == {"nbDeleted": "0"}
    assert len(several.listed("?has_active_decision=true")) == 4


def test_deleting_alerts_lifts_what_is_in_force_and_keeps_the_record(several):
    assert several.ask("DELETE", "/v1/alerts/1").json() == {"nbDeleted": "1"}
    assert several.ask("DELETE", "/v1/alerts?scope=AppId").json() == {"nbDeleted": "1"}
    assert several.listed("?has_active_decision=true") == ["4.4.4.0/24", "1.2.3.5"]
    assert len(several.listed()) == 4


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("?limit=2", ["wx1", "4.4.4.0/24"]),
        ("?limit=0", ["wx1", "4.4.4.0/24", "1.2.3.5", "1.2.3.4"]),
        ("?scope=ip", ["1.2.3.5", "1.2.3.4"]),
        ("?ip=4.4.4.9", ["4.4.4.0/24"]),
        ("?since=1h", ["wx1", "4.4.4.0/24", "1.2.3.5", "1.2.3.4"]),
        ("?until=1h", []),
        ("?decision_type=ban", []),
        ("?origin=operator&value=wx1", ["wx1"]),
    ],
)
def test_alerts_are_filtered(several, query, values):
    assert several.listed(query) == values


def test_who_asks_since_before_all_time_is_given_all(several):
    assert len(several.listed("?since=99999999999999h")) == 4


@pytest.mark.parametrize("path", ["/v1/alerts?since=toto", "/v1/alerts?limit=x", "/v1/alerts/x", "/v1/decisions/x"])
def test_a_question_that_is_none_is_refused(machine, path):
    method = "DELETE" if "decisions" in path else "GET"
    assert machine.ask(method, path).status_code == 400


def test_what_is_not_there_is_not_found(machine):
    assert machine.ask("GET", "/v1/alerts/7").status_code == 404
    assert machine.ask("DELETE", "/v1/decisions/7").status_code == 404


def test_who_only_looks_changes_nothing(several):
    viewer = several.made("eve", Role.VIEWER)[1]
    for method, path in [("POST", "/v1/alerts"), ("DELETE", "/v1/decisions"), ("DELETE", "/v1/alerts/1")]:
        answer = several.client.request(method, path, headers={"Authorization": f"Bearer {viewer}"})
        assert (answer.status_code, answer.json()["code"]) == (403, 403)


def test_an_alert_says_how_many_events_there_were_and_head_nothing(machine):
    decision = stored_decision(
        "d", time=now_us(), expires=now_us() + YEAR_US, type=Act.CAPTCHA, scope=Scope.ADDRESS, value="1.2.3.4"
    )
    machine.store.commit(Turn(number=1, decisions=[decision]))
    alert = machine.ask("GET", "/v1/alerts/1").json()
    assert (alert["id"], alert["events_count"], alert["source"]["ip"]) == (1, 1, "1.2.3.4")
    assert machine.ask("HEAD", "/v1/alerts/1").content == b""


def test_exemptions_are_an_allowlist(machine):
    exemption = Standing(
        id="e",
        kind=StandingKind.EXEMPTION,
        scope="Range",
        value="192.0.2.0/24",
        reason="ours",
        actor="operator:bob",
        created=0,
        expires=2**52,
    )
    machine.store.add_standing(exemption)
    (listed,) = machine.ask("GET", "/v1/allowlists?with_content=true").json()
    assert (listed["name"], [item["value"] for item in listed["items"]]) == ("exemptions", ["192.0.2.0/24"])
    assert machine.ask("GET", "/v1/allowlists/exemptions").json()["items"] == []
    assert machine.ask("GET", "/v1/allowlists/others").status_code == 404
    assert machine.ask("GET", "/v1/allowlists/check/192.0.2.7").json()["allowlisted"] is True
    assert machine.ask("GET", "/v1/allowlists/check/192.0.2.0/25").json()["allowlisted"] is True
    assert machine.ask("GET", "/v1/allowlists/check/192.0.3.7").json() == {"allowlisted": False, "reason": ""}
    assert machine.ask("HEAD", "/v1/allowlists/check/192.0.3.7").status_code == 204
    found = machine.ask("POST", "/v1/allowlists/check", json={"targets": ["192.0.2.7", "192.0.3.7"]}).json()
    assert found == {"results": [{"target": "192.0.2.7", "allowlists": ["exemptions"]}]}


def test_usage_metrics_are_taken(machine):
    key = machine.made("gateway", Role.BOUNCER)[1]
    assert machine.client.post("/v1/usage-metrics", headers={"X-Api-Key": key}, json={}).status_code == 201
