"""Why a rule is or is not true of one event: each part of its condition with what the event says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from detectors.sigma.condition import AnyOf, Node, Not, Predicate
from detectors.sigma.entity import texts_at
from detectors.sigma.fields import covers
from detectors.sigma.match import DATASET, Look, Matcher
from detectors.sigma.rule import Rule, RuleRefusedError

if TYPE_CHECKING:
    from detectors.event import Batch

FOUND_CHARACTERS_MAX = 200
"""Of a value that an explanation shows."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One part of a rule: what it asks, what the event says (None: nothing), whether it is true, and its own parts."""

    text: str
    found: str | None
    true: bool
    parts: tuple[Explanation, ...] = ()
    missing: str = "the event has no such field"

    def lines(self, depth: int = 0) -> list[str]:
        """The tree as indented lines, for people."""
        said = "" if self.parts else f" ({self.missing})" if self.found is None else f" (found {self.found!r})"
        first = f"{'  ' * depth}{'yes' if self.true else 'no '}  {self.text}{said}"
        return [first, *(line for part in self.parts for line in part.lines(depth + 1))]


def explain(rule: Rule, batch: Batch, row: int) -> Explanation:
    """How a rule on single events judges one row of a batch."""
    if rule.condition is None:
        raise RuleRefusedError(
            f"{rule.title}: a rule that counts cannot be explained by one event; explain its base rules"
        )
    frame = batch.frame[row : row + 1]
    matcher = Matcher([rule])
    dataset = frame[DATASET][0] if DATASET in frame.columns else None
    about = dataset is not None and any(covers(pattern, dataset) for pattern in rule.datasets)
    logsource = Explanation(f"{DATASET} is {' or '.join(rule.datasets)}", dataset, about)
    # Judged as if the dataset fitted, so that a wrong dataset does not hide what else there is to see.
    frame = frame.with_columns(pl.lit(_fitting(rule)).alias(DATASET)) if not about else frame
    look = Look(matcher, frame)
    condition = _explain(look, frame, rule.condition)
    return Explanation("all of", None, about and condition.true, (logsource, condition))


def _fitting(rule: Rule) -> str:
    return rule.datasets[0].replace("*", "any")


def _explain(look: Look, frame: pl.DataFrame, node: Node) -> Explanation:
    true = look.judge(node)
    if isinstance(node, Predicate):
        found = texts_at(frame, node.field, pl.Series([0], dtype=pl.UInt32))[0]
        shown = found[:FOUND_CHARACTERS_MAX] if found is not None else None
        return Explanation(str(node), shown, true, missing=_missing(node.field))
    if isinstance(node, Not):
        return Explanation("not", None, true, (_explain(look, frame, node.child),))
    parts = tuple(_explain(look, frame, child) for child in node.children)
    return Explanation("any of" if isinstance(node, AnyOf) else "all of", None, true, parts)


def _missing(field: str) -> str:
    """What it means that there is no value: some columns are not the event's own."""
    if field.startswith("app."):
        return "the registry says nothing of it"
    if field.startswith("catalogue."):
        return "the catalogue says nothing of this API"
    return "the event has no such field"
