import io
import json
import os
import re
import socket
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest

from monitor.app import open_daemon
from monitor.cli.deadletters import LineFormat
from monitor.cli.health import _no_snapshot, _refused, _size
from monitor.cli.moments import stamp
from monitor.clock import now_us
from monitor.config import Config, load_config
from monitor.decoders import DeadLetter, DeadLetterReason
from monitor.kept import Kept
from monitor.process import Role
from monitor.sealing import Seal
from monitor.sources.uri import FORMATS
from monitor.spool.given import Given
from monitor.spool.spool import Spool
from monitor.spooling import spooling_of
from monitor.stores import Message, Progress, StoreError, Turn
from monitor.stores.held_folder import HELD, only_one
from monitor.stores.sqlite import sqlite_store
from monitor.telemetry import Telemetry, happenings


def test_a_ledger_that_balances_shows_no_imbalance(miniwatch):
    (row,) = miniwatch.rows("ledger")
    assert (row["received"], row["processed"], row["dead_lettered"], row["imbalance"]) == (3220, 3000, 220, 0)


def test_a_ledger_that_does_not_balance_exits_with_one(fresh):
    store = sqlite_store(fresh.folder / "data" / "miniwatch.db", seal=Seal(b"k" * 32))
    store.commit(
        Turn(number=1, progress=[Progress(partition="file:a", end=9, received=3, processed=1, dead_lettered=1)])
    )
    store.close()
    result = fresh.here("ledger", code=1)
    assert "file:a" in result.stderr
    assert "does not balance" in fresh.here("doctor", code=1).stdout


def test_dead_letters_are_listed_and_shown_and_reading_one_is_audited(miniwatch):
    rows = miniwatch.rows("deadletters", "list", "--reason", "not-an-object")
    assert len(rows) == 20
    assert "sealed" not in rows[0]
    assert "Content" not in miniwatch.here("deadletters", "show", rows[0]["id"]).stdout
    assert "Content" in miniwatch.here("deadletters", "show", rows[0]["id"], "--raw").stdout
    assert miniwatch.rows("audit", "list")[-1]["action"] == "dead-letter.read"


def test_a_dead_letter_says_in_which_line_of_its_file_it_stood(fresh):
    fresh.events.write_text('{"@timestamp":"2026-03-02T00:00:00Z"}\n\n{"@timestamp":"2026-03-02T00:00:00Z","a\n')
    summary = fresh.here("run", "--until-end", "--source", f"file:{fresh.events}").stdout
    (letter,) = fresh.rows("deadletters", "list", "--reason", "broken-json")
    told = fresh.here("deadletters", "show", letter["id"]).stdout
    assert re.search(r"^Line +3, if the file is as it was$", told, re.MULTILINE)
    assert "the line does not end with }, it may have been cut" in told
    assert summary.splitlines()[2].startswith("  dead letters  1 ")
    listed = fresh.here("deadletters", "list", "--reason", "broken-json").stdout.splitlines()
    assert "LINE " in listed[0]
    assert re.search(r" 3 +39 ", listed[1])
    fresh.events.unlink()
    assert not re.search(r" 3 +39 ", fresh.here("deadletters", "list").stdout)
    assert "if the file" not in fresh.here("deadletters", "show", letter["id"]).stdout


def keep_letters(miniwatch, *lines, reason=DeadLetterReason.WRONG_TYPE, read_as="ndjson"):
    """A record in which these lines are dead letters."""
    letters = [DeadLetter("file:a", at, reason, "x", raw, len(raw), format=read_as) for at, raw in enumerate(lines)]
    store = miniwatch.store()
    reached = Progress(partition="file:a", end=99, received=len(lines), dead_lettered=len(lines))
    store.commit(Turn(number=1, dead_letters=letters, progress=[reached]))
    store.close()


