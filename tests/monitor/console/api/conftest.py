"""The API over a record in which a small simulated stream was run to its end, and beside it the command line."""

import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.cli.tree import app

sys.path.insert(0, str(Path(__file__).parent))

from api_site import ApiSite, CommandLine


@pytest.fixture(scope="session")
def _ran(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("api")
    data = folder / "data"
    line = CommandLine(data)
    simulated = ["--seed", "3", "--events", "3000", "--apps", "40", "--bad-share", "0.001"]
    events, registry = folder / "events.ndjson", folder / "apps.ndjson"
    runner = CliRunner()
    runner.invoke(app, ["simulate", *simulated, "-O", str(events), "--registry", str(registry)], catch_exceptions=False)
    with events.open("ab") as more:
        more.write(b'{"@timestamp":"soon"}\n[1]\n{"secret-of-a-person":\n' * 5)
    line("apps", "import", str(registry))
    line("run", "--until-end", "--source", f"file:{events}")
    for number in range(5):
        line("allowlists", "add", "--app", f"wx{number}", "--reason", "ours")
    line("exceptions", "add", "277df3d1", "--app", "wx1", "--reason", "a test server")
    last = line.rows("findings", "list")[-1]
    line("findings", "mark", last["id"], "true", "--reason", "Seen in its code")
    line("decisions", "undo", "--rule", last["rule"]["id"], "--since", "2026-01-01", "--reason", "Too broad")
    added = [
        "--app",
        "wx77",
        "--target",
        "login",
        "--limit",
        "60",
        "--per",
        "1m",
        "--for",
        "30d",
        "--reason",
        "A storm",
    ]
    decision = line.rows("decisions", "add", "throttle", *added)[0]["id"]
    line("appeals", "file", decision, "--by", "dev-7", "--statement", "We have fixed it")
    line("maintenance", "add", "--until", "30d", "--reason", "A new gateway")
    line("tokens", "add", "gateway", "--role", "ingest", "--role", "bouncer")
    return data


@pytest.fixture(scope="session")
def _opened(_ran):
    site = ApiSite(_ran)
    yield site
    site.close()


@pytest.fixture
def site(_opened) -> ApiSite:
    """The API where there is something to see; only to look at."""
    return _opened


@pytest.fixture
def line(_ran) -> CommandLine:
    return CommandLine(_ran)


@pytest.fixture
def fresh(tmp_path):
    """The API over a record of its own."""
    made = ApiSite(tmp_path / "data")
    yield made
    made.close()


@pytest.fixture
def changeable(_ran, tmp_path):
    """The API over a copy of that record."""
    shutil.copytree(_ran, tmp_path / "data")
    made = ApiSite(tmp_path / "data")
    yield made
    made.close()
