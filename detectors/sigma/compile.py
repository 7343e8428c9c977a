"""A rule's detection, as pySigma parsed it, becomes one tree of predicates.

The condition is walked here from its unresolved form, because only a detection item still knows its modifiers: a
regular expression that must stand at the start of the value looks like any other once pySigma has resolved it.

Keywords, values without a field, are looked for anywhere in the redacted line (keys included): as they stand and as
JSON would write them, so that quotes, backslashes and escaped characters do not hide a value.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

import polars as pl
from sigma.conditions import (
    ConditionAND,
    ConditionIdentifier,
    ConditionNOT,
    ConditionOR,
    ConditionSelector,
    SigmaCondition,
)
from sigma.modifiers import SigmaEndswithModifier, SigmaStartswithModifier
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaDetections
from sigma.types import (
    Placeholder,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaRegularExpressionFlag,
    SigmaString,
    SigmaTimestampPart,
    SigmaType,
    SpecialChars,
)

from detectors.event import LINE
from detectors.sigma.budget import VALUES_MAX
from detectors.sigma.condition import Node, Op, Predicate, all_of, any_of, fold_text, negation, predicates
from detectors.sigma.dialect import PatternError, check_pattern
from detectors.sigma.fields import is_field, is_time
from detectors.sigma.rule import RuleRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

CONDITIONS_MAX: Final = 100
"""Conditions of one rule."""

CONDITION_CHARACTERS_MAX: Final = 20_000
"""Length of one condition."""

NAMED_MAX: Final = 200_000
"""Values that the conditions of one rule speak of: those of a detection count each time that it is named."""

DEPTH_MAX: Final = 50
"""Nesting of a condition: every step down is a step of the stack when events are matched."""

_COMPARISONS: Final = {"LT": "<", "LTE": "<=", "GT": ">", "GTE": ">=", "NEQ": "!="}
_FLAGS: Final = {
    SigmaRegularExpressionFlag.IGNORECASE: "i",
    SigmaRegularExpressionFlag.MULTILINE: "m",
    SigmaRegularExpressionFlag.DOTALL: "s",
}
# One character of the event; the dotted capital I is two once folded.
_ANY_FOLDED: Final = "(?:i\u0307|.)"


def compile_detections(detections: SigmaDetections, names: Mapping[str, str]) -> Node:
    """The tree of some detections and their conditions; `names` says what fields are called in events.

    Raises `RuleRefusedError` or pySigma's own errors when they cannot be honoured.
    """
    conditions = detections.parsed_condition
    if len(conditions) > CONDITIONS_MAX:
        raise RuleRefusedError(f"found {len(conditions)} conditions; a rule has at most {CONDITIONS_MAX}")
    walker = Walker(detections.detections, names)
    node = _joined(any_of, [walker.condition(parsed_condition(condition)) for condition in conditions])
    if node is None:
        raise RuleRefusedError("nothing is left of its condition")
    bound(node)
    return node


def bound(node: Node) -> None:
    """Refuse a tree that would take too much to run."""
    count = _values_of(node)
    if count > VALUES_MAX:
        raise RuleRefusedError(f"found {count} values; a rule has at most {VALUES_MAX}: split it")


def _values_of(node: Node) -> int:
    return sum(len(predicate.operands) for predicate in predicates(node))


def parsed_condition(condition: SigmaCondition) -> Any:
    """A condition as pySigma's own tree, its names not resolved."""
    text = condition.condition
    if not isinstance(text, str):
        raise RuleRefusedError(f"found the condition {text!r}; a condition is a text or a list of texts")
    if len(text) > CONDITION_CHARACTERS_MAX:
        raise RuleRefusedError(f"found a condition of {len(text)} characters; at most {CONDITION_CHARACTERS_MAX}")
    try:
        return condition.parse(postprocess=False)
    except RecursionError:
        raise RuleRefusedError(f"found a condition nested deeper than {DEPTH_MAX}; flatten it") from None


def selected(item: ConditionSelector, names: Iterable[str]) -> list[str]:
    """The detections that ``1 of x*`` means; names that begin with _ only when the pattern does too."""
    pattern = "*" if item.pattern == "them" else item.pattern
    found = [
        name for name in names if fnmatchcase(name, pattern) and (pattern.startswith("_") or not name.startswith("_"))
    ]
    if not found:
        raise RuleRefusedError(f"'{item.args[0]} of {item.pattern}' fits no detection of the rule")
    return found


