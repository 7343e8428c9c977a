"""Debian's crowdsec-custom-bouncer and cscli, unchanged, against our daemon."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from crowdsec import PROGRAMS, Bouncer, Place, program, until

from detectors.finding import Entity, Scope
from monitor.clock import now_us
from monitor.responding.adding import add
from monitor.responding.lifting import revoke
from monitor.tokens import Role
from playbooks.action import Captcha, Throttle
from playbooks.decision import Act

ROUNDS = 12
MISSING = [name for name in ("crowdsec-custom-bouncer", "cscli") if program(name) is None]
pytestmark = [
    pytest.mark.programs,
    pytest.mark.skipif(
        bool(MISSING), reason=f"not found: {', '.join(MISSING)}; unpack Debian's packages and set {PROGRAMS}"
    ),
]


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    made.start()
    yield made
    made.kill()
    made.kept.store.close()


def decided(place, scope, value, lasts_s):
    action = (
        Throttle(duration_s=lasts_s, limit=60, per_s=60, target="getLocation")
        if scope is Scope.APP
        else Captcha(duration_s=lasts_s)
    )
    acted = add(place.kept.store, Entity(scope, value), action, actor="operator:ann", reason="a test", now=now_us())
    return acted.decision.id


def in_force(place):
    return {one.decision.value: one.number for one in place.kept.store.in_force_after(0, 10_000, now_us())}


def test_a_decision_is_carried_out_within_two_polls_and_ends_with_its_time_or_when_it_is_lifted(place):
    bouncer = Bouncer(place)
    with bouncer.running():
        time.sleep(2)
        for scope, value in [(Scope.APP, "wx1"), (Scope.USER, "h:" + "a" * 32), (Scope.ADDRESS, "192.0.2.7")]:
            begun = time.time()
            key = decided(place, scope, value, 4 if scope is Scope.ADDRESS else 3600)
            until(lambda value=value: value in bouncer.state())
            assert bouncer.acts()[-1][3] - begun < 2.5  # two polls, and the call of the program
            begun = time.time()
            if scope is not Scope.ADDRESS:
                revoke(place.kept.store, key, actor="operator:ann", reason="a test", now=now_us())
            until(lambda value=value: value not in bouncer.state())
            assert bouncer.acts()[-1][3] - begun < (8.5 if scope is Scope.ADDRESS else 2.5)


def test_what_is_found_is_carried_out_within_two_polls_of_the_decision(place):
    """Ten minutes of a platform's day, up to now: events come in over HTTP, rules find, playbooks decide."""
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 730))
    words = ["simulate", "--seed", "3", "--events", "20000", "--hours", "0.2", "--start", start]
    made = subprocess.run([Path(sys.executable).with_name("miniwatch"), *words], capture_output=True, check=True)
    lines, bouncer = made.stdout.splitlines(keepends=True), Bouncer(place)
    head = {"Authorization": f"Bearer {place.token('shipper', Role.INGEST)}"}
    with bouncer.running():
        time.sleep(2)
        for begin in range(0, len(lines), 5000):
            body = b"".join(lines[begin : begin + 5000])
            answer = httpx.post(f"http://127.0.0.1:{place.port}/v1/events", content=body, headers=head, timeout=30)
            assert answer.status_code == 200
        until(lambda: _enforced(place))
        time.sleep(6)
        seen = {number: at for act, _, number, at in reversed(bouncer.acts()) if act == "add"}
        assert {*seen} == {*_enforced(place)}
        assert max(at - _enforced(place)[number] for number, at in seen.items()) < 2.5


def _enforced(place):
    """When each decision that asks for more than a word began, by number, of the scopes that the bouncer asks for."""
    found = place.kept.store.in_force_after(0, 10_000, now_us(), ["AppId", "OpenId", "Ip"])
    return {one.number: one.decision.time / 1e6 for one in found if one.decision.type is not Act.WARN}


