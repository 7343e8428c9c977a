"""Reads rules from YAML text: each is taken whole or refused with its place and the reason; the others go on."""

from __future__ import annotations

import difflib
import hashlib
import json
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec
from sigma.correlations import SigmaCorrelationRule
from sigma.rule import SigmaRule

from detectors.finding import SCOPE_FIELDS, Scope, Severity
from detectors.sigma.compile import compile_rule
from detectors.sigma.condition import fields_of
from detectors.sigma.dialect import POLICY
from detectors.sigma.document import Document, split_documents
from detectors.sigma.fields import column_of, datasets_of
from detectors.sigma.rule import Rule, RuleProblem, RuleRefusedError, RuleSet
from detectors.sigma.windows import compile_window, named_rules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RULES_MAX: Final = 20_000
"""Rules in one set."""

BEHAVIOUR_MAX: Final = 27
"""Highest number of a behaviour; ``docs/rules.md`` says what each is."""

EXACT_MAX: Final = 2**53
"""From here on a float no longer holds every whole number."""

OWN_KEYS: Final = ("behaviour", "entity", "proof", "response")
"""What a rule may say to us under ``custom: miniwatch:``."""

READ_KEYS: Final = (
    "correlation",
    "custom",
    "description",
    "detection",
    "falsepositives",
    "level",
    "logsource",
    "name",
    "status",
    "tags",
    "title",
)
"""Names at the top of a rule that change what it does or tells. Rules may carry any others."""

KEY_LIKENESS_MIN: Final = 0.8
"""From here on a name at the top of a rule is taken for a misspelling of one of `READ_KEYS`."""

ENTITY_FIELDS: Final = ("miniprogram.app_id", "host.name", "event.dataset")
"""Who a finding is about when the rule does not say, or the event does not carry it: the first that is present."""


def parse_rules(sources: Sequence[tuple[str, str]]) -> RuleSet:
    """The rules of some files, each given as (path for messages, YAML text); a file may hold several documents."""
    documents: list[Document] = []
    problems: list[RuleProblem] = []
    for path, text in sources:
        found, bad = split_documents(path, text)
        documents += found
        problems += bad
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


def _add(rules: dict[str, Rule], problems: list[RuleProblem], document: Document, load: Any) -> None:
    try:
        rule: Rule = load(document)
    except RuleRefusedError as error:
        problems.append(document.problem(str(error)))
        return
    except Exception as error:  # noqa: BLE001 - a rule is foreign text: whatever its parser trips over costs that rule only
        problems.append(document.problem(f"not a Sigma rule: {str(error) or type(error).__name__}"))
        return
    first = rules.get(rule.id)
    if first is not None:
        message = f"found the id {rule.id} again, first at {first.path}:{first.line}; give each rule its own id"
        problems.append(document.problem(message))
        return
    rules[rule.id] = rule


def _stateless(document: Document) -> Rule:
    content = document.content
    for word, hint in (
        ("filter", "filters are not supported: write the exclusion into the rules"),
        ("action", "collections by action are not supported: write each rule in full"),
    ):
        if word in content:
            raise RuleRefusedError(f"found the key {word!r}; {hint}")
    _check_keys(content)
    _check_id(content.get("id"))
    parsed = SigmaRule.from_dict(_readable(content), collect_errors=True, policy=POLICY)
    if parsed.errors:
        raise RuleRefusedError("; ".join(str(error) for error in parsed.errors))
    source = parsed.logsource
    condition = compile_rule(parsed)
    said = _said(document, parsed)
    fields = tuple(dict.fromkeys(fields_of(condition)))
    return Rule(
        **said,
        logsource=" ".join(part for part in (source.product, source.category, source.service) if part),
        datasets=datasets_of(source.product, source.category, source.service),
        fields=tuple(name for name in fields if not name.startswith("_")),
        needs=_needs(fields, said["entity_field"]),
        condition=condition,
    )


def _correlation(document: Document, bases: Mapping[str, Rule]) -> Rule:
    _check_keys(document.content)
    _check_id(document.content.get("id"))
    parsed = SigmaCorrelationRule.from_dict(document.content, collect_errors=True)
    if parsed.errors:
        raise RuleRefusedError("; ".join(str(error) for error in parsed.errors))
    said = _said(document, parsed)
    window = compile_window(parsed, said["version"], bases)
    fields = tuple(dict.fromkeys([*(name for group in window.groups for name in group.fields), *(window.value or ())]))
    return Rule(
        **said,
        logsource="correlation",
        datasets=tuple(dict.fromkeys(name for base in window.bases for name in bases[base].datasets)),
        fields=fields,
        needs=_needs(fields, said["entity_field"]).union(*(bases[base].needs for base in window.bases)),
        window=window,
    )


