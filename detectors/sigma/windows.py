"""A correlation rule, as pySigma parsed it, becomes a window: what is counted, per whom, how long, and when it speaks."""

from __future__ import annotations

import hashlib
import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from sigma.correlations import SigmaExtendedCorrelationCondition

from detectors.event import MICROSECONDS
from detectors.sigma.fields import field_names, is_field
from detectors.sigma.rule import Bound, Group, Rule, RuleRefusedError, Window, WindowKind
from detectors.sigma.words import parse_words, sequences_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sigma.correlations import SigmaCorrelationRule

    from detectors.sigma.rule import Words

SPAN_S_MAX: Final = 31_622_400
"""Length of a window: a leap year. Longer ones would remember more than they tell."""

GROUPS_MAX: Final = 16
"""Names in one group-by, and fields in one condition."""

TEMPORAL_RULES_MAX: Final = 32
"""Rules of a temporal correlation."""

LEVELS_MAX: Final = 8
"""Correlations of correlations of correlations: how many stand on each other."""

UNKNOWN_RULE: Final = "no rule that loaded"

OPERATORS: Final = ("gt", "gte", "lt", "lte", "eq", "neq")


class Named:
    """Rules by what correlations may call them: their id or their name."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._ids: dict[str, Rule] = {}
        self._names: dict[str, list[Rule]] = {}
        self._refused: dict[str, str] = {}
        for rule in rules:
            self.add(rule)

    def add(self, rule: Rule) -> None:
        self._ids[rule.id] = rule
        if rule.name is not None:
            self._names.setdefault(rule.name, []).append(rule)

    def refuse(self, called: Iterable[str], label: str) -> None:
        """There is no rule of these names and ids, because the one that has them was refused under this label."""
        self._refused |= dict.fromkeys(called, label)

    def called(self, name: str) -> Rule:
        """The one rule of this name or id; raises `RuleRefusedError` when there is none, or more."""
        fitting = {rule.id: rule for rule in self._names.get(name, ())}
        if (by_id := self._ids.get(name.lower())) is not None:
            fitting[by_id.id] = by_id
        label = self._refused.get(name) or self._refused.get(name.lower())
        if label is not None and not fitting:
            raise RuleRefusedError(f"it counts hits of {name!r}, which was refused", ("correlation", "rules"), label)
        if len(fitting) != 1:
            what = UNKNOWN_RULE if not fitting else f"{len(fitting)} rules"
            raise _refused(f"it counts hits of {name!r}: found {what} of that name or id; name one rule", "rules")
        return next(iter(fitting.values()))


def compile_window(parsed: SigmaCorrelationRule, correlation: Mapping[str, Any], version: str, rules: Named) -> Window:
    """The window of one rule; `correlation` is what its document says, `rules` those that it may name."""
    kind, condition = WindowKind(parsed.type.name.lower()), parsed.condition
    if parsed.timespan.seconds > SPAN_S_MAX:
        raise _refused(f"found a timespan of {parsed.timespan.seconds} s; at most {SPAN_S_MAX} s", "timespan")
    names = named_rules(correlation)
    bases, steps = _bases(names, rules)
    if kind.is_temporal and max(len(bases), len(steps)) > TEMPORAL_RULES_MAX:
        raise _refused(f"found {len(steps)} rules in a {kind} correlation; at most {TEMPORAL_RULES_MAX}", "rules")
    is_ordered = kind is WindowKind.TEMPORAL_ORDERED
    if is_ordered and any(one == other for one, other in pairwise(steps)):
        raise _refused(
            "found a rule twice in a row; one event would do for both. To count hits, use event_count", "rules"
        )
    words: Words | None = None
    if isinstance(condition, SigmaExtendedCorrelationCondition):
        places = dict(zip(names, steps, strict=True))
        words = parse_words(condition.parsed, places)
    return Window(
        kind=kind,
        bases=tuple(base.id for base in bases),
        span_us=parsed.timespan.seconds * MICROSECONDS,
        groups=_groups(parsed, bases),
        bounds=() if words else _bounds(kind, correlation, len(steps) if is_ordered else len(bases)),
        words=None if is_ordered else words,
        sequences=sequences_of(words, steps) if words and is_ordered else (),
        steps=tuple(steps) if is_ordered else (),
        values=() if kind.is_temporal or kind is WindowKind.EVENT_COUNT else _values(parsed, kind, correlation, bases),
        percentile=_percentile(kind, correlation),
        level=_level(bases),
        generate=parsed.generate,
        stamp=_stamp(version, bases),
    )


def named_rules(correlation: Mapping[str, Any]) -> list[str]:
    """The rules a correlation refers to, by name or id, as its document says; without a list, those of its condition."""
    rules = correlation.get("rules")
    if rules or not isinstance(correlation.get("condition"), str):
        return [str(name) for name in (rules if isinstance(rules, list) else [rules] if rules else [])]
    return [str(name) for name in SigmaExtendedCorrelationCondition(correlation["condition"]).get_referenced_rules()]


def _bases(names: Sequence[str], rules: Named) -> tuple[list[Rule], list[int]]:
    """The rules of these names, each once, and for each name the place of its rule among them."""
    found: list[Rule] = []
    places: dict[str, int] = {}
    steps: list[int] = []
    for name in names:
        rule = rules.called(name)
        if rule.id not in places:
            places[rule.id] = len(found)
            found.append(rule)
        steps.append(places[rule.id])
    if not found:
        raise _refused("found no rules to count hits of; name them under correlation.rules", "rules")
    return found, steps


def _level(bases: Sequence[Rule]) -> int:
    level = max((base.window.level + 1 for base in bases if base.window), default=0)
    if level >= LEVELS_MAX:
        raise _refused(f"found {level + 1} correlations that stand on each other; at most {LEVELS_MAX}", "rules")
    return level


def _stamp(version: str, bases: Sequence[Rule]) -> str:
    """Changes with the rule, and with each rule below it."""
    parts = (version, *(base.window.stamp if base.window else base.version for base in bases))
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


def _groups(parsed: SigmaCorrelationRule, bases: Sequence[Rule]) -> tuple[Group, ...]:
    names = list(dict.fromkeys(parsed.group_by or ()))
    if len(names) > GROUPS_MAX:
        raise _refused(f"found {len(names)} names in group-by; at most {GROUPS_MAX}", "group-by")
    return tuple(
        Group(name, tuple(_field(parsed, _readable(name, "group-by"), base, "group-by") for base in bases))
        for name in names
    )


def _field(parsed: SigmaCorrelationRule, name: str, base: Rule, key: str) -> str:
    """The field that a name under a key stands for in a base rule's events."""
    alias = parsed.aliases.aliases.get(name)
    if alias is None:
        return _readable(_translated(name, base), key)
    for reference, field in alias.mapping.items():
        if str(reference.reference).lower() == base.id or reference.reference == base.name:
            return _readable(_translated(str(field), base), "aliases")
    raise _refused(
        f"the alias {name!r} does not say which field it is in rule {base.name or base.id!r}; add it", "aliases"
    )


