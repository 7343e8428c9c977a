"""What the command line costs before it does anything, and how it behaves at the ends of a pipe."""

import subprocess
import sys

import pytest
from typer.main import get_command

from monitor.cli.tree import COMMANDS, Tree, app

HEAVY = (
    "polars",
    "numpy",
    "sqlalchemy",
    "pydantic",
    "httpx",
    "sigma",
    "pyarrow",
    "rich",
    "structlog",
    "msgspec",
    "yaml",
    "sklearn",
    "skops",
)
START = "from monitor.cli import main; main()"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["rules", "explain", "--help"],
        ["model", "train", "--help"],
        ["completion", "bash", "--propose="],
        ["completion", "fish", "--propose=findings\nlist\n--."],
    ],
)
def test_help_and_version_load_nothing_heavy(arguments):
    tell = (
        "import atexit, sys\n"
        f"atexit.register(lambda: sys.stderr.write(' '.join(set(sys.modules) & set({HEAVY!r}))))\n"
        f"{START}"
    )
    ran = subprocess.run([sys.executable, "-c", tell, *arguments], capture_output=True, text=True, check=True)
    assert ran.stdout
    assert ran.stderr == ""


def test_every_command_has_help_with_an_example(fresh):
    root = get_command(app)
    assert isinstance(root, Tree)
    for place in COMMANDS:
        command = root.get_command(None, place.name)
        for name in [*getattr(command, "commands", {})] or [None]:
            told = fresh(*filter(None, (place.name, name)), "--help").stdout
            assert f"Example: miniwatch {place.name}" in told
            assert "..." not in told.split("Options:")[0].splitlines()[2]


def test_a_reader_who_leaves_early_is_no_error():
    simulate = f"{sys.executable} -c '{START}' simulate --seed 1 --events 30000"
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{simulate} | head -1"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0
    assert "Traceback" not in ran.stderr
    assert "rror" not in ran.stderr


def test_a_mistyped_command_is_wrong_usage_and_the_right_one_is_named(fresh):
    assert "'findings'" in fresh("findigs", code=2).stderr


def test_simulated_events_are_the_same_for_the_same_seed(fresh):
    first = fresh("simulate", "--seed", "5", "--events", "500", "--kinds", "none").stdout_bytes
    assert first == fresh("simulate", "--seed", "5", "--events", "500", "--kinds", "none").stdout_bytes
    assert first.count(b"\n") == 500
    assert "no such kind" in fresh("simulate", "--seed", "5", "--events", "5", "--kinds", "x", code=2).stderr
