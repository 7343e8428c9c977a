"""The documents of one file that say ``action``: what is common to its rules is written once.

``global`` is no rule: its content goes into each rule that follows, and stands above the rule's own. ``reset`` forgets it.
``repeat`` is the rule before it once more, with its own content on top. Mappings are merged key by key, all else is
replaced. Correlations and filters stand apart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from detectors.sigma.document import NODES_MAX, Document, size_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectors.sigma.rule import RuleProblem

VALUES_MAX: Final = 1_000_000
"""Values in all rules of a file once their common content is written out."""


TEXTS_MAX: Final = 8
"""Documents that one rule is put together from, as far as its faults are given lines."""


def written_out(documents: Sequence[Document]) -> tuple[list[Document], list[RuleProblem]]:
    """The documents of one file once each action has done its work."""
    found: list[Document] = []
    problems: list[RuleProblem] = []
    common: Document | None = None
    last: Document | None = None
    spent = 0
    for document in documents:
        action = document.content.get("action")
        rule: Document | None = None
        if action == "global":
            common = last = _plain(document)
        elif action == "reset":
            common = None
        elif action == "repeat":
            if last is None:
                problems.append(document.problem("found action: repeat; there is no rule before it", ("action",)))
            else:
                rule = _over(_plain(document), last)
        elif action is not None:
            problems.append(document.problem(f"found action: {action!r}; use global, reset or repeat", ("action",)))
        elif "correlation" in document.content or "filter" in document.content:
            found.append(document)
        else:
            rule = document if common is None else _under(document, common)
        if rule is None:
            continue
        if len(rule.texts) > 1:
            size = size_of(rule.content)
            spent += size
            if size > NODES_MAX or spent > VALUES_MAX:
                most = f"{NODES_MAX} in one rule, {VALUES_MAX} in all of a file"
                message = f"found too many values once what is common is written out; at most {most}: split the file"
                problems.append(rule.problem(message))
                break
        found.append(rule)
        last = rule
    return found, problems


def _plain(document: Document) -> Document:
    return replace(document, content={key: value for key, value in document.content.items() if key != "action"})


def _over(document: Document, base: Document) -> Document:
    """A document with what it does not say itself taken from another."""
    texts = (document.texts + base.texts)[:TEXTS_MAX]
    return replace(document, content=_merged(base.content, document.content), texts=texts)


def _under(document: Document, common: Document) -> Document:
    """A document with the content of another on top of its own."""
    return replace(document, content=_merged(document.content, common.content), texts=common.texts + document.texts)


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    joined = dict(under)
    for key, value in over.items():
        below = joined.get(key)
        joined[key] = _merged(below if isinstance(below, dict) else {}, value) if isinstance(value, dict) else value
    return joined
