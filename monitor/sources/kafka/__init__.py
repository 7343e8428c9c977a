"""Kafka as a source: every partition of a topic is a `Source`, and a `Group` says which of them are ours.

How a worker goes (all calls from its own thread; `group.py` reads on a thread of its own and keeps the membership alive
however long the worker is busy or its stores are down):

    group = open_group(address, settings)
    while True:
        changes = group.poll(wait_s)
        for partition in changes.assigned:      # ours from now on
            source = group.source(partition)
            source.open(stored_position_or_None)
        for partition in changes.revoked:       # finish the batch, commit, snapshot, then let another have it
            ...
            group.release([partition])          # within `release_s_max`, else it is taken away all the same
        for partition in changes.lost:          # taken away already: commit nothing of it
            ...
        ... source.read(bytes_max, 0.0, lines_max) of each of ours, and a turn ...
        group.commit({partition: end})          # only tells Kafka how far we are; where to go on stands in our store
    group.close()

Without a consumer group (`address.group` is empty) all partitions of the topic are ours, those too that are added later.

Positions. A line's is ``(base + offset) << 20 | where it begins in its message``; `RawBatch.end` is where to go on. `base`
is 0 until a topic is deleted and made again: then it is raised, so that positions never go back. The cursor
keeps it, with the topic's id and the leader epoch of the last message read.

What the log did meanwhile stands in `RawBatch.unread`, once each, and becomes a dead letter:

- `GONE`: retention deleted messages before they were read. Reading goes on at the log's beginning.
- `TRUNCATED`: the log ends before our position, or another leader's log goes another way: messages that we have read are no
  longer there. Reading goes on where the two part, and what is written there since is read under positions that
  begin after all that were used: `base` is raised here too, so that no position ever means two lines.
- `RECREATED`: the topic is another one by the same name. Reading goes on at its beginning.
- `CORRUPT`: a record batch whose checksum, compression or framing is wrong. Reading goes on after it.
"""

from __future__ import annotations

from typing import NamedTuple

from monitor.sources import SourceError


class NotOurs(SourceError):
    """A partition has been taken away that was ours a moment ago."""

    def __init__(self, partition: str) -> None:
        super().__init__(f"{partition} is not ours any more", retryable=True)


class Changes(NamedTuple):
    """What has changed since the last call of `Group.poll`, as names of partitions (``kafka:TOPIC/N``)."""

    assigned: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()  # still ours, until they are released or `release_s_max` is over
    lost: tuple[str, ...] = ()  # not ours any more: another may read them already
