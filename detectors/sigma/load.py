"""Reads rules from YAML text: each is taken whole or refused with its place and the reason; the others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from sigma.correlations import SigmaCorrelationRule
from sigma.rule import SigmaRule

from detectors.sigma.collection import written_out
from detectors.sigma.compile import compile_rule
from detectors.sigma.condition import fields_of
from detectors.sigma.dialect import POLICY
from detectors.sigma.document import Document, split_documents
from detectors.sigma.faults import detection_faults, told
from detectors.sigma.fields import datasets_of, field_names
from detectors.sigma.header import header_faults, needs_of, parsed_faults, readable, said
from detectors.sigma.rule import Fault, Rule, RuleProblem, RuleRefusedError, RuleSet
from detectors.sigma.windows import compile_window, named_rules
from detectors.sigma.wording import reworded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

RULES_MAX: Final = 20_000
"""Rules in one set."""

_ANY_DETECTION: Final = {"_": {"_": None}, "condition": "_"}
"""Stands in for a detection where the rest of a rule is judged without it."""


def parse_rules(sources: Sequence[tuple[str, str]]) -> RuleSet:
    """The rules of some files, each given as (path for messages, YAML text); a file may hold several documents."""
    documents: list[Document] = []
    problems: list[RuleProblem] = []
    for path, text in sources:
        found, bad = split_documents(path, text)
        whole, unfit = written_out(found)
        documents += whole
        problems += bad + unfit
    if len(documents) > RULES_MAX:
        over = documents[RULES_MAX]
        problems.append(
            over.problem(f"found {len(documents)} rules; at most {RULES_MAX} are taken, from here on none is")
        )
        documents = documents[:RULES_MAX]
    rules: dict[str, Rule] = {}
    correlations = [document for document in documents if "correlation" in document.content]
    for document in documents:
        if "correlation" not in document.content:
            _add(rules, problems, document, _stateless)
    bases = dict(rules)
    for document in correlations:
        _add(rules, problems, document, lambda document: _correlation(document, bases))
    silent = _silenced(correlations, bases)
    kept = tuple(msgspec.structs.replace(rule, silent=True) if rule.id in silent else rule for rule in rules.values())
    return RuleSet(kept, tuple(sorted(problems, key=lambda problem: (problem.path, problem.line))))


def _add(
    rules: dict[str, Rule], problems: list[RuleProblem], document: Document, load: Callable[[Document], Rule]
) -> None:
    try:
        rule = load(document)
    except RuleRefusedError as error:
        problems.extend(document.problems(error.faults))
        return
    except Exception as error:  # noqa: BLE001 - a rule is foreign text: whatever its parser trips over costs that rule only
        problems.append(document.problem(told(error)))
        return
    first = rules.get(rule.id)
    if first is not None:
        message = f"found the id {rule.id} again, first at {first.path}:{first.line}; give each rule its own id"
        problems.append(document.problem(message, ("id",)))
        return
    rules[rule.id] = rule


def _stateless(document: Document) -> Rule:
    content = document.content
    if "filter" in content:
        raise RuleRefusedError("found the key 'filter'; filters are not supported: write the exclusion into the rules")
    faults = list(header_faults(content))
    words = readable(content) | {"detection": reworded(content.get("detection"))}
    try:
        parsed = SigmaRule.from_dict(words, collect_errors=True, policy=POLICY)
        if not parsed.errors and not faults:
            return _compiled(document, parsed)
    except Exception as error:  # noqa: BLE001 - a rule is foreign text: whatever its parser trips over is told below
        faults += _all_faults(content, words) or _faults_of(error)
    else:
        faults += _all_faults(content, words) or [Fault(told(error)) for error in parsed.errors]
    raise RuleRefusedError.of(faults)


def _compiled(document: Document, parsed: SigmaRule) -> Rule:
    source = parsed.logsource
    condition = compile_rule(parsed)
    header = said(document, parsed)
    fields = tuple(dict.fromkeys(fields_of(condition)))
    return Rule(
        **header,
        logsource=" ".join(part for part in (source.product, source.category, source.service) if part),
        datasets=datasets_of(source.product, source.category, source.service),
        fields=tuple(name for name in fields if not name.startswith("_")),
        needs=needs_of(fields, header["entity_field"]),
        condition=condition,
    )


def _all_faults(content: Mapping[str, Any], words: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with the parts of a rule that was refused, each tried by itself."""
    faults: list[Fault] = []
    category = product = service = None
    try:
        parsed = SigmaRule.from_dict({**words, "detection": _ANY_DETECTION}, collect_errors=True, policy=POLICY)
        faults += parsed_faults(parsed.errors)
        category, product, service = parsed.logsource.category, parsed.logsource.product, parsed.logsource.service
        if category or product or service:
            datasets_of(product, category, service)
    except RuleRefusedError as error:
        faults += [Fault(fault.message, ("logsource",)) for fault in error.faults]
    except Exception as error:  # noqa: BLE001 - as above
        faults += _faults_of(error)
    if "detection" not in content:
        return [*faults, Fault("found no detection; write what the rule looks for")]
    names = field_names(category if isinstance(category, str) else None)
    return [*faults, *detection_faults(content["detection"], "detection", names)]


def _faults_of(error: Exception) -> Iterator[Fault]:
    if isinstance(error, RuleRefusedError):
        yield from error.faults
    else:
        yield Fault(told(error))


def _correlation(document: Document, bases: Mapping[str, Rule]) -> Rule:
    faults = list(header_faults(document.content))
    parsed = SigmaCorrelationRule.from_dict(readable(document.content), collect_errors=True)
    faults += parsed_faults(parsed.errors)
    if faults:
        raise RuleRefusedError.of(faults)
    header = said(document, parsed)
    window = compile_window(parsed, header["version"], bases)
    fields = tuple(dict.fromkeys([*(name for group in window.groups for name in group.fields), *(window.value or ())]))
    return Rule(
        **header,
        logsource="correlation",
        datasets=tuple(dict.fromkeys(name for base in window.bases for name in bases[base].datasets)),
        fields=fields,
        needs=needs_of(fields, header["entity_field"]).union(*(bases[base].needs for base in window.bases)),
        window=window,
    )


def _silenced(correlations: Sequence[Document], bases: Mapping[str, Rule]) -> set[str]:
    """Rules that only serve to be counted; also when the rule that counts them was refused, or they would flood."""
    silent: set[str] = set()
    loud: set[str] = set()
    for document in correlations:
        correlation = document.content["correlation"]
        if isinstance(correlation, dict):
            ids = {base.id for name in named_rules(correlation) if (base := _named(name, bases))}
            (loud if correlation.get("generate") is True else silent).update(ids)
    return silent - loud


def _named(name: str, bases: Mapping[str, Rule]) -> Rule | None:
    return bases.get(name.lower()) or next((rule for rule in bases.values() if rule.name == name), None)
