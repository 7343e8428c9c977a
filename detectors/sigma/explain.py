"""Why a rule is or is not true of one event: each part of its condition with what the event says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from detectors.sigma.condition import AnyOf, Node, Not, Op, Predicate
from detectors.sigma.fields import covers
from detectors.sigma.match import DATASET, Look, Matcher
from detectors.sigma.rule import Rule, RuleRefusedError
from detectors.sigma.seen import Seen, seen

if TYPE_CHECKING:
    from detectors.event import Batch


@dataclass(frozen=True, slots=True)
class Explanation:
    """One part of a rule: what it asks, what the event says (None: nothing), whether it is true, and its own parts.

    Of a predicate, `asked` is the predicate and `seen` has which of its operands fits.
    """

    text: str
    found: str | None
    true: bool
    parts: tuple[Explanation, ...] = ()
    missing: str = "the event has no such field"
    asked: Predicate | None = None
    seen: Seen | None = None

    def lines(self, depth: int = 0) -> list[str]:
        """The tree as indented lines, for people."""
        said = "" if self.parts else f" ({self.why})"
        first = f"{'  ' * depth}{'yes' if self.true else 'no '}  {self.text}{said}"
        return [first, *(line for part in self.parts for line in part.lines(depth + 1))]

    @property
    def why(self) -> str:
        """What a predicate found, in words."""
        seen, asked = self.seen, self.asked
        if seen is None or asked is None:
            return self.missing if self.found is None else f"found {self.found!r}"
        told = [self.missing if self.found is None else f"found {self.found!r}"]
        if seen.element is not None:
            told.append(f"of which {seen.element!r} fits")
        if len(asked.operands) > 1 and seen.matched:
            told.append(f"which fits {' and '.join(repr(one) for one in seen.matched)}")
        if asked.op is Op.SAME:
            told.append(f"{asked.operands[0]} {'is missing' if seen.other is None else f'is {seen.other!r}'}")
        if seen.folded:
            told.append("case aside")
        return ", ".join(told)

    def row(self) -> dict[str, object]:
        """The tree as plain values, for programs."""
        if self.asked is None or self.seen is None:
            parts = [part.row() for part in self.parts]
            return {"asks": self.text, "true": self.true, "found": self.found, "parts": parts}
        return {
            "asks": self.text,
            "true": self.true,
            "field": self.asked.field,
            "op": self.asked.op.value,
            "detail": self.asked.detail,
            "operands": list(self.asked.operands),
            "case_matters": self.asked.cased,
            "found": self.found,
            "element": self.seen.element,
            "matched": list(self.seen.matched),
            "other": self.seen.other,
            "case_aside": self.seen.folded,
            "why": self.why,
        }


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
        found = seen(node, frame, true=true)
        return Explanation(str(node), found.found, true, missing=_missing(node.field), asked=node, seen=found)
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
