"""Conditions in words of temporal correlations: ``a and not b``, and what they ask where order matters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sigma.correlations import (
    CorrelationConditionAND,
    CorrelationConditionItem,
    CorrelationConditionNOT,
    CorrelationConditionOR,
    SigmaRuleReference,
)

from detectors.sigma.rule import RuleRefusedError, Sequence, Words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Sequence as Steps

WORDS_CHARACTERS_MAX: Final = 2_000
"""Length of a condition in words."""

SEQUENCES_MAX: Final = 64
"""Ways to meet one ordered condition."""

_WORDS: Final = {CorrelationConditionAND: "and", CorrelationConditionOR: "or", CorrelationConditionNOT: "not"}

_Case = tuple[frozenset[int], frozenset[int]]  # places that must be there, and places that must not


def parse_words(node: CorrelationConditionItem | SigmaRuleReference, places: Mapping[str, int]) -> Words:
    """A tree of pySigma, with the places of base rules instead of their names."""
    if isinstance(node, SigmaRuleReference):
        return Words("rule", places[node.reference])
    parts = tuple(parse_words(part, places) for part in node.args)
    return Words(_WORDS[type(node)], parts=parts)


def sequences_of(words: Words, steps: Steps[int]) -> tuple[Sequence, ...]:
    """The ways to meet a condition with the rules that it asks for in the order of `steps`."""
    cases = _cases(words, wanted=True)
    possible = dict.fromkeys(case for case in cases if not case[0] & case[1])
    if any(not there for there, _ in possible):
        raise RuleRefusedError(
            "found an ordered condition that can hold without any of its rules; name one that must occur",
            ("correlation", "condition"),
        )
    if not possible:
        raise RuleRefusedError(
            "found a condition that can never hold; take out what contradicts itself", ("correlation", "condition")
        )
    return tuple(
        Sequence(tuple(step for step in steps if step in there), tuple(sorted(absent))) for there, absent in possible
    )


def _cases(words: Words, *, wanted: bool) -> list[_Case]:
    """Every way in which the words are true, or with `wanted` false, not true."""
    if words.word == "rule":
        place, nothing = frozenset((words.place,)), frozenset[int]()
        return [(place, nothing) if wanted else (nothing, place)]
    if words.word == "not":
        return _cases(words.parts[0], wanted=not wanted)
    parts = [_cases(part, wanted=wanted) for part in words.parts]
    if (words.word == "or") is wanted:
        return _bounded(case for part in parts for case in part)
    cases: list[_Case] = [(frozenset(), frozenset())]
    for part in parts:
        cases = _bounded((there | more, absent | less) for there, absent in cases for more, less in part)
    return cases


def _bounded(cases: Iterable[_Case]) -> list[_Case]:
    found: dict[_Case, None] = {}
    for case in cases:
        found[case] = None
        if len(found) > SEQUENCES_MAX:
            raise RuleRefusedError(
                f"found an ordered condition with more than {SEQUENCES_MAX} ways to hold; split it",
                ("correlation", "condition"),
            )
    return list(found)
