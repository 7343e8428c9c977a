"""A data folder is one daemon's at a time, or one restore's."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AlreadyRunning(Exception):
    """Another daemon works on the same data folder."""


@contextmanager
def only_one(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a data folder for one daemon, or, `shared`, for those that share its work out among them; the lock is gone with the process, however
    it ends.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"another miniwatch runs on {path.parent}; stop it, or use another data_dir") from None
        os.utime(descriptor)  # since when it runs
        yield
    finally:
        os.close(descriptor)
