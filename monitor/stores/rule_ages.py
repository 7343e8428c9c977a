"""Since when each rule has been in force without a break, within the transaction given. A changed rule is a new one."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select

from monitor.stores import tables
from monitor.stores.rows import put
from monitor.stores.turn import last_turn


def note_rules(connection: Connection, rules: Mapping[str, str], now: int) -> dict[str, int]:
    """Rules, by id and version, are in force now; what is no longer is forgotten. Gives since when, by rule, in microseconds.

    A record that an earlier version of the program has worked on knows nothing of its rules: they are as old as it is.
    """
    table = tables.rules_since
    known = {str(row.rule): (str(row.version), int(row.since)) for row in connection.execute(select(table))}
    begun = now if known or not last_turn(connection) else 0
    since = {
        rule: known[rule][1] if rule in known and known[rule][0] == version else begun
        for rule, version in rules.items()
    }
    if {rule: (version, since[rule]) for rule, version in rules.items()} != known:
        connection.execute(table.delete())
        put(connection, table, [{"rule": rule, "version": rules[rule], "since": at} for rule, at in since.items()])
    return since
