"""Enforcers on the command line: who has what, what is sent again, and that the command line's own changes are told too."""

import json

import pytest

from monitor.cli.opening import record
from monitor.stores import Turn
from monitor.testing import stored_decision

KEYS = 'url = "http://127.0.0.1:1/"\nname = "platform"\n'


@pytest.fixture
def told(fresh, monkeypatch, tmp_path):
    """An installation with an enforcer and a decision that is in force."""
    (tmp_path / "config.toml").write_text(f"[[enforcers]]\n{KEYS}")
    monkeypatch.chdir(tmp_path)
    with record(None, fresh.folder / "data", make=True) as opened:
        opened.people()  # whoever begins a record has made its key
        opened.store.commit(Turn(number=1, decisions=[stored_decision("d1", expires=2**52)]))
    return fresh


def test_a_decision_shows_who_has_been_told_of_it(told):
    (shown,) = told.rows("decisions", "show", "d1")
    (receipt,) = shown["enforcement"]
    assert (receipt["enforcer"], receipt["told"], receipt["state"]) == ("platform", "active", "pending")
    assert "platform: active, waiting since " in told.here("decisions", "show", "d1").stdout


def test_a_revocation_by_command_is_told_too(told):
    told.here("decisions", "revoke", "d1", "--reason", "a mistake")
    (shown,) = told.rows("decisions", "show", "d1")
    assert [receipt["told"] for receipt in shown["enforcement"]] == ["active", "revoked"]


def test_enforcers_are_listed_and_what_died_is_sent_again(told):
    with record(None, told.folder / "data") as opened:
        (message,) = opened.store.due_messages(2**60, 10)
        opened.store.message_failed(message.message.key, "HTTP 410", 0, dead=True)
    (row,) = told.rows("enforcers", "list")
    assert (row["name"], row["configured"], row["dead"], row["pending"]) == ("platform", True, 1, 0)
    assert "given up after 1 attempt: HTTP 410" in told.here("decisions", "show", "d1").stdout
    assert "1 message for platform" in told.here("enforcers", "retry", "platform", "--reason", "it is back").stderr
    assert told.rows("enforcers", "list")[0]["pending"] == 1
    assert told.rows("audit", "list")[-1]["action"] == "enforcer.retry"
    assert "platform" in told.here("enforcers", "list").stdout


def test_one_that_lost_its_memory_is_sent_everything(told):
    told.here("enforcers", "retry", "platform", "--all", "--reason", "a new disk")
    assert json.loads(told.here("enforcers", "list", "-o", "ndjson").stdout)["pending"] == 2


def test_an_enforcer_that_is_not_there_is_refused(told):
    refused = told.here("enforcers", "retry", "nobody", "--reason", "x", code=2)
    assert "there are platform" in refused.stderr


def test_doctor_tells_of_what_was_given_up_and_of_anchors(told, tmp_path):
    with record(None, told.folder / "data") as opened:
        (message,) = opened.store.due_messages(2**60, 10)
        opened.store.message_failed(message.message.key, "HTTP 410", 0, dead=True)
    config = tmp_path / "config.toml"
    config.write_text(f'[[enforcers]]\n{KEYS}[audit]\nanchor_file = "{tmp_path}/anchors"\n')
    signs = {
        row["what"]: row for row in map(json.loads, told.here("doctor", "-o", "ndjson", code=1).stdout.splitlines())
    }
    assert signs["enforcements"]["found"] == "1 enforcement given up"
    assert signs["alerts"]["state"] == "ok"
    assert signs["anchors"]["state"] == "warning"


@pytest.mark.parametrize("is_configured", [True, False])
def test_what_an_enforcer_did_not_get_is_dropped_and_doctor_has_nothing_to_say_of_it(told, tmp_path, is_configured):
    with record(None, told.folder / "data") as opened:
        (message,) = opened.store.due_messages(2**60, 10)
        opened.store.message_failed(message.message.key, "HTTP 410", 0, dead=True)
    if not is_configured:
        (tmp_path / "config.toml").write_text("")
    assert "enforcers retry NAME --reason TEXT, or drop" in told.here("doctor", code=1).stdout.replace("\n", " ")
    told.here("decisions", "revoke", "d1", "--reason", "a mistake")
    waiting = told.rows("enforcers", "list")[0]["pending"]
    assert waiting == int(is_configured)
    assert "1 message for platform: dropped." in told.here("enforcers", "drop", "platform", "--reason", "gone").stderr
    assert [row["pending"] for row in told.rows("enforcers", "list")] == [1] * waiting
    (entry,) = [row for row in told.rows("audit", "list") if row["action"] == "enforcer.drop"]
    assert (entry["subject"], entry["reason"]) == ("enforcer:platform", "gone")
    told.here("doctor")
    missing = told.here("enforcers", "drop", "nobody", "--reason", "x", code=2).stderr
    assert "no enforcer nobody was ever sent anything" in missing


def test_retry_says_what_later_words_have_overtaken(told):
    told.here("decisions", "revoke", "d1", "--reason", "a mistake")
    with record(None, told.folder / "data") as opened:
        for each in opened.store.due_messages(2**60, 10):
            opened.store.message_failed(each.message.key, "HTTP 410", 0, dead=True)
        for each in opened.store.due_messages(2**60, 10):
            opened.store.message_failed(each.message.key, "HTTP 410", 0, dead=True)
    said = told.here("enforcers", "retry", "platform", "--reason", "it is back").stderr
    assert "1 message for platform will be sent" in said
    assert "1 more will not, since there are later ones: miniwatch enforcers drop platform --reason TEXT" in said
