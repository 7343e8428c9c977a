"""What the tests about the code itself look at: its files, and the documents that speak of its commands."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = {"__pycache__", "build", "dist", "target", "var"}


def _committed() -> list[Path]:
    """Files that are committed or about to be; without git (an unpacked sdist), those that are no one's leavings."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    found = []
    for folder, below, names in os.walk(ROOT):
        below[:] = [name for name in below if name not in LEFT_OUT and (not name.startswith(".") or name == ".ci")]
        found += [Path(folder) / name for name in names]
    return found


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def texts():
    """Every committed file that is text, by its path from the root."""
    found = {}
    for path in _committed():
        content = path.read_bytes()
        if b"\0" not in content:
            found[path.relative_to(ROOT).as_posix()] = content.decode("utf-8", "replace")
    return found


@pytest.fixture(scope="session")
def sources(texts):
    """The modules of the program, and of what runs beside it on other machines."""
    rooms = ("monitor/", "playbooks/", "detectors/", "deploy/")
    return {name: text for name, text in texts.items() if name.endswith(".py") and name.startswith(rooms)}


@pytest.fixture(scope="session")
def documents(texts):
    """The README and the pages under docs/, working notes aside."""
    return {
        name: text
        for name, text in texts.items()
        if name == "README.md" or (name.startswith("docs/") and name.endswith(".md") and name != "docs/plan.md")
    }
