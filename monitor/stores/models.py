"""The models of the learned detector in the record: their stories, their states, and their files, packed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, func, select, update

from detectors.finding import Scope, Severity
from detectors.learned.telling import NAME as LEARNED
from monitor.audit import AuditEntry
from monitor.stores import Message, tables
from monitor.stores.operating import answer_request
from monitor.stores.outgoing import put_messages
from monitor.stores.record import NotFound, Reply
from monitor.stores.rows import flat_row
from monitor.stores.turn import append_audit
from monitor.stores.undos import Verdict

FILES_KEPT: Final = 3
"""Files of models that are neither in force nor tried, the newest by when that came to be: to go back to. That of the one that was in force
last is kept beside them, however many trials have been given up since.
"""

STORIES_KEPT: Final = 100
"""Models whose stories are kept, the newest."""

FILE_BYTES_MAX: Final = 96 << 20
"""Of a model's file as it is unpacked."""


class ModelState(StrEnum):
    """Where a model stands: refused after its training; just trained; tried beside what is in force; in force; in force before; given up."""

    REFUSED = "refused"
    TRAINED = "trained"
    CANDIDATE = "candidate"
    ACTIVE = "active"
    RETIRED = "retired"
    WITHDRAWN = "withdrawn"


class Shares(msgspec.Struct, frozen=True, kw_only=True):
    """How good a model is with `rows` of apps that it has not seen: the share of honest rows and apps it would tell of, and of planted
    misbehaviour that it finds, in all and by kind.
    """

    rows: int
    told: float
    told_apps: float
    found: float
    found_of: Mapping[str, float]


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """What a model was made of: hours of events between two times (microseconds), each a row an app. `before` is of the model that was in
    force then, by the same rows; `refused` says why the model may not be used, if so; `drift` is how far features have moved since.
    """

    first: int
    until: int
    rows: int
    held_rows: int
    left_out: int
    learned_h: int
    experts: Mapping[str, tuple[int, int]]  # rows and apps of each category
    figures: Shares
    before: Shares | None = None
    refused: str = ""
    drift: Mapping[str, float] = {}


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """A model in the record, without its file; `since` is when it came to its state. People call it by its number."""

    digest: str
    number: int
    state: ModelState
    created: int
    since: int
    bytes: int
    story: Story


def models(connection: Connection) -> list[ModelRow]:
    """All models, those that came to their state last first."""
    columns = tables.models.c
    wanted = select(*(columns[name] for name in ModelRow.__struct_fields__))
    ordered = wanted.order_by(columns.since.desc(), columns.number.desc())
    return [_row(row) for row in connection.execute(ordered).mappings()]


def _row(row: Any) -> ModelRow:
    story = msgspec.json.decode(row["story"], type=Story)
    return ModelRow(**{**row, "state": ModelState(row["state"]), "story": story})


def file_of(connection: Connection, digest: str) -> bytes | None:
    """A model's file; None where it is not kept. What cannot be unpacked is given as it is, and has another digest."""
    table = tables.models
    packed = connection.execute(select(table.c.content).where(table.c.digest == digest)).scalar()
    if not packed:
        return None
    try:
        return zlib.decompressobj().decompress(packed, FILE_BYTES_MAX)
    except zlib.error:
        return bytes(packed)


def add_model(connection: Connection, added: ModelRow, file: bytes, entry: AuditEntry) -> ModelRow:
    """Keep a model, and give it the next number."""
    table = tables.models
    number = int(connection.execute(select(func.coalesce(func.max(table.c.number), 0))).scalar() or 0) + 1
    row = msgspec.structs.replace(added, number=number)
    packed = zlib.compress(file, 1) if row.state is not ModelState.REFUSED else b""
    text = msgspec.json.encode(row.story).decode()
    connection.execute(table.insert(), [{**flat_row(row), "state": row.state.value, "story": text, "content": packed}])
    append_audit(connection, [msgspec.structs.replace(entry, subject=f"model {number}")])
    _let_go(connection)
    return row


