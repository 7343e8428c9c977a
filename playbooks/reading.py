"""YAML read so that every value knows its line, and every mistake is told at its place instead of only the first."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec
import yaml

PLAYBOOK_BYTES_MAX: Final = 65_536

Mapping: TypeAlias = "dict[str, Value]"


class Problem(msgspec.Struct, frozen=True, order=True):
    """One mistake in a file: where it is, what stands there, what should, and what to do."""

    file: str
    line: int
    found: str
    expected: str
    advice: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: found {self.found}; expected {self.expected}. {self.advice}"


class Value(msgspec.Struct, frozen=True):
    """A value of the file and the line it begins on. Mappings hold values by key, sequences values in order."""

    line: int
    content: bool | int | float | str | list[Value] | dict[str, Value] | None

    @property
    def shown(self) -> str:
        """The value as a problem names it."""
        match self.content:
            case dict():
                return "a mapping"
            case list():
                return "a list"
            case None:
                return "nothing"
            case content:
                return repr(content)


class Reader:
    """Reads the values of one file and collects what is wrong with them."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._seen: set[int] = set()

    def problem(self, line: int, found: str, expected: str, advice: str) -> None:
        self.problems.append(Problem(self.file, line, found, expected, advice))

    def read(self, text: str) -> Value | None:
        """The whole document, or None (and a problem) when it is no YAML, too large or has no content."""
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > PLAYBOOK_BYTES_MAX:
            self.problem(1, f"{size:,} bytes", f"at most {PLAYBOOK_BYTES_MAX:,}", "Split the file.")
            return None
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            if node is not None:
                return self._value(node)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.problem(mark.line + 1 if mark else 1, str(error.problem), "YAML", "Mend the syntax.")
            return None
        except (yaml.YAMLError, RecursionError) as error:
            self.problem(1, type(error).__name__, "YAML text of modest depth", "Mend the syntax.")
            return None
        self.problem(1, "an empty file", "a playbook", "Write one, or remove the file.")
        return None

    def _value(self, node: yaml.Node) -> Value:
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.ScalarNode):
            if id(node) in self._seen:
                self.problem(line, "an alias", "values written out", "Write the value again where it is needed.")
                return Value(line, None)
            self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return Value(line, self._mapping(node))
        if isinstance(node, yaml.SequenceNode):
            return Value(line, [self._value(item) for item in node.value])
        return Value(line, self._scalar(node))

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.problem(line, "a key that is not a word", "a word", "Write a plain key.")
            elif key.value in values:
                self.problem(line, f"the key {key.value!r} a second time", "each key once", "Remove one of them.")
            else:
                values[key.value] = self._value(value)
        return values

    def _scalar(self, node: yaml.Node) -> bool | int | float | str | None:
        text = str(node.value)
        try:
            match node.tag.removeprefix("tag:yaml.org,2002:"):
                case "null":
                    return None
                case "bool":
                    return text.lower() in {"true", "yes", "on"}
                case "int":
                    return int(text)
                case "float":
                    return float(text)
        except ValueError:
            pass  # 0x1f, 1_000 and 1:30 are numbers to YAML alone: here they stay text and are refused as numbers
        return text

    def mapping(self, value: Value, what: str, keys: frozenset[str], needed: frozenset[str]) -> Mapping:
        """The value's keys; unknown and missing ones are problems."""
        if not isinstance(value.content, dict):
            self.problem(value.line, value.shown, f"{what} as a mapping", f"Its keys are {_listed(keys)}.")
            return {}
        for key in value.content.keys() - keys:
            line = value.content[key].line
            self.problem(line, f"the unknown key {key!r} in {what}", f"one of {_listed(keys)}", "Remove or correct it.")
        for key in sorted(needed - value.content.keys()):
            self.problem(value.line, f"{what} without {key!r}", f"{key!r} in {what}", "Add it.")
        return {key: inner for key, inner in value.content.items() if key in keys}

    def items(self, value: Value | None, what: str) -> list[Value]:
        """The members of a list."""
        if value is None:
            return []
        if not isinstance(value.content, list):
            self.problem(value.line, value.shown, f"{what} as a list", "Write it in [brackets] or as - lines.")
            return []
        return value.content

    def text(self, value: Value | None, what: str, default: str = "") -> str:
        if value is None:
            return default
        if not isinstance(value.content, str) or not value.content.strip():
            self.problem(value.line, value.shown, f"{what} as text", "Write a word or a sentence.")
            return default
        return value.content

    def whole(self, value: Value | None, what: str, least: int, most: int, default: int) -> int:
        """A whole number within bounds."""
        if value is None:
            return default
        number = value.content
        if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
            self.problem(
                value.line, value.shown, f"{what} as a whole number from {least:,} to {most:,}", "Correct the number."
            )
            return default
        return number

    def flag(self, value: Value | None, what: str) -> bool:
        if value is None:
            return False
        if not isinstance(value.content, bool):
            self.problem(value.line, value.shown, f"{what} as true or false", "Write true or false.")
            return False
        return value.content

    def choice(self, value: Value | None, what: str, choices: list[str]) -> str | None:
        """One of a few words."""
        if value is None:
            return None
        if value.content not in choices:
            self.problem(value.line, value.shown, f"{what} as one of {', '.join(choices)}", "Choose one of these.")
            return None
        return str(value.content)


def _listed(keys: frozenset[str]) -> str:
    return ", ".join(sorted(keys))
