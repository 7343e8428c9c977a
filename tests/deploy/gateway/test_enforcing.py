"""Each kind of decision at a real gateway: who is refused, how it is explained, and who is not touched."""

import hashlib
import hmac
import json
import socket
import subprocess
import time

import pytest
from standing import PEOPLE_KEY, Gateway, Platform, decided, eventually, stamp

from playbooks.versions import is_below


def _status(gateway, **said):
    return gateway.ask(**said)[0]


def test_haproxy_accepts_the_configuration(gateway):
    command = [gateway.program, "-c", "-f", str(gateway.configuration)]
    checked = subprocess.run(command, env=gateway.environment, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout.strip()) == (0, "Configuration file is valid")
    assert "WARNING" not in checked.stderr


def test_without_decisions_everyone_is_served(gateway):
    assert _status(gateway) == _status(gateway, app=None, api=None) == 200


@pytest.mark.parametrize("type_", ["remove", "ban"])
def test_a_removed_or_banned_app_is_refused_and_no_other(gateway, type_):
    gateway.decide(decided(type_))
    assert (_status(gateway), _status(gateway, app="wx02")) == (403, 200)


def test_a_refusal_explains_itself_without_a_word_of_how_it_was_found(gateway):
    decision = decided("remove", lasts_s=3600)
    gateway.decide(decision)
    _, headers, body = gateway.ask()
    assert json.loads(body) == {
        "error": "removed",
        "decision": "d1",
        "message": "The platform does not serve this app for now.",
        "until": stamp(decision.expires // 1000 * 1000),
        "appeal": "Appeal at the desk",
    }
    assert headers["miniwatch-decision"] == "d1"
    assert headers["cache-control"] == "no-store"


def test_a_throttled_api_is_served_up_to_its_limit_and_says_when_to_come_again(gateway):
    gateway.decide(decided("throttle", target="login", limit=3, per_s=3600))
    statuses = [_status(gateway) for _ in range(5)]
    assert sorted(statuses) == [200, 200, 200, 429, 429]
    _, headers, body = gateway.ask()
    assert 1 <= int(headers["retry-after"]) <= 3600
    assert json.loads(body)["message"] == "For this app, login may be called 3 times in 3600 seconds."
    assert _status(gateway, api="request") == _status(gateway, app="wx02") == 200


def test_without_a_target_all_calls_of_the_app_count_together(gateway):
    gateway.decide(decided("throttle", limit=2, per_s=3600))
    assert [_status(gateway, api=api) for api in ("login", "request", "getLocation")] == [200, 200, 429]


def test_limits_of_the_app_and_of_its_api_hold_side_by_side(gateway):
    gateway.decide(
        decided("throttle", limit=4, per_s=3600), decided("throttle", number=2, target="login", limit=1, per_s=3600)
    )
    assert [_status(gateway) for _ in range(2)] == [200, 429]
    assert [_status(gateway, api="request") for _ in range(3)] == [200, 200, 429]


def test_a_limit_begins_anew_with_its_window(gateway):
    gateway.decide(decided("throttle", limit=1, per_s=1))
    time.sleep(1 - time.time() % 1 + 0.05)
    first = [_status(gateway) for _ in range(2)]
    time.sleep(1)
    assert (first, _status(gateway)) == ([200, 429], 200)


def test_a_function_that_is_switched_off_is_refused_by_each_api_that_belongs_to_it(gateway):
    gateway.decide(decided("function-ban", target="location"))
    for api in ("getLocation", "wx.getLocation", "getLocationManager().start"):
        assert _status(gateway, api=api) == 403, api
    assert _status(gateway, api="login") == _status(gateway, api="getLocationX") == _status(gateway, api=None) == 200


def test_a_captcha_asks_for_proof(gateway):
    gateway.decide(decided("captcha"))
    status, _, body = gateway.ask()
    assert (status, json.loads(body)["error"]) == (428, "challenge-required")


@pytest.mark.parametrize(
    ("version", "status"),
    [("1.9", 426), ("1.10.1", 426), ("1.10.2", 200), ("1.11", 200), ("2", 200), ("devtools", 200), (None, 200)],
)
def test_an_old_version_is_refused_after_its_deadline(gateway, version, status):
    gateway.decide(decided("force-update", version_min="1.10.2", deadline=1000))
    headers = {"X_Miniprogram_Version": version} if version else {}
    assert _status(gateway, **headers) == status


@pytest.mark.parametrize("lowest", ["2", "1.10.2", "1.0.0.0.0.0.0.1"])
def test_versions_are_compared_as_miniwatch_compares_them(gateway, lowest):
    gateway.decide(decided("force-update", version_min=lowest))
    said = ["0", "1", "1.0", "1.9.99", "1.10", "1.10.2.0", "1.10.10", "01.2", "2.0", "2.0.0.1", "10", "999999999"]
    odd = ["1.", ".1", "1..2", "1.a", "v1", "1000000000", "1.2.3.4.5.6.7.8.9", "0.0.0.0.0.0.0.0", "1-2", "-1", "1 "]
    for version in said + odd:
        status = 426 if is_below(version.strip(), lowest) else 200
        assert _status(gateway, X_Miniprogram_Version=version) == status, version


def test_before_the_deadline_an_old_version_is_served_with_a_notice(gateway):
    gateway.decide(decided("force-update", version_min="2.0", deadline="2099-01-01T00:00:00Z"))
    status, headers, _ = gateway.ask(X_Miniprogram_Version="1.0")
    assert status == 200
    assert headers["miniwatch-notice"] == (
        'update-required; version_min="2.0"; deadline="2099-01-01T00:00:00Z"; decision="d1"'
    )
    assert "miniwatch-notice" not in gateway.ask(X_Miniprogram_Version="2.0")[1]


def test_app_and_version_are_read_from_the_referer_where_no_header_says_them(gateway):
    gateway.decide(decided("force-update", version_min="30"))
    referer = "https://servicewechat.com/wx01/{}/page-frame.html"
    assert _status(gateway, app=None, Referer=referer.format(29)) == 426
    assert _status(gateway, app=None, Referer=referer.format(30)) == 200
    assert _status(gateway, app=None, Referer="https://elsewhere.example/wx01/29/page-frame.html") == 200
    assert _status(gateway, app="wx02", Referer=referer.format(29)) == 200


def test_addresses_and_networks_are_refused_also_where_one_lies_in_the_other(gateway):
    gateway.decide(decided("captcha", "Ip", "127.0.0.1"))
    assert _status(gateway) == 428
    gateway.decide(decided("captcha", "Ip", "127.0.0.1"), decided("ban", "Range", "127.0.0.0/8", number=2))
    assert _status(gateway) == 403
    gateway.decide(decided("ban", "Range", "10.0.0.0/8"), decided("ban", "Ip", "2001:db8::1", number=2))
    assert _status(gateway) == 200


def test_apps_of_a_developer_share_his_decision(gateway):
    missed = gateway.decide(
        decided("throttle", "DeveloperId", "dev1", limit=2, per_s=3600),
        decided("ban", "DeveloperId", "dev2", number=2),
        apps={"dev1": ["wx01", "wx02"]},
    )
    assert [_status(gateway, app=app) for app in ("wx01", "wx02", "wx01")] == [200, 200, 429]
    assert _status(gateway, app="wx03") == 200
    assert [one.decision for one in missed] == ["d2"]


def test_a_domain_is_refused_as_a_host(gateway):
    gateway.decide(decided("ban", "Domain", "Evil.Example"))
    assert _status(gateway, Host="evil.example:443") == 403
    assert _status(gateway, Host="good.example") == 200


def test_people_and_devices_are_known_by_their_hashes(gateway):
    hashed = hmac.new(PEOPLE_KEY, b"oABC", hashlib.sha256).hexdigest()[:32]
    gateway.decide(decided("ban", "OpenId", hashed), decided("captcha", "DeviceId", hashed, number=2))
    assert _status(gateway, X_Miniprogram_User=hashed) == 403
    assert _status(gateway, X_Miniprogram_Device=hashed) == 428
    assert _status(gateway, X_Miniprogram_User="oABC") == 200


def test_with_the_key_the_gateway_makes_the_hashes_itself(haproxy, tmp_path):
    hashed = hmac.new(PEOPLE_KEY, b"oABC", hashlib.sha256).hexdigest()[:32]
    with Platform() as platform, Gateway(haproxy, tmp_path, platform.port, with_key=True) as gateway:
        gateway.decide(decided("ban", "OpenId", hashed))
        assert _status(gateway, X_Miniprogram_User="oABC") == 403
        assert _status(gateway, X_Miniprogram_User="oABD") == _status(gateway, X_Miniprogram_User=hashed) == 200
        assert {event["user"]["id"] for event in gateway.logged(3)} == {"oABC", "oABD", hashed}


def test_whom_hashes_are_made_of_follows_the_decisions_at_once(haproxy, tmp_path):
    hashed = hmac.new(PEOPLE_KEY, b"oABC", hashlib.sha256).hexdigest()[:32]
    person, device = decided("ban", "OpenId", hashed), decided("captcha", "DeviceId", hashed, number=2)
    as_person, as_device = {"X_Miniprogram_User": "oABC"}, {"X_Miniprogram_Device": "oABC"}
    with Platform() as platform, Gateway(haproxy, tmp_path, platform.port, with_key=True) as gateway:
        for standing in ([], [person], [device], [person, device], [device], [decided("ban", value="wx09")], [person]):
            gateway.decide(*standing)
            assert _status(gateway, **as_person) == (403 if person in standing else 200)
            assert _status(gateway, **as_device) == (428 if device in standing else 200)
            assert _status(gateway, X_Miniprogram_User="users", X_Miniprogram_Device="devices") == 200


def test_a_decision_ends_by_itself_also_when_nobody_says_so(gateway):
    gateway.decide(decided("ban", lasts_s=0.6))
    assert _status(gateway) == 403
    time.sleep(0.7)
    assert _status(gateway) == 200


def test_who_says_twice_who_asks_is_refused_for_that(gateway):
    gateway.decide(decided("ban"))
    with socket.create_connection(("127.0.0.1", gateway.port), 5) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-Miniprogram-App-Id: wx01\r\nX-Miniprogram-App-Id: wx02\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")


def test_what_is_no_http_is_marked_in_the_log_so_that_it_can_be_left_out(gateway):
    with socket.create_connection(("127.0.0.1", gateway.port), 5) as client:
        client.sendall(b"no http\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")
    assert eventually(lambda: gateway.lines)
    assert b'"action":"-"' in gateway.lines[0]


def test_a_head_request_is_refused_without_a_body(gateway):
    gateway.decide(decided("ban"))
    assert gateway.ask(method="HEAD")[::2] == (403, b"")


def test_a_warning_stops_nobody(gateway):
    assert gateway.decide(decided("warn")) == []
    assert _status(gateway) == 200


@pytest.mark.parametrize("value", ["wx 01", "wx01/login", "wx01\nwx02", "", "x" * 200, "wx;01", "wx|01", "#1"])
def test_what_cannot_stand_in_a_map_is_told_and_harms_nobody(gateway, value):
    missed = gateway.decide(decided("ban", value=value), decided("ban", value="wx02", number=2))
    assert [one.decision for one in missed] == ["d1"]
    assert (_status(gateway), _status(gateway, app="wx02")) == (200, 403)


def test_refusals_stand_in_the_log_as_ours_and_the_platforms_answers_do_not(gateway):
    gateway.ask(path="/api/call?x=1", X_Miniprogram_User="oABC", Referer='https://a.example/"x', User_Agent="ua")
    gateway.decide(decided("ban"))
    gateway.ask(method="POST")
    served, refused = gateway.logged(2)
    assert served["event"] | {"id": ""} == {
        "id": "",
        "dataset": "miniprogram.gateway",
        "action": "access",
        "provider": None,
        "reason": None,
    }
    assert served["miniprogram"] == {"app_id": "wx01", "api": "login", "version": None}
    assert served["url"] == {"domain": "127.0.0.1", "path": "/api/call", "query": "x=1"}
    assert served["http"]["request"] == {"method": "GET", "referrer": 'https://a.example/"x'}
    assert (served["user"]["id"], served["source"]["ip"], served["device"]["id"]) == ("oABC", "127.0.0.1", None)
    assert refused["event"]["action"] == "refuse"
    assert (refused["event"]["provider"], refused["event"]["reason"]) == ("miniwatch", "d1")
    assert refused["http"]["response"]["status_code"] == 403
