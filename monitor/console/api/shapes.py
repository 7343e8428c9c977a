"""The shapes of what the API gives, for its document: our structs as they are told, and rows that are no struct."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec

from detectors.finding import Finding, Severity
from monitor.listing.tended import TendedIncident
from monitor.listing.wire import TIMES
from monitor.responding.refusals import No
from monitor.stores import Standing
from monitor.stores.appeals import Appeal
from monitor.stores.clocks import IncidentAct
from monitor.stores.record import DeadLetterRow
from monitor.stores.undos import Undo
from monitor.tokens import Role
from playbooks.clocks import ClockKind
from playbooks.decision import Decision
from playbooks.ladder import Playbook

FINDING: Final = Finding
INCIDENT: Final = TendedIncident
DECISION: Final = Decision
DEAD_LETTER: Final = DeadLetterRow
APPEAL: Final = Appeal
STANDING: Final = Standing


class Receipt(msgspec.Struct, kw_only=True):
    """What an enforcer has been told of a decision, and how far that has come."""

    enforcer: str
    told: str
    state: str
    attempts: int
    sent: datetime | None
    receipt: str
    error: str


class ClockRow(msgspec.Struct, kw_only=True):
    """A clock of an incident: running, overdue, met, missed or superseded. `told_share` is the last share of its time that people were told of."""

    clock: ClockKind
    severity: Severity
    state: str
    begun: datetime
    due: datetime
    told_share: int
    stopped: datetime | None
    stopped_by: str | None
    breached: datetime | None


class WordRow(msgspec.Struct, kw_only=True):
    """What somebody did about an incident, and what they said."""

    id: str
    incident: str
    time: datetime
    actor: str
    act: IncidentAct
    text: str
    assignee: str | None


class IncidentShown(TendedIncident, frozen=True, kw_only=True):
    """An incident as it stands, with all its clocks and all that people said about it."""

    clocks: tuple[ClockRow, ...]
    words: tuple[WordRow, ...]


INCIDENT_SHOWN: Final = IncidentShown


class DecisionShown(Decision, frozen=True, kw_only=True):
    """A decision, which enforcers have been told of it since when, and the appeals against it."""

    enforcement: tuple[Receipt, ...]
    appeals: tuple[Appeal, ...]


DECISION_SHOWN: Final = DecisionShown
WIRED: Final = (Finding, TendedIncident, IncidentShown, Decision, DecisionShown, DeadLetterRow, Standing, Undo, Appeal)
"""Structs that are told by `listing.wire`: times as text, sealed bytes left out."""


class Risk(msgspec.Struct, kw_only=True):
    """How risky an app was, 0 to 100, when something was last found about it; it decays from then on."""

    score: float
    at: datetime


class App(msgspec.Struct, kw_only=True):
    """What the registry has of an app, beside these everything that was imported for it: name, category, developer_id …

    `as_of` is absent where nothing was imported; `risk` is told where one app is asked for.
    """

    app_id: str
    as_of: datetime | msgspec.UnsetType = msgspec.UNSET
    risk: Risk | msgspec.UnsetType | None = msgspec.UNSET


class TokenRow(msgspec.Struct, kw_only=True):
    """A token: all but what could be compared with its secret."""

    id: str
    name: str
    roles: tuple[Role, ...]
    created: datetime
    expires: datetime
    revoked: datetime | None
    actor: str
    state: str


class AuditRow(msgspec.Struct, kw_only=True):
    """An entry of the audit: `hash` is over `previous`, `seq` and the entry."""

    seq: int
    time: datetime
    actor: str
    action: str
    subject: str
    reason: str
    before: str
    after: str
    previous: str
    hash: str


class FeedbackRow(msgspec.Struct, kw_only=True):
    """What people have marked findings as: `precision` is true / (true + false), and lies between `low` and `high` at 95 % (Wilson)."""

    precision: float | None
    low: float | None
    high: float | None
    marked: int
    true: int
    false: int
    benign_known: int


class RuleRow(msgspec.Struct, kw_only=True):
    """A rule in force; `in_shadow` says why its findings are only recorded, where they are; `feedback` is null where none was marked."""

    id: str
    version: str
    title: str
    description: str
    path: str
    line: int
    severity: Severity
    status: str
    tags: tuple[str, ...]
    logsource: str
    datasets: tuple[str, ...]
    fields: tuple[str, ...]
    proof: bool
    false_positives: tuple[str, ...]
    response: str
    kind: str
    entity: str
    in_shadow: str | None
    feedback: FeedbackRow | None


class Refusal(msgspec.Struct, kw_only=True):
    """Why a request was not done: in words, and where the rules of acting say no, by the word that programs know it by."""

    message: str
    why: No | msgspec.UnsetType = msgspec.UNSET


class ActedRow(msgspec.Struct, kw_only=True):
    """What came of an act: the decision that stands now, and what gave way to it. Not `changed`: it stood there already."""

    decision: Decision
    changed: bool
    superseded: tuple[Decision, ...]


class LiftedRow(msgspec.Struct, kw_only=True):
    """What was lifted or refused, and the exemption that keeps it so, if there is one."""

    decisions: tuple[Decision, ...]
    exemption: Standing | None


class Stop(msgspec.Struct, kw_only=True):
    """The stop that holds all acts, if there is one."""

    stop: Standing | None


APP: Final = App
TOKEN: Final = TokenRow
AUDIT_ENTRY: Final = AuditRow
RULE: Final = RuleRow
PLAYBOOK: Final = Playbook
REFUSAL: Final = Refusal
ACTED: Final = ActedRow
LIFTED: Final = LiftedRow
STOP: Final = Stop
UNDO: Final = Undo

_EXTRA: Final[dict[str, dict[str, Any]]] = {
    "Playbook": {"builtin": {"type": "boolean"}, "path": {"type": ["string", "null"]}},
}
"""What is told beside the fields of a struct."""


def schemas(given: Iterable[Any], taken: Iterable[Any]) -> dict[str, Any]:
    """JSON Schemas by name: of what is given, as it is told, and of bodies that are taken, with all that they hold."""
    return dict(
        sorted(
            {
                **{name: _told(name, schema) for name, schema in _components(given).items()},
                **{name: _plain(schema) for name, schema in _components(taken).items()},
            }.items()
        )
    )


def _components(kinds: Iterable[Any]) -> dict[str, Any]:
    return msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")[1]


def _told(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    properties = {
        field: _plain(part)
        for field, part in {**schema.get("properties", {}), **_EXTRA.get(name, {})}.items()
        if part.get("contentEncoding") != "base64"
    }
    if not properties:
        return dict(_plain(schema))
    if name in {kind.__name__ for kind in WIRED}:
        properties |= {field: _time(part) for field, part in properties.items() if field in TIMES}
    if name == Standing.__name__:
        properties["expires"] = {"type": ["string", "null"], "format": "date-time"}  # null: until it is lifted
    required = [field for field in properties if _is_always_there(schema, field)]
    described = {"description": _line(schema["description"])} if "description" in schema else {}
    return {"type": "object", **described, "properties": properties, "required": sorted(required)}


def _is_always_there(schema: dict[str, Any], field: str) -> bool:
    """What has a default is told all the same; only what may be unset is not always there."""
    part = schema.get("properties", {}).get(field)
    return part is None or field in schema.get("required", ()) or "default" in part or "default_factory" in part


def _time(part: dict[str, Any]) -> dict[str, Any]:
    is_maybe = any(each.get("type") == "null" for each in part.get("anyOf", ()))
    return {"type": ["string", "null"] if is_maybe else "string", "format": "date-time"}


def _plain(part: Any) -> Any:
    """Without defaults and titles: of what is told nothing is left out."""
    if isinstance(part, dict):
        return {
            name: _line(each) if name == "description" and isinstance(each, str) else _plain(each)
            for name, each in part.items()
            if name not in ("default", "title")
        }
    return [_plain(each) for each in part] if isinstance(part, list) else part


def _line(text: str) -> str:
    return " ".join(text.split()).replace("microseconds since 1970 UTC", "RFC 3339, in UTC")
