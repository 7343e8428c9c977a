"""The kernel that make installs is of the sources that are there, or there is none."""

import os
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not there")

NEEDED = ("requirements/dev.txt", "requirements/uv.txt", "requirements/native.txt", "pyproject.toml")
SOURCES = ("detectors/kernel.sha256", "native/Cargo.toml", "native/Cargo.lock", "native/src/lib.rs")


class Made:
    """The Makefile in a folder whose tools only say how they were called."""

    def __init__(self, folder, makefile):
        self.folder, self.kernel = folder, folder / ".venv/.kernel"
        self.path = os.pathsep.join((str(folder / "bin"), os.environ["PATH"]))
        shutil.copy(makefile, folder)
        for name in (*NEEDED, *SOURCES, ".venv/.made"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        self.tool(".venv/bin/uv", 'echo "uv $2"')

    def tool(self, name, script):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def __call__(self, *, cargo, maturin="exit 0"):
        self.tool("bin/cargo", cargo)
        self.tool("build/maturin/bin/maturin", maturin)
        environment = {"PATH": self.path, "HOME": str(self.folder)}
        arguments = ["make", "--no-print-directory", ".venv/.kernel"]
        run = subprocess.run(arguments, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        return run.stdout.splitlines()


@pytest.fixture
def made(tmp_path, root):
    return Made(tmp_path, root / "Makefile")


def test_a_kernel_that_cannot_be_built_is_not_left_from_before_and_is_tried_again(made):
    told = made(cargo="exit 0", maturin="exit 1")
    assert told[0] == "uv uninstall"
    assert "could not be built" in told[-1]
    assert not made.kernel.exists()
    assert "could not be built" in made(cargo="exit 0", maturin="exit 1")[-1]


def test_a_kernel_that_was_built_is_built_again_only_when_its_sources_change(made):
    assert made(cargo="exit 0")[-1] == "uv install"
    assert made(cargo="exit 0") == ["make: '.venv/.kernel' is up to date."]
    later = made.kernel.stat().st_mtime + 10
    os.utime(made.folder / "native/src/lib.rs", (later, later))
    assert made(cargo="exit 0")[-1] == "uv install"


def test_without_cargo_a_kernel_from_before_is_removed_and_nothing_is_said(made):
    assert made(cargo="exit 1") == ["uv uninstall"]
    assert made.kernel.exists()
