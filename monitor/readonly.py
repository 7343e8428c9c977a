"""How a SQLite file is opened that is only looked at, also where nothing can be written beside it."""

from __future__ import annotations

import os
from pathlib import Path


def reading_uri(path: Path) -> str:
    """The URI under which SQLite reads a file and never writes.

    SQLite wants to make its log beside the file. Where it cannot, and none was left there, the file is the whole database,
    and is said to be.
    """
    log = path.with_name(f"{path.name}-wal")
    alone = not os.access(path.parent, os.W_OK) and not log.exists()
    return f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
