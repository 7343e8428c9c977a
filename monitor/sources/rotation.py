"""Where a log file went when it was rotated: its siblings, oldest first, and the one that we were reading."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeVar

from monitor.sources import SourceError
from monitor.sources.compression import SUFFIXES
from monitor.sources.opened import OpenedFile, Trace

NUMBER_DIGITS_MAX: Final = 5
"""A tag of more digits is a date."""


@dataclass(frozen=True, slots=True)
class Sibling:
    """A file that is, or was, the followed one."""

    path: Path
    inode: int
    size: int
    modified: int


def rotated(path: Path) -> list[Sibling]:
    """Files that carry the name of `path` and a number or date, oldest first.

    ``app.log.1``, ``app.log-20260131``, ``app.log.2026-01-31``, ``app.1.log``, each also with ``.gz`` or ``.zst``. A
    higher date is newer; a higher number is older, unless the files' own times say that numbers are counted up. Of one that
    is just being compressed only the plain file counts.
    """
    pattern = _name_pattern(path)
    numbered: dict[int, Sibling] = {}
    dated: dict[str, Sibling] = {}
    try:
        names = sorted(os.listdir(path.parent))  # noqa: PTH208 - names are wanted, not a path object each
    except FileNotFoundError:
        return []
    for name in names:
        match = pattern.fullmatch(name)
        sibling = match and _look(path.with_name(name))
        if match and sibling:
            tag = match["tag"] or match["inner"]
            if tag.isdecimal() and len(tag) <= NUMBER_DIGITS_MAX:
                _put(numbered, int(tag), sibling)
            else:
                _put(dated, re.sub(r"\D", "", tag), sibling)
    numbers = sorted(numbered, reverse=not _counts_up(numbered))
    return [*(numbered[number] for number in numbers), *(dated[date] for date in sorted(dated))]


Tag = TypeVar("Tag", int, str)


def _put(found: dict[Tag, Sibling], tag: Tag, sibling: Sibling) -> None:
    if tag not in found or found[tag].path.suffix in SUFFIXES:
        found[tag] = sibling


def _counts_up(numbered: dict[int, Sibling]) -> bool:
    """Whether each higher number was written later. Compressed files do not count: compressing may give them a new time."""
    plain = [numbered[number].modified for number in sorted(numbered) if numbered[number].path.suffix not in SUFFIXES]
    return len(plain) > 1 and all(earlier < later for earlier, later in pairwise(plain))


def is_rotated(name: str, of: str) -> bool:
    """Whether a file name is the other's with a number or date."""
    return _name_pattern(Path(of)).fullmatch(name) is not None


def moved_on(path: Path, inode: int) -> bool:
    """Whether something newer than the file of this inode, which we are in, has been written."""
    now = _look(path)
    if now is not None and now.inode == inode:
        return False
    if now is not None and now.size:
        return True
    siblings = rotated(path)
    places = [place for place, sibling in enumerate(siblings) if sibling.inode == inode]
    return bool(places) and any(sibling.size for sibling in siblings[places[-1] + 1 :])


def after(path: Path, offset: int, trace: Trace) -> list[Sibling]:
    """The files that hold what was written after the one of the trace, oldest first; empty ones left out.

    Where that one is gone altogether: those that were written to since it was last seen, and the present one.
    """
    now = _look(path)
    siblings = [*rotated(path), *([now] if now else [])]
    place = _place(siblings, offset, trace)
    if place is None:
        later = [sibling for sibling in siblings if sibling.modified > trace.modified or sibling.path == path]
    else:
        later = siblings[place + 1 :]
    return [sibling for sibling in later if sibling.size]


def find(path: Path, offset: int, trace: Trace, *, siblings: bool) -> OpenedFile | None:
    """The file of the trace, opened at `offset`: under its own name, another, or compressed.

    The same inode is looked at first; but inodes are used again, so what the file holds decides. Without `siblings`
    only the name itself is looked at.
    """
    now = _look(path)
    candidates = [now] if now and now.inode == trace.inode else []
    if siblings:
        renamed = rotated(path)[::-1]
        candidates += [sibling for sibling in renamed if sibling.inode == trace.inode]
        candidates += [sibling for sibling in renamed if sibling.inode != trace.inode]
    if now and now.inode != trace.inode:
        candidates.append(now)
    return _first_holding(candidates, offset, trace)


def _place(siblings: list[Sibling], offset: int, trace: Trace) -> int | None:
    """Where among the siblings the file of the trace stands."""
    same = [place for place, sibling in enumerate(siblings) if sibling.inode == trace.inode]
    for place in [*same, *reversed(range(len(siblings)))]:
        opened = _first_holding([siblings[place]], offset, trace)
        if opened is not None:
            opened.close()
            return place
    return None


def _first_holding(candidates: Iterable[Sibling], offset: int, trace: Trace) -> OpenedFile | None:
    for sibling in candidates:
        opened = None
        try:
            opened = OpenedFile(sibling.path, trace.base)
            if opened.inode == sibling.inode and opened.go_to(offset, trace):
                return opened
        except (FileNotFoundError, PermissionError, SourceError):
            pass  # gone, not for us or damaged: not the one to go on from; a failing disk is another matter
        if opened is not None:
            opened.close()
    return None


def _look(path: Path) -> Sibling | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return Sibling(path, status.st_ino, status.st_size, status.st_mtime_ns)


def _name_pattern(path: Path) -> re.Pattern[str]:
    name, stem, suffix = (re.escape(part) for part in (path.name, path.stem, path.suffix))
    tag = r"\d[\d_.T-]*"
    return re.compile(rf"(?:{name}[.-](?P<tag>{tag}?)|{stem}[.-](?P<inner>{tag}?){suffix})(?:\.gz|\.zst)?")