def test_whenever_we_are_killed_no_act_is_lost_and_a_repeat_has_the_same_number(place):
    bouncer, chance, lasting, made = Bouncer(place), random.Random(7), {}, 0
    ended, told = set(), {}
    with bouncer.running():
        time.sleep(1.5)
        for _ in range(ROUNDS):
            for _ in range(chance.randint(1, 4)):
                made += 1
                scope = chance.choice([Scope.APP, Scope.ADDRESS])
                value = f"wx{made}" if scope is Scope.APP else f"192.0.2.{made}"
                lasting[value] = decided(place, scope, value, chance.choice([3, 3600, 3600]))
            if chance.random() < 0.7:
                value = chance.choice([*lasting])
                if value in in_force(place):
                    revoke(place.kept.store, lasting[value], actor="operator:ann", reason="a test", now=now_us())
                    ended.add(value)
                del lasting[value]
            time.sleep(chance.uniform(0, 1.2))
            place.kill()
            place.start()
        until(lambda: bouncer.state() == in_force(place))
        time.sleep(3)
        assert bouncer.state() == in_force(place)
    for _, value, number, _ in bouncer.acts():
        assert told.setdefault(value, number) == number
    assert {*in_force(place)} <= {*told}


class Cscli:
    """cscli with a folder of its own."""

    def __init__(self, place):
        folder = place.folder / "cscli"
        (folder / "hub").mkdir(parents=True)
        (folder / "hub" / ".index.json").write_text("{}")
        (folder / "simulation.yaml").write_text("simulation: false\n")
        login = {
            "url": f"http://127.0.0.1:{place.port}/",
            "login": "ann",
            "password": place.token("ann", Role.RESPONDER),
        }
        (folder / "credentials.yaml").write_text(json.dumps(login))
        self.config = folder / "config.yaml"
        paths = {name: str(folder) for name in ("config_dir", "data_dir", "notification_dir", "plugin_dir")}
        hub = {"hub_dir": str(folder / "hub"), "index_path": str(folder / "hub" / ".index.json")}
        written = {
            "common": {"log_media": "stdout", "log_level": "info", "log_dir": str(folder), "working_dir": "."},
            "config_paths": {**paths, **hub, "simulation_path": str(folder / "simulation.yaml")},
            "crowdsec_service": {"acquisition_path": str(folder / "acquis.yaml")},
            "cscli": {"output": "human", "color": "no"},
            "db_config": {"log_level": "info", "type": "sqlite", "db_path": str(folder / "x.db")},
            "api": {"client": {"insecure_skip_verify": False, "credentials_path": str(folder / "credentials.yaml")}},
            "prometheus": {"enabled": False, "level": "full", "listen_addr": "127.0.0.1", "listen_port": 6060},
        }
        self.config.write_text(json.dumps(written))

    def __call__(self, *words, code=0):
        command = [program("cscli"), "-c", str(self.config), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout if not done.stderr else done.stdout + done.stderr

    def listed(self, *words):
        return [alert["decisions"][0]["value"] for alert in json.loads(self("decisions", "list", "-o", "json", *words))]


def test_cscli_lists_adds_and_deletes(place):
    cscli = Cscli(place)
    assert "No active decisions" in cscli("decisions", "list")
    added = ["--type", "throttle:60/60:getLocation", "--duration", "1h", "--reason", "too many"]
    assert "successfully added" in cscli("decisions", "add", "--scope", "AppId", "--value", "wx1", *added)
    cscli("decisions", "add", "-r", "4.4.4.0/24", "--type", "captcha")
    cscli("decisions", "add", "-i", "1.2.3.4", "--type", "captcha")
    assert cscli.listed() == ["1.2.3.4", "4.4.4.0/24", "wx1"]
    assert cscli.listed("-i", "4.4.4.3") == ["4.4.4.0/24"]
    assert "throttle:getLocation" in cscli("decisions", "list")
    assert "second person" in cscli("decisions", "add", "-i", "1.2.3.5", code=1)
    assert cscli.listed() == ["1.2.3.4", "4.4.4.0/24", "wx1"]
    assert len(json.loads(cscli("alerts", "list", "-o", "json"))) == 4
    assert "too many" in cscli("alerts", "inspect", "1")
    assert "1 decision(s) deleted" in cscli("decisions", "delete", "-i", "1.2.3.4")
    assert "1 decision(s) deleted" in cscli("decisions", "delete", "--id", "1")
    assert cscli.listed() == ["4.4.4.0/24"]
    assert "1 decision(s) deleted" in cscli("decisions", "delete", "--all")
    assert cscli("decisions", "list", "-o", "json").strip() == "[]"
