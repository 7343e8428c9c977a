"""A process that does all of it has its record for itself, also where processes of several machines reach it: no other decides beside it.

It holds the same lease as one that answers workers. Another that wants the record sees whether the lease is still renewed: if so it is refused,
else it takes over when the lease has lapsed. Turns of one that has lost it are refused by the record.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from monitor.claim import LEASE_S, RENEW_S, Claim
from monitor.kept import Kept
from monitor.partitions.answering import LEASE
from monitor.process import Role, holder_name
from monitor.stores import Fence, Lease
from monitor.stores.held_folder import AlreadyRunning
from monitor.stores.sql import SqlStore

LOOK_S: Final = 0.2
"""Between two looks at a lease that another has."""

WORKERS_S: Final = 1.0
"""How long streams are watched for workers: of a quiet partition it is noted ten times as often that it has been read."""

_ALL: Final = f" --role {Role.ALL.value} "


def alone(kept: Kept, clock: Callable[[], int], lease_s: float = LEASE_S, renew_s: float = RENEW_S) -> Claim:
    """Have the record for this process, from now on; raises `AlreadyRunning` where another works on it.

    The data folder is locked: who had the lease from the same folder is gone.
    """
    holder = f"{holder_name()}{_ALL}{kept.archive.name}"
    claim = Claim(kept.store, LEASE, holder, clock, once=True, lease_s=lease_s, renew_s=renew_s)
    _refuse_beside_workers(kept.store)
    before = kept.store.held(LEASE, clock())
    if before is not None and before.holder.endswith(f"{_ALL}{kept.archive.name}"):
        fence = kept.store.seize(LEASE, holder, clock(), lease_s)
    else:
        fence = _taken(kept.store, holder, clock, lease_s, renew_s)
    claim.begin(fence)
    return claim


def _taken(store: SqlStore, holder: str, clock: Callable[[], int], lease_s: float, renew_s: float) -> Fence:
    """The lease, as soon as nobody renews it; raises `AlreadyRunning` where somebody does."""
    seen: Lease | None = None
    until = time.monotonic() + lease_s + renew_s
    while (fence := store.take(LEASE, holder, clock(), lease_s)) is None:
        held = store.held(LEASE, clock())
        if held is not None and ((seen is not None and held != seen) or time.monotonic() > until):
            raise AlreadyRunning(_told(held.holder))
        seen = seen or held
        time.sleep(LOOK_S)
    return fence


def refuse_beside_one(store: SqlStore, clock: Callable[[], int]) -> None:
    """Raise `AlreadyRunning` where one process does all of it: nothing is left for others to do."""
    held = store.held(LEASE, clock())
    if held is not None and does_all(held.holder):
        raise AlreadyRunning(_told(held.holder))


def does_all(holder: str) -> bool:
    """Whether whoever has the lease under this name does all by himself."""
    return _ALL in holder


def _told(holder: str) -> str:
    who, _, is_all = holder.partition(_ALL)
    doing = "does all on this record" if is_all else "answers workers on this record"
    return f"the process {who} (host and number) {doing}; stop it, or use another store.url"


def _refuse_beside_workers(store: SqlStore) -> None:
    """Where partitions are being worked on, whatever else is said, workers are there."""
    before = store.streams()
    if not before:
        return
    time.sleep(WORKERS_S)
    if store.streams() != before:
        raise AlreadyRunning(
            "workers (--role detect) are at work on this record; stop them, or start --role respond beside them"
        )
