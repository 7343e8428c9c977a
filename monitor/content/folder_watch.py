"""Notices that rule or playbook folders, or pipelines, have changed, by looking at them now and then."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Final

ENTRIES_MAX: Final = 200_000
"""Entries of all folders that one look takes in; a change to what comes after them is not noticed."""

SUFFIXES: Final = (".yml", ".yaml", ".jsonl")


class FolderWatch:
    """Looks at folders, and at single files. Names, sizes and times of files are compared, never their content."""

    def __init__(self, folders: Sequence[Path], files: Sequence[Path] = ()) -> None:
        self._folders = folders
        self._files = files
        self._settled = self._latest = self._look()

    def has_changed(self) -> bool:
        """Whether there is a change since it last said so that is over: two looks in a row find the same."""
        earlier, self._latest = self._latest, self._look()
        if self._latest == earlier and self._latest != self._settled:
            self._settled = self._latest
            return True
        return False

    def _look(self) -> bytes:
        digest = hashlib.sha256()
        entries = (entry for folder in self._folders for entry in _files(folder))
        single = (entry for file in self._files for entry in _looked_at(str(file)))
        for path, size, time_ns in sorted(islice(chain(single, entries), ENTRIES_MAX)):
            digest.update(f"{path}\0{size}\0{time_ns}\n".encode("utf-8", "surrogateescape"))
        return digest.digest()


def _files(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Path, size and time of change of each file that may matter; a folder that cannot be read is as one without files."""
    for place, _folders, names in os.walk(folder):
        for name in names:
            if name.endswith(SUFFIXES):
                yield from _looked_at(os.path.join(place, name))  # noqa: PTH118 - for many thousands of files, pathlib costs seconds


def _looked_at(path: str) -> Iterator[tuple[str, int, int]]:
    try:
        status = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return
    yield path, status.st_size, status.st_mtime_ns
