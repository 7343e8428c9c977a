"""An operator who types what the guides say, in an empty folder, gets what they say."""

import shutil
from pathlib import Path

import pytest
from pasted import blocks, typed
from ports import free_port

import monitor
from monitor.stores.schema import LATEST

BEGUN = """
miniwatch simulate --seed 1 --events 2000 --registry apps.ndjson -O events.ndjson
miniwatch apps import apps.ndjson
miniwatch run --until-end --source file:events.ndjson
miniwatch decisions add throttle --app wx01 --limit 6 --per 1m --for 24h --reason "On call"
miniwatch decisions list -o ndjson > before.ndjson
"""
MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{newer}", "{latest}", None, None


def upgrade() -> None:
    op.add_column("decisions", sa.Column("wanted", sa.BigInteger(), nullable=False, server_default="7"))
"""


@pytest.fixture
def listening():
    """An address for the daemons of a guide that nobody else has."""
    return {"MINIWATCH_HTTP__LISTEN": f"127.0.0.1:{free_port()}"}


def test_a_first_start_goes_as_written(documents, tmp_path, listening):
    shown = typed(
        ["trap 'kill $(jobs -p) || true' EXIT", *blocks(documents["docs/install.md"], "sh")], tmp_path, listening
    )
    assert "ledger         ok     balances: 2,000 lines" in shown


def test_a_backup_is_made_and_restored_as_written(documents, tmp_path):
    after = "miniwatch decisions list -o ndjson --data-dir var/restored | cmp - before.ndjson"
    shown = typed([BEGUN, *blocks(documents["docs/backup.md"], "sh"), after], tmp_path)
    assert "Audit chain  unbroken" in shown


@pytest.fixture
def versions(tmp_path):
    """Two versions as they are installed, the second of which has changed the schema; `bin` has the one that is used."""
    here, newer = Path(monitor.__file__).parents[1], tmp_path / "newer"
    for name in ("monitor", "detectors", "playbooks"):
        shutil.copytree(here / name, newer / name, ignore=shutil.ignore_patterns("__pycache__"))
    number = f"{int(LATEST) + 1:04}"
    schema = newer / "monitor" / "stores" / "schema.py"
    schema.write_text(schema.read_text().replace(f'"{LATEST}"', f'"{number}"'))
    migrations = newer / "monitor" / "stores" / "migrations" / "versions"
    (migrations / f"{number}_wanted.py").write_text(MIGRATION.format(newer=number, latest=LATEST))
    for version, sources in (("0.1.0", here), ("0.2.0", newer)):
        program = tmp_path / "opt" / version / "bin" / "miniwatch"
        program.parent.mkdir(parents=True)
        starts = "from monitor.cli import main; main()"
        program.write_text(f"#!/bin/sh\nPYTHONSAFEPATH=1 PYTHONPATH={sources} exec python -c '{starts}' \"$@\"\n")
        program.chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "miniwatch").symlink_to(tmp_path / "opt" / "0.1.0" / "bin" / "miniwatch")
    (tmp_path / "here").mkdir()
    return tmp_path


def test_an_upgrade_across_a_change_of_the_schema_and_the_way_back_go_as_written(documents, versions):
    forward, back = (
        block.replace("/opt/miniwatch", str(versions / "opt"))
        .replace("/usr/local/bin", str(versions / "bin"))
        .replace("miniwatch run", "miniwatch run --until-end --source file:events.ndjson >/dev/null")
        for block in blocks(documents["docs/upgrade.md"], "sh")
    )
    same = "miniwatch decisions list -o ndjson | cmp - before.ndjson && miniwatch ledger >/dev/null"
    refused = "! miniwatch-0.1.0 check"
    (versions / "bin" / "miniwatch-0.1.0").symlink_to(versions / "opt" / "0.1.0" / "bin" / "miniwatch")
    shown = typed([BEGUN, forward, same, refused, back, same], versions / "here", first=versions / "bin")
    assert "made by a newer Miniwatch" in shown
