"""Several workers on one machine: each a process of its own with the same command line, started again when it ends.

A worker that sees that its parent is gone ends too. One that ends again and again is started after longer and longer pauses.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Final, Self

WORKERS_MAX: Final = 64
AGAIN_S: Final = (1.0, 60.0)
"""First and longest pause before a worker that ended is started again."""

SOUND_S: Final = 60.0
"""A worker that ran for so long is started again after the first pause."""

LOOK_S: Final = 0.2
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
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="workforce", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stopping.set()
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

    def wait(self) -> None:
        """Until told to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        self._stopping.wait()

    def _keep(self) -> None:
        while not self._stopping.wait(LOOK_S):
            now = time.monotonic()
            for number, process in enumerate(self._processes):
                if process is not None and process.poll() is None:
                    continue
                if process is not None:
                    self._processes[number] = None
                    was_sound = now - self._started[number] >= SOUND_S
                    self._due[number] = now + (AGAIN_S[0] if was_sound else self._pauses[number])
                    self._pauses[number] = AGAIN_S[0] if was_sound else min(2 * self._pauses[number], AGAIN_S[1])
                elif self._due[number] <= now:
                    self._started[number] = now
                    self._processes[number] = subprocess.Popen(_command(), env=self._environment(number))

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
