"""A newer version changes the record's schema while workers of before are at work: they end, and those that come lose and double nothing."""

import shutil
import uuid
from pathlib import Path

import psycopg
import pytest
from chaos import Site, of_one_process, outcome, settled
from server import until

import monitor
from monitor.stores.schema import LATEST

pytestmark = pytest.mark.live
EVENTS = 30_000
TOPIC = "upgrade"
MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{newer}", "{latest}", None, None


def upgrade() -> None:
    op.add_column("streams", sa.Column("wanted", sa.BigInteger(), nullable=False, server_default="7"))
    op.execute("SELECT pg_sleep(2)")
"""


@pytest.fixture(scope="module")
def newer(tmp_path_factory):
    """The program with one migration more, as it is installed elsewhere."""
    folder, here = tmp_path_factory.mktemp("newer"), Path(monitor.__file__).parents[1]
    for name in ("monitor", "detectors", "playbooks"):
        shutil.copytree(here / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    schema = folder / "monitor" / "stores" / "schema.py"
    version = f"{int(LATEST) + 1:04}"
    schema.write_text(schema.read_text().replace(f'"{LATEST}"', f'"{version}"'))
    versions = folder / "monitor" / "stores" / "migrations" / "versions"
    (versions / f"{version}_wanted.py").write_text(MIGRATION.format(newer=version, latest=LATEST))
    return folder


def test_a_newer_version_changes_the_schema_under_workers_of_before(kafka, postgres, newer, tmp_path):
    expected = of_one_process(tmp_path / "one", kafka, TOPIC, EVENTS, 4)
    source, small = f"kafka://{kafka.bootstrap}/{TOPIC}?group={uuid.uuid4().hex}", {"MINIWATCH_BATCH__ROWS_MAX": "300"}
    url = postgres.database()
    site = Site(tmp_path / "many", source, url, **small)
    before = [site.start("--role", role) for role in ("detect", "detect", "respond")]
    kept = site.kept()
    try:
        until(lambda: sum(one.received for one in kept.store.progress().values()) > 300, 60)
        site.environment |= {
            "PYTHONPATH": str(newer),
            "PYTHONSAFEPATH": "1",
        }  # else the folder that one is in comes first
        after = [site.start("--role", role) for role in ("detect", "detect")]
        assert [process.wait(90) for process in before] == [3, 3, 3]
        assert (site.folder / "log").read_text().count("made by a newer Miniwatch") >= len(before)
        after.append(site.start("--role", "respond"))
        settled(kept, EVENTS)
        assert [process.poll() for process in after] == [None] * 3
    finally:
        kept.store.close()
        site.end()
    with psycopg.connect(
        url, autocommit=True
    ) as connection:  # this process is of the version before, and reads what it knows
        assert connection.execute("SELECT wanted FROM streams LIMIT 1").fetchone() == (7,)
        connection.execute("UPDATE alembic_version SET version_num = %s", [LATEST])
    found = outcome(site)
    for name in ("received", "imbalance", "unanswered", "archived", "findings", "proposed"):
        assert found[name] == expected[name], name
