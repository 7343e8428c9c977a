"""The agent follows Miniwatch: whatever comes and goes, the gateway ends up with what is in force."""

from __future__ import annotations

import random
import shutil
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from miniwatch_gateway.miniwatch import Miniwatch, Unreachable, verified
from standing import DEPLOY, Changes, decided, eventually


@pytest.fixture
def changes():
    with Changes() as standing:
        yield standing


def _miniwatch(changes, folder):
    token = folder / "token"
    token.write_text(f"{changes.token}\n")
    return Miniwatch(f"http://127.0.0.1:{changes.port}", token, None)


@contextmanager
def _running(agent):
    thread = threading.Thread(target=agent.run)
    thread.start()
    try:
        yield agent
    finally:
        agent.stopping.set()
        agent.miniwatch.close()
        thread.join(10)


def _becomes(gateway, status, within_s=5.0, **said):
    return eventually(lambda: gateway.ask(**said)[0] == status, within_s)


def test_what_begins_is_enforced_and_what_is_lifted_is_not(gateway, changes, tmp_path):
    with _running(gateway.agent(_miniwatch(changes, tmp_path))):
        ban = decided("ban")
        changes.put(ban)
        assert _becomes(gateway, 403)
        changes.put(ban, in_force=False)
        assert _becomes(gateway, 200)


def test_an_agent_that_starts_enforces_what_is_in_force_page_by_page(gateway, changes, tmp_path):
    changes.page = 3
    changes.put(*(decided("ban", value=f"wx{number}", number=number) for number in range(1, 11)))
    changes.put(decided("ban", value="wx4", number=4), in_force=False)
    with _running(gateway.agent(_miniwatch(changes, tmp_path))):
        assert _becomes(gateway, 403, app="wx10")
        assert gateway.ask(app="wx4")[0] == 200
        assert all(gateway.ask(app=f"wx{number}")[0] == 403 for number in (1, 2, 3, 5))


def test_while_miniwatch_is_away_decisions_hold_and_end_at_their_time(gateway, tmp_path):
    with Changes() as changes, _running(gateway.agent(_miniwatch(changes, tmp_path))):
        changes.put(decided("ban", lasts_s=2.5), decided("ban", value="wx02", number=2, lasts_s=600))
        assert _becomes(gateway, 403)
        changes.__exit__()
        assert gateway.ask()[0] == 403
        assert _becomes(gateway, 200, within_s=4)
        assert gateway.ask(app="wx02")[0] == 403


@pytest.mark.parametrize(("at", "floor"), [(2, 0), (9, 7)], ids=["earlier", "later"])
def test_a_record_that_was_restored_is_read_from_its_beginning(gateway, changes, tmp_path, at, floor):
    agent = gateway.agent(_miniwatch(changes, tmp_path))
    changes.put(*(decided("ban", value=f"wx{number}", number=number) for number in range(1, 6)))
    with _running(agent):
        assert _becomes(gateway, 403, app="wx5")
        changes.restore(decided("ban", value="wx7", number=7), at=at, floor=floor)
        assert _becomes(gateway, 200, app="wx5", within_s=12)
        assert gateway.ask(app="wx7")[0] == 403


def test_a_haproxy_that_starts_anew_is_told_what_has_changed_meanwhile(gateway, changes, tmp_path):
    with _running(gateway.agent(_miniwatch(changes, tmp_path))) as agent:
        changes.put(decided("ban"))
        assert _becomes(gateway, 403)
        gateway.kill()
        changes.put(decided("ban", value="wx02", number=2))
        assert eventually(lambda: any("HAProxy" in line for line in gateway.said), 10)
        gateway.start()
        assert _becomes(gateway, 403, app="wx02", within_s=10)
        assert gateway.ask()[0] == 403
        assert eventually(lambda: "HAProxy: well again" in gateway.said)
        assert not agent.stopping.is_set()


