"""The tables of the record: one schema for SQLite and PostgreSQL.

Times are microseconds since 1970 UTC. Rows of findings, incidents and decisions keep the whole struct as JSON in
`document`; the columns beside it are what lists filter by.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Double, Index, Integer, LargeBinary, MetaData, SmallInteger, Table

from monitor.stores.dialects import Words

metadata: Final = MetaData(naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_N_name)s"})


def _key(name: str, of: type = Words) -> Column[object]:
    return Column(name, of, primary_key=True, autoincrement=False)


def _text(*names: str) -> list[Column[object]]:
    return [Column(name, Words, nullable=False) for name in names]


def _maybe(*names: str) -> list[Column[object]]:
    return [Column(name, Words, nullable=True) for name in names]


def _whole(*names: str) -> list[Column[object]]:
    return [Column(name, BigInteger, nullable=False) for name in names]


def _raw(*names: str) -> list[Column[object]]:
    return [Column(name, LargeBinary, nullable=False) for name in names]


def _severity() -> Column[object]:
    return Column("severity", SmallInteger, nullable=False)  # its rank, so that "at least high" is a comparison


meta: Final = Table("meta", metadata, _key("key"), *_text("value"))

marks: Final = Table(
    "marks",
    metadata,
    _key("stream"),
    _key("turn", BigInteger),
    *_whole("watermark"),
    *_text("inputs"),
    *_whole("position"),
)

controls: Final = Table(
    "controls",
    metadata,
    _key("stream"),
    _key("turn", BigInteger),
    _key("subject"),
    *_text("digest", "positions"),
    *_whole("time"),
)

contents: Final = Table("contents", metadata, _key("digest"), *_raw("content"))

packs: Final = Table(
    "packs",
    metadata,
    _key("digest"),
    *_text("name", "signer", "state", "stage"),
    *_whole("version", "since"),
    *_raw("content"),
)

models: Final = Table(
    "models",
    metadata,
    _key("digest"),
    *_text("state", "story"),
    *_whole("number", "created", "since", "bytes"),
    *_raw("content"),
)

requests: Final = Table(
    "requests",
    metadata,
    _key("id"),
    *_text("kind", "subject", "reason", "actor"),
    *_whole("created"),
    Column("answered", BigInteger, nullable=True),
    *_text("answer"),
)
Index(None, requests.c.answered, requests.c.created)

streams: Final = Table("streams", metadata, _key("name"), *_whole("turn", "time", "reached", "read_out"))

detected: Final = Table("detected", metadata, _key("stream"), _key("turn", BigInteger), *_whole("time"), *_raw("body"))

told: Final = Table("told", metadata, _key("stream"), _key("turn", BigInteger), *_whole("reached"), *_raw("body"))

gathered: Final = Table("gathered", metadata, _key("name"), *_whole("time"), *_raw("body"))

snapshots: Final = Table(
    "snapshots",
    metadata,
    _key("stream"),
    _key("turn", BigInteger),
    *_whole("epoch", "position", "time", "bytes"),
    *_text("place", "sha256"),
)

progress: Final = Table(
    "progress",
    metadata,
    _key("partition"),
    *_whole("end"),
    *_raw("cursor", "clock"),
    *_whole("received", "processed", "dead_lettered", "late", "duplicate", "future"),
)

dead_letters: Final = Table(
    "dead_letters",
    metadata,
    _key("id"),
    *_whole("turn", "time"),
    *_text("partition"),
    *_whole("position"),
    *_text("reason", "detail"),
    *_raw("sealed"),
    *_whole("length", "lines"),
    *_text("format"),
    Column("replayed", BigInteger, nullable=True),
)
Index(None, dead_letters.c.time, dead_letters.c.id)
Index(None, dead_letters.c.reason)
Index(None, dead_letters.c.partition, dead_letters.c.reason, dead_letters.c.id)

dead_letter_accounts: Final = Table(
    "dead_letter_accounts",
    metadata,
    _key("partition"),
    _key("reason"),
    *_whole("lines", "rows", "kept", "bytes", "dropped"),
)

findings: Final = Table(
    "findings",
    metadata,
    _key("id"),
    *_whole("time", "first_event", "last_event"),
    *_text("rule", "rule_version", "kind", "scope", "value"),
    *_maybe("owner"),
    _severity(),
    *_text("title"),
    *_whole("count"),
    *_text("document"),
    *_whole("changed"),
)
Index(None, findings.c.changed, unique=True)
Index(None, findings.c.time, findings.c.id)
Index(None, findings.c.scope, findings.c.value, findings.c.time)
Index(None, findings.c.rule, findings.c.time)
Index(None, findings.c.owner)

untold: Final = Table("untold", metadata, _key("finding"), *_whole("count", "due"))
Index(None, untold.c.due, untold.c.finding)

risks: Final = Table(
    "risks", metadata, _key("scope"), _key("value"), Column("score", Double, nullable=False), *_whole("at")
)

incidents: Final = Table(
    "incidents",
    metadata,
    _key("id"),
    *_text("scope", "value"),
    *_maybe("owner"),
    *_whole("opened", "last_finding", "due"),
    *_text("state"),
    _severity(),
    *_text("tier", "title", "document"),
)
Index(None, incidents.c.opened, incidents.c.id)
Index(None, incidents.c.scope, incidents.c.value, incidents.c.state)

clocks: Final = Table(
    "clocks",
    metadata,
    _key("incident"),
    _key("episode", SmallInteger),  # the severity's rank
    _key("kind"),
    *_whole("begun", "due"),
    Column("told", SmallInteger, nullable=False),
    Column("next", BigInteger, nullable=True),
    Column("stopped", BigInteger, nullable=True),
    *_text("stopped_by"),
    Column("breached", BigInteger, nullable=True),
)
Index(None, clocks.c.next)
Index(None, clocks.c.kind, clocks.c.stopped)

incident_words: Final = Table(
    "incident_words",
    metadata,
    _key("id"),
    *_text("incident", "actor", "act", "text", "assignee"),
    *_whole("time"),
)
Index(None, incident_words.c.incident, incident_words.c.time)

decisions: Final = Table(
    "decisions",
    metadata,
    _key("id"),
    *_whole("time"),
    *_text("scope", "value", "type"),
    *_maybe("target"),
    *_whole("expires"),
    *_text("mode", "state", "reason"),
    *_maybe("incident", "finding", "rule", "owner"),
    *_text("document"),
    *_whole("number", "changed"),
    Column("answer_by", BigInteger, nullable=True),
)
Index(None, decisions.c.number, unique=True)
Index(None, decisions.c.changed, unique=True)
Index(None, decisions.c.time, decisions.c.id)
Index(None, decisions.c.scope, decisions.c.value, decisions.c.time)
Index(None, decisions.c.owner, decisions.c.time)
Index(None, decisions.c.state, decisions.c.expires)
Index(None, decisions.c.state, decisions.c.number)
Index(None, decisions.c.state, decisions.c.answer_by)
Index(None, decisions.c.incident)
Index(None, decisions.c.reason, decisions.c.time)

considered: Final = Table(
    "considered",
    metadata,
    _key("finding"),
    *_maybe("incident", "decision"),
    *_text("reason", "detail"),
    *_whole("turn", "place", "clock"),
    *_text("mode"),
)
Index(None, considered.c.incident)
Index(None, considered.c.turn)

finding_marks: Final = Table(
    "finding_marks",
    metadata,
    _key("finding"),
    *_maybe("verdict", "undo"),
    *_text("reason", "actor"),
    *_whole("time"),
    Column("expires", BigInteger, nullable=True),
)
Index(None, finding_marks.c.verdict)

undos: Final = Table(
    "undos",
    metadata,
    _key("id"),
    *_text("kind", "subject", "reason", "actor"),
    *_whole("time"),
    Column("since", BigInteger, nullable=True),
    Column("until", BigInteger, nullable=True),
    *_whole("findings", "lifted", "released", "waiting", "kept"),
)
Index(None, undos.c.time)

undone: Final = Table("undone", metadata, _key("undo"), _key("decision"), *_text("fate"))
Index(None, undone.c.decision)

outbox: Final = Table(
    "outbox",
    metadata,
    _key("key"),
    *_text("channel"),
    *_raw("body"),
    *_whole("created"),
    Column("attempts", Integer, nullable=False),
    *_whole("next_attempt"),
    *_text("state", "last_error", "receipt"),
    Column("sent", BigInteger, nullable=True),
    *_text("line", "about"),
    *_whole("place"),
)
Index(None, outbox.c.channel, outbox.c.line, outbox.c.state, outbox.c.place)
Index(None, outbox.c.about)
Index(None, outbox.c.place)
Index(None, outbox.c.state, outbox.c.next_attempt)

segments: Final = Table(
    "segments",
    metadata,
    _key("path"),
    *_text("day"),
    *_whole("turn_first", "turn_last", "rows", "bytes", "time_min", "time_max"),
    *_text("sha256", "stream", "folder"),
)
Index(None, segments.c.day)
Index(None, segments.c.folder, segments.c.stream, segments.c.turn_last)

folders: Final = Table("folders", metadata, _key("name"), *_text("host", "path"), *_whole("time"))

measurements: Final = Table(
    "measurements",
    metadata,
    _key("what"),
    _key("host"),
    _key("place"),
    _key("time", BigInteger),
    Column("value", Double, nullable=False),
    Column("bound", Double, nullable=True),
)
Index(None, measurements.c.time)

standings: Final = Table(
    "standings",
    metadata,
    _key("id"),
    *_text("kind", "scope", "value"),
    *_maybe("rule"),
    *_text("reason", "actor"),
    *_whole("created", "expires", "begins"),
)

appeals: Final = Table(
    "appeals",
    metadata,
    _key("id"),
    *_text("decision", "scope", "value", "appellant", "statement", "actor", "state", "reason"),
    *_whole("filed", "answer_by"),
    *_maybe("reviewer", "answered_by"),
    Column("answered", BigInteger, nullable=True),
)
Index(None, appeals.c.decision)
Index(None, appeals.c.filed)
Index(None, appeals.c.state, appeals.c.answer_by)

rules_since: Final = Table("rules_since", metadata, _key("rule"), _key("version"), *_whole("since"))

tokens: Final = Table(
    "tokens",
    metadata,
    _key("id"),
    *_text("name", "roles", "digest", "actor"),
    *_whole("created", "expires"),
    Column("revoked", BigInteger, nullable=True),
)

pulls: Final = Table("pulls", metadata, _key("client"), *_text("token", "address", "agent"), *_whole("place", "time"))

indexed: Final = Table(
    "indexed",
    metadata,
    _key("what"),
    _key("stream"),
    _key("folder"),
    *_whole("place"),
    *_text("since"),
    *_whole("sent_until", "set_aside", "time"),
)

set_aside: Final = Table("set_aside", metadata, _key("what"), _key("id"), *_text("reason", "detail"), *_whole("time"))
Index(None, set_aside.c.time)

leases: Final = Table("leases", metadata, _key("name"), *_text("holder"), *_whole("epoch", "until"))

apps: Final = Table("apps", metadata, _key("app_id"), _key("as_of", BigInteger), *_text("document"))

audit: Final = Table(
    "audit",
    metadata,
    _key("seq", BigInteger),
    *_whole("time"),
    *_text("actor", "action", "subject", "reason", "before", "after", "previous", "hash"),
)
Index(None, audit.c.subject)
