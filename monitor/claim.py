"""A name in the record that one process has at a time: taken when nobody has it, and kept by a thread of its own.

Whoever has it writes under its fence. Once another has the name, what is still written under the fence is refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from monitor.stores import Fence, StoreError

LEASE_S: Final = 15.0
"""How long a process is believed to be there after its last word; another takes over then."""

RENEW_S: Final = 5.0
"""Between two words."""


class Leasing(Protocol):
    """The part of the record that has leases."""

    def take(self, name: str, holder: str, now: int, for_s: float) -> Fence | None: ...
    def seize(self, name: str, holder: str, now: int, for_s: float) -> Fence: ...
    def renew(self, fence: Fence, now: int, for_s: float, *, lapsed: bool = False) -> bool: ...
    def give_up(self, fence: Fence) -> None: ...


@dataclass(slots=True)
class Claim:
    """One process's claim to a name, from `start` to `stop`. `alone`: nobody else can have it, so that a first time is not waited for.
    `once`: when another has had it, it is lost for good; until then it is held on to, however long the record was away.

    Where the record does not answer, the claim lapses by itself, whatever others think of it.
    """

    record: Leasing
    name: str
    holder: str
    clock: Callable[[], int]
    alone: bool = False
    once: bool = False
    lease_s: float = LEASE_S
    renew_s: float = RENEW_S
    is_lost: bool = False
    _fence: Fence | None = None
    _since: float = float("-inf")
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def fence(self) -> Fence | None:
        """What to write under; None while another has the name, or nobody knows who."""
        return self._fence if time.monotonic() - self._since < self.lease_s else None

    @property
    def taken(self) -> Fence | None:
        """What it was taken under, also while nobody knows whether it has lapsed: the record refuses what is written under another."""
        return self._fence

    def begin(self, fence: Fence) -> None:
        """Hold on to what was taken just now, from now on."""
        self._fence, self._since = fence, time.monotonic()
        self.start()

    def start(self) -> None:
        """Claim it from now on."""
        self._thread = threading.Thread(target=self._keep, name=f"claim-{self.name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let another have it at once."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(self.lease_s)
        if self._fence is not None:
            with suppress(StoreError):  # it lapses
                self.record.give_up(self._fence)
        self._fence = None

    def look(self) -> None:
        """Take the name if it is to be had, or hold on to it; raises `StoreError`."""
        begun = time.monotonic()
        held = self._fence
        if held is not None and not self.record.renew(held, self.clock(), self.lease_s, lapsed=self.once):
            held = None
            if self.once:
                self.is_lost, self._fence = True, None
                self._stopping.set()
                return
        if held is None:
            held = self._taken()
        self.alone = False
        self._fence, self._since = held, begun

    def _taken(self) -> Fence | None:
        if self.alone:
            return self.record.seize(self.name, self.holder, self.clock(), self.lease_s)
        return self.record.take(self.name, self.holder, self.clock(), self.lease_s)

    def _keep(self) -> None:
        while not self._stopping.is_set():
            with suppress(Exception):  # asked again soon; where it goes on so, the claim lapses, and that is seen
                self.look()
            self._stopping.wait(self.renew_s)
