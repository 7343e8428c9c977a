"""What lists and look-ups read from the record: a part of `SqlStore`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from sqlalchemy import select

from detectors.finding import Finding
from monitor.audit import ChainedEntry
from monitor.decoders import DeadLetter
from monitor.sealing import Seal
from monitor.stores import (
    deciding,
    letters,
    reading,
    tables,
)
from monitor.stores.appeals import Appeal, appeal, appeal_of, appeals_against
from monitor.stores.connection import Database
from monitor.stores.record import (
    CLOCK_MODES,
    EVERYTHING,
    Counts,
    DeadLetterRow,
    LetterAccount,
    NumberedDecision,
    Query,
)
from monitor.stores.rows import considered, document
from monitor.stores.turn import audit_head
from playbooks.decision import Considered, Decision, Mode
from playbooks.incident import Incident

STARTING_MAX: Final = 10
"""Ids given for the beginning of one: enough to tell people that it is not unique."""


class ListSide:
    """Lists, single rows, counts and the audit."""

    _database: Database
    _seal: Seal

    def findings(self, query: Query = EVERYTHING) -> Iterator[Finding]:
        read = self._database.reading
        return reading.listed(read, tables.findings, query, lambda row: document(Finding, row["document"]))

    def incidents(self, query: Query = EVERYTHING) -> Iterator[Incident]:
        read = self._database.reading
        return reading.listed(read, tables.incidents, query, lambda row: document(Incident, row["document"]))

    def decisions(self, query: Query = EVERYTHING) -> Iterator[Decision]:
        read = self._database.reading
        return reading.listed(read, tables.decisions, query, lambda row: document(Decision, row["document"]))

    def appeals(self, query: Query = EVERYTHING) -> Iterator[Appeal]:
        return reading.listed(self._database.reading, tables.appeals, query, appeal)

    def appeal(self, key: str) -> Appeal | None:
        with self._database.reading() as connection:
            return appeal_of(connection, key)

    def appeals_against(self, decision: str) -> Sequence[Appeal]:
        """All appeals against a decision, the oldest first."""
        with self._database.reading() as connection:
            return appeals_against(connection, decision)

    def dead_letters(self, query: Query = EVERYTHING) -> Iterator[DeadLetterRow]:
        return reading.listed(self._database.reading, tables.dead_letters, query, reading.dead_letter)

    def finding(self, key: str) -> Finding | None:
        with self._database.reading() as connection:
            return reading.one_document(connection, Finding, tables.findings, key)

    def incident(self, key: str) -> Incident | None:
        with self._database.reading() as connection:
            return reading.one_document(connection, Incident, tables.incidents, key)

    def decision(self, key: str) -> Decision | None:
        with self._database.reading() as connection:
            return reading.one_document(connection, Decision, tables.decisions, key)

    def dead_letter(self, key: str) -> DeadLetterRow | None:
        with self._database.reading() as connection:
            row = reading.one(connection, tables.dead_letters, key)
            return None if row is None else reading.dead_letter(row)

    def ids_starting(self, kind: str, prefix: str, limit: int = STARTING_MAX) -> list[str]:
        """Ids of a table ("findings", "standings" …) that begin like that: what people write of an id."""
        with self._database.reading() as connection:
            return reading.starting(connection, tables.metadata.tables[kind], "id", prefix, limit)

    def rules_starting(self, prefix: str, limit: int = STARTING_MAX) -> list[str]:
        """Ids of rules with findings that begin like that."""
        with self._database.reading() as connection:
            return reading.starting(connection, tables.findings, "rule", prefix, limit)

    def unseal(self, row: DeadLetterRow) -> DeadLetter:
        """A dead letter with its raw bytes; raises `sealing.SealError` when the key is not the one it was sealed with."""
        raw = self._seal.open(row.sealed, letters.dead_letter_context(row.id))
        return DeadLetter(row.partition, row.position, row.reason, row.detail, raw, row.length, row.lines, row.format)

    def dead_letter_accounts(self) -> Sequence[LetterAccount]:
        """What came of dead letters and what is kept of them, by source and reason."""
        with self._database.reading() as connection:
            return letters.accounts(connection)

    def considered(self, finding: str) -> Considered | None:
        table = tables.considered
        with self._database.reading() as connection:
            row = connection.execute(select(table).where(table.c.finding == finding)).mappings().one_or_none()
            return None if row is None else considered(row)

    def decisions_in_force(self, now: int, modes: Collection[Mode] = CLOCK_MODES) -> Sequence[Decision]:
        with self._database.reading() as connection:
            return reading.decisions_in_force(connection, now, modes)

    def decision_changes(
        self, after: int, limit: int, modes: Collection[Mode] = (Mode.LIVE,)
    ) -> Sequence[NumberedDecision]:
        """Decisions whose last change lies after a place, in the order of those changes."""
        with self._database.reading() as connection:
            return deciding.decision_changes(connection, after, limit, modes)

    def last_decision_change(self) -> int:
        """The place of the last change of any decision; 0 before the first."""
        with self._database.reading() as connection:
            return deciding.counter(connection, deciding.CHANGE)

    def decision_floor(self) -> int:
        """Places before this one are those of a record from before a restore; 0 where none was restored."""
        with self._database.reading() as connection:
            return deciding.counter(connection, deciding.FLOOR)

    def numbered_decision(self, number: int) -> NumberedDecision | None:
        with self._database.reading() as connection:
            return deciding.numbered_decision(connection, number)

    def counts(self) -> Counts:
        with self._database.reading() as connection:
            return reading.counts(connection)

    def audit_entries(self, after_seq: int = 0) -> Iterator[ChainedEntry]:
        return reading.audit_entries(self._database.reading, after_seq)

    def audit_about(self, subject: str, limit: int) -> Sequence[ChainedEntry]:
        """The newest entries about something, in their order."""
        with self._database.reading() as connection:
            return reading.audit_about(connection, subject, limit)

    def audit_head(self) -> tuple[int, str]:
        """Number and hash of the newest entry."""
        with self._database.reading() as connection:
            return audit_head(connection)
