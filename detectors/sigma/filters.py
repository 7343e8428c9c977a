"""Sigma filters: documents that narrow rules in this file or another, so that what is harmless here need not be written there.

A filter names rules by id or name, or says ``any``, and is true of those whose logsource lies within its own. A rule
that it is true of matches what its own condition matches and the filter's condition too. Correlations are not filtered;
the rules that they count are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from detectors.sigma.compile import compile_detections
from detectors.sigma.faults import detection_faults, faults_of
from detectors.sigma.fields import field_names
from detectors.sigma.header import header_faults, parse_header, version_of
from detectors.sigma.items import detections_of
from detectors.sigma.rule import Fault, RuleRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sigma.rule import SigmaDetections, SigmaLogSource, SigmaRule

    from detectors.sigma.condition import Node
    from detectors.sigma.document import Document
    from detectors.sigma.placeholders import Placeholders
    from detectors.sigma.rule import Rule, RuleProblem

FILTERS_MAX: Final = 1_000
"""Filters in one set of rules."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter. `names` are the rules it narrows, None means any; `stamp` changes with all that it says."""

    document: Document
    logsource: SigmaLogSource
    names: tuple[str, ...] | None
    detections: SigmaDetections
    stamp: str
    conditions: dict[bool, Node] = field(default_factory=dict)  # by whether fields have the names of web logs
    narrowed: set[str] = field(default_factory=set)  # of `names`, those that were found; of any, some rule's id

    def fits(self, rule: SigmaRule) -> bool:
        """Whether it narrows a rule; remembers that it does."""
        own = (str(rule.id), rule.name)
        called = [str(rule.id)] if self.names is None else [name for name in self.names if _plain(name) in own]
        if not called or rule.logsource not in self.logsource:
            return False
        self.narrowed.update(called)
        return True

    def condition(self, names: Mapping[str, str]) -> Node:
        """Its condition on events whose fields are named so; compiled once for each."""
        kind = bool(names)
        if kind not in self.conditions:
            self.conditions[kind] = compile_detections(self.detections, names)
        return self.conditions[kind]


def read_filter(document: Document, placeholders: Placeholders) -> Filter:
    """Raises `RuleRefusedError` with every fault."""
    content = document.content
    faults = [*header_faults(content), *(Fault(_mixed(key), (key,)) for key in _OTHERS if key in content)]
    header, header_faults_found = parse_header(content)
    faults += header_faults_found
    body = content["filter"]
    names = field_names(header.logsource.category if header else None)
    faults += _names_faults(body)
    try:
        if isinstance(body, dict) and not isinstance(body.get("condition"), str):
            raise RuleRefusedError("found no condition; a filter has one, a text", ("filter",))  # noqa: TRY301 - told below
        detections = detections_of(body, placeholders)
        compile_detections(detections, names)
    except Exception as error:  # noqa: BLE001 - a filter is foreign text: whatever its parser trips over is told
        faults += [*detection_faults(body, "filter", names, placeholders)] or [*faults_of(error)]
    if faults or header is None:
        raise RuleRefusedError.of(faults)
    stamp = version_of({"filter": content, "placeholders": placeholders.used(body)})
    return Filter(document, header.logsource, _names(body["rules"]), detections, stamp)


def idle(filters: list[Filter], rules: Mapping[str, Rule]) -> Iterator[RuleProblem]:
    """What filters name in vain."""
    for one in filters:
        place = ("filter", "rules")
        if one.names is None:
            if not one.narrowed:
                yield one.document.problem("fits no rule that loaded: its logsource is that of none", place)
            continue
        for number, name in enumerate(one.names):
            if name not in one.narrowed:
                yield one.document.problem(f"it narrows {name!r}: {_why_not(name, rules)}", (*place, number))


_OTHERS: Final = ("correlation", "detection")


def _mixed(key: str) -> str:
    return f"found {key} in a filter; write the two as documents of their own"


def _names_faults(body: Any) -> Iterator[Fault]:
    here = ("filter", "rules")
    if not isinstance(body, dict):
        return
    names = body.get("rules")
    if "rules" not in body:
        yield Fault("found no rules; name those it narrows by id or name, or write `any`", ("filter",))
    elif not isinstance(names, str) and not (isinstance(names, list) and all(isinstance(one, str) for one in names)):
        yield Fault(f"found rules: {str(names)[:100]}; write a list of ids or names, or `any`", here)


def _names(given: str | list[str]) -> tuple[str, ...] | None:
    if isinstance(given, str):
        return None if given.lower() == "any" else (given,)
    return tuple(dict.fromkeys(given)) or None


def _plain(name: str) -> str:
    """An id as rules have it, whatever case it is written in; a name as it is."""
    lowered = name.lower()
    return lowered if len(name) == 36 and name.count("-") == 4 else name


def _why_not(name: str, rules: Mapping[str, Rule]) -> str:
    plain = _plain(name)
    found = next((rule for rule in rules.values() if plain in (rule.id, rule.name)), None)
    if found is None:
        return "found no rule that loaded of that id or name"
    if found.is_correlation:
        return "found a correlation; name the rules that it counts"
    return f"its logsource does not lie within that of the filter (found {found.logsource or 'none'})"
