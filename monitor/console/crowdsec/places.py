"""How far each bouncer has been told. It keeps no place of its own, so we keep it.

A place moves in three steps. It is *given* once the whole answer has left this process. It is *confirmed* by the client's next question:
only then it is sure that the answer got where it was to get. And it is *kept* in the record, now and then. A kill at any moment so makes
a bouncer hear something twice, with the same number, and never makes it miss something.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import msgspec

from monitor.stores.record import Pull, Record

CLIENTS_MAX: Final = 10_000
"""Clients that are remembered, those that asked last; who was forgotten is given everything again."""

KEEP_S: Final = 2.0
"""How often confirmed places are written into the record."""

REFRESH_US: Final = 60_000_000
"""How old the time of the last question may be in the record."""


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: two bouncers that share a token, an address and a program, but ask for different things, are two."""

    token: str
    address: str
    agent: str
    asks: str

    @property
    def key(self) -> str:
        """What it is known by."""
        text = f"{self.token}\x1f{self.address}\x1f{self.agent}\x1f{self.asks}"
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(slots=True)
class _Known:
    client: Client
    asked: int
    given: int
    confirmed: int
    kept: tuple[int, int] = (0, 0)  # place and time in the record


class Places:
    """The places of all clients. From any thread."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def of(self, client: Client, now: int, *, starts: bool = False) -> int:
        """Where a client's next answer begins; 0 where nothing is known of it.

        That it asks confirms what it was given, unless it `starts`: then it may have died over it.
        """
        key = client.key
        with self._lock:
            is_known = key in self._known
        pull = None if is_known else self._record.pull(key)
        with self._lock:
            if key not in self._known:
                place, time = (pull.place, pull.time) if pull is not None else (0, 0)
                self._known[key] = _Known(client, now, place, place, (place, time))
            known = self._known[key]
            self._known.move_to_end(key)
            if len(self._known) > CLIENTS_MAX:
                self._known.popitem(last=False)
            known.asked = now
            if not starts:
                known.confirmed = known.given
            return known.confirmed

    def give(self, client: Client, place: int) -> None:
        """A whole answer has left that goes up to a place."""
        with self._lock:
            known = self._known.get(client.key)
            if known is not None:
                known.given = place

    def keep(self) -> None:
        """Write down what is confirmed. What was given last is not, whoever stops: the client may have died over it. Raises `StoreError`."""
        with self._lock:
            pulls = []
            for key, known in self._known.items():
                place = known.confirmed
                if place != known.kept[0] or known.asked - known.kept[1] > REFRESH_US:
                    known.kept = place, known.asked
                    pulls.append(_pull(key, known))
        if pulls:
            self._record.put_pulls(pulls)


def _pull(key: str, known: _Known) -> Pull:
    client = known.client
    return Pull(
        client=key,
        token=client.token,
        address=client.address,
        agent=client.agent,
        place=known.kept[0],
        time=known.asked,
    )
