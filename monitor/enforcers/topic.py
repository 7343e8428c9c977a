"""What is written to a topic of decisions: of every slot the decision that is in force in it, and its end when nothing is.

The key is a JSON list of scope, value, type and target. Without a value a record says that nothing is in force. A decision that
another supersedes gets no end: the other has the same key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from detectors.finding import Scope
from monitor.enforcers import Slot, Taker, begins, has_ended, slot_of
from monitor.listing.wire import wire
from monitor.stores import TOPIC, Message
from monitor.stores.deciding import InForce, Tell
from playbooks.decision import Act, Decision


class Publication(Taker, frozen=True, kw_only=True):
    """A topic of decisions, and which of them it has; an empty choice of scopes takes all."""

    @property
    def channel(self) -> str:
        return f"{TOPIC}:{self.name}"


class Written(msgspec.Struct, frozen=True):
    """A record as the outbox holds it."""

    key: str
    value: msgspec.Raw  # null: nothing


NULL: Final = b"null"
_KEY: Final = msgspec.json.Decoder(tuple[Scope, str, Act, str | None])
_WRITTEN: Final = msgspec.json.Decoder(Written)


def key_of(slot: Slot) -> str:
    """The key of the topic: a JSON list of scope, value, type and target."""
    return msgspec.json.encode(slot).decode()


def slot_named(text: str) -> Slot | None:
    """The slot of a key of the topic; None: we did not write it."""
    try:
        slot = Slot(*_KEY.decode(text))
    except msgspec.DecodeError:
        return None
    return slot if key_of(slot) == text else None


def value_of(decision: Decision) -> bytes:
    """A decision as the command line and the API give it to programs."""
    return msgspec.json.encode(wire(decision))


def publishing(publications: Sequence[Publication], clock: Callable[[], int]) -> Tell:
    """The records of a change: what comes into force, and the end of what nothing took the place of."""

    def tell(decisions: Sequence[Decision], in_force: InForce) -> Sequence[Message]:
        begun, ended = [*filter(begins, decisions)], [*filter(has_ended, decisions)]
        if not begun and not ended:
            return ()
        now = clock()
        live = (
            {slot_of(each): each for each in in_force({each.entity for each in ended}) if begins(each)} if ended else {}
        )
        told = [
            published(to, decision, value_of(decision), now)
            for decision in begun
            for to in publications
            if to.takes(decision)
        ]
        for decision in ended:
            successor = live.get(slot_of(decision))
            told += [
                published(to, decision, None, now)
                for to in publications
                if to.takes(decision) and not (successor is not None and to.takes(successor))
            ]
        return told

    return tell


def published(to: Publication, decision: Decision, value: bytes | None, now: int, anew: str = "") -> Message:
    """A decision as it stands, or without a value its end; `anew` makes a key that was never used."""
    said = "" if value is None else f":{hashlib.sha256(value).hexdigest()[:16]}"  # it can change while all else stays
    return Message(
        key=f"{to.channel}:{decision.id}:{decision.state}:{decision.expires}{said}{anew}",
        channel=to.channel,
        body=_body(slot_of(decision), value),
        created=now,
        line=slot_of(decision).line,
        about=decision.id,
    )


def _body(slot: Slot, value: bytes | None) -> bytes:
    return msgspec.json.encode(Written(key_of(slot), msgspec.Raw(value or NULL)))


def nothing_in_force(to: Publication, slot: Slot, now: int) -> Message:
    """That nothing is in force in a slot, whatever was."""
    line = slot.line
    return Message(
        key=f"{to.channel}:{line}:gone:{now}", channel=to.channel, body=_body(slot, None), created=now, line=line
    )


def record_of(message: Message) -> tuple[str, bytes | None]:
    """Key and value of what is in the outbox."""
    written = _WRITTEN.decode(message.body)
    value = bytes(written.value)
    return written.key, None if value == NULL else value
