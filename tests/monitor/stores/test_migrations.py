import sqlite3
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from monitor.sealing import Seal
from monitor.stores import StoreError, schema
from monitor.stores.sqlite import sqlite_store
from monitor.stores.tables import metadata
from monitor.testing.stores import whole_turn


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "miniwatch.db"
    sqlite_store(path, seal=Seal(bytes(32))).close()
    return path


def test_the_migrations_make_the_tables_that_the_code_knows(path):
    with create_engine(f"sqlite:///{path}").connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_latest_schema_is_the_last_migration():
    assert ScriptDirectory.from_config(schema.migrations()).get_heads() == [schema.LATEST]


def test_postgresql_could_take_every_table():
    assert all(str(CreateTable(table).compile(dialect=postgresql.dialect())) for table in metadata.sorted_tables)


def test_a_newer_schema_is_refused_and_left_alone(path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="schema 9999, made by a newer Miniwatch"):
        sqlite_store(path, seal=Seal(bytes(32)))
    assert path.read_bytes() == before


def test_nothing_is_written_to_a_schema_that_a_newer_version_has_made_meanwhile(path):
    store = sqlite_store(path, seal=Seal(bytes(32)))
    store.commit(whole_turn(1))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for write in (lambda: store.commit(whole_turn(2)), lambda: store.take("respond", "ann", 0, 5)):
        with pytest.raises(StoreError, match="schema 9999, made by a newer Miniwatch") as refusal:
            write()
        assert not refusal.value.retryable
    assert (store.last_turn(), store.leases()) == (1, [])
    store.close()


def test_a_migration_that_fails_half_way_leaves_no_table(tmp_path, monkeypatch):
    def fail_late(*_):
        raise OSError(28, "No space left on device")

    path = tmp_path / "miniwatch.db"
    monkeypatch.setattr("alembic.runtime.migration.HeadMaintainer.update_to_step", fail_late)
    with pytest.raises(StoreError, match="No space left"):
        sqlite_store(path, seal=Seal(bytes(32)))
    monkeypatch.undo()
    store = sqlite_store(path, seal=Seal(bytes(32)))
    assert store.last_turn() == 0
    store.close()


def test_opening_again_does_not_load_alembic(path):

    code = (
        "import sys; from pathlib import Path; from monitor.sealing import Seal; "
        "from monitor.stores.sqlite import sqlite_store; sqlite_store(Path(sys.argv[1]), seal=Seal(bytes(32))); "
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 0
