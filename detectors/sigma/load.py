"""Reads rules from YAML text: each is taken whole or refused with its place and the reason; the others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from sigma.rule import SigmaRule

from detectors.sigma.chains import in_order, silenced
from detectors.sigma.collection import written_out
from detectors.sigma.compile import compile_rule
from detectors.sigma.condition import fields_of
from detectors.sigma.correlation import correlation_rule
from detectors.sigma.dialect import POLICY
from detectors.sigma.document import Document, split_documents
from detectors.sigma.faults import detection_faults, told
from detectors.sigma.fields import datasets_of, field_names
from detectors.sigma.header import header_faults, needs_of, parsed_faults, readable, said
from detectors.sigma.rule import Fault, Rule, RuleProblem, RuleRefusedError, RuleSet
from detectors.sigma.windows import Named
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
    ordered, circles = in_order(correlations)
    problems += [document.problem(message, ("correlation", "rules")) for document, message in circles]
    named = Named(rules.values())
    for document in ordered:
        rule = _add(rules, problems, document, lambda document: correlation_rule(document, named))
        if rule is not None:
            named.add(rule)
    silent = silenced(correlations, rules)
    kept = tuple(msgspec.structs.replace(rule, silent=True) if rule.id in silent else rule for rule in rules.values())
    return RuleSet(kept, tuple(sorted(problems, key=lambda problem: (problem.path, problem.line))))


def _add(
    rules: dict[str, Rule], problems: list[RuleProblem], document: Document, load: Callable[[Document], Rule]
) -> Rule | None:
    """The rule of a document, added to the others; or None, and what is wrong with it."""
    try:
        rule = load(document)
    except RuleRefusedError as error:
        problems.extend(document.problems(error.faults))
        return None
    except Exception as error:  # noqa: BLE001 - a rule is foreign text: whatever its parser trips over costs that rule only
        problems.append(document.problem(told(error)))
        return None
    first = rules.get(rule.id)
    if first is not None:
        message = f"found the id {rule.id} again, first at {first.path}:{first.line}; give each rule its own id"
        problems.append(document.problem(message, ("id",)))
        return None
    rules[rule.id] = rule
    return rule


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
