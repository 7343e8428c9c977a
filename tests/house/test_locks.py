"""The lock files: what is installed is what was looked at, by its hash, and nothing that was asked for is missing."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

LOCKS = ("run", "dev", "docs", "uv")


def _requirements(root, lock):
    """Each locked requirement with its hashes; a backslash goes on with the line."""
    text = (root / "requirements" / f"{lock}.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    return {re.match(r"[\w.-]+", line).group().lower().replace("_", "-"): line for line in lines}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_requirement_is_one_version_with_hashes(root, lock):
    for name, line in _requirements(root, lock).items():
        assert re.match(r"[\w.-]+==\S+", line), name
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", line), name


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_says_where_to_download_from(root, lock):
    assert not re.search(
        r"https?://|--(extra-)?index-url|--find-links", (root / "requirements" / f"{lock}.txt").read_text()
    )


def test_every_dependency_is_locked(root):
    whole = tomllib.loads((root / "pyproject.toml").read_text())
    asked, tools = _named(whole["project"]["dependencies"]), _named(whole["project"]["optional-dependencies"]["dev"])
    assert asked <= _requirements(root, "run").keys()
    assert asked | tools <= _requirements(root, "dev").keys()
    assert _named(whole["dependency-groups"]["docs"]) <= _requirements(root, "docs").keys()


MADE_WITH = ("deploy/grafana/", "deploy/image/")
"""What makes dashboards and images, which is not installed with the program."""


def _named(requirements):
    return {re.match(r"[\w.-]+", one).group().lower() for one in requirements}


def test_what_the_program_imports_is_asked_for(root, sources):
    """A package that only happens to be installed here is missing everywhere else."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    optional = [one for name, packages in extras.items() if name != "dev" for one in packages]
    asked = _named((*project["dependencies"], *optional))
    while_developing = asked | _named(extras["dev"])
    beside = {"miniwatch_dashboards", "miniwatch_gateway", "miniwatch_image", "miniwatch_native", "miniwatch_release"}
    ours = {"monitor", "detectors", "playbooks"} | beside
    known = packages_distributions()
    missing = {
        (name, package)
        for name, text in sources.items()
        for package in _imported(ast.parse(text)) - sys.stdlib_module_names - ours
        if not (while_developing if name.startswith(MADE_WITH) else asked)
        & {each.lower().replace("_", "-") for each in known.get(package, [package])}
    }
    assert missing == set()


def _imported(tree):
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found |= {alias.name.partition(".")[0] for alias in names}
            case ast.ImportFrom(level=0, module=str(module)):
                found.add(module.partition(".")[0])
    return found


def test_what_developers_run_is_what_is_deployed(root):
    run, dev = ({name: line.split()[0] for name, line in _requirements(root, lock).items()} for lock in ("run", "dev"))
    assert run.items() <= dev.items()


def test_what_is_installed_can_tell_people_by_every_channel(root):
    """Under systemd, by a release and in the image alike; there, nobody can add what lacks."""
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert _named(extras["apprise"]) <= _requirements(root, "run").keys()
    places = ("Makefile", "deploy/image/miniwatch_image/__main__.py", "deploy/release/miniwatch_release/building.py")
    for name in places:
        text = (root / name).read_text()
        installed = text.partition("install-program:")[2].partition("install-service:")[0] or text
        assert {*re.findall(r"\b(\w+)\.txt\b", installed)} - {"requirements"} == {"run"}, name
