"""Structs as rows of tables, and rows as structs again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, Table, and_, case, or_, select

from detectors.finding import Entity, Finding, Scope
from monitor.stores import Message, Standing, StandingKind
from monitor.stores.dialects import Insert, insert_for
from monitor.stores.record import Delivery, DeliveryState
from playbooks.decision import Considered, Decision, Mode, Reason
from playbooks.incident import Incident
from playbooks.risk import Risk
from playbooks.waiting import WAITING, until

VALUES_MAX: Final = 900
"""Values named in one statement: below what any database takes."""

Row = dict[str, Any]
_Document = TypeVar("_Document", Finding, Incident, Decision)
_Item = TypeVar("_Item")
_encoder: Final = msgspec.json.Encoder()
_decoders: Final[dict[Any, msgspec.json.Decoder[Any]]] = {
    kind: msgspec.json.Decoder(kind) for kind in (Finding, Incident, Decision)
}


def chunks(items: Iterable[_Item], size: int = VALUES_MAX) -> Iterator[list[_Item]]:
    """Items in lists of at most `size`."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def put(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; one whose key is there replaces the row that has it."""
    if rows:
        connection.execute(_replacing(connection.dialect.name, table), rows)


def put_growing(connection: Connection, table: Table, rows: Sequence[Row], column: str) -> None:
    """Insert rows; one whose key is there replaces the row that has it, but for one column, which keeps what is greater."""
    if rows:
        connection.execute(_replacing(connection.dialect.name, table, column), rows)


def put_new(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; one whose key is there already changes nothing."""
    if rows:
        connection.execute(_keeping(connection.dialect.name, table), rows)


@cache
def _replacing(dialect: str, table: Table, growing: str = "") -> Insert:
    """The statement of `put`: making it anew at every turn took a third of the time of a commit."""
    statement = insert_for(dialect, table)
    replaced: dict[str, ColumnElement[Any]] = {
        column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key
    }
    if growing:
        here, given = table.c[growing], replaced[growing]
        replaced[growing] = case((given > here, given), else_=here)
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=replaced)


@cache
def _keeping(dialect: str, table: Table) -> Insert:
    return insert_for(dialect, table).on_conflict_do_nothing(index_elements=list(table.primary_key))


def of_entities(table: Table, entities: Collection[Entity]) -> Iterator[ColumnElement[bool]]:
    """Conditions that together name all rows of these entities, each within the bound of one statement."""
    for chunk in chunks(sorted(entities)):
        values: dict[Scope, list[str]] = {}
        for entity in chunk:
            values.setdefault(entity.scope, []).append(entity.value)
        yield or_(*(and_(table.c.scope == scope, table.c.value.in_(names)) for scope, names in values.items()))


def document(kind: type[_Document], text: str) -> _Document:
    """The struct that a row keeps whole."""
    struct: _Document = _decoders[kind].decode(text)
    return struct


def documents(
    connection: Connection, kind: type[_Document], table: Table, keys: Collection[str]
) -> Iterator[_Document]:
    """The structs of the rows with these ids."""
    for chunk in chunks(keys):
        for text in connection.execute(select(table.c.document).where(table.c.id.in_(chunk))).scalars():
            yield document(kind, text)


def finding_row(finding: Finding) -> Row:
    return {
        "id": finding.id,
        "time": finding.time,
        "first_event": finding.first_event,
        "last_event": finding.last_event,
        "rule": finding.rule.id,
        "rule_version": finding.rule.version,
        "kind": finding.kind,
        "scope": finding.entity.scope.value,
        "value": finding.entity.value,
        "owner": finding.owner,
        "severity": finding.severity.rank,
        "title": finding.title,
        "count": finding.evidence.count,
        "document": _encoder.encode(finding).decode(),
    }


def incident_row(incident: Incident) -> Row:
    return {
        "id": incident.id,
        "scope": incident.entity.scope.value,
        "value": incident.entity.value,
        "owner": incident.owner,
        "opened": incident.opened,
        "last_finding": incident.last_finding,
        "due": incident.due,
        "state": incident.state.value,
        "severity": incident.severity.rank,
        "tier": incident.tier,
        "title": incident.title,
        "document": _encoder.encode(incident).decode(),
    }


def decision_row(decision: Decision) -> Row:
    return {
        "id": decision.id,
        "time": decision.time,
        "scope": decision.scope.value,
        "value": decision.value,
        "type": decision.type.value,
        "target": decision.target,
        "expires": decision.expires,
        "mode": decision.mode.value,
        "state": decision.state.value,
        "reason": decision.reason.value,
        "incident": decision.incident,
        "finding": decision.finding,
        "rule": decision.rule,
        "owner": decision.owner,
        "answer_by": until(decision) if decision.state in WAITING else None,
        "document": _encoder.encode(decision).decode(),
    }


def considered_row(word: Considered, turn: int, place: int) -> Row:
    """What became of a finding, with its turn and its place among the turn's."""
    return {**flat_row(word), "reason": word.reason.value, "mode": word.mode.value, "turn": turn, "place": place}


def considered(row: RowMapping | Mapping[str, Any]) -> Considered:
    fields = {name: row[name] for name in Considered.__struct_fields__}
    return Considered(**{**fields, "reason": Reason(row["reason"]), "mode": Mode(row["mode"])})


def risk_row(risk: Risk) -> Row:
    return {"scope": risk.entity.scope.value, "value": risk.entity.value, "score": risk.score, "at": risk.at}


def flat_row(struct: msgspec.Struct) -> Row:
    """A struct of plain fields as it stands."""
    return msgspec.structs.asdict(struct)


def message_row(message: Message, place: int) -> Row:
    return {
        **flat_row(message),
        "place": place,
        "attempts": 0,
        "next_attempt": message.created,
        "state": DeliveryState.PENDING.value,
        "last_error": "",
        "receipt": "",
        "sent": None,
    }


def delivery(row: RowMapping | Mapping[str, Any]) -> Delivery:
    columns = dict(row)
    message = Message(**{name: columns.pop(name) for name in Message.__struct_fields__})
    del columns["place"]
    return Delivery(message=message, **{**columns, "state": DeliveryState(columns["state"])})


def standing(row: RowMapping | Mapping[str, Any]) -> Standing:
    return Standing(**{**row, "kind": StandingKind(row["kind"])})
