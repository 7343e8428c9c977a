"""Rule files on disk as texts. Whatever stands in a folder, reading it ends; what is not read is told."""

from __future__ import annotations

import errno
import heapq
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from detectors.sigma import RuleProblem

RULE_BYTES_MAX: Final = 4 << 20
"""Size of one rule file."""

FILES_MAX: Final = 20_000
"""Rule files in one folder."""

ALL_BYTES_MAX: Final = 256 << 20
"""Size of all rule files of one folder together."""

ENTRIES_MAX: Final = 2_000_000
"""Entries in a folder and all below it, whatever they are; beyond, the folder is not read at all."""

_SUFFIXES: Final = (".yml", ".yaml")


class RuleText(NamedTuple):
    """A rule file: where it is, its path inside its folder, and what it says."""

    path: Path
    name: str
    text: str


class _TooManyError(Exception):
    """A folder has more entries than are looked at."""


def rule_texts(folder: Path, problems: list[RuleProblem]) -> Iterator[RuleText]:
    """The rule files of a folder and all below it, in the order of their paths.

    Links are followed, each folder once. What is hidden (its name begins with a dot) is left alone.
    """
    names = _rule_names(folder, problems)
    spent = 0
    for place, name in enumerate(names):
        path = folder / name
        text = read_text(path, problems)
        if text is None:
            continue
        spent += len(text)
        if spent > ALL_BYTES_MAX:
            message = f"the files before it have {ALL_BYTES_MAX >> 20} MiB in all, which is the most that is read"
            left = len(names) - place - 1
            problems.append(RuleProblem(str(path), 0, "", f"{message}; it and {left} files after it are not"))
            return
        yield RuleText(path, name, text)


def read_text(path: Path, problems: list[RuleProblem], bytes_max: int = RULE_BYTES_MAX) -> str | None:
    """What a file of rules says, or None and a problem. Never waits for what is no plain file."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError("is no plain file")  # noqa: TRY301 - told like the others
            content = file.read(bytes_max + 1)
        if len(content) > bytes_max:
            raise ValueError(f"is larger than {bytes_max} bytes")  # noqa: TRY301 - as above
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"cannot be read: found the byte 0x{content[error.start]:02x}, which is not UTF-8; save it as UTF-8"
        problems.append(RuleProblem(str(path), line, "", message))
    except (OSError, ValueError) as error:
        problems.append(RuleProblem(str(path), 0, "", f"cannot be read: {why(error)}"))
    return None


def _rule_names(folder: Path, problems: list[RuleProblem]) -> list[str]:
    """The paths of the rule files inside a folder, the first ones in their order."""
    try:
        found = heapq.nsmallest(FILES_MAX + 1, _walk(folder, problems), key=lambda name: name.split("/"))
    except _TooManyError:
        message = f"has more than {ENTRIES_MAX} entries, which is the most that is looked at; none of it is read"
        problems.append(RuleProblem(str(folder), 0, "", message))
        return []
    except OSError as error:
        message = "is no folder that can be read; make it or take it off the list"
        told = message if error.errno in (errno.ENOENT, errno.ENOTDIR) else f"cannot be read: {why(error)}"
        problems.append(RuleProblem(str(folder), 0, "", told))
        return []
    if len(found) > FILES_MAX:
        message = f"has more than {FILES_MAX} rule files; from {found[-1]} on, in the order of paths, none is read"
        problems.append(RuleProblem(str(folder), 0, "", message))
    return found[:FILES_MAX]


def _walk(folder: Path, problems: list[RuleProblem]) -> Iterator[str]:
    """Every rule file below a folder, as its path inside; raises `OSError` when the folder itself cannot be read."""
    waiting = [""]
    seen: set[tuple[int, int]] = set()
    entries = 0
    while waiting:
        inside = waiting.pop()
        try:
            status = (folder / inside).stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            listing = os.scandir(folder / inside)
        except OSError as error:
            if not inside:
                raise
            problems.append(RuleProblem(str(folder / inside), 0, "", f"cannot be read: {why(error)}"))
            continue
        folders: list[str] = []
        with listing:
            for entry in listing:
                entries += 1
                if entries > ENTRIES_MAX:
                    raise _TooManyError
                if entry.name.startswith("."):
                    continue
                if _is_folder(entry):
                    folders.append(f"{inside}{entry.name}/")
                elif entry.name.endswith(_SUFFIXES):
                    yield inside + entry.name
        waiting += sorted(folders, reverse=True)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link into a circle of links, which reading will tell if it is named like a rule
        return False


def why(error: Exception) -> str:
    """An error for people: what the system says, without its number and the path that stands before it already."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