def test_dead_letters_that_have_become_events_are_processed_once(fresh):
    good = b'{"@timestamp":"2026-03-02T00:00:00Z","event":{"id":"a","dataset":"miniprogram.api"}}'
    keep_letters(fresh, good, b"{")
    result = fresh.here("deadletters", "replay", code=1)
    assert "1 became an event, 1 is a dead letter still" in result.stderr
    assert [row["replayed"] is not None for row in fresh.rows("deadletters", "list")] == [False, True]
    assert sorted(row["received"] for row in fresh.rows("ledger")) == [1, 2]
    assert "0 became events" in fresh.here("deadletters", "replay", code=1).stderr
    assert [row["event"]["id"] for row in fresh.rows("events", "list")] == ["a"]


@pytest.mark.parametrize("together", [1, 2, 256])
def test_a_dead_letter_that_the_door_refuses_is_one_still(fresh, monkeypatch, together):
    monkeypatch.setattr("monitor.cli.replaying.JUDGED_MAX", together)
    refused = b'{"@timestamp":"2026-03-02T00:00:00Z","http.response.status_code":"13812345678"}'
    good = refused.replace(b"13812345678", b"200")
    keep_letters(fresh, refused, good, b"{", refused)
    result = fresh.here("deadletters", "replay", code=1)
    assert result.stderr.count("is a text; integer is expected") == 2
    assert "1 became an event, 3 are dead letters still" in result.stderr
    rows = sorted(fresh.rows("deadletters", "list"), key=lambda row: row["position"])
    assert [row["replayed"] is not None for row in rows] == [False, True, False, False]
    assert sorted(row["processed"] for row in fresh.rows("ledger")) == [0, 1]


def test_of_letters_whose_people_are_hashes_none_is_hashed_again(fresh):
    keep_letters(fresh, b'{"@timestamp":"2026-03-02T00:00:00Z","user":{"id":"' + b"0" * 32 + b'"}}')
    fresh.here("deadletters", "replay", "--hashed")
    assert [row["user"]["id"] for row in fresh.rows("events", "list")] == ["0" * 32]


def test_dead_letters_are_read_in_the_format_that_is_asked_for(fresh):
    line = '192.0.2.1 - - [02/Mar/2026:00:00:00 +0000] "GET /a HTTP/1.1" 200 12 "-" "curl/8"\n'
    fresh.events.write_text(line + '{"broken\n')
    fresh.here("run", "--until-end", "--source", f"file:{fresh.events}")
    assert "0 became events, 2 are" in fresh.here("deadletters", "replay", code=1).stderr
    replayed = fresh.here("deadletters", "replay", "--format", "combined", code=1)
    assert "1 became an event, 1 is a dead letter still" in replayed.stderr
    assert [row["source"]["ip"] for row in fresh.rows("events", "list")] == ["192.0.2.1"]


def test_a_fault_in_an_access_log_is_read_again_as_an_access_log(fresh):
    line = b'192.0.2.1 - - [02/Mar/2026:00:00:00 +0000] "GET /a HTTP/1.1" 200 12 "-" "curl/8"'
    keep_letters(fresh, line, reason=DeadLetterReason.FAULT, read_as="combined")
    assert "1 became an event" in fresh.here("deadletters", "replay").stderr


def test_letters_are_read_in_the_formats_that_sources_have():
    assert tuple(LineFormat) == FORMATS


def test_apps_are_imported_listed_and_shown_and_bad_lines_are_told(fresh):
    file = fresh.folder / "apps.ndjson"
    file.write_text('{"app_id":"wx1","name":"One","protected":true}\n{"app_id":""}\n{"app_id":"wx2"}\n')
    result = fresh.here("apps", "import", str(file), code=1)
    assert f"{file}:2: app_id is empty" in result.stderr
    assert [row["app_id"] for row in fresh.rows("apps", "list")] == ["wx1", "wx2"]
    assert [row["app_id"] for row in fresh.rows("apps", "list", "--protected")] == ["wx1"]
    assert fresh.rows("apps", "show", "wx1")[0]["name"] == "One"
    assert "nothing is known" in fresh.here("apps", "show", "wx9", code=2).stderr


