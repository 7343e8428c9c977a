"""How those who are sent messages stand, in lists: what each has taken, waits for, and did not get."""

# ruff: noqa: PLC0415 - as in the commands: what is needed is imported when it is

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Final

from monitor.cli.moments import short, stamp
from monitor.cli.options import Form
from monitor.cli.printing import Column, write_rows

if TYPE_CHECKING:
    from monitor.stores.record import EnforcerState
    from monitor.stores.sql import SqlStore

STANDING: Final[list[Column[Any]]] = [
    ("TAKEN", lambda row: row["sent"]),
    ("WAITING", lambda row: row["pending"]),
    ("GIVEN UP", lambda row: row["dead"]),
    ("LAST TAKEN (UTC)", lambda row: short(row["last_sent"]) if row["last_sent"] else ""),
    ("WAITING SINCE (UTC)", lambda row: short(row["waiting_since"]) if row["waiting_since"] else ""),
]

_TIMES: Final = ("last_sent", "waiting_since")


def with_unused(states: Iterable[EnforcerState], configured: Iterable[str]) -> list[EnforcerState]:
    """The states by channel, with those of configured channels that were never sent anything."""
    from monitor.stores.record import EnforcerState

    none = {name: EnforcerState(channel=name, pending=0, sent=0, dead=0) for name in configured}
    every = none | {state.channel: state for state in states}
    return [every[channel] for channel in sorted(every)]


def given_up(store: SqlStore, channels: Collection[str]) -> int:
    """How many messages of these channels were given up and are there still."""
    found = store.messages_given_up()
    return sum(found.get(channel, 0) for channel in channels)


def standing_of(state: EnforcerState) -> dict[str, Any]:
    """The part of a row that `STANDING` shows; times are microseconds since 1970 UTC."""
    return {
        "sent": state.sent,
        "pending": state.pending,
        "dead": state.dead,
        "last_sent": state.last_sent,
        "waiting_since": state.waiting_since,
    }


def write_receivers(output: Form, rows: list[dict[str, Any]], first: list[Column[Any]], none: str) -> None:
    """Write a list: as a table with these columns before how each stands, or as JSON with times in RFC 3339; `none` is what is said of none."""
    if output is Form.TABLE:
        write_rows(output, rows, [*first, *STANDING], none=none)
    else:
        write_rows(
            output, [{**row, **{name: stamp(row[name]) if row[name] else None for name in _TIMES}} for row in rows], []
        )
