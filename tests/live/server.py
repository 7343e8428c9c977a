"""Real servers of the tests' own: they start, stop, die and stand still when a test says so, and keep their data meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lacking import lacking
from ports import free_port

SERVERS = Path(__file__).parent / "servers" / "servers"
"""Starts what runs on a JVM; `servers/README.md` says what these servers can do and what not."""


class CannotBeHad(Exception):
    """This machine lacks what a server needs; the text says what."""


class Server:
    """A server on the loopback interface: on one port, with one data folder, for as long as it is used."""

    def __init__(self) -> None:
        if not Path("/proc/self/stat").exists():
            raise CannotBeHad("the tests see processes in /proc, which is Linux's")
        self.folder = Path(tempfile.mkdtemp(prefix="miniwatch-live-"))
        self.port = free_port()
        keeping = [sys.executable, str(Path(__file__).with_name("keeper.py")), str(self.folder)]
        self._keeper = subprocess.Popen(keeping, stdin=subprocess.PIPE, start_new_session=True)

    def start(self) -> None:
        """Start it, and wait until it answers. One that runs already is left alone."""
        raise AssertionError("each server says how it is started")

    def stop(self) -> None:
        """End it in order, and wait for that."""
        raise AssertionError("each server says how it is stopped")

    def processes(self) -> list[int]:
        """The ids of all its processes, the first of which makes the others; none while it does not run."""
        raise AssertionError("each server knows its processes")

    def kill(self) -> None:
        """SIGKILL to all of it at once. What it wrote is kept: the system still has it."""
        killed = self._tell(signal.SIGSTOP)  # so that none is made meanwhile
        for pid in {*killed, *self.processes()}:
            _signal(pid, signal.SIGKILL)
        until(lambda: not any(alive(pid) for pid in killed))

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        self._tell(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT: it goes on where it stood."""
        self._tell(signal.SIGCONT)

    def remove(self) -> None:
        """End it, whatever state it is in, and remove its folder."""
        self.kill()
        self._keeper.communicate()  # it removes the folder, as it does where nobody comes here

    def _tell(self, number: signal.Signals) -> list[int]:
        told = self.processes()
        for pid in told:
            _signal(pid, number)
        return told


class OnJava(Server):
    """A server that `servers` starts."""

    name: str

    def __init__(self) -> None:
        done = _servers("prepare", self.name)
        if done.returncode:
            raise CannotBeHad(done.stderr.strip()[-500:])
        super().__init__()

    def start(self) -> None:
        done = _servers("start", self.name, "--dir", self.folder, "--port", self.port, "--timeout", 300)
        assert done.returncode == 0, done.stderr[-2000:]

    def stop(self) -> None:
        _servers("stop", self.name, "--dir", self.folder)

    def processes(self) -> list[int]:
        try:
            pid = int(json.loads((self.folder / self.name / "running.json").read_text())["pid"])
        except (OSError, ValueError):
            return []
        return [pid] if alive(pid) else []


class Kafka(OnJava):
    """A broker that is its own controller. `bootstrap` is what a client is given."""

    name = "kafka"

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"


class Elasticsearch(OnJava):
    """A node that is a cluster of its own, at `url`."""

    name = "elasticsearch"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def running(kind: type[Server]) -> Iterator[Server]:
    """A server for as long as a fixture lasts; where it cannot be had a skip, and on CI, which must have it, a failure."""
    try:
        server = kind()
    except CannotBeHad as why:
        lacking(str(why))
    try:
        server.start()
        yield server
    finally:
        server.remove()


def until(true, within_s: float = 30.0):
    """Wait for something to be true, and return what it was then."""
    ends = time.monotonic() + within_s
    while not (found := true()) and time.monotonic() < ends:
        time.sleep(0.02)
    assert found, "it did not come to that in time"
    return found


def alive(pid: int) -> bool:
    """Whether a process is there, and not only waits for its parent to notice that it is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _servers(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SERVERS), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