def test_a_file_of_events_is_not_taken_for_a_registry_and_told_in_a_few_lines(fresh):
    file = fresh.folder / "events.ndjson"
    file.write_text('{"@timestamp":"2026-03-02T08:00:00Z"}\n' * 1_200)
    told = fresh.here("apps", "import", str(file), code=1).stderr
    assert "look like events, not apps" in told
    assert "0 lines taken, 1,200 refused" in told
    assert len(told.splitlines()) < 15


def test_an_exemption_is_added_listed_and_removed(fresh):
    fresh.here("allowlists", "add", "--app", "wx1", "--reason", "ours")
    (row,) = fresh.rows("allowlists", "list")
    assert (row["scope"], row["value"], row["reason"], row["rule"]) == ("AppId", "wx1", "ours", None)
    assert stamp(now_us() + 29 * 86_400_000_000) < row["expires"] < stamp(now_us() + 31 * 86_400_000_000)
    assert fresh.rows("exceptions", "list") == []
    fresh.here("allowlists", "remove", row["id"][:6], "--reason", "sold")
    assert fresh.rows("allowlists", "list") == []


def test_an_exemption_needs_a_reason_an_entity_and_an_end(fresh):
    fresh.here("allowlists", "add", "--app", "wx1", code=2)
    fresh.here("allowlists", "add", "--reason", "x", code=2)
    assert (
        "a year from now"
        in fresh.here("allowlists", "add", "--app", "wx1", "--reason", "x", "--expires", "500d", code=2).stderr
    )


def test_an_exemption_of_what_is_no_address_protects_nobody_and_is_refused(fresh):
    given = ("allowlists", "add", "--reason", "ours", "--scope")
    assert "'10.0.0.300' is no address" in fresh.here(*given, "Ip", "--value", "10.0.0.300", code=1).stderr
    assert fresh.rows("allowlists", "list") == []
    fresh.here(*given, "Range", "--value", "10.0.0.7/8")
    assert fresh.rows("allowlists", "list")[0]["value"] == "10.0.0.0/8"


def test_an_exception_names_a_rule_that_there_is(fresh):
    fresh.here("exceptions", "add", "277df3d1", "--app", "wx1", "--reason", "a test server", "--expires", "12h")
    (row,) = fresh.rows("exceptions", "list")
    assert row["rule"] == "277df3d1-e2dc-4d0d-9dc0-4d21073e05f9"
    assert "there is no rule" in fresh.here("exceptions", "add", "zzz", "--app", "wx1", "--reason", "x", code=2).stderr


def test_a_backup_is_restored_whole(miniwatch, fresh):
    file = fresh.folder / "all.backup"
    miniwatch.here("backup", str(file), "--keys")
    fresh.here("restore", str(file))
    assert fresh.rows("findings", "list") == miniwatch.rows("findings", "list")
    assert "not empty" in fresh.here("restore", str(file), code=3).stderr


def test_a_backup_replaces_a_file_only_when_told_to(miniwatch, fresh):
    file = fresh.folder / "all.backup"
    file.write_text("a letter")
    assert "--force" in miniwatch.here("backup", str(file), code=3).stderr
    assert file.read_text() == "a letter"
    miniwatch.here("backup", str(file), "--force")
    fresh.here("restore", str(file))


def test_a_backup_goes_through_a_pipe(miniwatch, fresh):
    made = miniwatch.here("backup", "-", "--keys")
    assert made.stderr.startswith("standard output: ")
    fresh.here("restore", "-", stdin=made.stdout_bytes)
    assert fresh.rows("findings", "list") == miniwatch.rows("findings", "list")
    restored = fresh.rows("audit", "list")[-1]
    assert (restored["action"], restored["subject"]) == ("backup.restore", "standard input")


