import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from detectors.finding import Severity
from monitor.cli.opening import record
from monitor.clock import now_us
from monitor.kept import Kept
from monitor.sealing import key_at
from monitor.stores import Turn
from monitor.testing import stored_incident
from playbooks.clocks import Targets, begun

EVERY = dict.fromkeys(Severity, 3_600)
TARGETS = Targets(acknowledge_s=EVERY, respond_s=EVERY, resolve_s=EVERY)
OUTSIDE = '[[webhooks]]\nname = "ops"\nurl = "{url}"\n[[pagerduty]]\nname = "ops"\nurl = "{url}"\n'


@pytest.fixture
def on_call(fresh):
    """A record with one incident that is an hour old, and one that is new."""
    kept, now = Kept.open(fresh.folder / "data"), now_us()
    key_at(kept.places.people_key)  # whoever begins a record has made it
    for number, (key, at) in enumerate([("aa11", now - 3_700_000_000), ("bb22", now)], 1):
        incident = stored_incident(key, opened=at, severity=Severity.HIGH)
        clocks = begun(key, Severity.HIGH, [], TARGETS, at)
        kept.store.commit(Turn(number=number, time=at, incidents=[incident], clocks=clocks))
    kept.store.close()
    return fresh


@pytest.fixture
def outside():
    """A receiver that takes what comes to /yes and nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200 if self.path == "/yes" else 400)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.came = []
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def listed(on_call):
    return {row["id"]: row for row in on_call.rows("incidents", "list")}


def test_a_list_tells_what_is_overdue_and_what_is_owed_next(on_call):
    rows = listed(on_call)
    assert rows["aa11"]["overdue"] == ["acknowledge", "resolve", "respond"]
    assert (rows["bb22"]["stands"], rows["bb22"]["overdue"], rows["bb22"]["owed"]) == ("open", [], "acknowledge")
    table = on_call.here("incidents", "list").stdout
    assert "LATE: acknowledge" in table


def test_an_incident_is_acknowledged_given_noted_and_closed(on_call):
    assert "Acknowledged: incident bb22" in on_call.here("incidents", "ack", "bb").stderr
    assert "stands so already" in on_call.here("incidents", "ack", "bb").stderr
    on_call.here("incidents", "assign", "bb", "--to", "carol")
    on_call.here("incidents", "note", "bb", "Their key has leaked")
    (shown,) = on_call.rows("incidents", "show", "bb")
    assert (shown["stands"], shown["assignee"], shown["owed"]) == ("acknowledged", "carol", "resolve")
    assert [word["act"] for word in shown["words"]] == ["ack", "assign", "note"]
    assert {clock["clock"]: clock["state"] for clock in shown["clocks"]} == {
        "acknowledge": "met",
        "respond": "met",
        "resolve": "running",
    }
    assert "carol" in on_call.here("incidents", "list").stdout
    assert "Their key has leaked" in on_call.here("explain", "bb22").stdout
    on_call.here("incidents", "close", "bb", "aa", "--reason", "It is changed")
    assert {row["stands"] for row in listed(on_call).values()} == {"closed"}
    assert on_call.rows("incidents", "list", "--state", "open") == []
    assert "is closed already" in on_call.here("incidents", "ack", "bb", code=1).stderr
    actions = [entry["action"] for entry in on_call.rows("audit", "list")]
    assert [action for action in actions if action.startswith("incident.")] == [
        "incident.ack",
        "incident.assign",
        "incident.note",
        "incident.close",
        "incident.close",
        *["incident.breach"] * 3,
    ]


def test_who_was_told_is_told_that_it_is_over(on_call, outside):
    file = on_call.folder / "c.toml"
    file.write_text(OUTSIDE.format(url=f"http://127.0.0.1:{outside.server_port}/yes"))
    on_call.here("incidents", "close", "bb", "--reason", "done", "--config", str(file))
    rows = on_call.rows("notifiers", "list", "--config", str(file))
    assert [(row["channel"], row["pending"]) for row in rows] == [("pagerduty:ops", 1), ("webhook:ops", 1)]


def test_a_test_reaches_a_channel_or_says_why_not(on_call, outside):
    file = on_call.folder / "c.toml"
    file.write_text(OUTSIDE.format(url=f"http://127.0.0.1:{outside.server_port}/yes"))
    said = on_call.here("notifiers", "test", "webhook:ops", "-c", str(file)).stderr
    assert said == "webhook:ops took it: HTTP 200, unsigned: no secret is here.\n"
    assert outside.came[0]["what"] == "test"
    secret = on_call.folder / "secret"
    secret.write_text("s3cret")
    secret.chmod(0o600)
    signed = file.with_name("signed.toml")
    signed.write_text(file.read_text().replace("url =", f'secret_file = "{secret}"\nurl =', 1))
    said = on_call.here("notifiers", "test", "webhook:ops", "-c", str(signed)).stderr
    assert said == "webhook:ops took it: HTTP 200.\n"
    refused = on_call.here("notifiers", "test", "pagerduty:ops", "-c", str(file), code=1).stderr
    assert "no routing key is configured (it would be tried again)" in refused
    assert "name of several channels" in on_call.here("notifiers", "test", "ops", "-c", str(file), code=2).stderr
    assert (
        "is no channel; there are: pagerduty:ops"
        in on_call.here("notifiers", "test", "x", "-c", str(file), code=2).stderr
    )


def test_what_a_channel_did_not_get_is_sent_again(on_call, outside):
    file = on_call.folder / "c.toml"
    file.write_text(OUTSIDE.format(url=f"http://127.0.0.1:{outside.server_port}/yes"))
    on_call.here("incidents", "close", "bb", "--reason", "done", "--config", str(file))
    with record(None, on_call.folder / "data") as opened:
        store = opened.store
        (message,) = [one.message for one in store.due_messages(2**60, 9) if one.message.channel == "pagerduty:ops"]
        store.message_failed(message.key, "HTTP 400", 1, dead=True)
    said = on_call.here("notifiers", "retry", "pagerduty:ops", "--reason", "mended", "-c", str(file)).stderr
    assert "1 alert for pagerduty:ops will be sent within seconds" in said
    rows = on_call.rows("notifiers", "list", "--config", str(file))
    assert [(row["pending"], row["dead"]) for row in rows] == [(1, 0), (1, 0)]
    assert on_call.rows("audit", "list")[-1]["action"] == "notifier.retry"
    assert "is no channel" in on_call.here("notifiers", "retry", "x", "--reason", "r", "-c", str(file), code=2).stderr


@pytest.mark.parametrize("is_configured", [True, False])
def test_what_a_channel_did_not_get_is_dropped_and_doctor_has_nothing_to_say_of_it(on_call, outside, is_configured):
    file = on_call.folder / "c.toml"
    file.write_text(OUTSIDE.format(url=f"http://127.0.0.1:{outside.server_port}/yes"))
    on_call.here("incidents", "close", "bb", "--reason", "done", "--config", str(file))
    with record(None, on_call.folder / "data") as opened:
        for one in opened.store.due_messages(2**60, 9):
            opened.store.message_failed(one.message.key, "HTTP 400", 1, dead=True)
    if not is_configured:
        file.write_text("")
    found = on_call.here("doctor", "-c", str(file), code=1).stdout
    assert "2 alerts given up" in found
    for channel in ("pagerduty:ops", "webhook:ops"):
        said = on_call.here("notifiers", "drop", channel, "--reason", "it is gone", "-c", str(file)).stderr
        assert f"1 alert for {channel}: dropped." in said
    entries = [row for row in on_call.rows("audit", "list") if row["action"] == "notifier.drop"]
    assert [(row["subject"], row["reason"], row["before"]) for row in entries] == [
        (channel, "it is gone", "1 message that had been given up") for channel in ("pagerduty:ops", "webhook:ops")
    ]
    left = on_call.here("doctor", "-c", str(file), "-o", "ndjson", code=int(is_configured))  # a channel has no key
    assert "given up" not in left.stdout
    assert on_call.here("notifiers", "list", "-c", str(file), "-o", "ndjson").stdout.count('"dead":0') == (
        2 if is_configured else 0
    )
    missing = on_call.here("notifiers", "drop", "x", "--reason", "r", "-c", str(file), code=2).stderr
    assert "is no channel" in missing


def test_retry_says_what_later_words_have_overtaken(on_call, outside):
    file = on_call.folder / "c.toml"
    file.write_text(OUTSIDE.format(url=f"http://127.0.0.1:{outside.server_port}/yes"))
    on_call.here("incidents", "ack", "bb", "--config", str(file))
    on_call.here("incidents", "close", "bb", "--reason", "done", "--config", str(file))
    with record(None, on_call.folder / "data") as opened:
        for fails in (True, False):
            due = [one.message for one in opened.store.due_messages(2**60, 9)]
            (message,) = [one for one in due if one.channel == "pagerduty:ops"]
            if fails:
                opened.store.message_failed(message.key, "HTTP 400", 1, dead=True)
            else:
                opened.store.message_sent(message.key, "HTTP 202", 2)
    said = on_call.here("notifiers", "retry", "pagerduty:ops", "--reason", "mended", "-c", str(file)).stderr
    assert "0 alerts for pagerduty:ops" in said
    assert "1 more will not, since later ones were taken: miniwatch notifiers drop pagerduty:ops --reason TEXT" in said


def test_a_cluster_is_tested_as_a_whole(on_call, outside):
    file = on_call.folder / "c.toml"
    base = f"http://127.0.0.1:{outside.server_port}"
    file.write_text(f'[[alertmanagers]]\nname = "main"\nurls = ["{base}", "{base}/other"]\n')
    said = on_call.here("notifiers", "test", "main", "-c", str(file), code=1).stderr
    assert said.count("did not take it: HTTP 400") == 2
    assert [body[0]["labels"]["what"] for body in outside.came] == ["test", "test"]
