"""A correlation rule, as pySigma parsed it, becomes a window: what is counted, per whom, how long, and when it speaks."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from sigma.correlations import SigmaCorrelationCondition, SigmaCorrelationRule, SigmaCorrelationType

from detectors.event import MICROSECONDS
from detectors.sigma.rule import Group, Rule, RuleRefusedError, Window

if TYPE_CHECKING:
    from collections.abc import Mapping

SPAN_S_MAX: Final = 31_622_400
"""Length of a window: a leap year. Longer ones would remember more than they tell."""

GROUPS_MAX: Final = 16
"""Names in one group-by."""


def compile_window(parsed: SigmaCorrelationRule, version: str, bases: Mapping[str, Rule]) -> Window:
    """The window of one rule; `bases` are the rules by id that it may count hits of."""
    kind, condition = parsed.type, parsed.condition
    if kind not in (SigmaCorrelationType.EVENT_COUNT, SigmaCorrelationType.VALUE_COUNT):
        raise RuleRefusedError(
            f"found a correlation of type {kind.name.lower()}; supported are event_count and value_count"
        )
    if not isinstance(condition, SigmaCorrelationCondition):
        raise RuleRefusedError("found a condition in words; write an operator and a number, such as `gte: 10`")
    if parsed.timespan.seconds > SPAN_S_MAX:
        raise RuleRefusedError(f"found a timespan of {parsed.timespan.seconds} s; at most {SPAN_S_MAX} s")
    found = _bases([reference.reference for reference in parsed.rules or []], bases)
    groups = _groups(parsed, found)
    stamp = hashlib.sha256("".join((version, *(base.version for base in found))).encode()).hexdigest()[:16]
    return Window(
        bases=tuple(base.id for base in found),
        span_us=parsed.timespan.seconds * MICROSECONDS,
        groups=groups,
        operator=condition.op.name.lower(),
        threshold=condition.count,
        value=_value(parsed, condition, found) if kind is SigmaCorrelationType.VALUE_COUNT else None,
        generate=parsed.generate,
        stamp=stamp,
    )


def named_rules(correlation: Mapping[str, Any]) -> list[str]:
    """The rules a correlation refers to, by name or id, as its document says."""
    rules = correlation.get("rules")
    return [str(name) for name in (rules if isinstance(rules, list) else [rules] if rules else [])]


def _bases(names: list[str], rules: Mapping[str, Rule]) -> list[Rule]:
    found: dict[str, Rule] = {}
    for name in names:
        fitting = [rule for rule in rules.values() if rule.name == name or rule.id == name.lower()]
        if len(fitting) != 1:
            what = "no rule that loaded" if not fitting else f"{len(fitting)} rules"
            raise RuleRefusedError(
                f"it counts hits of {name!r}: found {what} of that name or id; "
                "name one rule on single events (correlations of correlations are not supported)"
            )
        found[fitting[0].id] = fitting[0]
    if not found:
        raise RuleRefusedError("found no rules to count hits of; name them under correlation.rules")
    return list(found.values())


def _groups(parsed: SigmaCorrelationRule, bases: list[Rule]) -> tuple[Group, ...]:
    names = list(dict.fromkeys(parsed.group_by or ()))
    if len(names) > GROUPS_MAX:
        raise RuleRefusedError(f"found {len(names)} names in group-by; at most {GROUPS_MAX}")
    return tuple(Group(name, tuple(_field(parsed, name, base) for base in bases)) for name in names)


def _field(parsed: SigmaCorrelationRule, name: str, base: Rule) -> str:
    """The field that a group-by name stands for in a base rule's events."""
    alias = parsed.aliases.aliases.get(name)
    if alias is None:
        return name
    for reference, field in alias.mapping.items():
        if reference.reference in (base.name, base.id):
            return str(field)
    raise RuleRefusedError(
        f"the alias {name!r} does not say which field it is in rule {base.name or base.id!r}; add it"
    )


def _value(parsed: SigmaCorrelationRule, condition: SigmaCorrelationCondition, bases: list[Rule]) -> tuple[str, ...]:
    field = condition.fieldref
    if not isinstance(field, str):
        raise RuleRefusedError(f"found condition.field: {field!r}; name the one field whose values are counted")
    return tuple(_field(parsed, field, base) for base in bases)
