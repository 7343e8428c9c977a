"""Several workers on one machine: each a process of its own with the same command line, started again when it ends.

A worker that sees that its parent is gone ends too. One that ends again and again is started after longer and longer pauses.
Each tells its parent, over a socket that both were given, when it is at work and that it moves.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

WORKERS_MAX: Final = 64
AGAIN_S: Final = (1.0, 60.0)
"""First and longest pause before a worker that ended is started again."""

SOUND_S: Final = 60.0
"""A worker that ran for so long is started again after the first pause."""

LOOK_S: Final = 0.2
SIGN_S: Final = 2.0
"""How often a worker that moves says so."""

SAID_BYTES_MAX: Final = 4096
INSTANCE: Final = "MINIWATCH_KAFKA__GROUP_INSTANCE_ID"
STOP_S_MAX: Final = 60.0
"""How long workers may take to finish their turns and write their snapshots."""


class Workforce:
    """The workers of one machine, from entering to leaving. `listen` is the address of the process that starts them: they listen at the
    ports above it.
    """

    def __init__(self, workers: int, listen: str) -> None:
        self._listen = listen
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * workers
        self._started = [0.0] * workers
        self._pauses = [AGAIN_S[0]] * workers
        self._due = [0.0] * workers
        self._channels: list[socket.socket | None] = [None] * workers
        self._moved: list[float | None] = [None] * workers  # when each that is at work last gave a sign of life
        self._was_ready = [False] * workers
        self.stopping: Final = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="workforce", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._thread.join()
        running = [process for process in self._processes if process is not None and process.poll() is None]
        for process in running:
            process.terminate()
        until = time.monotonic() + STOP_S_MAX
        for process in running:
            try:
                process.wait(max(until - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def count(self) -> int:
        """How many workers there are to be."""
        return len(self._processes)

    @property
    def at_work(self) -> int:
        """How many have begun to work, and have not ended since."""
        return sum(moved is not None for moved in self._moved)

    @property
    def is_ready(self) -> bool:
        """Whether each has been at work."""
        return all(self._was_ready)

    @property
    def age_s(self) -> float:
        """How long ago the one of those at work gave a sign of life that has given none for longest."""
        now = time.monotonic()
        return max((now - moved for moved in self._moved if moved is not None), default=0.0)

    def wait(self, ready: Callable[[], None] = lambda: None) -> None:
        """Until told to stop; `ready` is called once all are at work."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())
        while not self.stopping.wait(LOOK_S):
            if self.is_ready:
                ready()

    def _keep(self) -> None:
        while not self.stopping.wait(LOOK_S):
            now = time.monotonic()
            for number, process in enumerate(self._processes):
                if process is not None and process.poll() is None:
                    self._listen_to(number)
                    continue
                if process is not None:
                    self._processes[number] = self._moved[number] = None
                    was_sound = now - self._started[number] >= SOUND_S
                    self._due[number] = now + (AGAIN_S[0] if was_sound else self._pauses[number])
                    self._pauses[number] = AGAIN_S[0] if was_sound else min(2 * self._pauses[number], AGAIN_S[1])
                elif self._due[number] <= now:
                    self._started[number] = now
                    self._processes[number] = self._start(number)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        with theirs:
            if (before := self._channels[number]) is not None:
                before.close()
            self._channels[number] = ours
            tells = ["--tells", str(theirs.fileno())]
            return subprocess.Popen([*_command(), *tells], env=self._environment(number), pass_fds=(theirs.fileno(),))

    def _listen_to(self, number: int) -> None:
        """Take note of what a worker has said since."""
        channel = self._channels[number]
        while channel is not None:
            try:
                said = channel.recv(SAID_BYTES_MAX).decode(errors="replace").split("\n")
            except OSError:
                return
            if "READY=1" in said:
                self._was_ready[number] = True
            if self._was_ready[number] and {"READY=1", "WATCHDOG=1"} & {*said}:
                self._moved[number] = time.monotonic()

    def _environment(self, number: int) -> dict[str, str]:
        listen = ""
        if self._listen:
            host, _, port = self._listen.rpartition(":")
            listen = f"{host}:{int(port) + 1 + number if int(port) else 0}"
        given = os.environ.get(INSTANCE)
        own = {INSTANCE: f"{given}-{number}"} if given else {}
        return {**os.environ, **own, "MINIWATCH_HTTP__LISTEN": listen}


def _command() -> list[str]:
    """The command line of this process, as a worker's."""
    given = []
    skip = False
    for word in sys.argv[1:]:
        if skip or word.startswith(("--role=", "--workers=")):
            skip = False
        elif word in {"--role", "--workers"}:
            skip = True
        else:
            given.append(word)
    return [
        sys.executable,
        "-c",
        "from monitor.cli import main; main()",
        *given,
        "--role",
        "detect",
        "--parent",
        str(os.getpid()),
    ]
