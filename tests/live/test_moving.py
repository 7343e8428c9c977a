"""A record goes from SQLite to a real PostgreSQL, and the installation goes on as if it had always been there."""

import sys
from pathlib import Path

import pytest
from filled import contents, fill
from pasted import blocks, typed
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "journeys"))

import journey
from journey import configured, differences, outcome, run

from monitor.audit import AuditEntry
from monitor.cli.tree import app
from monitor.kept import Kept
from monitor.sealing import SealError
from monitor.stores.held_folder import only_one
from monitor.stores.moving import ACTION, move_record
from monitor.stores.places import Places
from monitor.stores.postgresql import PostgresqlAt, PostgresqlDatabase
from monitor.stores.schema import upgrade
from monitor.stores.sqlite import SqliteDatabase

KEYS = {"batch__rows_max": 100}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "events.ndjson"
    path.write_bytes(b"".join(journey.troubled(seed=2, events=1300)))
    return path


@pytest.fixture(scope="module")
def expected(source, tmp_path_factory):
    config = configured(tmp_path_factory.mktemp("sqlite") / "data", [source], **KEYS)
    run(config)
    return outcome(config.data_dir)


@pytest.fixture
def begun(source, tmp_path):
    """An installation with SQLite that has come half of its way."""
    config = configured(tmp_path / "data", [source], **KEYS)
    assert not run(config, stop_after=7)
    return config


@pytest.fixture
def asked(begun, postgres, tmp_path):
    """A command with a configuration that names an empty database."""
    url, file = postgres.database(), tmp_path / "config.toml"
    key = f'[people]\nkey_file = "{begun.people.key_file}"\n'
    file.write_text(f'data_dir = "{begun.data_dir}"\n[store]\nurl = "{url}"\n[http]\nlisten = ""\n{key}')

    def ask(*words):
        return CliRunner().invoke(app, [*words, "--config", str(file)], catch_exceptions=False)

    ask.url = url
    return ask


@pytest.mark.live
def test_a_record_moved_half_way_comes_to_what_one_comes_to_that_stayed(asked, begun, source, expected):
    done = asked("move")
    assert (done.exit_code, "in force, up to turn 7." in done.output) == (0, True), done.output
    assert not Places(begun.data_dir).database.exists()
    config = configured(begun.data_dir, [source], **KEYS, store__url=asked.url)
    assert run(config)
    assert differences(expected, outcome(config.data_dir, config)) == {}
    assert "unbroken" in asked("audit", "verify").output
    assert asked("ledger").exit_code == 0


@pytest.mark.live
def test_what_people_have_decided_is_in_force_there_under_its_number(asked, begun):
    before = ["--data-dir", str(begun.data_dir)]
    add = [
        "decisions",
        "add",
        "throttle",
        "--app",
        "wx01",
        "--limit",
        "6",
        "--per",
        "1m",
        "--for",
        "24h",
        "--reason",
        "x",
    ]
    assert CliRunner().invoke(app, [*add, *before]).exit_code == 0
    shown = CliRunner().invoke(app, ["decisions", "list", "-o", "ndjson", *before]).stdout
    assert "wx01" in shown
    assert asked("move").exit_code == 0
    assert asked("decisions", "list", "-o", "ndjson").stdout == shown


@pytest.mark.live
def test_the_guide_goes_as_written(begun, postgres, tmp_path):
    (tmp_path / "grown.toml").write_text(f'[store]\nurl = "{postgres.database()}"\n[http]\nlisten = ""\n')
    page = (Path(__file__).parents[2] / "docs" / "move.md").read_text()
    checked, moved = [block for block in blocks(page, "sh") if "--workers" not in block]
    environment = {
        "MINIWATCH_DATA_DIR": str(begun.data_dir),
        "MINIWATCH_PEOPLE__KEY_FILE": str(begun.people.key_file),
    }
    shown = typed(["miniwatch decisions list > before", checked, moved], tmp_path, environment)
    assert (tmp_path / "before").read_text() in shown
    assert "Audit chain  unbroken" in shown


@pytest.mark.live
def test_a_process_with_other_keys_is_refused_after_a_move(asked, begun):
    assert asked("move").exit_code == 0
    Places(begun.data_dir).seal_key.unlink()
    config = configured(begun.data_dir, [], store__url=asked.url)
    kept = Kept.of(config)
    with pytest.raises(SealError, match="copy keys/ from one of them"):
        kept.refuse_other_keys(config)
    kept.store.close()


@pytest.mark.live
def test_a_move_is_refused_while_a_daemon_works(asked, begun):
    with only_one(Places(begun.data_dir).lock):
        refused = asked("move")
    assert (refused.exit_code, "another miniwatch runs" in refused.output) == (3, True)
    assert Places(begun.data_dir).database.is_file()


@pytest.mark.live
def test_every_row_of_every_table_comes_over_to_postgresql(postgres, tmp_path):
    at = SqliteDatabase(tmp_path / "from.db", 1.0)
    to = PostgresqlDatabase(PostgresqlAt(url=postgres.database()))
    upgrade(at)
    fill(at)
    move_record(at, to, AuditEntry(time=1, actor="a", action=ACTION, subject="b", reason="c"), lambda *_: None)
    before, there = contents(at), contents(to)
    assert [row for row in there.pop("audit") if ACTION not in row] == before.pop("audit")
    assert [row[2] for row in there.pop("leases")] == [
        row[2] for row in before.pop("leases")
    ]  # an epoch is never given twice
    assert there == before
    at.close()
    to.close()
