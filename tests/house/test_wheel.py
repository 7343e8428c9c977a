"""What is installed: three packages with everything they read, and nothing that only we need."""

import subprocess
import sys
import zipfile
from pathlib import PurePosixPath

import pytest

ROOMS = {"monitor", "playbooks", "detectors"}
READ = {".yml", ".yaml", ".json", ".mako", ".typed"}


@pytest.fixture(scope="module")
def names(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_has_exactly_three_top_level_names(names):
    assert {PurePosixPath(name).parts[0] for name in names if ".dist-info/" not in name} == ROOMS


def test_the_wheel_carries_every_file_that_the_program_reads(names, texts):
    read = {name for name in texts if name.split("/")[0] in ROOMS and PurePosixPath(name).suffix in READ}
    assert "detectors/rules/tested.json" in read
    assert read <= names


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_every_package_says_that_it_is_typed(names, room):
    assert f"{room}/py.typed" in names


def test_the_wheel_carries_rules_playbooks_and_migrations(names):
    for folder, suffix in (
        ("detectors/rules/", ".yml"),
        ("playbooks/library/", ".yaml"),
        ("monitor/stores/migrations/versions/", ".py"),
    ):
        assert any(name.startswith(folder) and name.endswith(suffix) for name in names), folder


def test_tests_are_never_shipped(names):
    assert [name for name in names if "test_" in name or "tests/" in name or "conftest" in name] == []


def test_the_licence_is_shipped(names):
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in names)
