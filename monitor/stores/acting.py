"""One transaction in which decisions are answered, made or lifted: what it reads is what is true until it has written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from sqlalchemy import Connection, func, or_, select

from detectors.finding import Entity, Finding
from monitor.audit import AuditEntry
from monitor.stores import AppRecord, Message, Standing, clocks, deciding, granting, reading, standings, tables
from monitor.stores.appeals import Appeal, appeal_of, appeals_against, open_appeals, put_appeal
from monitor.stores.clocks import IncidentWord
from monitor.stores.dialects import DocumentSays
from monitor.stores.entries import breached
from monitor.stores.outgoing import put_messages
from monitor.stores.record import NotFound, Record
from monitor.stores.rows import document, incident_row, of_entities, put
from monitor.stores.turn import append_audit
from monitor.tokens import Token
from playbooks.clocks import Clock, ClockKind
from playbooks.decision import Act, Decision, DecisionState, Mode
from playbooks.incident import Incident
from playbooks.waiting import WAITING

IN_FORCE_MAX: Final = 200_000
"""Decisions in force that are looked through for those an exemption is about."""

PERSONS: Final = ("operator:", "token:")
"""What the names of people begin with in the audit, and those of programs that come with a token."""

ANSWERED: Final = (ClockKind.ACKNOWLEDGE, ClockKind.RESPOND)
"""Clocks that an answer stops."""


class Acting:
    """What may be read and written in the transaction: whole or not at all, with its audit, and overtaking turns under way.

    Decisions are live ones: what is only recorded can be neither answered nor lifted to any effect.
    """

    def __init__(self, connection: Connection, tell: deciding.Tell) -> None:
        self._connection = connection
        self._tell = tell

    @property
    def rulings(self) -> int:
        """The version of what operators have laid down."""
        return deciding.counter(self._connection, deciding.RULINGS)

    def known(self, key: str) -> Decision | None:
        """A decision of any mode and state, if there is one with this id."""
        return reading.one_document(self._connection, Decision, tables.decisions, key)

    def decision(self, key: str) -> Decision:
        """The same; raises `NotFound` where there is none."""
        found = self.known(key)
        if found is None:
            raise NotFound("decision", key)
        return found

    def standing_on(self, entity: Entity) -> list[Decision]:
        """Decisions about an entity that are in force or wait for a person, the newest first."""
        table = tables.decisions
        states = [DecisionState.ACTIVE.value, *(state.value for state in WAITING)]
        (of_entity,) = of_entities(table, [entity])
        wanted = select(table.c.document).where(of_entity, table.c.state.in_(states), table.c.mode == Mode.LIVE.value)
        rows = self._connection.execute(wanted.order_by(table.c.time.desc(), table.c.id.desc())).scalars()
        return [document(Decision, text) for text in rows]

    def all_standing(self) -> list[Decision]:
        """Decisions about anybody that are in force or wait for a person; the newest `IN_FORCE_MAX`."""
        table = tables.decisions
        states = [DecisionState.ACTIVE.value, *(state.value for state in WAITING)]
        wanted = select(table.c.document).where(table.c.state.in_(states), table.c.mode == Mode.LIVE.value)
        rows = self._connection.execute(wanted.order_by(table.c.time.desc(), table.c.id.desc()).limit(IN_FORCE_MAX))
        return [document(Decision, text) for text in rows.scalars()]

    def in_force(self, act: Act) -> list[Decision]:
        """Decisions of one act that are in force."""
        table = tables.decisions
        wanted = select(table.c.document).where(
            table.c.state == DecisionState.ACTIVE.value, table.c.mode == Mode.LIVE.value, table.c.type == act.value
        )
        rows = self._connection.execute(wanted.order_by(table.c.time, table.c.id)).scalars()
        return [document(Decision, text) for text in rows]

    def unanswered(self, now: int, limit: int) -> list[Decision]:
        """Decisions that have waited for a person until their time was over, the longest over first."""
        table = tables.decisions
        wanted = select(table.c.document).where(
            table.c.state.in_([state.value for state in WAITING]),
            table.c.mode == Mode.LIVE.value,
            table.c.answer_by <= now,
        )
        rows = self._connection.execute(wanted.order_by(table.c.answer_by, table.c.id).limit(limit)).scalars()
        return [document(Decision, text) for text in rows]

    def recent_decisions(self, since: int) -> list[Decision]:
        return reading.recent_decisions(self._connection, since)

    def decisions_of(self, entities: Sequence[Entity]) -> dict[Entity, Sequence[Decision]]:
        """All that is remembered of decisions about entities, of every mode, the newest first."""
        return dict(reading.decisions_of(self._connection, entities))

    def finding(self, key: str) -> Finding | None:
        return reading.one_document(self._connection, Finding, tables.findings, key)

    def incident(self, key: str) -> Incident | None:
        return reading.one_document(self._connection, Incident, tables.incidents, key)

    def token(self, key: str) -> Token | None:
        return next((token for token in granting.tokens(self._connection) if token.id == key), None)

    def standings(self, now: int) -> list[Standing]:
        return standings.standings(self._connection, now)

    def app(self, app_id: str, now: int) -> AppRecord | None:
        """The registry line that is true of an app."""
        table = tables.apps
        wanted = select(table).where(table.c.app_id == app_id, table.c.as_of <= now)
        row = self._connection.execute(wanted.order_by(table.c.as_of.desc()).limit(1)).mappings().one_or_none()
        return None if row is None else AppRecord(**row)

    def protected_app_of(self, developer: str, now: int) -> str | None:
        """An app of a developer that the registry calls protected, if there is one."""
        columns = tables.apps.c
        newest = select(columns.app_id, func.max(columns.as_of).label("as_of")).where(columns.as_of <= now)
        latest = newest.group_by(columns.app_id).subquery()
        of_developer = DocumentSays(columns.document, "developer_id", developer)
        is_protected = or_(*(DocumentSays(columns.document, "protected", true) for true in ("1", "true")))
        wanted = select(columns.app_id).join(
            latest, (columns.app_id == latest.c.app_id) & (columns.as_of == latest.c.as_of)
        )
        return self._connection.execute(wanted.where(of_developer, is_protected).limit(1)).scalar()

    def write(
        self, decisions: Sequence[Decision], entries: Iterable[AuditEntry], incidents: Sequence[Incident] = ()
    ) -> None:
        """Write decisions, and the incidents that they change, with the word on each in the audit."""
        said = list(entries)
        deciding.put_decisions(self._connection, decisions, self._tell)
        put(self._connection, tables.incidents, [incident_row(incident) for incident in incidents])
        append_audit(self._connection, said)
        deciding.raise_rulings(self._connection)
        self._answered(decisions, said)

    def _answered(self, decisions: Sequence[Decision], entries: Sequence[AuditEntry]) -> None:
        """Stop the clocks of incidents for which a person has decided something: that is an answer."""
        by = {entry.subject: entry for entry in entries if entry.actor.startswith(PERSONS)}
        for decision in decisions:
            if decision.incident is not None and (entry := by.get(decision.id)) is not None:
                self.stop_clocks(decision.incident, ANSWERED, entry.time, entry.actor)

    def clocks_of(self, incident: str) -> list[Clock]:
        """The clocks of an incident, those of the first episode first."""
        return clocks.clocks_of(self._connection, [incident])

    def due_clocks(self, now: int, limit: int) -> list[Clock]:
        """Clocks of which something is to be told, the longest due first."""
        return clocks.due_clocks(self._connection, now, limit)

    def put_clocks(self, changed: Sequence[Clock], entries: Iterable[AuditEntry]) -> None:
        """Write clocks as they stand now, with the words on those that ran out in the audit."""
        clocks.put_clocks(self._connection, changed)
        append_audit(self._connection, entries)

    def stop_clocks(self, incident: str, kinds: Collection[ClockKind], now: int, by: str) -> list[Clock]:
        """Stop those clocks of an incident that run; gives them as they stand then."""
        running = {one.kind for one in self.clocks_of(incident) if one.breached is None}
        ended = clocks.stop_clocks(self._connection, [incident], kinds, now, by)
        late = [one for one in ended if one.breached is not None and one.kind in running]
        append_audit(self._connection, [breached(one) for one in late])
        return ended

    def known_word(self, key: str) -> IncidentWord | None:
        return clocks.word_of(self._connection, key)

    def words_about(self, incident: str) -> list[IncidentWord]:
        """What people have said about an incident, the oldest first."""
        return clocks.words_about(self._connection, [incident])

    def add_word(self, word: IncidentWord, incident: Incident | None, entry: AuditEntry) -> None:
        """Keep what somebody said about an incident, and, where that changes it, the incident."""
        clocks.add_word(self._connection, word)
        self.write((), [entry], [incident] if incident is not None else ())

    def add_standing(self, standing: Standing) -> None:
        standings.add_standing(self._connection, standing)

    def appeal(self, key: str) -> Appeal:
        """An appeal; raises `NotFound` where there is none."""
        found = appeal_of(self._connection, key)
        if found is None:
            raise NotFound("appeal", key)
        return found

    def known_appeal(self, key: str) -> Appeal | None:
        return appeal_of(self._connection, key)

    def appeals_against(self, decision: str) -> list[Appeal]:
        """All appeals against a decision, the oldest first."""
        return appeals_against(self._connection, decision)

    def open_appeals(self, limit: int) -> list[Appeal]:
        """Appeals that are still to be answered, the most urgent first."""
        return open_appeals(self._connection, limit)

    def put_appeal(self, appeal: Appeal, entry: AuditEntry) -> None:
        """Write an appeal as it stands now, with the word on it in the audit."""
        put_appeal(self._connection, appeal, entry)

    def actors_of(self, subject: str, actions: Sequence[str]) -> list[str]:
        """Who did one of these to something, as the audit has it."""
        columns = tables.audit.c
        wanted = select(columns.actor).where(columns.subject == subject, columns.action.in_(actions))
        return list(self._connection.execute(wanted.distinct()).scalars())

    def mark(self, name: str) -> int:
        """How far something has come that goes on by itself; 0 before it began."""
        return deciding.counter(self._connection, name)

    def set_mark(self, name: str, value: int) -> None:
        put(self._connection, tables.meta, [{"key": name, "value": str(value)}])

    def send(self, messages: Sequence[Message]) -> None:
        """Have messages leave, each key once."""
        put_messages(self._connection, messages)


class ActingRecord(Record, Protocol):
    """A record in which decisions can be answered, made and lifted."""

    def acting(self) -> AbstractContextManager[Acting]:
        """A transaction, committed at the end and undone by any error; at most one at a time."""
        ...
