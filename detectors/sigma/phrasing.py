"""How the values of a detection are written, and what says the same in plainer words."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from detectors.sigma.condition import fold_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from detectors.sigma.rule import Place

Phrase = tuple["Place", str, str]
"""Where something stands in a document, the code of the remark, and its message."""

REGEX_WORDS: Final = frozenset({"re", "i"})
FOLDING: Final = frozenset({"contains", "startswith", "endswith", "all", "windash"})
"""Modifiers beside which case makes no difference."""

_CHARACTER: Final = r"(?:[^\\^$.|?*+()\[\]{}]|\\[^\w\s])"
_PLAIN: Final = re.compile(
    rf"(?P<fold>\(\?i\))?(?P<start>\^|\\A|\.\*)?(?:(?P<one>{_CHARACTER}+)|\((?:\?:)?(?P<many>{_CHARACTER}+(?:\|{_CHARACTER}+)+)\))(?P<end>\$|\\z|\.\*)?"
)
_NAME: Final = re.compile(r"[\w*?-]+")
_KEPT: Final = ("condition", "timeframe")


def phrasing(detection: Mapping[str, Any]) -> Iterator[Phrase]:
    """What there is to say about the detections of a rule and its condition."""
    named = {name: value for name, value in detection.items() if name not in _KEPT}
    for name, value in named.items():
        yield from _part(value, ("detection", name))
    conditions = detection.get("condition")
    told = conditions if isinstance(conditions, list) else [conditions]
    words = [_NAME.findall(str(condition)) for condition in told]
    yield from _unused(named, {word for some in words for word in some})
    for number, some in enumerate(words):
        place: Place = ("detection", "condition", *((number,) if isinstance(conditions, list) else ()))
        for quantity, _, pattern in zip(some, some[1:], some[2:], strict=False):
            yield from _single(quantity, _, pattern, named, place)


def _unused(named: Iterable[str], words: set[str]) -> Iterator[Phrase]:
    for name in named:
        if not any(_is_meant(name, word) for word in words):
            yield ("detection", name), "unused-detection", f"the condition never uses {name!r}"


def _is_meant(name: str, word: str) -> bool:
    pattern = "*" if word == "them" else word
    return name == word or ("*" in pattern and fnmatchcase(name, pattern) and (pattern[0] == "_" or name[0] != "_"))


def _single(quantity: str, of: str, pattern: str, named: Iterable[str], place: Place) -> Iterator[Phrase]:
    if of != "of" or quantity not in ("1", "any", "all") or not ("*" in pattern or pattern == "them"):
        return
    fitting = [name for name in named if _is_meant(name, pattern)]
    if len(fitting) == 1:
        message = f"'{quantity} of {pattern}' means {fitting[0]!r} alone; name it, or write the others"
        yield place, "single-of", message


def _part(value: Any, path: Place) -> Iterator[Phrase]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _item(str(key), inner, (*path, str(key)))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _part(inner, (*path, number)) if isinstance(inner, dict) else ()
        yield from _values("", [], [one for one in value if not isinstance(one, dict)], path)
    else:
        yield from _values("", [], [value], path)


def _item(key: str, value: Any, path: Place) -> Iterator[Phrase]:
    field, *modifiers = key.split("|")
    if value in ([], {}):
        yield (
            path,
            "empty-value",
            f"{key}: an empty list means null, that the field is missing; write null if that is meant",
        )
    yield from _values(field, modifiers, value if isinstance(value, list) else [value], path)


def _values(field: str, modifiers: list[str], values: list[Any], path: Place) -> Iterator[Phrase]:
    seen: set[str] = set()
    for number, value in enumerate(values):
        if not isinstance(value, str):
            continue
        place = (*path, number) if len(values) > 1 else path
        form = fold_text(value) if FOLDING.issuperset(modifiers) else value
        if form in seen:
            yield place, "repeated-value", f"{_key(field, modifiers)}: {value!r} stands there twice"
        seen.add(form)
        if not value:
            yield place, "empty-value", _empty(field, modifiers)
        elif not value.strip("*") and "re" not in modifiers:
            instead = f"write {field}|exists: true" if field else "it is true of every event"
            yield (
                place,
                "wildcard-only",
                f"{_key(field, modifiers)}: {value!r} asks only whether anything is there; {instead}",
            )
        elif "re" in modifiers and REGEX_WORDS.issuperset(modifiers):
            yield from _regex(field, modifiers, value, place)


def _empty(field: str, modifiers: list[str]) -> str:
    if field and not modifiers:
        return f"{field}: '' is true only of a text that is there and empty; for a missing field write null"
    return f"{_key(field, modifiers)}: '' is true of whatever is there; write what is looked for"


def _key(field: str, modifiers: list[str]) -> str:
    return "|".join([field, *modifiers]) if field or modifiers else "keywords"


def _regex(field: str, modifiers: list[str], value: str, place: Place) -> Iterator[Phrase]:
    """A pattern of plain characters, at most held to the beginning or the end."""
    match = _PLAIN.fullmatch(value)
    if match is None or (not field and match["start"] not in (None, ".*")):
        return
    start, end = match["start"] in ("^", r"\A"), match["end"] in ("$", r"\z")
    plain = {(True, True): "", (True, False): "startswith", (False, True): "endswith", (False, False): "contains"}
    words = [plain[start, end] if field else "", "" if match["fold"] or "i" in modifiers else "cased"]
    texts = [_unescaped(text) for text in (match["many"] or match["one"]).split("|")]
    told = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    key = "|".join([field, *(word for word in words if word)])
    yield place, "plain-regex", f"{_key(field, modifiers)}: {value!r} says the same as {key or 'the keyword'}: {told}"


def _unescaped(pattern: str) -> str:
    return re.sub(r"\\(.)", r"\1", pattern)
