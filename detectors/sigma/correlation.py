"""Reads a correlation: its document, as far as pySigma does not, and the window that it asks for."""

from __future__ import annotations

import difflib
from copy import copy
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sigma.correlations import SigmaCorrelationCondition, SigmaCorrelationRule, SigmaRuleReference
from sigma.rule import SigmaRule

from detectors.sigma.header import header_faults, needs_of, parsed_faults, readable, said, version_of
from detectors.sigma.remedies import with_remedy
from detectors.sigma.rule import Fault, Rule, RuleRefusedError
from detectors.sigma.windows import OPERATORS, Named, compile_window, named_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sigma.rule import SigmaLogSource

    from detectors.sigma.document import Document
    from detectors.sigma.pipeline import Pipelines


class Piping(NamedTuple):
    """The pipelines that a correlation goes through, and the logsources of the rules that it may count, by id."""

    pipelines: Pipelines
    origins: Mapping[str, Sequence[SigmaLogSource]]


CORRELATION_KEYS: Final = ("aliases", "condition", "generate", "group-by", "rules", "timespan", "type")
"""Names under ``correlation``."""


def correlation_rule(document: Document, named: Named, piping: Piping | None = None) -> Rule:
    """The rule of a document with a correlation; `named` are the rules that it may name."""
    content = document.content
    correlation = content["correlation"]
    if not isinstance(correlation, dict):
        message = "found no mapping under correlation; write names and values, such as `type: event_count`"
        raise RuleRefusedError(message, ("correlation",))
    faults = [*header_faults(content), *_key_faults(correlation)]
    try:
        parsed = SigmaCorrelationRule.from_dict(_with_one_operator(readable(content), correlation), collect_errors=True)
    except Exception as error:
        raise RuleRefusedError.of(
            [*faults, Fault(with_remedy(str(error)) or type(error).__name__, ("correlation",))]
        ) from error
    faults += parsed_faults(parsed.errors)
    if faults:
        raise RuleRefusedError.of(faults)
    header = said(document, parsed)
    if piping is not None:
        correlation, header["version"] = _piped(parsed, correlation, named, piping, header["version"])
    window = compile_window(parsed, correlation, header["version"], named)
    asked = [*(group.fields for group in window.groups), *window.values]
    fields = tuple(dict.fromkeys(name for names in asked for name in names))
    bases = [named.called(base) for base in window.bases]
    return Rule(
        **header,
        logsource="correlation",
        datasets=tuple(dict.fromkeys(name for base in bases for name in base.datasets)),
        fields=fields,
        needs=needs_of(fields, header["entity_field"]).union(*(base.needs for base in bases)),
        window=window,
    )


def _piped(
    parsed: SigmaCorrelationRule, correlation: Mapping[str, Any], named: Named, piping: Piping, version: str
) -> tuple[Mapping[str, Any], str]:
    """A correlation with its fields named as pipelines say, and its version, changed if they changed it."""
    counted = [named.called(name).id for name in named_rules(correlation)]
    parsed.referenced_rules = [_reference(source) for base in counted for source in piping.origins.get(base, ())]
    before = _fields(parsed)
    piping.pipelines.apply(parsed)
    after = _fields(parsed)
    if before == after:
        return correlation, version
    condition = correlation["condition"]
    if isinstance(condition, dict) and "field" in condition:
        correlation = {**correlation, "condition": {**condition, "field": after["field"]}}
    return correlation, version_of({"written": version, "pipelines": after})


def _reference(source: SigmaLogSource) -> SigmaRuleReference:
    """A reference to a rule of which no more is known than its logsource, for conditions on that."""
    reference = SigmaRuleReference("")
    reference.rule = SigmaRule(logsource=source)
    return reference


def _fields(parsed: SigmaCorrelationRule) -> dict[str, Any]:
    """Every field that a correlation names."""
    aliases = {alias.alias: [list(alias.mapping.values())] for alias in parsed.aliases}
    field = copy(parsed.condition.fieldref) if isinstance(parsed.condition, SigmaCorrelationCondition) else None
    return {"group-by": list(parsed.group_by or ()), "aliases": aliases, "field": field}


def _key_faults(correlation: Mapping[str, Any]) -> Iterator[Fault]:
    """Names that nobody would read."""
    for key in correlation:
        if key not in CORRELATION_KEYS:
            near = difflib.get_close_matches(str(key).lower(), CORRELATION_KEYS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it takes: {', '.join(CORRELATION_KEYS)}"
            yield Fault(f"found correlation.{key}; {hint}", ("correlation", str(key)))


def _with_one_operator(content: Mapping[str, Any], correlation: Mapping[str, Any]) -> dict[str, Any]:
    """The document as pySigma takes it: the specification allows a range (``gt`` with ``lte``), pySigma one operator.

    The percentile is left out as well: pySigma would cut its fraction off.
    """
    condition = correlation.get("condition")
    if not isinstance(condition, dict):
        return dict(content)
    operators = [name for name in OPERATORS if name in condition]
    dropped = {*operators[1:], "percentile"}
    kept = {name: value for name, value in condition.items() if name not in dropped}
    return {**content, "correlation": {**correlation, "condition": kept}}
