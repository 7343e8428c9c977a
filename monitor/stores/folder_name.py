"""What an archive folder is called: a name that is written into it once, and goes with it wherever it is moved."""

from __future__ import annotations

import fcntl
import os
import re
import uuid
from pathlib import Path
from typing import Final

from monitor.durable import write_file
from monitor.refusal import StoreError, refusals_told

NAME_FILE: Final = "folder.id"

_NAME: Final = re.compile(r"[0-9a-f]{32}")


def folder_name(folder: Path) -> str:
    """The name of a folder; one that has none is given one, the same for all who ask at once. Raises `StoreError`."""
    if name := name_there(folder):
        return name
    with refusals_told(folder / NAME_FILE):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not (name := name_there(folder)):
                name = uuid.uuid4().hex
                write_file(folder / NAME_FILE, f"{name}\n".encode(), "folder")
            return name
        finally:
            os.close(descriptor)


def name_there(folder: Path) -> str:
    """The name that a folder has already; empty where it has none. Raises `StoreError` for a file that is not ours."""
    path = folder / NAME_FILE
    with refusals_told(path):
        try:
            text = path.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            return ""
    if _NAME.fullmatch(text) is None:
        raise StoreError(f"{path} does not hold the name of an archive folder: 32 hexadecimal digits", retryable=False)
    return text
