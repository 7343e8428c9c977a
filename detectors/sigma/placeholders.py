r"""Placeholders: ``%name%`` in a value with the modifier ``expand`` stands for values that the configuration gives.

A placeholder is any of its values, also where ``all`` asks for each entry of a list. Values are written like those of
rules, with wildcards; inside a regular expression they are the same texts, escaped. ``\%`` is a percent sign.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import polars as pl
from sigma.types import Placeholder, SigmaExpansion, SigmaString, SpecialChars

from detectors.sigma.budget import VALUES_MAX, check_weight
from detectors.sigma.dialect import weight_of
from detectors.sigma.rule import RuleRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sigma.types import SigmaType

Part: TypeAlias = str | SpecialChars | Placeholder
"""What a text is made of: letters, wildcards, and placeholders that are left."""

PLAIN_MODIFIERS: Final = frozenset({"all", "cased", "contains", "endswith", "neq", "startswith"})
"""Modifiers that work on a value whose placeholders a pipeline will resolve; others would encode the bare name."""


@dataclass(frozen=True, slots=True)
class Placeholders:
    """The values of each name. `pending`: what is not among them is left to a pipeline."""

    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pending: bool = False

    def texts(self, written: str, modifiers: Sequence[str]) -> SigmaType:
        """What a value with placeholders stands for, as a text or as any of several."""
        pieces = _pieces(written, keep_escape=False)
        names = [piece.name for piece in pieces if isinstance(piece, Placeholder) and piece.name not in self.values]
        if names and not (self.pending and PLAIN_MODIFIERS.issuperset(modifiers)):
            raise RuleRefusedError(_unknown(names[0]))
        parts = [self._parts(piece) for piece in pieces]
        _bound(parts)
        return _any_of([_joined([part for one in chosen for part in one]) for chosen in product(*parts)])

    def _parts(self, piece: str | Placeholder) -> list[list[Part]]:
        if isinstance(piece, str):
            return [SigmaString(piece).s]
        return [SigmaString(value).s for value in self._given(piece.name)] if piece.name in self.values else [[piece]]

    def patterns(self, written: str) -> SigmaType:
        """What a regular expression with placeholders stands for, still as texts."""
        parts: list[list[str]] = []
        for piece in _pieces(written, keep_escape=True):
            if isinstance(piece, str):
                parts.append([piece])
            elif piece.name in self.values:
                parts.append([_escaped(value) for value in self._given(piece.name)])
            else:
                raise RuleRefusedError(_unknown(piece.name))
        _bound(parts)
        patterns = ["".join(chosen) for chosen in product(*parts)]
        check_weight(sum(map(weight_of, patterns)))
        return _any_of([SigmaString.from_str(pattern) for pattern in patterns])

    def used(self, content: Any) -> dict[str, Sequence[str]]:
        """The placeholders that a detection names, with their values."""
        names = {
            piece.name
            for text in _expanding(content)
            for piece in _pieces(text, keep_escape=False)
            if isinstance(piece, Placeholder)
        }
        return {name: self.values[name] for name in sorted(names) if name in self.values}

    def _given(self, name: str) -> Sequence[str]:
        if not self.values[name]:
            raise RuleRefusedError(f"the placeholder %{name}% has no values under [rules.placeholders]; give it some")
        return self.values[name]


def _pieces(written: str, *, keep_escape: bool) -> list[str | Placeholder]:
    """A value cut at its placeholders; an escaped percent sign loses its backslash unless it is to be kept."""
    pieces: list[str | Placeholder] = []
    text: list[str] = []
    place = 0
    while place < len(written):
        pair = written[place : place + 2]
        if pair[0] == "\\":
            text.append("%" if pair == "\\%" and not keep_escape else pair)
            place += 2
            continue
        end = written.find("%", place + 1) if pair[0] == "%" else -1
        name = written[place + 1 : end] if end > 0 else ""
        if name and "\\" not in name:
            pieces += ["".join(text), Placeholder(name)] if text else [Placeholder(name)]
            text.clear()
            place = end + 1
        else:
            text.append(pair[0])
            place += 1
    return [*pieces, "".join(text)] if text or not pieces else pieces


def _expanding(content: Any, key: str = "") -> Iterator[str]:
    """Every text that stands under a key with the modifier."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield from _expanding(value, str(name))
    elif isinstance(content, list):
        for value in content:
            yield from _expanding(value, key)
    elif isinstance(content, str) and "expand" in key.split("|")[1:]:
        yield content


def _escaped(value: str) -> str:
    return "".join(
        pl.escape_regex(part) if isinstance(part, str) else ".*" if part is SpecialChars.WILDCARD_MULTI else "."
        for part in SigmaString(value).s
    )


def _joined(parts: list[Part]) -> SigmaString:
    text = SigmaString()
    text.s = parts
    text = text._merge_strs()  # noqa: SLF001 - what pySigma itself does after replacing placeholders
    text.original = str(text)
    return text


def _bound(parts: Sequence[Sequence[object]]) -> None:
    count = prod(len(part) for part in parts)
    if count > VALUES_MAX:
        raise RuleRefusedError(f"its placeholders stand for {count} values; at most {VALUES_MAX}")


def _any_of(values: list[SigmaString]) -> SigmaType:
    return values[0] if len(values) == 1 else SigmaExpansion(list(values))


def _unknown(name: str) -> str:
    return (
        f"found the placeholder %{name}%, which has no values; "
        rf"give them under [rules.placeholders], or write \% for a percent sign"
    )
