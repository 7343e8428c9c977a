"""The record in one SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import select

from detectors.finding import Entity, Finding
from monitor.audit import AuditEntry, ChainedEntry
from monitor.decoders import DeadLetter
from monitor.sealing import Seal
from monitor.stores import (
    Anchored,
    AppRecord,
    Controlled,
    GivenUp,
    LetterBounds,
    Mark,
    Message,
    Progress,
    Segment,
    Standing,
    Turn,
    anchored,
    changes,
    deciding,
    enforcing,
    granting,
    letters,
    operating,
    outgoing,
    pulling,
    reading,
    rule_ages,
    standings,
    tables,
)
from monitor.stores.acting import Acting
from monitor.stores.appeals import Appeal, appeal, appeal_of, appeals_against
from monitor.stores.connection import Database
from monitor.stores.deciding import Tell, counter, nothing
from monitor.stores.leases import Leases
from monitor.stores.record import (
    CLOCK_MODES,
    EVERYTHING,
    Counts,
    DeadLetterRow,
    Delivery,
    DeliveryState,
    EnforcerState,
    LetterAccount,
    NumberedDecision,
    PackRow,
    Pull,
    Query,
    Reply,
    Request,
)
from monitor.stores.rows import considered, delivery, document
from monitor.stores.schema import upgrade
from monitor.stores.taking_back import TakesBack
from monitor.stores.turn import LAST_TIME, append_audit, audit_head, is_committed, last_turn, write_turn
from monitor.tokens import Token
from playbooks.decision import Considered, Decision, Mode
from playbooks.incident import Incident
from playbooks.risk import Risk

BUSY_TIMEOUT_S: Final = 5.0
"""How long another process's write is waited for."""

REQUESTS_MAX: Final = 100
"""Open requests that the daemon looks at at once."""

STARTING_MAX: Final = 10
"""Ids given for the beginning of one: enough to tell people that it is not unique."""