def test_a_registry_that_changes_changes_whose_apps_are_refused(gateway, changes, tmp_path):
    apps = tmp_path / "apps.ndjson"
    apps.write_text('{"app_id":"wx01","developer_id":"dev1"}\n')
    changes.put(decided("ban", "DeveloperId", "dev1"))
    with _running(gateway.agent(_miniwatch(changes, tmp_path), apps)):
        assert _becomes(gateway, 403)
        apps.write_text('{"app_id":"wx02","developer_id":"dev1"}\n{"app_id":"wx03"}\n')
        assert _becomes(gateway, 403, app="wx02", within_s=10)
        assert gateway.ask()[0] == 200
        apps.write_text("no json\n")
        assert eventually(lambda: any("registry" in line for line in gateway.said), 10)
        assert gateway.ask(app="wx02")[0] == 403


def test_a_decision_that_cannot_be_enforced_is_said_once(gateway, changes, tmp_path):
    with _running(gateway.agent(_miniwatch(changes, tmp_path))):
        changes.put(decided("ban", value="no app"), decided("ban", value="wx02", number=2))
        assert _becomes(gateway, 403, app="wx02")
        changes.put(decided("ban", value="wx03", number=3))
        assert _becomes(gateway, 403, app="wx03")
    said = [line for line in gateway.said if "d1" in line]
    assert said == ["decision d1 is not enforced here: what it is about has characters that cannot stand in a map"]


@pytest.mark.parametrize(
    ("url", "told"),
    [("ftp://a", "no address"), ("http://miniwatch.example:9464", "in the clear"), ("https://", "no add")],
)
def test_an_address_that_would_give_the_token_away_is_refused(tmp_path, url, told):
    with pytest.raises(ValueError, match=told):
        Miniwatch(url, tmp_path / "token", None)


def test_a_refused_token_is_told_and_tried_again(changes, tmp_path):
    token = tmp_path / "token"
    token.write_text("mw_other")
    miniwatch = Miniwatch(f"http://127.0.0.1:{changes.port}", token, None)
    with pytest.raises(Unreachable, match="401"):
        miniwatch.changes(0, 0)
    token.write_text(changes.token)
    assert miniwatch.changes(0, 0).position == 0


def _program(gateway, changes, folder):
    token = folder / "token"
    token.write_text(changes.token)
    command = [
        sys.executable,
        "-I",
        "-c",
        "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); sys.argv[0] = 'agent'; runpy.run_module('miniwatch_gateway', run_name='__main__')",
    ]
    command += [str(DEPLOY), "--url", f"http://127.0.0.1:{changes.port}", "--token-file", str(token)]
    command += ["--maps", str(gateway.maps), "--socket", str(gateway.socket)]
    return subprocess.Popen(command)


@pytest.mark.parametrize("seed", range(3))
def test_agent_and_gateway_killed_at_any_moment_come_to_what_is_in_force(gateway, changes, tmp_path, seed):
    chance = random.Random(seed)
    in_force, agent = {}, _program(gateway, changes, tmp_path)
    try:
        for step in range(1, 41):
            number = chance.randrange(1, 9)
            one = decided("ban", value=f"wx{number}", number=number)
            begins = chance.random() < 0.6
            changes.put(one, in_force=begins)
            in_force[number] = begins
            time.sleep(chance.random() * 0.08)
            if step % 7 == 0:
                agent.kill()
                agent.wait()
                agent = _program(gateway, changes, tmp_path)
            if step % 11 == 0:
                gateway.kill()
                gateway.start()
        for number, begins in in_force.items():
            assert _becomes(gateway, 403 if begins else 200, app=f"wx{number}", within_s=15), (number, begins)
    finally:
        agent.kill()
        agent.wait()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not there")
def test_over_https_the_certificate_must_be_of_the_authority_that_was_named(changes, tmp_path):
    certificate, key = tmp_path / "own.crt", tmp_path / "own.key"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "1",
    ]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key)]
    subprocess.run([*command, "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    changes._server.socket = context.wrap_socket(changes._server.socket, server_side=True)
    token = tmp_path / "token"
    token.write_text(changes.token)
    url = "https://{}:" + str(changes.port)
    assert Miniwatch(url.format("localhost"), token, verified(certificate, None, None)).changes(0, 0).position == 0
    for stranger in (
        Miniwatch(url.format("localhost"), token, verified(None, None, None)),
        Miniwatch(url.format("127.0.0.1"), token, verified(certificate, None, None)),
    ):
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
            stranger.changes(0, 0)