def known(item: ConditionIdentifier, names: Iterable[str]) -> str:
    """The detection that a condition names."""
    if item.identifier not in names:
        there = ", ".join(names)
        raise RuleRefusedError(
            f"the condition names {item.identifier!r}, which is no detection of the rule; there are: {there}"
        )
    return item.identifier


class Walker:
    """Walks a condition and resolves the detections it names.

    What a pipeline has dropped is None, and counts for nothing where it stood.
    """

    def __init__(self, detections: Mapping[str, SigmaDetection], names: Mapping[str, str]) -> None:
        self.detections = detections
        self.names = names
        self._nodes: dict[str, tuple[Node | None, int]] = {}
        self._named = 0

    def condition(self, item: Any, depth: int = 0) -> Node | None:
        if depth > DEPTH_MAX:
            raise RuleRefusedError(f"found a condition nested deeper than {DEPTH_MAX}; flatten it")
        match item:
            case ConditionIdentifier():
                return self._of([known(item, self.detections)])[0]
            case ConditionSelector():
                join = all_of if item.cond_class is ConditionAND else any_of
                return _joined(join, self._of(selected(item, self.detections)))
            case ConditionNOT():
                child = self.condition(item.args[0], depth + 1)
                return None if child is None else negation(child)
            case ConditionAND():
                return _joined(all_of, [self.condition(argument, depth + 1) for argument in item.args])
            case ConditionOR():
                return _joined(any_of, [self.condition(argument, depth + 1) for argument in item.args])
        raise RuleRefusedError(f"the condition holds a {type(item).__name__}, which has no meaning here")

    def _of(self, names: list[str]) -> list[Node | None]:
        """The detections of some names, each resolved once."""
        found = []
        for name in names:
            if name not in self._nodes:
                node = self.detection(self.detections[name])
                self._nodes[name] = (node, _values_of(node) if node is not None else 0)
            node, values = self._nodes[name]
            self._named += values + 1
            if self._named > NAMED_MAX:
                raise RuleRefusedError(f"its conditions speak of over {NAMED_MAX} values; name detections less often")
            found.append(node)
        return found

    def detection(self, detection: SigmaDetection) -> Node | None:
        join = all_of if detection.item_linking is ConditionAND else any_of
        return _joined(
            join,
            [
                self.detection(item) if isinstance(item, SigmaDetection) else self.item(item)
                for item in detection.detection_items
            ],
        )

    def item(self, item: SigmaDetectionItem) -> Node:
        values = item.value or [SigmaNull()]
        if item.field is None:
            nodes = [_keyword(value) for value in values]
        else:
            field = self._field(item.field)
            nodes = [self.value(field, value, item) for value in values]
        node = (all_of if item.value_linking is ConditionAND else any_of)(nodes)
        return negation(node) if item.negated else node

    def value(self, field: str, value: SigmaType, item: SigmaDetectionItem) -> Node:
        """One value of a field. The order of cases matters: some of pySigma's types are special kinds of others."""
        match value:
            case SigmaExpansion():
                return any_of([self.value(field, one, item) for one in value.values])
            case SigmaString():
                return _text(field, value)
            case SigmaBool():
                return Predicate(field, Op.EQUAL, ("true" if value.boolean else "false",))
            case SigmaCompareExpression():
                return _number(field, value.number, _COMPARISONS[value.op.name])
            case SigmaNumber():
                return _number(field, value, "==")
            case SigmaNull():
                return negation(Predicate(field, Op.PRESENT))
            case SigmaExists():
                present = Predicate(field, Op.PRESENT)
                return present if value.exists else negation(present)
            case SigmaRegularExpression():
                return _pattern(field, value, item)
            case SigmaCIDRExpression():
                return Predicate(field, Op.NETWORK, (str(value.network),))
            case SigmaFieldReference():
                return Predicate(field, Op.SAME, (self._field(value.field),), detail=_mode(value))
        raise RuleRefusedError(f"{field}: found a value of type {type(value).__name__}, which cannot be matched")

    def _field(self, name: str) -> str:
        """What a field is called in events."""
        if not is_field(name):
            raise RuleRefusedError(f"found {name!r} as the name of a field; write one that events carry")
        return self.names.get(name.lower(), name)


def _joined(join: Callable[[list[Node]], Node], nodes: list[Node | None]) -> Node | None:
    kept = [node for node in nodes if node is not None]
    return join(kept) if kept else None


def _mode(reference: SigmaFieldReference) -> str:
    if reference.starts_with and reference.ends_with:
        return "contains"
    return "starts with" if reference.starts_with else "ends with" if reference.ends_with else "is"


