"""`miniwatch support dump`: all that a report needs, and nothing of anybody."""

import json
import socket
import sqlite3
import tarfile
from pathlib import Path

import pytest
from daemons import daemon
from planted import is_in

from monitor.kept import Kept
from monitor.stores import Message
from monitor.stores.record import Request
from monitor.support.veil import own_words
from monitor.testing import stored_finding, whole_turn
from monitor.tokens import Role, new_token

PLANTED = {
    "name": "zebulonsky",
    "routing_key": "R0uT1nGk3yR0uT1nGk3yR0uT1nGk3y42",
    "webhook_secret": "wh-s3cr3t-Quackenbosh",
    "target": "mailtos://zebulonsky:p4ssw0rdQ@mail.zebulonsky.example",
    "password": "Pl4nt3dPassw0rd",
    "people_key": "feedfacecafebeeffeedfacecafebeef",
    "open_id": "oQk3JzebuloN_9mXw2aQvBzTQ0",
    "phone": "13800138000",
    "mail": "ann.zebulonsky@mail.example",
    "address": "203.0.113.77",
    "chinese": "欧阳娜娜",
}
PARTS = [
    "README.txt", "version.json", "machine.json", "settings.json", "doctor.json", "metrics.txt", "record.json", "content.json", "log.txt",
]  # fmt: skip


def parts_of(file):
    """The content of each part, by its name."""
    with tarfile.open(file) as tar:
        for member in tar.getmembers():
            assert (member.uid, member.gid, member.uname, member.gname, member.mode) == (0, 0, "", "", 0o600)
        return {
            member.name.removeprefix("miniwatch-support/"): tar.extractfile(member).read().decode()
            for member in tar.getmembers()
        }


@pytest.fixture
def planted(fresh):
    """An installation in which everybody has left something, also where none should."""
    folder = fresh.folder / f"home-{PLANTED['name']}"
    folder.mkdir()
    for name, text in PLANTED.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    (folder / "rules").mkdir()
    (folder / "rules" / f"{PLANTED['name']}.yml").write_text(
        f"title: About {PLANTED['name']}\nid: 0b6a1c0e-6f0c-4c1e-9a53-1d2f3a4b5c6d\nlogsource: {{product: miniprogram}}\n"
        f"detection: {{a: {{user.id: {PLANTED['open_id']}}}, condition: a}}\nlevel: low\n"
    )
    config = folder / "c.toml"
    config.write_text(
        f'data_dir = "{folder}/data"\n[[sources]]\nuri = "file:{folder}/{PLANTED["mail"]}.ndjson"\n[rules]\nfolders = ["{folder}/rules"]\n'
        f'[http]\nlisten = ""\n[people]\nkey_file = "{folder}/people_key"\n'
        f'[[pagerduty]]\nname = "{PLANTED["name"]}"\nrouting_key_file = "{folder}/routing_key"\n'
        f'[[webhooks]]\nname = "{PLANTED["name"]}w"\nurl = "https://{PLANTED["name"]}.example/{PLANTED["password"]}"\nsecret_file = "{folder}/webhook_secret"\n'
        f'[[apprise]]\nname = "{PLANTED["name"]}a"\ntarget_file = "{folder}/target"\n'
        f'[[alertmanagers]]\nname = "{PLANTED["name"]}m"\nurls = ["https://{PLANTED["name"]}.example"]\nusername = "{PLANTED["name"]}"\npassword_file = "{folder}/password"\n'
        f'[[maintenance]]\nbegins = "2026-03-02T08:00:00Z"\nends = "2036-03-02T08:00:00Z"\nreason = "{PLANTED["chinese"]} {PLANTED["phone"]}"\n'
    )
    kept = Kept.open(folder / "data")
    everything = " ".join(PLANTED.values())
    message = Message(key="k", channel=f"webhook:{PLANTED['name']}", body=everything.encode(), created=1)
    kept.store.commit(whole_turn(1, findings=[stored_finding("f1", 1, title=everything)], messages=[message]))
    kept.store.message_failed(
        "k", f"https://{PLANTED['name']}:{PLANTED['password']}@x/ said {everything}", 1, dead=True
    )
    token, text = new_token(
        PLANTED["name"], [Role.ADMIN], created=0, expires=2**60, actor=f"operator:{PLANTED['name']}"
    )
    kept.store.add_token(token, everything)
    (folder / "data" / "admin.token").write_text(text)
    asked = Request(
        id="r", kind="rules.reload", subject=everything, reason=everything, actor=PLANTED["name"], created=1
    )
    kept.store.ask(asked)
    kept.store.close()
    fresh("pause", "--reason", everything, "-c", str(config))
    log = folder / "the.log"
    log.write_text(
        "\n".join(
            [
                everything,
                json.dumps({"event": "source_failed", "source": everything, "error": everything, "level": "error"}),
                f"KeyError: '{everything}'",
                f'  File "{folder}/monitor/app.py", line 3, in {PLANTED["name"]}',
                text,
            ]
        )
    )
    return config, log, [*PLANTED.values(), text, token.id]


