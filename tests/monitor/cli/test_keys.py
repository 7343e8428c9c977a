"""Whoever has not the keys of the record means somebody else by the same name: he refuses, and makes no key of his own."""

import sqlite3

import pytest

from monitor.stores.held_folder import only_one

KEY = "ab" * 32
PEOPLE = "MINIWATCH_PEOPLE__KEY"
LETTER = (
    b'{"@timestamp":"2026-03-02T00:00:00Z","user":{"id":"oPerson-1"},"event":{"id":"a","dataset":"miniprogram.api"}}\n'
)


@pytest.fixture
def begun(fresh, monkeypatch):
    """A record whose people are hashed with a key that is configured, as a service has it; commands are given nothing."""
    fresh.events.write_bytes(LETTER + b"{\n")
    monkeypatch.setenv(PEOPLE, KEY)
    fresh.here("run", "--until-end", "--source", f"file:{fresh.events}")
    monkeypatch.delenv(PEOPLE)
    return fresh


def keys_in(miniwatch):
    return sorted(path.name for path in (miniwatch.folder / "data" / "keys").iterdir())


HASHING = {
    "decisions add ban --scope OpenId --value oPerson-1 --for 1h --reason x": 0,
    "decisions list --scope OpenId --value oPerson-1": 0,
    "allowlists add --scope OpenId --value oPerson-1 --reason x": 0,
    "findings list --scope DeviceId --value oPerson-1": 0,
    "events list --user oPerson-1": 0,
    "deadletters replay": 1,
    "rules explain {rule} @{events}": 0,
    "backtest --source file:{events}": 0,
    "run --until-end --source file:{events}": 0,
    "backup {folder}/all.backup --keys": 0,
}


@pytest.mark.parametrize("given", HASHING)
def test_who_lacks_the_key_refuses_and_makes_none(begun, given, monkeypatch):
    begun.events.write_bytes(LETTER)
    rule = "277df3d1-e2dc-4d0d-9dc0-4d21073e05f9"
    words = given.format(rule=rule, events=begun.events, folder=begun.folder).split()
    refused = begun.here(*words, code=3).stderr
    assert "hashed with a key that is not here" in refused
    assert "miniwatch-as-service" in refused
    assert keys_in(begun) == ["seal.key"]
    monkeypatch.setenv(PEOPLE, "cd" * 32)
    assert "the people key of this process (people.key) is another" in begun.here(*words, code=3).stderr
    monkeypatch.setenv(PEOPLE, KEY)
    begun.here(*words, code=HASHING[given])
    assert keys_in(begun) == ["seal.key"]


def test_check_tells_of_a_key_that_is_missing_and_makes_none(begun, monkeypatch):
    told = begun.here("check", code=1).stdout
    assert "people.key is not set" in told
    assert keys_in(begun) == ["seal.key"]
    monkeypatch.setenv(PEOPLE, KEY)
    begun.here("check")


def test_a_record_of_which_nothing_is_known_but_that_it_was_begun_gets_no_new_key(begun, monkeypatch):
    """As those are that an earlier version has written."""
    with sqlite3.connect(begun.folder / "data" / "miniwatch.db") as database:
        database.execute("DELETE FROM meta WHERE key LIKE 'fingerprint:%'")
    begun.here("decisions", "list", "--scope", "OpenId", "--value", "oPerson-1", code=3)
    assert keys_in(begun) == ["seal.key"]
    monkeypatch.setenv(PEOPLE, KEY)
    begun.here("run", "--until-end", "--source", f"file:{begun.events}")
    monkeypatch.setenv(PEOPLE, "cd" * 32)
    begun.here("run", "--until-end", "--source", f"file:{begun.events}", code=3)


def test_the_first_to_hash_anybody_makes_the_key_that_counts(fresh, monkeypatch):
    fresh.here("allowlists", "add", "--scope", "OpenId", "--value", "oPerson-1", "--reason", "x")
    assert keys_in(fresh) == ["people.key", "seal.key"]
    fresh.events.write_bytes(LETTER)
    monkeypatch.setenv(PEOPLE, KEY)
    assert "is another" in fresh.here("run", "--until-end", "--source", f"file:{fresh.events}", code=3).stderr


def test_what_knows_people_by_their_hash_needs_no_key(begun):
    begun.here("decisions", "list", "--scope", "OpenId", "--value", "0" * 32)
    begun.here("backtest", "--since", "2026-03-01")
    begun.here("backup", str(begun.folder / "all.backup"))
    assert keys_in(begun) == ["seal.key"]


def test_a_backup_has_no_key_but_those_that_are_gone_by(begun, tmp_path, monkeypatch):
    (begun.folder / "data" / "keys" / "people.key").write_text("cd" * 32)
    monkeypatch.setenv(PEOPLE, KEY)
    said = begun.here("backup", str(begun.folder / "all.backup"), "--keys").stderr
    assert "people.key is configured, so it is not in there" in said
    begun("restore", str(begun.folder / "all.backup"), "--data-dir", str(tmp_path / "again"))
    assert [path.name for path in (tmp_path / "again" / "keys").iterdir()] == ["seal.key"]


def test_where_keys_are_lost_the_record_goes_on_with_others_once_somebody_says_so(miniwatch, fresh):
    file = fresh.folder / "all.backup"
    miniwatch.here("backup", str(file))
    assert "copy them to" in fresh.here("restore", str(file)).stderr
    again = ("run", "--until-end", "--source", f"file:{miniwatch.events}")
    assert "see miniwatch keys renew" in fresh.here(*again, code=3).stderr
    said = fresh.here("keys", "renew", "--reason", "the machine is gone").stderr
    assert "People are hashed with another key" in said
    assert "Dead letters are sealed with another key" in said
    fresh.here(*again)
    (entry,) = [row for row in fresh.rows("audit", "list") if row["action"] == "keys.renew"]
    assert (entry["subject"], entry["reason"]) == ("people, seal", "the machine is gone")
    assert "nothing was changed" in fresh.here("keys", "renew", "--reason", "again").stderr


def test_while_a_daemon_has_the_keys_they_are_not_lost(begun):
    with only_one(begun.folder / "data" / "run.lock"):
        assert "they are not lost" in begun.here("keys", "renew", "--reason", "x", code=3).stderr
    assert "--reason" in begun.here("keys", "renew", "--reason", " ", code=2).stderr
