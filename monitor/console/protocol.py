"""One connection of the HTTP server: it is closed when a request's head does not come in time, or when there are too many."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

CONNECTIONS_MAX: Final = 256
"""Open connections of all clients together; a further one is closed at once."""

CLIENT_CONNECTIONS_MAX: Final = 64
"""Of one address; what comes from this machine alone, as through a proxy, is bounded by the number of all."""

HEAD_S_MAX: Final = 10.0
"""Time for the head of a request to come, from the connection or from what is left of the request before."""

UNSENT_LOOK_S: Final = 0.01
"""How often is looked whether the rest of an answer has left."""


class PatientProtocol(H11Protocol):
    """HTTP/1.1 for clients that may be slow, but not for ever."""

    _closing: asyncio.TimerHandle | None = None
    _lost: Exception | bool = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.app_state = {**self.app_state, "connection": self}  # requests find it in their state

    @property
    def is_lost(self) -> bool:
        """Whether nobody is there any more."""
        return self._lost is not False

    async def has_sent(self) -> bool:
        """Wait until the answer that was just completed has left this process; False when it has not, and will not."""
        if not self.cycle.response_complete:
            return False
        while not self._lost and self.transport.get_write_buffer_size():  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(UNSENT_LOOK_S)
        return not isinstance(self._lost, Exception)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX or self._has_too_many(self.connections):
            transport.abort()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = exc or True
        self._relax()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request; where an answer has begun already, as to a body that breaks off later, only the end is left."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def _should_upgrade(self) -> bool:
        return False  # there is nothing to upgrade to, and HTTP lets us go on as if it had not been asked

    def _has_too_many(self, connections: Iterable[Any]) -> bool:
        host = self.client[0] if self.client else ""
        try:
            if ipaddress.ip_address(host).is_loopback:
                return False
        except ValueError:
            return False
        return sum(1 for one in connections if one.client and one.client[0] == host) > CLIENT_CONNECTIONS_MAX

    def _watch(self) -> None:
        """While no request is being answered, its head has to come in time."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering:
            self._relax()
        elif self._closing is None:
            self._closing = self.loop.call_later(HEAD_S_MAX, self._too_slow)

    def _relax(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None

    def _too_slow(self) -> None:
        self._closing = None
        if not self.transport.is_closing():
            self.transport.close()
