"""What a rule asks in the letters of its author: rules compare without case, people read what was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from detectors.sigma.condition import fold_text
from detectors.sigma.document import split_documents

if TYPE_CHECKING:
    from detectors.sigma import Explanation, Rule


def as_written(rule: Rule, explanation: Explanation) -> Explanation:
    """The explanation with every value of the rule as its file has it; what is not found there stays as it is."""
    if rule.condition is None:
        return explanation
    written = _values(rule)
    return _retold(explanation, written)


def _retold(explanation: Explanation, written: Mapping[Any, str]) -> Explanation:
    parts = tuple(_retold(part, written) for part in explanation.parts)
    asked, seen = explanation.asked, explanation.seen
    if asked is None or seen is None or asked.cased:
        return replace(explanation, parts=parts)
    asked = msgspec.structs.replace(asked, operands=tuple(written.get(value, value) for value in asked.operands))
    seen = replace(seen, matched=tuple(written.get(value, value) for value in seen.matched))
    return replace(explanation, text=str(asked), asked=asked, seen=seen)


def _values(rule: Rule) -> dict[Any, str]:
    """Each text of the rule's detection, by its form without case and without wildcards at its ends."""
    documents, _ = split_documents(rule.path, Path(rule.path).read_text(encoding="utf-8-sig"))
    detections = [
        one.content.get("detection") for one in documents if str(one.content.get("id")).lower() == rule.id.lower()
    ]
    return {fold_text(text.strip("*")): text.strip("*") for text in _texts(detections)}


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for child in value.values() if isinstance(value, dict) else value:
            yield from _texts(child)
