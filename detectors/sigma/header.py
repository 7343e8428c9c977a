"""What a rule says about itself, apart from its condition: names, severity, and what Sigma has no word for."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sigma import exceptions
from sigma.rule import SigmaRule

from detectors.finding import SCOPE_FIELDS, Scope, Severity
from detectors.sigma.dialect import POLICY
from detectors.sigma.fields import column_of, datasets_of
from detectors.sigma.remedies import close_to, with_remedy
from detectors.sigma.rule import Fault, Place, RuleRefusedError

if TYPE_CHECKING:
    from sigma.correlations import SigmaCorrelationRule

    from detectors.sigma.document import Document

BEHAVIOUR_MAX: Final = 27
"""Highest number of a behaviour; ``docs/rules.md`` says what each is."""

OWN_KEYS: Final = ("behaviour", "entity", "proof", "response")
"""What a rule may say to us under ``custom: miniwatch:``."""

READ_KEYS: Final = (
    "correlation",
    "custom",
    "description",
    "detection",
    "falsepositives",
    "filter",
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

LOGSOURCE_KEYS: Final = ("category", "definition", "product", "service")
LOGSOURCE_LIKENESS_MIN: Final = 0.7
OUR_PRODUCT: Final = "miniprogram"

ENTITY_FIELDS: Final = ("miniprogram.app_id", "host.name", "event.dataset")
"""Who a finding is about when the rule does not say, or the event does not carry it: the first that is present."""

_KEY_OF: Final[Mapping[type[Exception], str]] = {
    exceptions.SigmaAuthorError: "author",
    exceptions.SigmaDateError: "date",
    exceptions.SigmaDescriptionError: "description",
    exceptions.SigmaFalsePositivesError: "falsepositives",
    exceptions.SigmaFieldsError: "fields",
    exceptions.SigmaIdentifierError: "id",
    exceptions.SigmaLevelError: "level",
    exceptions.SigmaLicenseError: "license",
    exceptions.SigmaLogsourceError: "logsource",
    exceptions.SigmaModifiedError: "modified",
    exceptions.SigmaNameError: "name",
    exceptions.SigmaReferencesError: "references",
    exceptions.SigmaRelatedError: "related",
    exceptions.SigmaScopeError: "scope",
    exceptions.SigmaStatusError: "status",
    exceptions.SigmaTagError: "tags",
    exceptions.SigmaTaxonomyError: "taxonomy",
    exceptions.SigmaTitleError: "title",
    exceptions.SigmaValueError: "tags",
}
"""Which key an error of pySigma outside of detections is about."""

_NO_DETECTION: Final = {"detection": {"_": {"_": None}, "condition": "_"}}


def header_faults(content: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with a document before pySigma has seen it."""
    for key in content:
        near = difflib.get_close_matches(key.lower(), READ_KEYS, n=1, cutoff=KEY_LIKENESS_MIN)
        if near and key not in READ_KEYS:
            yield Fault(f"found the key {key!r}; did you mean {near[0]}?", (key,))
    yield from _logsource_faults(content.get("logsource"))
    given = content.get("id")
    if given is None:
        if "filter" not in content:
            yield Fault("found no id; every rule needs one that never changes: a UUID, as `uuidgen` prints")
    elif not _is_uuid(given):
        yield Fault(f"id: found {given!r}; a UUID is expected", ("id",))
    yield from own_faults(content)


def _logsource_faults(source: Any) -> Iterator[Fault]:
    """Misspelt names and products: nothing would say why the rule is silent."""
    if not isinstance(source, dict):
        return
    for key in map(str, source):
        near = difflib.get_close_matches(key.lower(), LOGSOURCE_KEYS, n=1, cutoff=LOGSOURCE_LIKENESS_MIN)
        if near and key not in LOGSOURCE_KEYS:
            yield Fault(f"found logsource.{key}; did you mean {near[0]}?", ("logsource", key))
    product = str(source.get("product") or "").lower()
    if product != OUR_PRODUCT and difflib.get_close_matches(product, [OUR_PRODUCT], n=1, cutoff=KEY_LIKENESS_MIN):
        yield Fault(f"found logsource.product: {product!r}; did you mean {OUR_PRODUCT}?", ("logsource", "product"))


