"""Reads rules from YAML text: each is taken whole or refused with its place and the reason; the others go on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from detectors.sigma.chains import in_order, silenced
from detectors.sigma.collection import written_out
from detectors.sigma.compile import compile_detections
from detectors.sigma.condition import fields_of
from detectors.sigma.correlation import Piping, correlation_rule
from detectors.sigma.document import Document, split_documents
from detectors.sigma.faults import detection_faults, faults_of
from detectors.sigma.fields import field_names
from detectors.sigma.filters import FILTERS_MAX, Filter, idle, read_filter
from detectors.sigma.header import header_faults, needs_of, parse_header, said, version_of
from detectors.sigma.items import detections_of
from detectors.sigma.meaning import Meaning, meaning_of
from detectors.sigma.reading import Reading
from detectors.sigma.rule import Fault, Rule, RuleProblem, RuleRefusedError, RuleSet
from detectors.sigma.windows import Named

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sigma.rule import SigmaLogSource, SigmaRule

RULES_MAX: Final = 20_000
"""Rules in one set."""

PLAIN: Final = Reading()
"""No placeholders and no pipelines."""


def parse_rules(sources: Sequence[tuple[str, str]], reading: Reading = PLAIN) -> RuleSet:
    """The rules of some files, each given as (path for messages, YAML text); a file may hold several documents."""
    documents, problems = _documents(sources)
    filters: list[Filter] = []
    rules: dict[str, Rule] = {}
    correlations: list[Document] = []
    plain: list[Document] = []
    for document in documents:
        if "filter" in document.content:
            _add_filter(filters, problems, document, reading)
        else:
            (correlations if "correlation" in document.content else plain).append(document)
    origins: dict[str, tuple[SigmaLogSource, ...]] = {}
    for document in plain:
        _add(rules, problems, document, partial(_stateless, filters=filters, reading=reading, origins=origins))
    ordered, circles = in_order(correlations)
    problems += [document.problem(message, ("correlation", "rules")) for document, message in circles]
    named = Named(rules.values())
    for document in plain:
        if str(document.content.get("id")).lower() not in rules:
            named.refuse(_called(document), document.label)
    for document in ordered:
        pipelines = reading.pipelines_of(document.path)
        piping = None if pipelines is None else Piping(pipelines, origins)
        rule = _add(rules, problems, document, partial(correlation_rule, named=named, piping=piping))
        if rule is None:
            named.refuse(_called(document), document.label)
        if rule is not None and rule.window is not None:
            named.add(rule)
            origins[rule.id] = tuple(source for base in rule.window.bases for source in origins[base])
    problems.extend(idle(filters, rules))
    silent = silenced(correlations, rules)
    kept = tuple(msgspec.structs.replace(rule, silent=True) if rule.id in silent else rule for rule in rules.values())
    return RuleSet(kept, tuple(sorted(problems, key=lambda problem: (problem.path, problem.line))))


def _documents(sources: Sequence[tuple[str, str]]) -> tuple[list[Document], list[RuleProblem]]:
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
    return documents[:RULES_MAX], problems


def _called(document: Document) -> list[str]:
    """What correlations may call the rule of a document."""
    return [str(document.content[key]) for key in ("id", "name") if document.content.get(key) is not None]


def _add(
    rules: dict[str, Rule], problems: list[RuleProblem], document: Document, load: Callable[[Document], Rule]
) -> Rule | None:
    """The rule of a document, added to the others; or None, and what is wrong with it."""
    try:
        rule = load(document)
    except Exception as error:  # noqa: BLE001 - a rule is foreign text: whatever its parser trips over costs that rule only
        problems.extend(document.problems(tuple(faults_of(error))))
        return None
    first = rules.get(rule.id)
    if first is not None:
        message = f"found the id {rule.id} again, first at {first.path}:{first.line}; give each rule its own id"
        problems.append(document.problem(message, ("id",)))
        return None
    rules[rule.id] = rule
    return rule


def _add_filter(filters: list[Filter], problems: list[RuleProblem], document: Document, reading: Reading) -> None:
    if len(filters) == FILTERS_MAX:
        problems.append(document.problem(f"found more than {FILTERS_MAX} filters; this one is not taken"))
        return
    try:
        filters.append(read_filter(document, reading.placeholders_of(document.path)))
    except Exception as error:  # noqa: BLE001 - as above
        problems.extend(document.problems(tuple(faults_of(error))))


def _stateless(
    document: Document, filters: Sequence[Filter], reading: Reading, origins: dict[str, tuple[SigmaLogSource, ...]]
) -> Rule:
    """The rule of a document without a correlation; notes the logsource it is written for."""
    content = document.content
    faults = list(header_faults(content))
    header, more = parse_header(content)
    faults += more
    placeholders = reading.placeholders_of(document.path)
    if header is None or "detection" not in content:
        faults += [] if "detection" in content else [Fault("found no detection; write what the rule looks for")]
        raise RuleRefusedError.of(faults)
    names = field_names(header.logsource.category)
    try:
        header.detection = detections_of(content["detection"], placeholders)
        if not faults:
            origins[str(header.id)] = (header.logsource,)
            return _compiled(document, header, [one for one in filters if one.fits(header)], reading)
        if not placeholders.pending:
            compile_detections(header.detection, names)
    except Exception as error:  # noqa: BLE001 - a rule is foreign text: whatever its parser trips over is told
        faults += [*detection_faults(content["detection"], "detection", names, placeholders)] or [*faults_of(error)]
    raise RuleRefusedError.of(faults)


def _compiled(document: Document, parsed: SigmaRule, filters: Sequence[Filter], reading: Reading) -> Rule:
    pipelines = reading.pipelines_of(document.path)
    shaped: dict[str, Any] = {
        "placeholders": reading.placeholders_of(document.path).used(document.content["detection"])
    }
    shaped["filters"] = [one.stamp for one in filters]
    meaning = meaning_of(parsed, filters, pipelines)
    if pipelines is not None and meaning != _unpiped(parsed, filters):
        shaped["pipelines"] = repr(meaning)
    words = said(document, parsed)
    if any(shaped.values()):
        words["version"] = version_of({"written": words["written"], **shaped})
    fields = tuple(dict.fromkeys(fields_of(meaning.condition)))
    return Rule(
        **words,
        logsource=meaning.logsource,
        datasets=meaning.datasets,
        fields=tuple(name for name in fields if not name.startswith("_")),
        needs=needs_of(fields, words["entity_field"]),
        condition=meaning.condition,
    )


def _unpiped(parsed: SigmaRule, filters: Sequence[Filter]) -> Meaning | None:
    """What a rule would mean without pipelines; None when it needs them."""
    try:
        return meaning_of(parsed, filters)
    except Exception:  # noqa: BLE001 - a placeholder, or a logsource, that only a pipeline resolves
        return None
