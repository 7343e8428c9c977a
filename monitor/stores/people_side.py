"""What people and the passing of time change in the record: a part of `SqlStore`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from sqlalchemy import select

from monitor.audit import AuditEntry
from monitor.stores import (
    AppRecord,
    Message,
    Standing,
    changes,
    clocks,
    deciding,
    forgetting,
    granting,
    letters,
    models,
    operating,
    reading,
    standings,
    tables,
)
from monitor.stores.acting import Acting
from monitor.stores.clocks import ClockCount, ClocksSettled, Episodes, IncidentWord
from monitor.stores.connection import Database
from monitor.stores.deciding import Tell, counter
from monitor.stores.models import ModelRow
from monitor.stores.record import (
    CLOCK_MODES,
    PackRow,
    Reply,
    Request,
)
from monitor.stores.rows import documents
from monitor.stores.turn import append_audit
from monitor.tokens import Token
from playbooks.clocks import Clock
from playbooks.decision import Decision, Mode
from playbooks.incident import Incident

REQUESTS_MAX: Final = 100
"""Open requests that the daemon looks at at once."""


class PeopleSide:
    """Acts of people, packs, tokens, the registry, and retention."""

    _database: Database
    _tell: Tell

    def audit(self, entry: AuditEntry) -> None:
        with self._database.writing("operator") as connection:
            append_audit(connection, [entry])

    def begin_anew(self, entry: AuditEntry) -> None:
        """Say that an older copy was put back: enforcers begin anew with what is in force, and no fence of before holds."""
        with self._database.writing("operator") as connection:
            append_audit(connection, [entry])
            deciding.begin_anew(connection, entry.time)

    def ask(self, request: Request) -> None:
        """Ask the running daemon for something; it answers within seconds."""
        with self._database.writing("operator") as connection:
            operating.ask(connection, request)

    def open_requests(self, limit: int = REQUESTS_MAX) -> Sequence[Request]:
        with self._database.reading() as connection:
            return operating.open_requests(connection, limit)

    def answer_request(self, reply: Reply) -> None:
        """Say what came of a request; `NotFound` when it has been answered."""
        with self._database.writing("requests") as connection:
            operating.answer_request(connection, reply)

    def answer_of(self, key: str) -> str | None:
        with self._database.reading() as connection:
            return operating.answer_of(connection, key)

    def packs(self) -> Sequence[PackRow]:
        """All packs, those that came to their state last first."""
        with self._database.reading() as connection:
            return operating.packs(connection)

    def pack_content(self, digest: str) -> bytes | None:
        table = tables.packs
        with self._database.reading() as connection:
            return connection.execute(select(table.c.content).where(table.c.digest == digest)).scalar()

    def add_pack(self, pack: PackRow, content: bytes, entry: AuditEntry) -> None:
        with self._database.writing("operator") as connection:
            operating.add_pack(connection, pack, content, entry)

    def change_packs(
        self,
        changed: Sequence[PackRow],
        entry: AuditEntry,
        messages: Sequence[Message] = (),
        reply: Reply | None = None,
    ) -> None:
        """Let packs change their states, all or none, and put what is told of it into the outbox.

        With `reply`, the one who asked for it has the answer in the same moment: a kill never has it done twice.
        """
        with self._database.writing("packs") as connection:
            operating.change_packs(connection, changed, entry, messages, reply)

    def models(self) -> Sequence[ModelRow]:
        """All models, those that came to their state last first."""
        with self._database.reading() as connection:
            return models.models(connection)

    def add_model(self, model: ModelRow, file: bytes, entry: AuditEntry) -> ModelRow:
        """Keep a model with its file; it comes back with its number, which the entry is about."""
        with self._database.writing("operator") as connection:
            return models.add_model(connection, model, file, entry)

    def change_models(
        self,
        changed: Sequence[ModelRow],
        entry: AuditEntry,
        messages: Sequence[Message] = (),
        reply: Reply | None = None,
    ) -> None:
        """Let models change their states, all or none, as packs do."""
        with self._database.writing("models") as connection:
            models.change_models(connection, changed, entry, messages, reply)

    def told_of(self, version: str, since: int) -> int:
        """How many findings of a model's version lie after a time of events."""
        with self._database.reading() as connection:
            return models.told_of(connection, version, since)

    def found_in(self, since: int, until: int, now: int) -> Sequence[tuple[str, int, int]]:
        """The apps about which something was found that no model may learn from, each with from when until when."""
        with self._database.reading() as connection:
            return models.found_in(connection, since, until, now)

    def note_drift(self, digest: str, drift: Mapping[str, float]) -> None:
        with self._database.writing("models") as connection:
            models.note_drift(connection, digest, drift)

    def forget_requests(self, before: int) -> None:
        """Delete requests that were made before a time; they and their answers are in the audit."""
        with self._database.writing("retention") as connection:
            operating.forget_requests(connection, before)

    @contextmanager
    def acting(self) -> Iterator[Acting]:
        """A transaction in which decisions are answered, made or lifted; committed at the end, undone by any error."""
        with self._database.writing("operator") as connection:
            yield Acting(connection, self._tell)

    def waiting_decisions(self, limit: int, after: tuple[int, str] | None = None) -> Sequence[Decision]:
        """Live decisions that wait for a person, by the time until which they can be answered, from after a time and id on."""
        with self._database.reading() as connection:
            return reading.waiting_decisions(connection, limit, after)

    def count_waiting(self) -> int:
        """How many live decisions wait for a person."""
        with self._database.reading() as connection:
            return reading.count_waiting(connection)

    def has_due_clocks(self, now: int) -> bool:
        with self._database.reading() as connection:
            return bool(clocks.due_clocks(connection, now, 1))

    def clock_counts(self) -> Sequence[ClockCount]:
        """How many clocks of incidents run, in time or overdue."""
        with self._database.reading() as connection:
            return clocks.count_clocks(connection)

    def settled_clocks(self, since: int) -> Sequence[ClocksSettled]:
        """What has come of clocks of incidents after a time."""
        with self._database.reading() as connection:
            return clocks.settled_clocks(connection, since)

    def episodes(self, of: Episodes, limit: int) -> Sequence[tuple[Clock, Incident]]:
        """Incidents of which people were told, each with the last clock of an episode; the most severe first, of these the newest."""
        with self._database.reading() as connection:
            found = clocks.episodes(connection, of, limit)
            incidents = {
                one.id: one
                for one in documents(connection, Incident, tables.incidents, {one.incident for one in found})
            }
            return [(one, incidents[one.incident]) for one in found if one.incident in incidents]

    def count_episodes(self, of: Episodes) -> int:
        with self._database.reading() as connection:
            return clocks.count_episodes(connection, of)

    def words_about(self, incidents: Collection[str]) -> Sequence[IncidentWord]:
        """What people have said about incidents, the oldest first."""
        with self._database.reading() as connection:
            return clocks.words_about(connection, incidents)

    def expire_decisions(self, now: int, modes: Collection[Mode] = CLOCK_MODES) -> list[Decision]:
        with self._database.reading() as connection:
            if not operating.has_due(connection, now, modes):  # the usual second: nobody who writes waits for it
                return []
        with self._database.writing("expiry") as connection:
            return operating.expire_decisions(connection, now, modes, self._tell)

    def add_standing(self, standing: Standing) -> None:
        """Lay down a word; it holds for every turn that is not committed yet."""
        with self._database.writing("operator") as connection:
            standings.add_standing(connection, standing)

    def remove_standing(self, key: str, actor: str, reason: str, now: int) -> Standing:
        with self._database.writing("operator") as connection:
            return standings.remove_standing(connection, key, actor, reason, now)

    def standings(self, now: int) -> Sequence[Standing]:
        with self._database.reading() as connection:
            return standings.standings(connection, now)

    def add_token(self, token: Token, reason: str) -> None:
        with self._database.writing("operator") as connection:
            granting.add_token(connection, token, reason)

    def tokens(self) -> Sequence[Token]:
        """All that are kept, those whose time is over included, in the order in which they were made."""
        with self._database.reading() as connection:
            return granting.tokens(connection)

    def revoke_token(self, key: str, actor: str, reason: str, now: int) -> Token:
        with self._database.writing("operator") as connection:
            return granting.revoke_token(connection, key, actor, reason, now)

    def import_apps(self, records: Sequence[AppRecord], actor: str, now: int) -> None:
        with self._database.writing("operator") as connection:
            operating.import_apps(connection, records, actor, now)

    def apps(self, after: str | None = None) -> Iterator[AppRecord]:
        return reading.apps(self._database.reading, after)

    def app_lines(self, app_id: str) -> Sequence[AppRecord]:
        """The registry lines of one app, the oldest first."""
        with self._database.reading() as connection:
            return reading.app_lines(connection, app_id)

    def apps_version(self) -> int:
        """How often registry lines were imported."""
        with self._database.reading() as connection:
            return counter(connection, deciding.IMPORTS)

    def forget_findings(self, before: int, now: int) -> int:
        """Delete findings whose last event was before a time, and what became of them; not those of which a mark still counts."""
        with self._database.writing("retention") as connection:
            return forgetting.forget_findings(connection, before, now)

    def forget_decisions(self, before: int, now: int) -> int:
        """Delete decisions that were over before a time and whose finding is gone."""
        with self._database.writing("retention") as connection:
            return forgetting.forget_decisions(connection, before, now)

    def forget_incidents(self, before: int, now: int) -> int:
        """Delete incidents that were closed before a time and of which nothing else is kept."""
        with self._database.writing("retention") as connection:
            return forgetting.forget_incidents(connection, before, now)

    def forget_dead_letters(self, before: int, now: int) -> int:
        """Delete dead letters older than a time."""
        with self._database.writing("retention") as connection:
            rows = letters.forget(connection, before)
            append_audit(connection, changes.deleted("dead-letters", rows, before, now))
            return rows

    def mark_replayed(self, keys: Collection[str], actor: str, now: int) -> int:
        with self._database.writing("operator") as connection:
            return operating.mark_replayed(connection, keys, actor, now)

    def note_configuration(self, settings: dict[str, str], now: int) -> None:
        """Keep what a daemon is started with, and in the audit what differs from the one before."""
        with self._database.writing("configuration") as connection:
            append_audit(connection, changes.configured(connection, settings, now))
