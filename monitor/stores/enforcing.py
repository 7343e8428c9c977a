"""Enforcers in the record: which of them knows of what is in force, and what is sent to them once more; within the transaction given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, select

from monitor.audit import AuditEntry
from monitor.counting import counted
from monitor.stores import Message, tables
from monitor.stores.deciding import CHANGE, InForce, Tell, counter, decision_changes, in_force
from monitor.stores.outgoing import forget_dead, lines_taken, put_messages, retry_dead
from monitor.stores.reading import decisions_in_force
from monitor.stores.rows import put
from monitor.stores.turn import append_audit
from playbooks.decision import Mode

KNOWN: Final = "knows:"
"""What the keys begin with under which the record keeps what an enforcer knows."""

ASKED: Final = "compare:"
"""What the keys begin with under which the record keeps when a person last asked for a comparison of a topic."""

CHANGES_MAX: Final = 1000
"""Changes of decisions that are gone through in one transaction."""


class Knowledge(msgspec.Struct, frozen=True):
    """What an enforcer took when it was last looked at (`taste`), and up to which change of decisions it was told."""

    taste: str
    position: int


def knowledge_of(connection: Connection, channel: str) -> Knowledge | None:
    """What an enforcer knows; None: it was never told of anything."""
    columns = tables.meta.c
    found = connection.execute(select(columns.value).where(columns.key == f"{KNOWN}{channel}")).scalar()
    return None if found is None else msgspec.json.decode(found, type=Knowledge)


def is_behind(connection: Connection, channel: str, taste: str) -> bool:
    """Whether there is something of which an enforcer may not have been told."""
    return knowledge_of(connection, channel) != Knowledge(taste, counter(connection, CHANGE))


def catch_up(connection: Connection, channel: str, taste: str, tell: Tell, now: int) -> None:
    """Tell an enforcer of changes that were written without telling it; what it was told already is not put again.

    One that is new, or takes something else than before, is told of all that is in force.
    """
    known, position = knowledge_of(connection, channel), counter(connection, CHANGE)
    if known is None or known.taste != taste:
        put_messages(connection, _in_force(connection, tell, now))
    else:
        changes = decision_changes(connection, known.position, CHANGES_MAX, [Mode.LIVE])
        put_messages(connection, tell([each.decision for each in changes], in_force(connection)))
        position = changes[-1].changed if len(changes) == CHANGES_MAX else position
    value = msgspec.json.encode(Knowledge(taste, position)).decode()
    put(connection, tables.meta, [{"key": f"{KNOWN}{channel}", "value": value}])


def ask_comparison(connection: Connection, channel: str, why: tuple[str, str, int]) -> int:
    """Have a topic compared with the record; what was given up is forgotten, so that it is written once more where it is still so."""
    actor, reason, now = why
    dead = forget_dead(connection, channel)
    put(connection, tables.meta, [{"key": f"{ASKED}{channel}", "value": str(now)}])
    after = f"compared with the record; {counted(dead, 'message')} had been given up"
    entry = AuditEntry(time=now, actor=actor, action="topic.compare", subject=channel, reason=reason, after=after)
    append_audit(connection, [entry])
    return dead


def put_anew(connection: Connection, channel: str, make: Callable[[InForce], Sequence[Message]]) -> int:
    """Put in line what is made of how things stand; how many. What waits there already says it, and what was given up stays so."""
    made = make(in_force(connection))
    lines, given_up = lines_taken(connection, channel, {message.line for message in made})
    wanted = [each for each in made if each.line not in lines and (not each.about or each.about not in given_up)]
    put_messages(connection, wanted)
    return len(wanted)


def send_again(connection: Connection, channel: str, tell: Tell | None, why: tuple[str, str, int]) -> int:
    actor, reason, now = why
    dead = retry_dead(connection, channel, now)
    anew = [_anew(message, now) for message in _in_force(connection, tell, now)] if tell is not None else []
    put_messages(connection, anew)
    action, after = "notifier.retry", f"{counted(dead, 'message')} that had been given up"
    if channel.startswith("enforcer:"):
        action, after = "enforcer.retry", f"{after}, {len(anew)} of what is in force"
    entry = AuditEntry(time=now, actor=actor, action=action, subject=channel, reason=reason, after=after)
    append_audit(connection, [entry])
    return dead + len(anew)


def drop_given_up(connection: Connection, channel: str, why: tuple[str, str, int]) -> int:
    actor, reason, now = why
    dead = forget_dead(connection, channel)
    if dead:
        action = "enforcer.drop" if channel.startswith(("enforcer:", "topic:")) else "notifier.drop"
        before = f"{counted(dead, 'message')} that had been given up"
        entry = AuditEntry(time=now, actor=actor, action=action, subject=channel, reason=reason, before=before)
        append_audit(connection, [entry])
    return dead


def _in_force(connection: Connection, tell: Tell, now: int) -> Sequence[Message]:
    """Oldest first, as they came."""
    return tell(decisions_in_force(connection, now, [Mode.LIVE])[::-1], in_force(connection))


def _anew(message: Message, now: int) -> Message:
    """Under a key that no receiver has seen."""
    return msgspec.structs.replace(message, key=f"{message.key}:{now}")
