"""One small simulated stream, run once: what most of these tests look at."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.cli.tree import app
from monitor.sealing import Seal, key_at
from monitor.stores.places import Places
from monitor.stores.sql import SqlStore
from monitor.stores.sqlite import sqlite_store


class Miniwatch:
    """The command line, run in this process on one data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events = folder / "events.ndjson"

    def __call__(self, *arguments: str, code: int = 0, stdin: bytes | None = None):
        result = CliRunner().invoke(app, [*arguments], input=stdin, catch_exceptions=False, prog_name="miniwatch")
        assert result.exit_code == code, result.output
        return result

    def here(self, *arguments: str, code: int = 0, stdin: bytes | None = None):
        """The same, on the data folder."""
        return self(*arguments, "--data-dir", str(self.folder / "data"), code=code, stdin=stdin)

    def store(self) -> SqlStore:
        """The record, with the keys that whoever begins one has made."""
        places = Places(self.folder / "data")
        key_at(places.people_key)
        return sqlite_store(places.database, seal=Seal(key_at(places.seal_key)))

    def rows(self, *arguments: str) -> list[dict]:
        """What a command says as ndjson."""
        return [json.loads(line) for line in self.here(*arguments, "-o", "ndjson").stdout.splitlines()]


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    """No configuration of the working directory or the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("MINIWATCH_CONFIG", raising=False)


@pytest.fixture(scope="session")
def _ran(tmp_path_factory):
    made = Miniwatch(tmp_path_factory.mktemp("cli"))
    simulated = ["--seed", "3", "--events", "3000", "--apps", "40", "--bad-share", "0.001"]
    made("simulate", *simulated, "-O", str(made.events), "--registry", str(made.folder / "apps.ndjson"))
    made.here("apps", "import", str(made.folder / "apps.ndjson"))
    made.summary = made.here("run", "--until-end", "--source", f"file:{made.events}").stdout
    return made


@pytest.fixture
def miniwatch(_ran):
    """The command line on a data folder in which a stream was run to its end."""
    return _ran


@pytest.fixture
def fresh(tmp_path):
    """The command line where nothing was run."""
    return Miniwatch(tmp_path)