def _number(field: str, value: SigmaNumber, comparison: str) -> Node:
    if isinstance(value, SigmaTimestampPart):
        if not is_time(field):
            raise RuleRefusedError(f"{field}: time modifiers need a time such as @timestamp or event.ingested")
        part = value.timestamp_part.name.lower()
        return Predicate(field, Op.TIME, (value.number,), detail=f"{part} {comparison}")
    if comparison == "!=":
        return negation(Predicate(field, Op.NUMBER, (value.number,), detail="=="))
    return Predicate(field, Op.NUMBER, (value.number,), detail=comparison)


def _pattern(field: str, value: SigmaRegularExpression, item: SigmaDetectionItem | None) -> Node:
    if value.contains_placeholder():
        raise RuleRefusedError(f"{field}: found a placeholder; give its values under [rules.placeholders]")
    pattern = str(value.regexp)
    modifiers = item.modifiers if item else []
    if SigmaStartswithModifier in modifiers:
        pattern = rf"\A(?:{pattern})"
    if SigmaEndswithModifier in modifiers:
        pattern = rf"(?:{pattern})\z"
    flags = "".join(sorted(_FLAGS[flag] for flag in value.flags))
    return _checked(field, f"(?{flags}){pattern}" if flags else pattern, cased=True)


def _checked(field: str, pattern: str, *, cased: bool) -> Predicate:
    """A pattern that is known to compile: one that does not would fail the whole batch later."""
    try:
        check_pattern(pattern)
    except PatternError as error:
        raise RuleRefusedError(f"{field}: the pattern {pattern[:100]!r} cannot be run: {error}") from error
    return Predicate(field, Op.PATTERN, (pattern,), cased=cased)


def _text(field: str, value: SigmaString, encode: Callable[[str], str] = str) -> Node:
    """A text with wildcards as the plainest predicate that says the same."""
    cased = isinstance(value, SigmaCasedString)
    parts: list[str | SpecialChars] = []
    for part in value.s:
        if isinstance(part, Placeholder):
            raise RuleRefusedError(
                f"{field}: found the placeholder %{part.name}%; give its values under [rules.placeholders]"
            )
        parts.append(encode(part if cased else fold_text(part)) if isinstance(part, str) else part)
    many = SpecialChars.WILDCARD_MULTI
    open_start, open_end = bool(parts) and parts[0] is many, bool(parts) and parts[-1] is many
    inner = parts[:]
    while inner and inner[0] is many:
        inner.pop(0)
    while inner and inner[-1] is many:
        inner.pop()
    if all(isinstance(part, str) for part in inner):
        literal = "".join(str(part) for part in inner)
        if open_start and not literal:
            return Predicate(field, Op.PRESENT)
        op = {(True, True): Op.CONTAINS, (True, False): Op.ENDS, (False, True): Op.STARTS, (False, False): Op.EQUAL}
        return Predicate(field, op[open_start, open_end], (literal,), cased=cased)
    return _checked(field, _glob(inner, open_start, open_end, cased), cased=cased)


def _glob(parts: list[str | SpecialChars], open_start: bool, open_end: bool, cased: bool) -> str:
    one = "." if cased else _ANY_FOLDED
    body = "".join(
        pl.escape_regex(part) if isinstance(part, str) else ".*" if part is SpecialChars.WILDCARD_MULTI else one
        for part in parts
    )
    return "(?s)" + ("" if open_start else r"\A") + body + ("" if open_end else r"\z")


def _keyword(value: SigmaType) -> Node:
    """A value looked for anywhere in the line, in each form that JSON may give it."""
    match value:
        case SigmaExpansion():
            return any_of([_keyword(one) for one in value.values])
        case SigmaRegularExpression():
            return _pattern(LINE, value, None)
        case SigmaNumber() | SigmaBool():
            value = SigmaString.from_str(str(value).lower())
        case SigmaString():
            pass
        case _:
            raise RuleRefusedError(
                f"found a keyword of type {type(value).__name__}; keywords are texts, numbers or |re"
            )
    anywhere = SpecialChars.WILDCARD_MULTI + value + SpecialChars.WILDCARD_MULTI
    return any_of([_text(LINE, anywhere, encode) for encode in (str, _json, _json_ascii, _json_ascii_upper)])


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _json_ascii(text: str) -> str:
    return json.dumps(text)[1:-1]


def _json_ascii_upper(text: str) -> str:
    """Escapes name one case of a letter; the other must be looked for too."""
    return "".join(
        character if character.isascii() else json.dumps(character.upper())[1:-1].lower() for character in _json(text)
    )
