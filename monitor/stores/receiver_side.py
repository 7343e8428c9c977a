"""What those outside are told, enforcers and webhooks and whoever keeps anchors: a part of `SqlStore`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import select

from detectors.finding import Entity
from monitor.audit import AuditEntry
from monitor.stores import (
    Anchored,
    GivenUp,
    Message,
    anchored,
    changes,
    enforcing,
    outgoing,
    pulling,
    tables,
)
from monitor.stores.connection import Database
from monitor.stores.deciding import Tell
from monitor.stores.record import (
    Delivery,
    DeliveryState,
    EnforcerState,
    NumberedDecision,
    Pull,
)
from monitor.stores.rows import delivery
from monitor.stores.turn import append_audit


class ReceiverSide:
    """The outbox, pulls, enforcers and anchors."""

    _database: Database

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

    def known_installation(self) -> str | None:
        """The id of this record's installation; None while it has none."""
        with self._database.reading() as connection:
            return anchored.installation(connection)

    def installation(self) -> str:
        """The id of this record's installation, made at the first call."""
        known = self.known_installation()
        if known is not None:
            return known
        with self._database.writing("anchor") as connection:
            return anchored.made_installation(connection)

    def fingerprint(self, name: str, fingerprint: str) -> str:
        """That of the key with which this record was begun; the one given, where it had none."""
        with self._database.writing("anchor") as connection:
            return anchored.made_fingerprint(connection, name, fingerprint)

    def known_keys(self) -> anchored.KnownKeys:
        """The fingerprints of the keys with which this record was begun, as far as it knows them."""
        with self._database.reading() as connection:
            return anchored.known_keys(connection)

    def renew_keys(self, fingerprints: Mapping[str, str], entry: AuditEntry) -> None:
        """Have the record go on with other keys, which the audit has."""
        with self._database.writing("operator") as connection:
            anchored.renew_keys(connection, fingerprints)
            append_audit(connection, [entry])

    def last_anchor(self) -> Anchored | None:
        with self._database.reading() as connection:
            return anchored.last_anchor(connection)

    def note_anchor(self, anchor: Anchored, messages: Sequence[Message]) -> None:
        """Remember the last anchor, and put what is told of it into the outbox."""
        with self._database.writing("anchor") as connection:
            anchored.note_anchor(connection, anchor, messages)

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
        """Delete messages that were sent, or given up, before a time; those that wait, or are about what is in force, stay."""
        with self._database.writing("outbox") as connection:
            rows = outgoing.forget_messages(connection, before)
            append_audit(connection, changes.deleted("messages", rows, before, now))
            return rows

    def delivery(self, key: str) -> Delivery | None:
        table = tables.outbox
        with self._database.reading() as connection:
            row = connection.execute(select(table).where(table.c.key == key)).mappings().one_or_none()
            return None if row is None else delivery(row)

    def deliveries_about(self, decision: str) -> Sequence[Delivery]:
        """How far the messages about a decision have come, in their order."""
        with self._database.reading() as connection:
            return outgoing.deliveries_about(connection, decision)

    def messages_waiting(self) -> Mapping[str, tuple[int, int]]:
        """How many messages wait for each channel, and when the oldest of them was made."""
        with self._database.reading() as connection:
            return outgoing.messages_waiting(connection)

    def messages_given_up(self) -> Mapping[str, int]:
        """How many messages of each channel were given up, and neither sent again nor dropped."""
        with self._database.reading() as connection:
            return outgoing.messages_given_up(connection)

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

    def drop_given_up(self, channel: str, actor: str, reason: str, now: int) -> int:
        """Delete what was given up of a channel, without sending it; how many messages."""
        with self._database.writing("operator") as connection:
            return enforcing.drop_given_up(connection, channel, (actor, reason, now))
