"""A data folder is one daemon's at a time, or one restore's."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

HELD: Final = b"A process has this folder for itself, or was killed while it had.\n"
"""Stands in the lock of who has a folder for himself, until he gives it back in order: who is killed, or loses power, leaves it."""


class AlreadyRunning(Exception):
    """Another daemon works on the same data folder."""


@contextmanager
def only_one(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a data folder for one daemon, or, `shared`, for those that share its work out among them; the lock is gone with the process, however
    it ends.
    """
    descriptor = _locked(path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    try:
        os.utime(descriptor)  # since when it runs
        if not shared:
            _write(descriptor, HELD)
        yield
    finally:
        if not shared:
            _write(descriptor, b"")
        os.close(descriptor)


def was_left(path: Path) -> bool:
    """Whether who last had a folder for himself ended without giving it back; asked where nobody has it now."""
    return path.is_file() and path.stat().st_size > 0


def _locked(path: Path, kind: int) -> int:
    """The lock, held; raises `AlreadyRunning`. Who waited for one that a refused restore has taken away takes the next."""
    while True:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
            os.close(descriptor)
        except BlockingIOError:
            os.close(descriptor)
            raise AlreadyRunning(f"another miniwatch runs on {path.parent}; stop it, or use another data_dir") from None


def _write(descriptor: int, content: bytes) -> None:
    """Have just this in the lock; on a full disk it is not, and the folder is held all the same."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, content, 0)
