"""A disk's refusal, told as a `StoreError` that knows whether trying again makes sense."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

RETRYABLE: Final = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EAGAIN,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
}
"""A full or stuttering disk, and too little of something: it may be better in a while."""


class StoreError(Exception):
    """The store cannot do it. `retryable`: full disk, locked database; not: broken file, wrong schema."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


@contextmanager
def refusals_told(path: Path) -> Iterator[None]:
    """Turn the `OSError` of whatever happens here to `path` into a `StoreError`."""
    try:
        yield
    except OSError as error:
        message = f"{error.filename or path}: {error.strerror or error}"
        raise StoreError(message, retryable=error.errno in RETRYABLE) from error
