"""Where each key of a TOML text stands: the line of every table, key and list item, which the parser does not tell.

`tomllib` decides what the text means; this only walks over it again, so it may rely on the text being valid.
"""

from __future__ import annotations

import re
import tomllib
from typing import Final

KeyPath = tuple[str | int, ...]
"""A place in a configuration: names of tables and keys, and numbers of list items."""

SYNTAX_PROBLEMS_MAX: Final = 20
"""Broken lines told in one go; a file with more is probably not TOML."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SCALAR = re.compile(r"[^,\]}\r\n#]*")
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:[^"\\\n]|\\.)*"'),
    re.compile(r"'[^'\n]*'"),
)
_AT_LINE = re.compile(r"^(?P<what>.*) \(at (?:line (?P<line>\d+), column \d+|end of document)\)$")


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line (from 1) of every table, key and list item of a valid TOML text."""
    return _Walk(text.replace("\r\n", "\n")).lines()


class _Walk:
    """One pass over the text: `at` is where it stands, `table` the path of the table that keys now belong to."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.table: KeyPath = ()
        self.found: dict[KeyPath, int] = {}
        self.items: dict[KeyPath, int] = {}  # how many [[tables]] of each name there have been

    def lines(self) -> dict[KeyPath, int]:
        self._skip(_BLANK)
        while self.at < len(self.text):
            if self.text.startswith("[[", self.at):
                self._header("[[", "]]")
            elif self.text[self.at] == "[":
                self._header("[", "]")
            else:
                self._pair(self.table)
            self._skip(_BLANK)
        return self.found

    def _header(self, opening: str, closing: str) -> None:
        line = self._line()
        self.at += len(opening)
        path: KeyPath = ()
        names = self._key()
        for name in names[:-1]:
            path = self._inside((*path, name))
        path = (*path, names[-1])
        if opening == "[[":
            number = self.items.get(path, 0)
            self.items[path] = number + 1
            self.found.setdefault(path, line)
            path = (*path, number)
        self._note(path, line)
        self.table = path
        self._skip(_SPACE)
        self.at += len(closing)

    def _inside(self, path: KeyPath) -> KeyPath:
        """Inside a list of tables, keys belong to its latest item."""
        number = self.items.get(path)
        return path if number is None else (*path, number - 1)

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = (*table, *self._key())
        self._note(path, line)
        self._skip(_SPACE)
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _note(self, path: KeyPath, line: int) -> None:
        for end in range(1, len(path) + 1):
            self.found.setdefault(path[:end], line)

    def _key(self) -> tuple[str, ...]:
        names: list[str] = []
        while True:
            self._skip(_SPACE)
            quoted = self._string()
            name = _BARE.match(self.text, self.at) if quoted is None else None
            if name is not None:
                self.at = name.end()
                names.append(name.group())
            elif quoted is not None:
                names.append(tomllib.loads(f"v = {quoted}")["v"])
            self._skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return tuple(names)
            self.at += 1

    def _value(self, path: KeyPath) -> None:
        if self._string() is not None:
            return
        if self.text.startswith("[", self.at):
            self._list(path)
        elif self.text.startswith("{", self.at):
            self._inline_table(path)
        else:
            self._skip(_SCALAR)

    def _list(self, path: KeyPath) -> None:
        self.at += 1
        number = 0
        while True:
            self._skip(_BLANK)
            if self.text[self.at] == "]":
                break
            self._note((*path, number), self._line())
            self._value((*path, number))
            number += 1
            self._skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
        self.at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self.at += 1
        while True:
            self._skip(_BLANK)
            if self.text[self.at] == "}":
                break
            self._pair(path)
            self._skip(_BLANK)
            if self.text[self.at] == ",":
                self.at += 1
        self.at += 1

    def _string(self) -> str | None:
        for pattern in _STRINGS:
            found = pattern.match(self.text, self.at)
            if found is not None:
                self.at = found.end()
                return found.group()
        return None

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()

    def _line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1


def read_toml(text: str) -> tuple[dict[str, object], dict[KeyPath, int], list[tuple[int, str]]]:
    """What a TOML text says, where, and its broken lines as (line, what is wrong).

    A broken ``key = value`` line is left out and the rest read on, so that all of them are told at once. Breakage
    of another kind (a table's header, an open bracket) would bring forth false problems: there, reading ends.
    """
    broken: list[tuple[int, str]] = []
    while True:
        try:
            content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            lines = text.split("\n")
            number, what = _place(error, len(lines))
            broken.append((number, what))
            known = [line for line, _ in broken[:-1]]
            if not _lone_pair(lines[number - 1]) or number in known or len(broken) == SYNTAX_PROBLEMS_MAX:
                return {}, {}, broken
            lines[number - 1] = ""
            text = "\n".join(lines)
        else:
            return content, key_lines(text), broken


def _place(error: tomllib.TOMLDecodeError, last: int) -> tuple[int, str]:
    found = _AT_LINE.match(str(error))
    if found is None:
        return 1, str(error)
    return int(found["line"] or last), found["what"]


def _lone_pair(line: str) -> bool:
    return re.match(r"""\s*["'A-Za-z0-9_.-]+\s*=\s*(?![\[{]|\"\"\"|''')""", line) is not None
