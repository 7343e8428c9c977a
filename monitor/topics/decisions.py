"""The topic of decisions: of every (scope, value, type, target) the decision that is in force, and nothing where none is.

What is to be written stands in the outbox, put there by the transaction that changes a decision. Whoever reads the topic from
its beginning has what is in force. That it is so is checked against the record at start, when the topic turns out to be
another one, when a person asks for it, and every so often: what differs is put into the outbox once more. So a topic that was
deleted, a log that was cut short and a record that was restored are all mended alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from monitor.enforcers import Slot, slot_of
from monitor.enforcers.topic import Publication, key_of, nothing_in_force, published, record_of, slot_named, value_of
from monitor.outbox import ERROR_CHARACTERS_MAX
from monitor.stores import GivenUp, Message
from monitor.stores.deciding import InForce
from monitor.stores.record import Delivery
from monitor.stores.rows import chunks
from monitor.telemetry import Telemetry
from monitor.telemetry.upkeep import DeliveryDead, TopicCompared
from monitor.topics import Item, Published, Refused, Taken, Topic
from playbooks.decision import Decision, Mode

ANEW_MAX: Final = 500
"""Keys that are put into the outbox in one transaction."""

DIGEST_BYTES: Final = 16

MICROSECONDS: Final = 1_000_000


class DecisionsStore(Protocol):
    """The part of the record that a topic of decisions works on."""

    def due_of(self, channel: str, now: int, limit: int) -> Sequence[Delivery]: ...
    def messages_sent(self, receipts: Mapping[str, str], now: int) -> None: ...
    def message_failed(
        self, key: str, error: str, next_attempt: int, *, dead: bool, given_up: GivenUp = ...
    ) -> None: ...
    def decisions_in_force(self, now: int, modes: Sequence[Mode]) -> Sequence[Decision]: ...
    def put_anew(self, channel: str, make: Callable[[InForce], Sequence[Message]]) -> int: ...
    def comparison_asked(self, channel: str) -> int: ...


class DecisionsFeed:
    """The outbox's records for a topic, and the comparison of the topic with the record."""

    def __init__(
        self,
        store: DecisionsStore,
        publication: Publication,
        compare_s: float,
        clock: Callable[[], int],
        telemetry: Telemetry,
        given_up: Callable[[Message, str, int], GivenUp] = lambda _message, _error, _now: GivenUp(),
    ) -> None:
        self._store = store
        self._publication = publication
        self._compare_us = int(compare_s * MICROSECONDS)
        self._clock = clock
        self._telemetry = telemetry
        self._given_up = given_up
        self._compared = 0  # when
        self._asked = 0
        self._messages: dict[str, Delivery] = {}  # what was due last

    @property
    def channel(self) -> str:
        return self._publication.channel

    def reached(self, topic: Topic, known: bool, stopping: Callable[[], bool]) -> None:
        """Compare the topic with the record when it is time, or another topic than before."""
        asked, now = self._store.comparison_asked(self.channel), self._clock()
        if known and asked <= self._asked and now - self._compared < self._compare_us:
            return
        held = self._held(topic, stopping)
        if held is None:
            return
        wanted = {key_of(slot_of(each)): _digest(value_of(each)) for each in self._in_force(now)}
        differing = [text for text in {**held, **wanted} if held.get(text) != wanted.get(text)]
        slots = [slot for text in differing if (slot := slot_named(text)) is not None]
        written = sum(self._put_anew(part, now) for part in chunks(slots, ANEW_MAX))
        self._compared, self._asked = now, asked
        self._telemetry.emit(
            TopicCompared(
                channel=self.channel,
                keys=len(held),
                in_force=len(wanted),
                written_anew=written,
                foreign=len(differing) - len(slots),
            )
        )

    def _held(self, topic: Topic, stopping: Callable[[], bool]) -> dict[str, bytes] | None:
        """What the topic holds, a digest a key; None where we are to stop before that is known."""
        held: dict[str, bytes] = {}
        for key, value in topic.held(stopping):
            if value is None:
                held.pop(key, None)
            else:
                held[key] = _digest(value)
        return None if stopping() else held

    def _in_force(self, now: int) -> Iterator[Decision]:
        return filter(self._publication.takes, self._store.decisions_in_force(now, [Mode.LIVE]))

    def _put_anew(self, slots: Sequence[Slot], now: int) -> int:
        """Put into the outbox how slots stand now, whatever the topic has of them."""

        def make(in_force: InForce) -> Sequence[Message]:
            standing = {slot_of(each): each for each in in_force({slot.entity for slot in slots})}
            to = self._publication
            told = []
            for slot in slots:
                decision = standing.get(slot)
                if decision is not None and to.takes(decision):
                    told.append(published(to, decision, value_of(decision), now, anew=f":{now}"))
                else:
                    told.append(nothing_in_force(to, slot, now))
            return told

        return self._store.put_anew(self.channel, make)

    def due(self, limit: int) -> Sequence[Item]:
        found = self._store.due_of(self.channel, self._clock(), limit)
        self._messages = {each.message.key: each for each in found}
        return [_item(each.message) for each in found]

    def settle(self, items: Sequence[Item], published: Published) -> None:
        now = self._clock()
        outcomes = list(zip(items, published.outcomes, strict=True))
        self._store.messages_sent(
            {item.id: outcome.receipt for item, outcome in outcomes if isinstance(outcome, Taken)}, now
        )
        for item, outcome in outcomes:
            if isinstance(outcome, Refused):
                self._give_up(self._messages[item.id], outcome.why, now)

    def troubled(self, why: str) -> None:
        """Said of one record, for people who look: the others wait for the same reason."""
        for first in self._store.due_of(self.channel, self._clock(), 1):
            self._store.message_failed(first.message.key, why[:ERROR_CHARACTERS_MAX], first.next_attempt, dead=False)

    def _give_up(self, delivery: Delivery, why: str, now: int) -> None:
        message, text = delivery.message, why[:ERROR_CHARACTERS_MAX]
        self._store.message_failed(message.key, text, now, dead=True, given_up=self._given_up(message, text, now))
        dead = DeliveryDead(channel=self.channel, message=message.key, attempt=delivery.attempts + 1, error=text)
        self._telemetry.emit(dead)


def _item(message: Message) -> Item:
    return Item(message.key, *record_of(message))


def _digest(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=DIGEST_BYTES).digest()
