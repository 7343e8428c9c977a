"""Since when each rule has been in force without a break, within the transaction given. A changed rule is a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from monitor.stores import tables
from monitor.stores.rows import put
from monitor.stores.turn import last_turn


def note_rules(connection: Connection, rules: Mapping[str, Sequence[str]], now: int) -> dict[str, int]:
    """Rules, by id with the versions that are in force or on trial, the one in force first; what is no longer is forgotten.

    Gives since when the first of each rule's versions has been there, in microseconds. A record that an earlier version of the program
    has worked on knows nothing of its rules: they are as old as it is.
    """
    table = tables.rules_since
    known = {(str(row.rule), str(row.version)): int(row.since) for row in connection.execute(select(table))}
    begun = now if known or not last_turn(connection) else 0
    since = {(rule, version): known.get((rule, version), begun) for rule, all_of in rules.items() for version in all_of}
    if since != known:
        connection.execute(table.delete())
        put(connection, table, [{"rule": key[0], "version": key[1], "since": at} for key, at in since.items()])
    return {rule: since[rule, versions[0]] for rule, versions in rules.items()}
