"""What is wrong with a configuration, told so that it can be put right without reading anything else."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from monitor.config.keys import AllKeys
from monitor.config.lines import KeyPath
from monitor.config.values import Keys, RefusedValueError, file_if_any

SECRET: Final = "<secret>"  # noqa: S105 - what is printed instead of one
_SHOWN_CHARACTERS_MAX: Final = 60

_TYPES: Final = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text in quotes",
    "path": "a path in quotes",
    "tuple": "a list",
    "model": "a table",
    "missing": "this key, which has no default",
}
_BOUNDS: Final = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong: where, what was found, what was expected, what to do."""

    place: str
    found: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        end = "" if self.remedy.endswith("?") else "."
        remedy = f"{self.remedy[:1].upper()}{self.remedy[1:]}{end}"
        return f"{self.place}: found {self.found}; expected {self.expected}. {remedy}"


class ConfigError(Exception):
    """The configuration cannot be used; `problems` is everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def dotted(path: KeyPath) -> str:
    """``("sources", 0, "uri")`` as people write it: ``sources[0].uri``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def shown(value: object) -> str:
    """A value as it would stand in the file, cut where it is long."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "[]"
    if value is None:
        return "nothing"
    text = json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[: _SHOWN_CHARACTERS_MAX - 1] + "…"


def table_at(path: KeyPath) -> type[Keys] | None:
    """The table that stands at a place; None for a plain key or an unknown one."""
    table: type[Keys] | None = AllKeys
    for part in path:
        if table is None or isinstance(part, int):
            continue
        field = table.model_fields.get(part)
        table = next(_tables(field.annotation), None) if field is not None else None
    return table


def field_at(path: KeyPath) -> FieldInfo | None:
    """The declaration of a key (of a list, for its items); None when there is no such key."""
    names = tuple(part for part in path if isinstance(part, str))
    table = table_at(names[:-1])
    return table.model_fields.get(names[-1]) if table is not None and names else None


def holds_secret(field: FieldInfo | None) -> bool:
    return field is not None and SecretStr in (field.annotation, *get_args(field.annotation))


def names_file(field: FieldInfo) -> bool:
    """Whether a key's value is the path of a file that is there."""
    return any(getattr(rule, "func", None) is file_if_any for rule in field.metadata)


def all_keys(table: type[Keys] = AllKeys, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every plain key, tables of lists included, in the order of the file."""
    for name, field in table.model_fields.items():
        inner = next(_tables(field.annotation), None)
        if inner is None:
            yield (*prefix, name)
        else:
            yield from all_keys(inner, (*prefix, name))


def unknown_key(place: str, path: KeyPath) -> Problem:
    """A key that does not exist, with the nearest one that does: in its table, else anywhere."""
    name = str(path[-1])
    table = table_at(path[:-1])
    here = list(table.model_fields) if table is not None else []
    near = difflib.get_close_matches(name, here, 1) or _elsewhere(name)
    remedy = f"did you mean {near[0]}?" if near else "remove it"
    if not near and len(here) > 0:
        remedy += "; known here: " + ", ".join(here)
    return Problem(place, f"unknown key {name}", "a key that Miniwatch has", remedy)


ELSEWHERE_LIKENESS_MIN: Final = 0.8
"""From here on a key is taken for one that belongs elsewhere."""


def _elsewhere(name: str) -> list[str]:
    by_name = {key[-1]: ".".join(key) for key in all_keys()} | {key: key for key in AllKeys.model_fields}
    return [by_name[near] for near in difflib.get_close_matches(name, by_name, 1, ELSEWHERE_LIKENESS_MIN)]


def from_pydantic(error: ErrorDetails, place: str) -> Problem:
    """One of pydantic's errors in our words."""
    path: KeyPath = error["loc"]
    if error["type"] == "extra_forbidden":
        return unknown_key(place, path)
    field = field_at(path)
    found = SECRET if holds_secret(field) else shown(error["input"])
    if error["type"] == "missing":
        return Problem(place, "nothing", _TYPES["missing"], f"add {path[-1]} = …")
    cause = (error.get("ctx") or {}).get("error")
    if isinstance(cause, RefusedValueError):
        return Problem(place, SECRET if cause.is_secret else found, cause.expected, cause.remedy)
    default = None if field is None or field.is_required() else field.default
    plain = default is not None and not isinstance(default, Keys)
    remedy = f"correct it, or remove the key to use the default, {shown(default)}" if plain else "correct it"
    return Problem(place, found, _expected(error, field), remedy)


def _expected(error: ErrorDetails, field: FieldInfo | None) -> str:
    kind = error["type"]
    context: dict[str, Any] = error.get("ctx") or {}
    if kind == "literal_error":
        return f"one of {context['expected']}"
    if kind == "string_pattern_mismatch":
        return f"text of the pattern {context['pattern']}"
    if kind.startswith(("greater_than", "less_than")) and field is not None:
        bounds = [(name, getattr(rule, name)) for rule in field.metadata for name in _BOUNDS if hasattr(rule, name)]
        return " and ".join(f"{_BOUNDS[name]} {bound}" for name, bound in bounds)
    return _TYPES.get(kind.split("_")[0], error["msg"])


def _tables(annotation: object) -> Iterator[type[Keys]]:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Keys):
            yield candidate
