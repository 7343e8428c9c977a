"""Who has started this process and wants to know how it is: told by the protocol of ``sd_notify(3)``, over its socket, without a library.

What the environment says of a supervisor is taken out of it, so that no process that this one starts speaks in its place.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Final, Self

STATUS_BYTES_MAX: Final = 512
"""Of what is shown to people; systemd takes 4 KiB with all that is told at once."""

SEND_S_MAX: Final = 1.0
"""How long a supervisor that does not listen is waited for: the pipeline goes on without it."""

SOCKET: Final = "NOTIFY_SOCKET"
PERIOD: Final = "WATCHDOG_USEC"
WATCHED: Final = "WATCHDOG_PID"


class Supervisor:
    """Told what becomes of this process, over a datagram socket; without one, nobody is told. Safe to use from any thread.

    `period_s`: within this time it wants a sign of life, again and again; None: it wants none.
    """

    def __init__(
        self,
        channel: socket.socket | None = None,
        address: str = "",
        period_s: float | None = None,
        untold: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        """What is told goes to `address`, or to the other end of a `channel` that is connected. `untold` is called, once, with why it
        cannot be told.
        """
        self.period_s: Final = period_s
        self.untold = untold
        self._channel = channel
        self._address = address
        if channel is not None:
            channel.settimeout(SEND_S_MAX)
        self._lock = threading.Lock()
        self._status = ""
        self._is_ready = self._is_stopping = self._is_untold = False

    @classmethod
    def of(cls, environ: MutableMapping[str, str], pid: int) -> Self:
        """The one that the environment of the process with this number names."""
        address, period, watched = (environ.pop(name, "") for name in (SOCKET, PERIOD, WATCHED))
        if not address.startswith(("/", "@")):
            return cls()
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        is_meant = not watched or watched == str(pid)
        period_s = int(period) / 1_000_000 if is_meant and period.isdecimal() and int(period) else None
        return cls(channel, f"\0{address[1:]}" if address.startswith("@") else address, period_s)

    @property
    def is_there(self) -> bool:
        """Whether anybody is told."""
        return self._channel is not None

    @property
    def is_ready(self) -> bool:
        """Whether it was told that this process does its work."""
        return self._is_ready

    def status(self, text: str) -> None:
        """Have people see how this process is: one line. What was said last is not said again."""
        with self._lock:
            if text != self._status:
                self._status = text
                self._tell(_shown(text))

    def ready(self) -> None:
        """Say, once, that this process does its work from now on."""
        with self._lock:
            if not (self._is_ready or self._is_stopping):
                self._is_ready = True
                self._tell("READY=1")

    def stopping(self) -> None:
        """Say, once, that this process finishes what is under way, and ends."""
        with self._lock:
            if not self._is_stopping:
                self._is_stopping = True
                self._tell("STOPPING=1", _shown("Stopping: finishing the turn under way"))

    def alive(self) -> None:
        """A sign of life."""
        with self._lock:
            self._tell("WATCHDOG=1")

    def wait(self, s: float) -> None:
        """Ask for so much time more: this process moves, and is not ready yet."""
        with self._lock:
            if not self._is_ready:
                self._tell(f"EXTEND_TIMEOUT_USEC={round(s * 1_000_000)}")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Within this, what is in force is being read anew."""
        with self._lock:
            is_told = self._is_ready and not self._is_stopping
            if is_told:
                self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            with self._lock:
                if is_told and not self._is_stopping:
                    self._tell("READY=1")

    def _tell(self, *lines: str) -> None:
        if self._channel is None:
            return
        try:
            message = "\n".join(lines).encode()
            if self._address:
                self._channel.sendto(message, self._address)
            else:
                self._channel.send(message)
        except OSError as error:
            if not self._is_untold:
                self._is_untold = True
                self.untold(str(error.strerror or error))


def _shown(text: str) -> str:
    line = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    kept = line.encode()[:STATUS_BYTES_MAX].decode(errors="ignore")
    return f"STATUS={kept}" if kept == line else f"STATUS={kept}…"
