"""Enforcers in the record: which of them knows of what is in force, and what is sent to them once more; within the transaction given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, select

from monitor.audit import AuditEntry
from monitor.counting import counted
from monitor.stores import Message, tables
from monitor.stores.deciding import Tell
from monitor.stores.outgoing import put_messages, retry_dead
from monitor.stores.reading import decisions_in_force
from monitor.stores.rows import put
from monitor.stores.turn import append_audit
from playbooks.decision import Mode

KNOWN: Final = "knows:"
"""What the keys begin with under which the record keeps an enforcer's taste."""


def taste_of(connection: Connection, channel: str) -> str | None:
    """What an enforcer took when it was told of all that was in force; None: it never was."""
    columns = tables.meta.c
    found = connection.execute(select(columns.value).where(columns.key == f"{KNOWN}{channel}")).scalar()
    return None if found is None else str(found)


def tell_anew(connection: Connection, channel: str, taste: str, tell: Tell, now: int) -> int:
    messages = _in_force(connection, tell, now)
    put_messages(connection, messages)
    put(connection, tables.meta, [{"key": f"{KNOWN}{channel}", "value": taste}])
    return len(messages)


def send_again(connection: Connection, channel: str, tell: Tell | None, why: tuple[str, str, int]) -> int:
    actor, reason, now = why
    dead = retry_dead(connection, channel, now)
    anew = [_anew(message, now) for message in _in_force(connection, tell, now)] if tell is not None else []
    put_messages(connection, anew)
    after = f"{counted(dead, 'message')} that had been given up, {len(anew)} of what is in force"
    entry = AuditEntry(time=now, actor=actor, action="enforcer.retry", subject=channel, reason=reason, after=after)
    append_audit(connection, [entry])
    return dead + len(anew)


def _in_force(connection: Connection, tell: Tell, now: int) -> Sequence[Message]:
    """Oldest first, as they came."""
    return tell(decisions_in_force(connection, now, [Mode.LIVE])[::-1])


def _anew(message: Message, now: int) -> Message:
    """Under a key that no receiver has seen."""
    return msgspec.structs.replace(message, key=f"{message.key}:{now}")
