"""Building the files of a release: from what the tag holds and nothing else, twice, and only if both come out the same."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from miniwatch_release.bill import bill
from miniwatch_release.ready import version

SUMS = "SHA256SUMS"


class Unequal(Exception):
    """Two builds of the same sources differ, so that nobody could check what we give away."""


def build(root: Path, into: Path) -> list[Path]:
    """The wheel, the source distribution, the lock, the bill of materials and the checksums, in a new folder."""
    if into.exists():
        raise FileExistsError(f"{into} is there already: a release is made once; remove it to make it anew")
    number = version(root)
    made = int(_run(root, "git", "log", "-1", "--format=%ct"))
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{number}.", dir=into.parent) as name:
        folder = Path(name)
        first = _built(_exported(root, folder / "first"), folder / "one", made)
        _same(first, _built(_exported(root, folder / "other"), folder / "two", made))
        _same([path for path in first if path.suffix == ".whl"], [_from_sdist(first, folder, made)])
        done = folder / "done"
        done.mkdir()
        for path in first:
            shutil.move(path, done)
        shutil.copyfile(folder / "first" / "requirements" / "run.txt", done / f"miniwatch-{number}.requirements.txt")
        (done / f"miniwatch-{number}.cdx.json").write_bytes(bill(folder / "first", number, made))
        names = sorted(path.name for path in done.iterdir())
        (done / SUMS).write_text("".join(f"{_sha256(done / each)}  {each}\n" for each in names))
        done.rename(into)
    return sorted(into.iterdir())


def _exported(root: Path, folder: Path) -> Path:
    """What is committed, and nothing that only lies in the clone."""
    packed = folder.with_suffix(".tar")
    _run(root, "git", "archive", f"--output={packed}", "HEAD")
    return _unpacked(packed, folder)


def _unpacked(packed: Path, folder: Path) -> Path:
    folder.mkdir()
    _run(folder, "tar", "-xf", str(packed))
    return folder


def _built(tree: Path, into: Path, made: int) -> list[Path]:
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(made)}
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(into)]
    subprocess.run(command, cwd=tree, env=environment, capture_output=True, check=True)
    return sorted(into.iterdir())


def _from_sdist(first: list[Path], folder: Path, made: int) -> Path:
    """The wheel as it comes out for whoever has the source distribution only."""
    (sdist,) = (path for path in first if path.name.endswith(".tar.gz"))
    (tree,) = _unpacked(sdist, folder / "unpacked").iterdir()
    return next(path for path in _built(tree, folder / "three", made) if path.suffix == ".whl")


def _same(one: list[Path], other: list[Path]) -> None:
    differ = {path.name for path in one} ^ {path.name for path in other}
    by_name = {path.name: path for path in other}
    differ |= {path.name for path in one if path.name in by_name and _sha256(path) != _sha256(by_name[path.name])}
    if differ:
        raise Unequal(f"two builds of the same sources differ in {', '.join(sorted(differ))}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run(folder: Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
