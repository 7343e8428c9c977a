"""Rows as programs read them: a stable contract, one object a row, the same on the command line and over HTTP."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from detectors.event import END_OF_TIME
from monitor.audit import ChainedEntry
from monitor.moments import stamp
from monitor.stores import AppRecord
from monitor.stores.models import ModelRow
from monitor.tokens import Token
from playbooks.risk import Risk

Told = dict[str, Any]

TIMES: Final = frozenset(
    [
        "time",
        "first_event",
        "last_event",
        "opened",
        "last_finding",
        "due",
        "expires",
        "answer_by",
        "begins",
        "since",
        "until",
        "created",
        "replayed",
        "as_of",
        "filed",
        "answered",
        "owed_by",
    ]
)
"""Fields that are microseconds in our structs and RFC 3339 in what we write."""


def wire(row: Any) -> Told:
    """A struct as programs read it: its fields by name, times as RFC 3339, sealed bytes left out.

    A time that never comes is null.
    """
    if isinstance(row, dict):
        return row
    plain = {name: getattr(row, name) for name in row.__struct_fields__}
    told = {name: value for name, value in plain.items() if not isinstance(value, bytes)}
    return {
        name: _time(value) if name in TIMES and isinstance(value, int) else msgspec.to_builtins(value)
        for name, value in told.items()
    }


def _time(at: int) -> str | None:
    return None if at >= END_OF_TIME else stamp(at)


def token_told(token: Token) -> Told:
    """A token: all but what could be compared with its secret."""
    return {
        "id": token.id,
        "name": token.name,
        "roles": list(token.roles),
        "created": stamp(token.created),
        "expires": stamp(token.expires),
        "revoked": None if token.revoked is None else stamp(token.revoked),
        "actor": token.actor,
    }


def model_told(row: ModelRow) -> Told:
    """A model with what it was made of; `experts` are by category."""
    story: Told = msgspec.to_builtins(row.story)
    story |= {"first": stamp(row.story.first), "until": stamp(row.story.until)}
    story["experts"] = {name: {"rows": rows, "apps": apps} for name, (rows, apps) in row.story.experts.items()}
    return {**wire(row), "story": story}


def entry_told(row: ChainedEntry) -> Told:
    """An entry of the audit in its place."""
    return {"seq": row.seq, **wire(row.entry), "previous": row.previous, "hash": row.hash}


def app_told(record: AppRecord) -> Told:
    """A registry line: what it says, of which app, and since when."""
    document: Told = msgspec.json.decode(record.document)
    return {**document, "app_id": record.app_id, "as_of": stamp(record.as_of)}


def app_with_risk(app: str, record: AppRecord | None, risk: Risk | None) -> Told:
    """What is known of one app: its newest line, and how risky it was when something was last found about it."""
    document = {"app_id": app} if record is None else app_told(record)
    return {**document, "risk": None if risk is None else {"score": risk.score, "at": stamp(risk.at)}}
