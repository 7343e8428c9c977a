"""The few ways in which anything becomes durable or leaves the machine, so that each can be watched and made to fail.

Every fsync, rename, commit and send of the daemon passes `boundary` just before and just after it happens. Tests put
their own function in `observer`: it may kill the process there, or raise the `OSError` of a full or broken disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def _unobserved(_name: str) -> None:
    """Nobody watches."""


observer: Callable[[str], None] = _unobserved


def boundary(name: str) -> None:
    """Say that a durable step is about to happen (``name``) or has happened (``name:done``)."""
    observer(name)


def write_file(path: Path, content: bytes | memoryview, kind: str, mode: int = 0o600) -> None:
    """Write a whole file so that after a crash it is there entirely, or not at all.

    Raises `OSError` when the disk refuses; the earlier file, if any, is then untouched.
    """
    part = path.with_name(path.name + ".part")
    boundary(f"write:{kind}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        boundary(f"fsync:{kind}")
        os.fsync(file.fileno())
    publish(part, path, kind)


def publish(part: Path, path: Path, kind: str) -> None:
    """Give a finished, fsynced file its name, and make the name durable."""
    boundary(f"rename:{kind}")
    part.replace(path)
    sync_folder(path.parent)
    boundary(f"rename:{kind}:done")


def make_folder(folder: Path) -> None:
    """A folder for nobody but us, durably there."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    boundary("fsync:folder")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
