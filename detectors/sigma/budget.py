"""How much a rule may ask for, reckoned from its text before anything is built of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from detectors.sigma.dialect import weight_of
from detectors.sigma.rule import RuleRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES_MAX: Final = 10_000
"""Values in one rule, after modifiers have multiplied them."""

CHARACTERS_MAX: Final = 4_000_000
"""Characters of all values of one rule, after modifiers have multiplied them."""

WEIGHT_MAX: Final = 200_000
"""Weight of all regular expressions of one rule: about two seconds to build."""

_DASH: Final = re.compile(r"\B[-/]\b")
_DASHES: Final = 5
"""Forms of a dash that ``windash`` knows."""

_OFFSETS: Final = 3
"""Places in a group of three bytes that ``base64offset`` knows."""


def check_size(detection: Any) -> None:
    """Refuse a detection that would become too much; placeholders are reckoned where they are resolved."""
    values = characters = weight = 0
    for modifiers, text in _texts(detection, []):
        times = _times(modifiers, text)
        values += times
        characters += times * len(text)
        if "re" in modifiers:
            weight += weight_of(text)
    if values > VALUES_MAX:
        raise RuleRefusedError(f"found {values} values; a rule has at most {VALUES_MAX}: split it")
    if characters > CHARACTERS_MAX:
        raise RuleRefusedError(
            f"found {characters} characters of values; a rule has at most {CHARACTERS_MAX}: split it"
        )
    check_weight(weight)


def check_weight(weight: int) -> None:
    """Refuse regular expressions that together would take too long to build."""
    if weight > WEIGHT_MAX:
        raise RuleRefusedError(
            f"its regular expressions weigh {weight}, repetitions written out; a rule has at most {WEIGHT_MAX}: split it"
        )


def _texts(value: Any, modifiers: list[str]) -> Iterator[tuple[list[str], str]]:
    """Every value with the modifiers of its key; what is no text counts as an empty one."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _texts(one, str(key).split("|")[1:])
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, modifiers)
    else:
        yield modifiers, value if isinstance(value, str) else ""


def _times(modifiers: list[str], text: str) -> int:
    """How many values modifiers make of one."""
    times = _DASHES ** len(_DASH.findall(text)[:6]) if "windash" in modifiers else 1
    return times * _OFFSETS if "base64offset" in modifiers else times