def change_models(
    connection: Connection,
    changed: Sequence[ModelRow],
    entry: AuditEntry,
    messages: Sequence[Message] = (),
    reply: Reply | None = None,
) -> None:
    """Let models change their states together, and tell of it."""
    table = tables.models
    for row in changed:
        values: dict[str, object] = {"state": row.state.value, "since": row.since}
        if row.state is ModelState.CANDIDATE:  # a trial begins, and nothing has been looked at in it
            values["story"] = msgspec.json.encode(msgspec.structs.replace(row.story, drift={})).decode()
        if not connection.execute(update(table).where(table.c.digest == row.digest).values(values)).rowcount:
            raise NotFound("model", row.digest)
    _let_go(connection)
    put_messages(connection, messages)
    append_audit(connection, [entry])
    if reply is not None:
        answer_request(connection, reply)


def note_drift(connection: Connection, digest: str, drift: Mapping[str, float]) -> None:
    """Say how far features have moved since a model's training; of a model that is gone, nothing."""
    table = tables.models
    text = connection.execute(select(table.c.story).where(table.c.digest == digest)).scalar()
    if text is not None:
        story = msgspec.structs.replace(msgspec.json.decode(text, type=Story), drift=dict(drift))
        values = {"story": msgspec.json.encode(story).decode()}
        connection.execute(update(table).where(table.c.digest == digest).values(values))


def told_of(connection: Connection, version: str, since: int) -> int:
    """How many findings of a model's version lie after a time of events, those of its trial included, but for those that are marked true."""
    found = tables.findings.c
    is_its = found.rule.startswith(f"{LEARNED}.", autoescape=True) & (found.rule_version == version)
    marks = tables.finding_marks.c
    is_true = (marks.finding == found.id) & (marks.verdict == Verdict.TRUE.value)
    wanted = select(func.count()).select_from(tables.findings.outerjoin(tables.finding_marks, is_true))
    unsaid = marks.finding.is_(None)
    return int(connection.execute(wanted.where(is_its, found.time >= since, unsaid)).scalar_one())


def found_in(connection: Connection, since: int, until: int, now: int) -> list[tuple[str, int, int]]:
    """The apps about which something was found between two times of events, each with from when until when.

    That is what people say is true, and what others than models found that is at least of medium severity and of which nobody says that
    it is false, or known to be benign.
    """
    found, marks = tables.findings.c, tables.finding_marks.c
    marked = (marks.finding == found.id) & marks.verdict.is_not(None) & (marks.expires > now)
    grave = (found.kind != LEARNED) & (found.severity >= Severity.MEDIUM.rank) & marks.verdict.is_(None)
    wanted = (
        select(found.value, found.first_event, found.last_event)
        .select_from(tables.findings.outerjoin(tables.finding_marks, marked))
        .where(found.scope == Scope.APP.value, found.last_event >= since, found.first_event < until)
        .where(grave | (marks.verdict == Verdict.TRUE.value))
    )
    return [(row.value, row.first_event, row.last_event) for row in connection.execute(wanted)]


def _let_go(connection: Connection) -> None:
    """Of models whose time is over the newest files are kept, with that of the last in force, and of all the newest stories."""
    table = tables.models
    known = models(connection)
    over = [row for row in known if row.state not in {ModelState.ACTIVE, ModelState.CANDIDATE}]
    last = next((row.digest for row in over if row.state is ModelState.RETIRED), "")
    older = [row.digest for row in over if row.state is not ModelState.REFUSED][FILES_KEPT:]
    without = [digest for digest in older if digest != last]
    connection.execute(update(table).where(table.c.digest.in_(without)).values(content=b""))
    connection.execute(table.delete().where(table.c.digest.in_([row.digest for row in over[STORIES_KEPT:]])))
