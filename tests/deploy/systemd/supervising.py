"""A supervisor that only listens, and a daemon that it has started."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]
LONG_S = 120.0
"""On a busy machine; no test waits for so long unless it fails."""


class Listening:
    """The supervisor's end of the socket: what it was told, message by message, with the time of each."""

    def __init__(self, address):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self.address, self.heard = address, []

    def close(self):
        self._socket.close()

    def next(self, wait_s=LONG_S):
        """The next message as its lines; None when there was none in that time."""
        self._socket.settimeout(wait_s)
        with contextlib.suppress(TimeoutError):
            lines = self._socket.recv(8192).decode().split("\n")
            self.heard.append((time.monotonic(), lines))
            return lines
        return None

    def until(self, line):
        """Listen until a message has a line that begins so; that line."""
        ends = time.monotonic() + LONG_S
        while time.monotonic() < ends:
            for found in self.next(1.0) or ():
                if found.startswith(line):
                    return found
        raise AssertionError(f"never heard {line}: {[lines for _, lines in self.heard]}")

    def said(self):
        return [line for _, lines in self.heard for line in lines]


def command(*words):
    return [sys.executable, "-c", "from monitor.cli import main; main()", *map(str, words)]


def environment(**more):
    known = {name: value for name, value in os.environ.items() if not name.startswith("MINIWATCH_")}
    return {**known, "PYTHONPATH": str(ROOT), **more}


@contextlib.contextmanager
def started(words, folder, **more):
    """A process of ours, ended with the test; what it says is in `said` in the folder."""
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(words, cwd=folder, env=environment(**more), stderr=said, stdout=said)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