def test_nothing_that_was_planted_anywhere_is_in_it(fresh, planted):
    config, log, secrets = planted
    result = fresh("support", "dump", "r.tar.gz", "--log", str(log), "-c", str(config))
    parts = parts_of("r.tar.gz")
    assert list(parts) == PARTS
    assert "could not be made" not in "".join(parts.values())
    whole = "".join(parts.values()) + result.stdout
    for secret in secrets:
        assert not is_in(secret, whole), secret
    assert str(fresh.folder) not in whole
    assert socket.gethostname() in own_words() or socket.gethostname() not in whole
    settings = {key: value for key, value, _ in json.loads(parts["settings.json"])["settings"]}
    assert settings["pagerduty[0].routing_key"] == "<secret>"
    assert any("given up" in sign["found"] for sign in json.loads(parts["doctor.json"]))
    assert json.loads(parts["record.json"])["tables"]["findings"] == 1
    assert {rule["id"] for rule in json.loads(parts["content.json"])["rules"]} > {
        "277df3d1-e2dc-4d0d-9dc0-4d21073e05f9"
    }


def test_of_a_running_daemon_its_metrics_and_its_log_are_there(fresh, tmp_path):
    with daemon(tmp_path) as running:
        result = fresh("support", "dump", "r.tar.gz", "-c", str(running.config))
    assert "Nothing was sent anywhere" in result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == PARTS
    parts = parts_of("r.tar.gz")
    assert "miniwatch_build_info" in parts["metrics.txt"]
    assert 'miniwatch_source_lag_bytes{source="file:<source 1>"}' in parts["metrics.txt"]
    assert '"event": "' in parts["log.txt"]
    assert Path("r.tar.gz").stat().st_mode & 0o777 == 0o600


def test_what_people_say_is_left_out_though_the_program_has_the_words(fresh):
    fresh.here("pause", "--reason", "the customer of the developer is late")
    fresh.here("support", "dump", "r.tar.gz")
    (acts,) = [sign["found"] for sign in json.loads(parts_of("r.tar.gz")["doctor.json"]) if sign["what"] == "acts"]
    assert acts.startswith("paused for")
    assert "late" not in acts


def test_a_broken_installation_has_a_report_too(fresh):
    (fresh.folder / "data").mkdir()
    (fresh.folder / "data" / "miniwatch.db").write_bytes(b"SQLite format 3\x00" + b"\xff" * 9_000)
    file = fresh.folder / "c.toml"
    file.write_text(f'data_dir = "{fresh.folder}/data"\n')
    fresh("support", "dump", "r.tar.gz", "-c", str(file))
    parts = parts_of("r.tar.gz")
    assert list(parts) == PARTS
    assert "There is none: " in parts["record.json"]
    assert "problem" in parts["doctor.json"]
    file.write_text(f'mode = "{PLANTED["name"]}"\nbatch = 7\n')
    fresh("support", "dump", "r.tar.gz", "--force", "-c", str(file))
    parts = parts_of("r.tar.gz")
    assert len(json.loads(parts["settings.json"])["problems"]) == 2
    assert PLANTED["name"] not in "".join(parts.values())


def test_nothing_is_changed_and_an_older_record_is_left_as_it_is(fresh):
    from earlier import record_of_schema  # noqa: PLC0415 - loads Alembic

    data = fresh.folder / "data"
    data.mkdir()
    record_of_schema(data / "miniwatch.db", "0022")
    with sqlite3.connect(data / "miniwatch.db") as database:
        database.execute("PRAGMA journal_mode = WAL")
    fresh.here("support", "dump", "r.tar.gz")
    with sqlite3.connect(data / "miniwatch.db") as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == ("0022",)
    assert "schema 0022" in parts_of("r.tar.gz")["record.json"]


def test_a_file_that_is_there_is_replaced_only_when_told_to(fresh):
    (fresh.folder / "r.tar.gz").write_text("a letter")
    assert "--force" in fresh.here("support", "dump", "r.tar.gz", code=3).stderr
    assert (fresh.folder / "r.tar.gz").read_text() == "a letter"


def test_a_log_may_come_by_standard_input_and_one_that_is_not_there_is_told(fresh):
    fresh.here("support", "dump", "r.tar.gz", "--log", "-", stdin=b"the disk is full\n")
    assert parts_of("r.tar.gz")["log.txt"] == "the disk is full\n"
    fresh.here("support", "dump", "s.tar.gz", "--log", "/nowhere")
    assert "FileNotFoundError" in parts_of("s.tar.gz")["log.txt"]