def parse_header(content: Mapping[str, Any]) -> tuple[SigmaRule | None, list[Fault]]:
    """A rule or filter as pySigma reads it, with nothing yet for a detection, and what pySigma finds wrong; None if it fails."""
    try:
        parsed = SigmaRule.from_dict(readable(content) | _NO_DETECTION, collect_errors=True, policy=POLICY)
        faults = list(parsed_faults(parsed.errors))
    except Exception as error:  # noqa: BLE001 - a rule is foreign text: whatever its parser trips over is told
        return None, [Fault(f"not a Sigma rule: {str(error) or type(error).__name__}")]
    source = parsed.logsource
    if source.product or source.category or source.service:
        try:
            datasets_of(source.product, source.category, source.service)
        except RuleRefusedError as error:
            faults.append(Fault(str(error), ("logsource",)))
    return parsed, faults


def parsed_faults(errors: Iterable[Exception]) -> Iterator[Fault]:
    """The errors of pySigma about the parts of a rule that are not its detection; ids are judged by us."""
    for error in errors:
        if not isinstance(error, exceptions.SigmaIdentifierError):
            key = _KEY_OF.get(type(error))
            place: Place = ("correlation", "timespan") if isinstance(error, exceptions.SigmaTimespanError) else ()
            yield Fault(with_remedy(str(error)) or type(error).__name__, (key,) if key else place)


def readable(content: Mapping[str, Any]) -> dict[str, Any]:
    """A document without an id that pySigma would stumble over instead of naming it; our own check names it."""
    return {key: value for key, value in content.items() if key != "id" or _is_uuid(value)}


def said(document: Document, parsed: SigmaRule | SigmaCorrelationRule) -> dict[str, Any]:
    """What rules of both kinds say about themselves; the document has no faults."""
    own = _own(document.content)
    scope = Scope(own["entity"]) if "entity" in own else None
    behaviours = tuple(f"behaviour.{number}" for number in own.get("behaviour", ()))
    version = version_of(document.content)
    return {
        "id": str(parsed.id),
        "version": version,
        "written": version,
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


def needs_of(fields: Sequence[str], entity_field: str | None) -> frozenset[str]:
    """The columns that a rule of these fields reads, those of its findings included."""
    names = {column_of(name) for name in fields if not name.startswith("_")}
    return frozenset(
        names.union(ENTITY_FIELDS, {"event.id", "miniprogram.developer_id"}, {entity_field} if entity_field else ())
    )


def version_of(content: Mapping[str, Any]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of a rule's content, whatever its layout and comments."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def own_faults(content: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong under ``custom: miniwatch:``."""
    here = ("custom", "miniwatch")
    own = _own(content)
    if not isinstance(own, dict):
        yield Fault("found no mapping under custom.miniwatch; write names and values, such as `entity: AppId`", here)
        return
    unknown = sorted(str(key) for key in own if key not in OWN_KEYS)
    if unknown:
        message = f"found {', '.join(unknown)} under custom.miniwatch; {close_to(unknown[0], OWN_KEYS)}"
        yield Fault(message, (*here, unknown[0]))
    if "entity" in own and own["entity"] not in [scope.value for scope in SCOPE_FIELDS]:
        scopes = ", ".join(SCOPE_FIELDS)
        message = f"found custom.miniwatch.entity: {own['entity']!r}; use one of: {scopes}"
        yield Fault(message, (*here, "entity"))
    numbers = own.get("behaviour", [])
    if not isinstance(numbers, list) or not all(type(one) is int and 1 <= one <= BEHAVIOUR_MAX for one in numbers):
        message = f"found custom.miniwatch.behaviour: {numbers!r}; write a list of numbers from 1 to {BEHAVIOUR_MAX}, such as [8]"
        yield Fault(message, (*here, "behaviour"))
    for key, kind, example in (("proof", bool, "true"), ("response", str, "what to do")):
        if key in own and not isinstance(own[key], kind):
            message = f"found custom.miniwatch.{key}: {own[key]!r}; write it as in `{key}: {example}`"
            yield Fault(message, (*here, key))


def _own(content: Mapping[str, Any]) -> Any:
    custom = content.get("custom") or {}
    return custom.get("miniwatch") or {} if isinstance(custom, dict) else custom


def _is_uuid(given: Any) -> bool:
    try:
        UUID(given if isinstance(given, str) else "")
    except ValueError:
        return False
    return True
