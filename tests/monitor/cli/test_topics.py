"""Topics on the command line: what waits for them is told, and they are compared with the record when a person asks."""

import json

import pytest

from monitor.cli.opening import record
from monitor.stores import Turn
from monitor.testing import stored_decision, stored_finding

TOPICS = """
[[topics]]
name = "gateways"
of = "decisions"
brokers = ["127.0.0.1:9092"]
topic = "decisions"
[[topics]]
name = "siem"
of = "findings"
brokers = ["127.0.0.1:9092"]
topic = "findings"
"""


@pytest.fixture
def told(fresh, monkeypatch, tmp_path):
    """An installation with both topics, a decision that is in force and a finding."""
    (tmp_path / "config.toml").write_text(TOPICS)
    monkeypatch.chdir(tmp_path)
    with record(None, fresh.folder / "data", make=True) as opened:
        opened.people()  # as who begins a record has made his key
        made = stored_decision("d1", expires=2**52)
        opened.store.commit(Turn(number=1, time=1, decisions=[made], findings=[stored_finding("f1")]))
    return fresh


def signs(told):
    rows = map(json.loads, told.here("doctor", "-o", "ndjson", code=1).stdout.splitlines())
    return {row["what"]: row for row in rows}


def test_doctor_says_what_waits_for_topics_and_why(told):
    with record(None, told.folder / "data") as opened:
        (waiting,) = opened.store.due_of("topic:gateways", 2**60, 10)
        opened.store.message_failed(waiting.message.key, "no broker answers", 1, dead=False)
    found = signs(told)
    assert found["topic records"]["state"] == "problem"
    assert "no broker answers" in found["topic records"]["found"]
    assert found["topic of findings"]["state"] == "problem"
    assert found["topic of findings"]["found"].startswith("1 finding waiting, the first for")


def test_a_topic_is_listed_beside_enforcers_and_compared_when_a_person_asks(told):
    (row,) = told.rows("enforcers", "list")
    assert (row["name"], row["configured"], row["pending"]) == ("gateways", True, 1)
    said = told.here("enforcers", "retry", "gateways", "--reason", "its disk was changed").stderr
    assert "compared with the record" in said
    with record(None, told.folder / "data") as opened:
        assert opened.store.comparison_asked("topic:gateways") > 0
    assert told.rows("audit", "list")[-1]["action"] == "topic.compare"
    refused = told.here("enforcers", "retry", "nobody", "--reason", "x", code=2)
    assert "there are gateways" in refused.stderr


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ('scopes = ["AppId"]', "no scopes in a topic of findings"),
        ('brokers = ["kafka"]', "topics"),
        ('name = "gateways"', "stands twice"),
        ('[kafka]\nsasl_mechanism = "PLAIN"\nsasl_user = "u"', None),
    ],
)
def test_what_a_topic_cannot_be_is_refused(told, tmp_path, wrong, said):
    key = wrong.partition(" ")[0]
    lines = [line for line in TOPICS.splitlines() if not line.startswith(f"{key} =")] if said == "topics" else [TOPICS]
    text = "\n".join(lines).replace('name = "siem"', "", 1 if key == "name" else 0)
    (tmp_path / "config.toml").write_text(f"{text}\n{wrong}\n")
    checked = told.here("check", code=1 if said else 0)
    assert said is None or said in checked.stdout + checked.stderr


def test_a_password_is_not_sent_readable_to_other_machines(told, tmp_path):
    away = TOPICS.replace("127.0.0.1:9092", "kafka.example:9092")
    (tmp_path / "config.toml").write_text(f'{away}[kafka]\nsasl_mechanism = "PLAIN"\nsasl_user = "u"\n')
    checked = told.here("check", code=1)
    assert "kafka.tls beside PLAIN" in checked.stdout + checked.stderr