@pytest.mark.parametrize("part", [0.0, 0.5, 0.99])
def test_of_a_backup_that_was_cut_on_its_way_nothing_is_kept(miniwatch, fresh, part):
    made = miniwatch.here("backup", "-").stdout_bytes
    refused = fresh.here("restore", "-", stdin=made[: int(len(made) * part)], code=3).stderr
    assert "standard input: not a" in refused
    assert not (fresh.folder / "data" / "miniwatch.db").exists()
    fresh.here("restore", "-", stdin=made)


def test_a_new_disk_is_an_empty_folder(miniwatch, fresh):
    (fresh.folder / "data" / "lost+found").mkdir(parents=True)
    fresh.here("restore", "-", stdin=miniwatch.here("backup", "-").stdout_bytes)


def test_the_audit_is_verified_and_an_altered_one_is_found(fresh):
    fresh.here("allowlists", "add", "--app", "wx1", "--reason", "ours")
    assert fresh.rows("audit", "verify")[0]["broken"] is None
    with sqlite3.connect(fresh.folder / "data" / "miniwatch.db") as database:
        database.execute("UPDATE audit SET reason = 'theirs'")
    assert json.loads(fresh.here("audit", "verify", "-o", "ndjson", code=1).stdout)["broken"] == 1


def test_a_healthy_installation_is_called_healthy_and_a_lost_file_is_found(miniwatch, fresh):
    assert {row["state"] for row in miniwatch.rows("doctor")} <= {"ok", "warning"}
    file = fresh.folder / "all.backup"
    miniwatch.here("backup", str(file), "--keys")
    fresh.here("restore", str(file))
    next((fresh.folder / "data" / "archive").glob("*/*.parquet")).unlink()
    (fresh.folder / "data" / "keys" / "people.key").chmod(0o644)
    told = fresh.here("doctor", code=1).stdout
    assert "is missing" in told
    assert "chmod 600" in told


def test_five_mistakes_in_a_configuration_are_told_at_five_places(fresh):
    file = fresh.folder / "bad.toml"
    file.write_text(
        'mode = "dry"\ndatadir = "x"\n[clock]\nlateness_s_max = -1\n[retention]\nevents_days = 7\n[[sources]]\nuri = "ftp:x"\n'
    )
    told = fresh("check", "--config", str(file), code=1).stdout.splitlines()
    assert [line.partition(" ")[0].rpartition(":")[2].rstrip(":") for line in told] == ["1", "2", "4", "6", "8"]
    assert "5 problems" in fresh("run", "--config", str(file), code=3).stderr


def test_check_tells_problems_of_rules_sources_and_keys_together(fresh):
    folder = fresh.folder / "rules"
    folder.mkdir()
    (folder / "bad.yml").write_text("title: no\nlogsource: {category: x}\n")
    keys = fresh.folder / "data" / "keys"
    keys.mkdir(parents=True)
    (keys / "seal.key").write_text("no key")
    file = fresh.folder / "c.toml"
    file.write_text(
        f'data_dir = "{fresh.folder}/data"\n[rules]\nfolders = ["{folder}"]\n[[sources]]\nuri = "file:/nowhere"\n'
    )
    told = fresh("check", "-c", str(file), code=1).stdout
    for part in ("sources[0].uri", "bad.yml:1: Sigma rule", "seal.key", "open to others", "is not a key"):
        assert part in told


def test_check_looks_at_the_rest_of_a_configuration_that_has_mistakes(fresh):
    file = fresh.folder / "c.toml"
    file.write_text(
        'mode = "dry"\n[clock]\nlateness_s_max = -1\n[rules]\nbuiltin = false\n'
        '[[sources]]\nuri = "ftp:x"\nformat = "xml"\n[[sources]]\nuri = "file:/nowhere"\n[[sources]]\nurl = "x"\n'
    )
    told = fresh.here("check", "-c", str(file), code=1)
    for part in ("mode", "lateness_s_max", "ftp:x", "there is no file /nowhere", "no rule at all"):
        assert part in told.stdout
    assert "was left at its default" in told.stderr