class SqliteStore(TakesBack, Leases):
    """A `Record` in a SQLite file (WAL, fsynced at every commit), for several threads and processes at once.

    Opening makes the file, or brings an older one to the present schema; it raises `StoreError` for a file that is
    not ours, is damaged, or was made by a newer Miniwatch. With `read_only` nothing is made, and every write is refused.
    `tell` says what leaves through the outbox because live decisions have changed, whoever changed them.
    """

    def __init__(
        self,
        path: Path,
        *,
        seal: Seal,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        read_only: bool = False,
        letter_bounds: LetterBounds = LetterBounds(),  # noqa: B008 - frozen
        tell: Tell = nothing,
    ) -> None:
        self._seal = seal
        self._tell = tell
        self._letter_bounds = letter_bounds
        self._uncertain: Turn | None = None
        self._database = Database(path, busy_timeout_s, read_only=read_only)
        try:
            with self._database.upgrading() as engine:
                upgrade(engine)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._database.close()

    def on_commit(self, listener: Callable[[], None]) -> None:
        self._database.listeners.append(listener)

    # The pipeline's side.

    def last_turn(self) -> int:
        with self._database.reading() as connection:
            return last_turn(connection)

    def last_time(self) -> int:
        """When the last turn was taken, by the daemon's clock; 0 before the first."""
        with self._database.reading() as connection:
            return counter(connection, LAST_TIME)

    def progress(self) -> dict[str, Progress]:
        with self._database.reading() as connection:
            rows = connection.execute(select(tables.progress)).mappings()
            return {row["partition"]: Progress(**row) for row in rows}

    def last_mark(self) -> Mark | None:
        with self._database.reading() as connection:
            return reading.last_mark(connection)

    def marks(self, after_turn: int) -> Sequence[tuple[int, int]]:
        with self._database.reading() as connection:
            return reading.marks(connection, after_turn)

    def controls(self, subject: str) -> Sequence[Controlled]:
        with self._database.reading() as connection:
            return reading.controls(connection, subject)

    def content(self, digest: str) -> bytes | None:
        with self._database.reading() as connection:
            return reading.content(connection, digest)

    def forget_marks(self, before_turn: int) -> None:
        """Delete the marks of turns before one, the newest of all excepted, and old controls that were in force at none but them."""
        with self._database.writing("marks") as connection:
            operating.forget_marks(connection, before_turn)

    def commit(self, turn: Turn) -> None:
        """Write a turn whole or not at all.

        After an error the same turn may be given again: had it been committed before the error came, nothing happens.
        """
        if turn is self._uncertain:
            with self._database.reading() as connection:
                if is_committed(connection, turn):
                    self._uncertain = None
                    return
        self._uncertain = turn
        with self._database.writing("turn") as connection:
            write_turn(connection, turn, self._seal, self._letter_bounds, self._tell)
            for standing in turn.standings:
                standings.add_standing(connection, standing)
        self._uncertain = None

    def known_findings(self, ids: Collection[str]) -> set[str]:
        with self._database.reading() as connection:
            return reading.known(connection, tables.findings, ids)

    def risks(self, entities: Collection[Entity]) -> dict[Entity, Risk]:
        with self._database.reading() as connection:
            return reading.risks(connection, entities)

    def open_incidents(self, entities: Collection[Entity]) -> dict[Entity, Incident]:
        with self._database.reading() as connection:
            return reading.open_incidents(connection, entities)

    def decisions_of(self, entities: Collection[Entity]) -> Mapping[Entity, Sequence[Decision]]:
        with self._database.reading() as connection:
            return reading.decisions_of(connection, entities)

    def decisions_of_owners(self, owners: Collection[str]) -> Mapping[str, Sequence[Decision]]:
        with self._database.reading() as connection:
            return reading.decisions_of_owners(connection, owners)

    # Lists.

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

    def recent_decisions(self, since: int) -> Sequence[Decision]:
        with self._database.reading() as connection:
            return reading.recent_decisions(connection, since)

    def decisions_in_force(self, now: int, modes: Collection[Mode] = CLOCK_MODES) -> Sequence[Decision]:
        with self._database.reading() as connection:
            return reading.decisions_in_force(connection, now, modes)

    def rulings_version(self) -> int:
        with self._database.reading() as connection:
            return deciding.counter(connection, deciding.RULINGS)

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

    # What enforcers are told.

    def in_force_after(
        self, number: int, limit: int, now: int, scopes: Collection[str] | None = None
    ) -> Sequence[NumberedDecision]:
        with self._database.reading() as connection:
            return pulling.in_force(connection, now, number, limit, scopes)

    def ended_after(
        self, number: int, limit: int, now: int, since: tuple[int, int], scopes: Collection[str] | None = None
    ) -> Sequence[NumberedDecision]:
        with self._database.reading() as connection:
            return pulling.ended(connection, now, number, limit, since, scopes)

    def in_force_of(self, entities: Collection[Entity], now: int) -> Sequence[NumberedDecision]:
        with self._database.reading() as connection:
            return pulling.in_force_of(connection, entities, now)

    def crowded(self, entities: Collection[Entity], now: int) -> Collection[Entity]:
        with self._database.reading() as connection:
            return pulling.crowded(connection, entities, now)

    def newest_decisions(
        self, before: int, limit: int, since: int, *, active: int | None = None
    ) -> Sequence[NumberedDecision]:
        with self._database.reading() as connection:
            return pulling.newest(connection, before, limit, since, active=active)

    def numbers_of(self, ids: Collection[str]) -> Mapping[str, int]:
        with self._database.reading() as connection:
            return pulling.numbers_of(connection, ids)

    def pull(self, client: str) -> Pull | None:
        with self._database.reading() as connection:
            return pulling.pull(connection, client)

    def pulls(self) -> Sequence[Pull]:
        with self._database.reading() as connection:
            return pulling.pulls(connection)

    def put_pulls(self, told: Sequence[Pull]) -> None:
        with self._database.writing("pulls") as connection:
            pulling.put_pulls(connection, told)

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

    def installation(self) -> str:
        """The id of this record's installation, made at the first call."""
        with self._database.reading() as connection:
            known = anchored.installation(connection)
        if known is not None:
            return known
        with self._database.writing("anchor") as connection:
            return anchored.made_installation(connection)

    def last_anchor(self) -> Anchored | None:
        with self._database.reading() as connection:
            return anchored.last_anchor(connection)

    def note_anchor(self, anchor: Anchored, messages: Sequence[Message]) -> None:
        """Remember the last anchor, and put what is told of it into the outbox."""
        with self._database.writing("anchor") as connection:
            anchored.note_anchor(connection, anchor, messages)

    # People.

    def audit(self, entry: AuditEntry) -> None:
        with self._database.writing("operator") as connection:
            append_audit(connection, [entry])

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

    def note_rules(self, rules: Mapping[str, Sequence[str]], now: int) -> Mapping[str, int]:
        """Keep since when rules, given with their versions, have been in force; gives that of each one's first version."""
        with self._database.writing("rules") as connection:
            return rule_ages.note_rules(connection, rules, now)

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
        """Delete findings whose last event was before a time, and what became of them."""
        old = select(tables.findings.c.id).where(tables.findings.c.last_event < before)
        with self._database.writing("retention") as connection:
            connection.execute(tables.considered.delete().where(tables.considered.c.finding.in_(old)))
            connection.execute(tables.finding_marks.delete().where(tables.finding_marks.c.finding.in_(old)))
            rows = connection.execute(tables.findings.delete().where(tables.findings.c.last_event < before)).rowcount
            append_audit(connection, changes.deleted("findings", rows, before, now))
            return rows

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

    # The outbox's worker.

    def due_messages(self, now: int, limit: int) -> Sequence[Delivery]:
        with self._database.reading() as connection:
            return outgoing.due_messages(connection, now, limit)

    def message_sent(self, key: str, receipt: str, now: int) -> None:
        sent = DeliveryState.SENT.value
        with self._database.writing("outbox") as connection:
            outgoing.change_message(connection, key, state=sent, receipt=receipt, sent=now, last_error="")

    def message_failed(
        self,
        key: str,
        error: str,
        next_attempt: int,
        *,
        dead: bool,
        given_up: GivenUp = GivenUp(),  # noqa: B008 - frozen
    ) -> None:
        """Note a failed attempt, with what follows from it where it was the last."""
        state = DeliveryState.DEAD.value if dead else DeliveryState.PENDING.value
        with self._database.writing("outbox") as connection:
            outgoing.change_message(connection, key, state=state, last_error=error, next_attempt=next_attempt)
            outgoing.put_messages(connection, given_up.messages)
            append_audit(connection, given_up.audit)

    def forget_messages(self, before: int, now: int) -> int:
        """Delete messages that were sent before a time; those that are pending, dead, or receipts of what is in force stay."""
        with self._database.writing("outbox") as connection:
            rows = outgoing.forget_messages(connection, before)
            append_audit(connection, changes.deleted("messages", rows, before, now))
            return rows

    def delivery(self, key: str) -> Delivery | None:
        table = tables.outbox
        with self._database.reading() as connection:
            row = connection.execute(select(table).where(table.c.key == key)).mappings().one_or_none()
            return None if row is None else delivery(row)

    # Enforcers that are told of decisions.

    def deliveries_about(self, decision: str) -> Sequence[Delivery]:
        """How far the messages about a decision have come, in their order."""
        with self._database.reading() as connection:
            return outgoing.deliveries_about(connection, decision)

    def enforcer_states(self, prefix: str) -> Sequence[EnforcerState]:
        """How the channels that begin like that stand, by name."""
        with self._database.reading() as connection:
            return outgoing.enforcer_states(connection, prefix)

    def catch_up(self, channel: str, taste: str, tell: Tell, now: int) -> bool:
        """Tell an enforcer that takes this (`taste`) of what it was not told; False when there is nothing left."""
        with self._database.reading() as connection:
            if not enforcing.is_behind(connection, channel, taste):
                return False
        with self._database.writing("enforcers") as connection:
            enforcing.catch_up(connection, channel, taste, tell, now)
            return enforcing.is_behind(connection, channel, taste)

    def send_again(self, channel: str, tell: Tell | None, actor: str, reason: str, now: int) -> int:
        """Send again what was given up, and with `tell` all that is in force, under new keys; how many messages."""
        with self._database.writing("operator") as connection:
            return enforcing.send_again(connection, channel, tell, (actor, reason, now))

    # The archive's manifest.

    def segments(self, day: str | None = None) -> Sequence[Segment]:
        with self._database.reading() as connection:
            return operating.segments(connection, day)

    def replace_segments(self, old: Sequence[Segment], new: Sequence[Segment], audit: AuditEntry | None = None) -> None:
        with self._database.writing("segments") as connection:
            operating.replace_segments(connection, old, new, audit)