def _readable(field: str, key: str) -> str:
    """A field as it is, unless no event can carry it: names with `_` before them are columns of our own."""
    if not is_field(field) or field.startswith("_"):
        raise _refused(f"found {field!r} as the name of a field; write one that events carry", key)
    return field


def _translated(field: str, base: Rule) -> str:
    """A name of W3C logs, where the base rule is about such logs, as it is called in events."""
    for category in base.logsource.split():
        names = field_names(category)
        if field.lower() in names:
            return names[field.lower()]
    return field


def _bounds(kind: WindowKind, correlation: Mapping[str, Any], rules: int) -> tuple[Bound, ...]:
    """The comparisons that must hold; a temporal correlation without any asks for all its rules."""
    condition = correlation.get("condition")
    given = condition if isinstance(condition, dict) else {}
    bounds = tuple(Bound(name, _number(given[name], name)) for name in OPERATORS if name in given)
    if not bounds and kind.is_temporal:
        return (Bound("gte", float(rules)),)
    if not bounds:
        raise _refused("found no number to compare with under condition; write one, such as `gte: 10`", "condition")
    return bounds


def _number(value: Any, name: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _refused(f"found condition.{name}: {value!r}; write a number", "condition")
    return number


def _values(
    parsed: SigmaCorrelationRule, kind: WindowKind, correlation: Mapping[str, Any], bases: Sequence[Rule]
) -> tuple[tuple[str, ...], ...]:
    """For each base rule, the fields whose values are counted or reckoned with."""
    field = correlation["condition"].get("field")
    names = field if isinstance(field, list) else [field]
    if not names or len(names) > GROUPS_MAX or not all(isinstance(name, str) and name for name in names):
        raise _refused(f"found condition.field: {field!r}; name the field whose values are meant", "condition")
    if kind.is_numeric and len(names) > 1:
        raise _refused(
            f"found {len(names)} fields in a {kind} correlation; name the one that holds the number", "condition"
        )
    return tuple(tuple(_field(parsed, name, base, "condition") for name in names) for base in bases)


def _percentile(kind: WindowKind, correlation: Mapping[str, Any]) -> float | None:
    """Which percentile is meant; the median is the fiftieth."""
    if kind is WindowKind.VALUE_MEDIAN:
        return 50.0
    if kind is not WindowKind.VALUE_PERCENTILE:
        return None
    given = correlation["condition"].get("percentile")
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given <= 100:
        raise _refused(
            f"found condition.percentile: {given!r}; say which one is meant, as a number from 0 to 100, such as 95",
            "condition",
        )
    return float(given)


def _refused(message: str, key: str) -> RuleRefusedError:
    return RuleRefusedError(message, ("correlation", key))