def test_check_sees_a_record_that_a_newer_version_has_changed(fresh):
    fresh.here("apps", "import", "-", stdin=b'{"app_id":"wx1"}\n')
    assert "All is well" in fresh.here("check").stderr
    with closing(sqlite3.connect(fresh.folder / "data" / "miniwatch.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    (told,) = fresh.here("check", code=1).stdout.splitlines()
    assert "data_dir: found this database has schema 9999, made by a newer Miniwatch" in told


def test_who_looks_at_another_folder_may_do_so_beside_the_daemon_that_listens(fresh):
    file = fresh.folder / "c.toml"
    with socket.create_server(("127.0.0.1", 0)) as daemon:
        file.write_text(
            f'data_dir = "{fresh.folder}/running"\n[http]\nlisten = "127.0.0.1:{daemon.getsockname()[1]}"\n'
        )
        assert "http.listen" in fresh("doctor", "-c", str(file), code=1).stdout
        assert "http.listen" not in fresh.here("doctor", "-c", str(file)).stdout


def test_check_and_the_log_at_start_tell_of_channels_that_reach_nobody(fresh):
    file, address, key = (fresh.folder / name for name in ("c.toml", "address", "key"))
    address.write_text("nothing-of-the-kind://T0KENT0KEN")
    key.write_text("a" * 32)
    for secret in (address, key):
        secret.chmod(0o600)
    file.write_text(
        '[http]\nlisten = ""\n'
        f'[[pagerduty]]\nname = "mute"\n[[pagerduty]]\nname = "sound"\nrouting_key_file = "{key}"\n'
        f'[[apprise]]\nname = "none"\n[[apprise]]\nname = "odd"\ntarget_file = "{address}"\n'
        '[[alertmanagers]]\nname = "main"\nurls = ["http://127.0.0.1:9"]\nusername = "ann"\n'
    )
    told = fresh.here("check", "-c", str(file), code=1).stdout
    mute = ["pagerduty[0].routing_key_file", "apprise[0].target_file", "apprise[1].target_file"]
    mute.append("alertmanagers[0].password_file")
    assert [line.partition(":")[0] for line in told.splitlines()] == mute
    config = load_config(file, {}, {"data_dir": str(fresh.folder / "data"), "sources": [{"uri": f"file:{file}"}]})
    log = io.StringIO()
    for quiet in ({"role": Role.API}, {"until_end": True}, {}):
        assert "channel_mute" not in log.getvalue(), "those tell nobody anything"
        with open_daemon(config, Telemetry(level="info", log_format="json", stream=log), **quiet):
            pass
    lines = map(json.loads, log.getvalue().splitlines())
    assert [line["place"] for line in lines if line["event"] == "channel_mute"] == mute
    assert "T0KEN" not in told + log.getvalue()


def test_check_says_how_many_rules_are_there_and_which_folders_give_none(fresh):
    own, empty, playbook = (fresh.folder / name for name in ("own", "empty", "own/a.yml"))
    own.mkdir()
    empty.mkdir()
    playbook.write_text("name: mine\n")
    file = fresh.folder / "c.toml"
    file.write_text(f'[rules]\nfolders = ["{empty}"]\n[playbooks]\nfolders = ["{own}"]\n')
    told = fresh.here("check", "-c", str(file), code=1).stdout
    assert f"rules.folders: found {empty}, without any such file; expected a folder with *.yml or *.yaml in it" in told
    assert f"{playbook}:1" in told
    assert re.search(
        r"All is well: .* [0-9]+ rules of the program and 0 of yours, [0-9]+ playbooks\.", fresh.here("check").stderr
    )


def test_check_takes_an_address_for_free_that_a_process_of_ours_on_this_folder_may_hold(fresh):
    fresh.here("allowlists", "add", "--app", "wx1", "--reason", "ours")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        file = fresh.folder / "c.toml"
        file.write_text(f'[http]\nlisten = "127.0.0.1:{taken.getsockname()[1]}"\n')
        assert "Address already in use" in fresh.here("check", "-c", str(file), code=1).stdout
        with only_one(fresh.folder / "data" / "run.lock", shared=True):
            fresh.here("check", "-c", str(file))


def test_check_shows_settings_with_where_they_came_from(fresh):
    told = fresh.here("check", "-v").stdout
    assert "data_dir" in told
    assert "command line" in told
    assert "default" in told


def test_an_alert_that_failed_is_a_warning_with_its_tries_and_last_error(fresh):
    fresh.here("allowlists", "add", "--app", "wx1", "--reason", "ours")
    store = fresh.store()
    store.commit(Turn(number=1, messages=[Message(key="a", channel="webhook:oncall", body=b"{}", created=now_us())]))
    for _ in range(2):
        store.message_failed("a", "HTTP 503", now_us() + 60_000_000, dead=False)
    store.close()
    (row,) = (row for row in fresh.rows("doctor") if row["what"] == "alerts")
    assert (row["state"], row["found"]) == ("warning", "1 alert not delivered after 2 tries, last error: HTTP 503")


def test_what_was_acknowledged_and_is_read_by_nobody_has_a_row_and_is_told_at_start(fresh):
    fresh.here("allowlists", "add", "--app", "wx1", "--reason", "ours")
    kept = Kept.open(fresh.folder / "data")
    Spool(kept.places.spool, kept.seal, bytes_max=1 << 20, floor=0, clock=now_us).take([Given(b"{}\n")])
    told = []
    telemetry = SimpleNamespace(emit=told.append)
    assert spooling_of(Config(data_dir=kept.places.root), kept, telemetry, now_us) is None
    kept.store.close()
    assert told == [happenings.SpoolUnread(bytes=3)]
    (row,) = (row for row in fresh.rows("doctor") if row["what"] == "spool")
    assert (row["state"], row["found"]) == ("warning", "3 bytes acknowledged, not read")
    assert row["advice"] == "put http: back among the sources"


def test_a_place_where_nothing_can_be_written_is_not_called_damage(tmp_path, monkeypatch):
    file = tmp_path / "miniwatch.db"
    file.touch()
    error = StoreError(f"{file}: Read-only file system", retryable=False)
    assert "restore a backup" in _refused(file, error).advice
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)
    assert _refused(file, error).found == f"{file} cannot be opened for writing"
    assert "backup" not in _refused(file, error).advice


@pytest.mark.parametrize(("count", "text"), [(3 << 30, "3.0 GiB"), (900 << 20, "900 MiB")])
def test_little_room_is_told_in_smaller_units(count, text):
    assert _size(count) == text


def test_a_missing_snapshot_is_a_warning_only_once_there_should_be_one(tmp_path):
    minute = 60_000_000
    (tmp_path / "snapshots").mkdir()
    assert _no_snapshot(tmp_path / "snapshots", last=3, patience=minute).state == "ok"
    assert _no_snapshot(tmp_path / "snapshots", last=3, patience=0).state == "warning"
    assert _no_snapshot(tmp_path / "snapshots", last=0, patience=0).state == "ok"
    os.utime(tmp_path / "snapshots", (0, 0))
    assert _no_snapshot(tmp_path / "snapshots", last=3, patience=minute).state == "warning"


def test_a_run_that_was_not_stopped_in_order_is_a_warning_until_the_next_one(fresh):
    fresh.events.write_bytes(b"")
    run, lock = ("run", "--until-end", "--source", f"file:{fresh.events}"), fresh.folder / "data" / "run.lock"

    def state() -> str:
        return next(row["state"] for row in fresh.rows("doctor") if row["what"] == "daemon")

    fresh.here(*run)
    assert state() == "ok"
    lock.write_bytes(HELD)
    assert state() == "warning"
    fresh.here(*run)
    assert state() == "ok"
    with only_one(lock):
        assert state() == "ok", "it runs"