def _check_keys(content: Mapping[str, Any]) -> None:
    """Refuse a misspelt name, which would be passed over without a word."""
    for key in content:
        near = difflib.get_close_matches(key.lower(), READ_KEYS, n=1, cutoff=KEY_LIKENESS_MIN)
        if near and key not in READ_KEYS:
            raise RuleRefusedError(f"found the key {key!r}; did you mean {near[0]}?")


def _check_id(given: Any) -> None:
    """Refuse what is no UUID; that there is none at all is told elsewhere."""
    if given is None:
        return
    try:
        UUID(given if isinstance(given, str) else "")
    except ValueError:
        raise RuleRefusedError(f"id: found {given!r}; a UUID is expected") from None


def _needs(fields: Sequence[str], entity_field: str | None) -> frozenset[str]:
    names = {column_of(name) for name in fields if not name.startswith("_")}
    return frozenset(
        names.union(ENTITY_FIELDS, {"event.id", "miniprogram.developer_id"}, {entity_field} if entity_field else ())
    )


def _said(document: Document, parsed: SigmaRule | SigmaCorrelationRule) -> dict[str, Any]:
    """What rules of both kinds say about themselves."""
    if parsed.id is None:
        raise RuleRefusedError("found no id; every rule needs one that never changes: a UUID, as `uuidgen` prints")
    own = _own(document.content)
    scope = own.get("entity")
    behaviours = tuple(f"behaviour.{number}" for number in own.get("behaviour", ()))
    return {
        "id": str(parsed.id),
        "version": version_of(document.content),
        "title": parsed.title,
        "path": document.path,
        "line": document.line,
        "name": parsed.name,
        "description": parsed.description or "",
        "severity": Severity(parsed.level.name.lower()) if parsed.level else Severity.LOW,
        "status": parsed.status.name.lower() if parsed.status else "",
        "tags": tuple(dict.fromkeys((*behaviours, *(str(tag) for tag in parsed.tags)))),
        "entity": scope,
        "entity_field": SCOPE_FIELDS[scope] if scope else None,
        "proof": own.get("proof", False),
        "false_positives": tuple(str(text) for text in parsed.falsepositives),
        "response": own.get("response", ""),
    }


def version_of(content: Mapping[str, Any]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a rule's content, whatever its layout and comments."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _own(content: Mapping[str, Any]) -> dict[str, Any]:
    """What the rule says to us under ``custom: miniwatch:``, checked."""
    custom = content.get("custom") or {}
    own = custom.get("miniwatch") or {} if isinstance(custom, dict) else custom
    if not isinstance(own, dict):
        raise RuleRefusedError(
            "found no mapping under custom.miniwatch; write names and values, such as `entity: AppId`"
        )
    unknown = sorted(str(key) for key in own if key not in OWN_KEYS)
    if unknown:
        raise RuleRefusedError(f"found {', '.join(unknown)} under custom.miniwatch; it takes: {', '.join(OWN_KEYS)}")
    checked = dict(own)
    if "entity" in own:
        if own["entity"] not in [scope.value for scope in SCOPE_FIELDS]:
            scopes = ", ".join(SCOPE_FIELDS)
            raise RuleRefusedError(f"found custom.miniwatch.entity: {own['entity']!r}; use one of: {scopes}")
        checked["entity"] = Scope(own["entity"])
    behaviours = own.get("behaviour", [])
    if not isinstance(behaviours, list) or not all(
        type(one) is int and 1 <= one <= BEHAVIOUR_MAX for one in behaviours
    ):
        raise RuleRefusedError(
            f"found custom.miniwatch.behaviour: {behaviours!r}; "
            f"write a list of numbers from 1 to {BEHAVIOUR_MAX}, such as [8]"
        )
    for key, kind, example in (("proof", bool, "true"), ("response", str, "what to do")):
        if key in own and not isinstance(own[key], kind):
            raise RuleRefusedError(f"found custom.miniwatch.{key}: {own[key]!r}; write it as in `{key}: {example}`")
    return checked


def _readable(value: Any, key: str = "") -> Any:
    """The rule in words that pySigma reads rightly.

    ``utf16le``, a newer word of the specification, by its older name ``wide``. A whole number too large for a float
    would lose its last digits, so it is compared as the text it is.
    """
    if isinstance(value, dict):
        return {_readable_key(name): _readable(one, str(name)) for name, one in value.items()}
    if isinstance(value, list):
        return [_readable(one, key) for one in value]
    large = type(value) is int and abs(value) >= EXACT_MAX and "|" not in key
    return str(value) if large else value


def _readable_key(key: Any) -> Any:
    if not isinstance(key, str) or "utf16le" not in key:
        return key
    return "|".join("wide" if part == "utf16le" and place else part for place, part in enumerate(key.split("|")))


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
