"""Lets through what the program says, and nothing that it was told: its own words, small numbers and times."""

from __future__ import annotations

import builtins
import re
import sqlite3
import sys
import sysconfig
from collections.abc import Collection, Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

PACKAGES: Final = ("monitor", "detectors", "playbooks")

LEFT_OUT: Final = "<…>"
"""Stands for one or several words that are not ours."""

LINE_CHARACTERS_MAX: Final = 4_000
WORD_CHARACTERS_MAX: Final = 60
SOURCE_BYTES_MAX: Final = 4 << 20
"""Of a file in which the name of a function is looked up."""

_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9_]|[A-Za-z]")
_AROUND: Final = "()[]{}'\"`,.;:!?<>=|%/*+-–—…"
_COUNT: Final = re.compile(r"(\d{1,3}(,\d{3}){1,5}|\d{1,6})(\.\d{1,6})?", re.ASCII)
_TIME: Final = re.compile(
    r"20[2-9]\d-[01]\d-[0-3]\d([T ][0-2]\d:[0-5]\d:[0-6]\d(\.\d{1,6})?(Z|\+00:00)?)?|[0-2]\d:[0-5]\d(:[0-6]\d(\.\d{1,6})?)?Z?",
    re.ASCII,
)
_FRAME: Final = re.compile(r'\s*(?:\|\s*)?File "(?P<path>[^"]+)", line (?P<line>\d{1,6}), in (?P<name>\S+)\s*')
_INSIDE: Final = {"<module>", "<lambda>", "<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>"}


@cache
def own_words() -> frozenset[str]:
    """Every word in the program's own source, as one and as many, and the names of Python's and SQLite's errors, in small letters."""
    found = {name.casefold() for module in (builtins, sqlite3) for name in dir(module)}
    for package in PACKAGES:
        for path in sorted(Path(str(resources.files(package))).rglob("*.py")):
            found.update(word.casefold() for word in _WORD.findall(path.read_text(encoding="utf-8")))
    return frozenset(found | {f"{word}s" for word in found})


class Veil:
    """Takes texts and gives what may be seen of them. `known` are words beside the program's own, such as ids of its rules.

    Names that stand for something, such as sources, become the same `<source 1>` wherever they come: `alias`.
    """

    def __init__(self, words: Collection[str], known: Collection[str] = ()) -> None:
        self._words = words
        self._known = frozenset(known)
        self._aliases: dict[tuple[str, str], str] = {}

    def alias(self, kind: str, name: str) -> str:
        """A name that tells nothing and is the same for the same; what is ours is told."""
        if name in self._known or (name.isascii() and self.is_own(name)):
            return name
        number = sum(of == kind for of, _ in self._aliases) + 1
        return self._aliases.setdefault((kind, name), f"<{kind} {number}>")

    def text(self, text: object) -> str:
        """What may be seen of a text, line by line."""
        return "\n".join(self._line(line) for line in str(text).splitlines())

    def is_own(self, word: str) -> bool:
        """Whether the program has this word."""
        if len(word) > WORD_CHARACTERS_MAX or _WORD.fullmatch(word) is None:
            return False
        return word.casefold() in self._words or _is_error(word, self._words)

    def _line(self, line: str) -> str:
        if (frame := _FRAME.fullmatch(line)) is not None:
            return self._frame(frame)
        told: list[str] = []
        was_count = False
        for word in line[:LINE_CHARACTERS_MAX].split():
            shown, is_count = self._word(word)
            if was_count and _COUNT.fullmatch(word.strip(_AROUND)):  # numbers side by side may be one of somebody's
                shown, told[-1:] = LEFT_OUT, [LEFT_OUT]
            was_count = is_count
            if shown != LEFT_OUT or told[-1:] != [LEFT_OUT]:
                told.append(shown)
        return " ".join(told)

    def _word(self, word: str) -> tuple[str, bool]:
        """What is seen of a word, and whether it is a number that may go on with the next."""
        if "::" in word:  # an address may be numbers between colons, and nothing more
            return LEFT_OUT, False
        bare = word.strip(_AROUND)
        if _COUNT.fullmatch(bare):
            return word, not word.endswith((",", ";", ")"))
        if not bare or bare in self._known or self.is_own(bare) or _TIME.fullmatch(bare):
            return word, False
        return LEFT_OUT, False

    # Where in the program it was

    def _frame(self, frame: re.Match[str]) -> str:
        """A line of a traceback: the file as it is called below its package, where there is such a file."""
        for root in _roots():
            for tail in _tails(frame["path"], root):
                if (root / tail).is_file():
                    name = frame["name"] if _defines(root / tail, frame["name"]) else LEFT_OUT
                    return f'  File "{root.name}/{tail}", line {frame["line"]}, in {name}'
        return f'  File "{LEFT_OUT}", line {frame["line"]}, in {LEFT_OUT}'


def _is_error(word: str, words: Collection[str]) -> bool:
    """Whether a word is the name of an exception as tracebacks have it, with its module before."""
    *modules, name = word.casefold().split(".")
    return name.endswith(("error", "exception", "warning")) and name in words and all(part in words for part in modules)


def _roots() -> Iterator[Path]:
    """Folders of code that is not the operator's: ours, that of libraries, and Python's."""
    yield from (Path(str(resources.files(package))) for package in PACKAGES)
    yield Path(sysconfig.get_path("purelib"))
    yield Path(sysconfig.get_path("platlib"))
    yield Path(sys.base_prefix) / Path(sysconfig.get_path("stdlib")).relative_to(sys.base_prefix)


def _tails(path: str, root: Path) -> Iterator[Path]:
    """What of a path may be below a folder of that name, wherever the folder was on the machine that wrote it."""
    parts = Path(path).parts
    for place, part in enumerate(parts[:-1]):
        if part == root.name and ".." not in parts:
            yield Path(*parts[place + 1 :])


def _defines(path: Path, name: str) -> bool:
    """Whether a file has a function of that name."""
    if name in _INSIDE:
        return True
    if not name.isidentifier() or path.stat().st_size > SOURCE_BYTES_MAX:
        return False
    return re.search(rf"\bdef {name}\b", path.read_text(encoding="utf-8", errors="replace")) is not None
