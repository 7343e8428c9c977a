"""A daemon in a process of its own, which may be killed, or meet a disk that refuses, at a place that the test names."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import shutil
import signal
import stat
import threading
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import journey
import msgspec

from monitor import durable
from monitor.app import open_daemon
from monitor.spool import spool
from monitor.telemetry import Telemetry

_processes: Final = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["monitor.app"])  # a child then starts in a tenth of the time


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a child does, and what befalls it.

    At the `occurrence`-th time that it passes the durable boundary `at`, it is killed; with `power_cut`, the disk has lost
    what it was not made to keep by then. Its log stands beside the data folder and tells of every turn.
    """

    data_dir: str
    sources: list[str]
    keys: dict[str, object] = {}
    live: bool = False
    deliver: bool = False
    every_turn: bool = True  # save a snapshot after each, so that restarts begin at all of them
    at: str = ""
    occurrence: int = 1
    power_cut: bool = False
    spool_segment_bytes: int = 0  # size of a segment of the spool, much smaller than it is; 0: as it is

    @property
    def log(self) -> Path:
        return Path(self.data_dir).with_suffix(".log")

    def start(self) -> BaseProcess:
        """Start the child."""
        process = _processes.Process(target=work, args=(msgspec.json.encode(self),), daemon=True)
        process.start()
        return process

    def run(self, within_s: float = 60) -> int:
        """Start the child and wait for its end; its exit code, -9 when it was killed."""
        process = self.start()
        process.join(within_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(f"not done after {within_s} s: {self}")
        return process.exitcode

    def killed_after(self, turn: int, wait_s: float, *, starting: bool = False) -> bool:
        """Start the child and kill it some time after it has committed a turn, or after its start; whether it was at work."""
        told = self.log.stat().st_size if self.log.exists() else 0
        process = self.start()
        while process.is_alive() and not starting and self._turn_told(told) < turn:
            time.sleep(0.005)
        process.join(wait_s)
        is_unfinished = process.exitcode is None
        process.kill()
        process.join()
        return is_unfinished and self._turn_told(told) >= 0

    def _turn_told(self, after: int) -> int:
        """The last turn that the log tells of from there on, that at which work was taken up included; -1 before that."""
        if not self.log.exists():
            return -1
        turns = TURN.findall(self.log.read_bytes()[after:])
        return int(turns[-1]) if turns else -1


TURN: Final = re.compile(rb'"event":"(?:recovery_done|turn_committed)".*?"turn":(\d+)')
START_S: Final = 0.8
"""About what a child needs before it is at work."""


def work(encoded: bytes) -> None:
    """In the child: run the daemon."""
    plan = msgspec.json.decode(encoded, type=Plan)
    passed: Counter[str] = Counter()
    disk = Disk(Path(plan.data_dir)) if plan.power_cut else None

    def observe(name: str) -> None:
        passed[name] += 1
        if name == plan.at and passed[name] == plan.occurrence:
            if disk is not None:
                disk.lose_power()
            os.kill(os.getpid(), signal.SIGKILL)

    durable.observer = observe
    spool.SEGMENT_BYTES = plan.spool_segment_bytes or spool.SEGMENT_BYTES
    config = journey.configured(Path(plan.data_dir), plan.sources, **plan.keys)
    log = plan.log.open("a", encoding="utf-8")
    telemetry = Telemetry(level="debug", log_format="json", stream=log)
    clock = (lambda: time.time_ns() // 1000) if plan.live else (lambda: journey.NOW)
    deliver = plan.deliver or plan.live
    with open_daemon(config, telemetry, until_end=not plan.live, deliver=deliver, clock=clock) as daemon:
        if plan.every_turn:
            journey.remember_every_turn(daemon)
        daemon.obey_signals()
        daemon.run()


class Disk:
    """A disk that keeps what it was made to keep by fsync: the content of a file, and the names in a folder.

    What was there before the child began is kept too, and so is the database, which sees to its own file. Of what else was
    written to a file its second half is lost; a new name is as if it had never been given. The folders of the first level
    stay: every journalling file system keeps the making of a folder when it keeps a file in it. From the moment at which the power
    goes nothing is made to keep any more: who asks for it waits, and acknowledges nothing.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._sizes: dict[int, int] = {}
        self._names: set[tuple[int, str, int]] = set()
        self._fsync = os.fsync
        self._power = threading.Lock()  # held for ever by whoever takes it away
        for path in self._paths():
            self._keep(path, path.stat())
        os.fsync = self.fsync

    def fsync(self, descriptor: int) -> None:
        """Stands for `os.fsync`, and remembers of what."""
        with self._power:
            self._fsync(descriptor)
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                with os.scandir(descriptor) as entries:
                    self._names |= {(status.st_ino, entry.name, entry.inode()) for entry in entries}
            else:
                self._sizes[status.st_ino] = status.st_size

    def lose_power(self) -> None:
        """Let the data folder be as it will be found. Other threads are at work while the power goes: what they rename or remove just then is gone."""
        self._power.acquire()
        for path in self._paths():
            with contextlib.suppress(FileNotFoundError):
                self._lose(path, path.stat())

    def _lose(self, path: Path, status: os.stat_result) -> None:
        if (path.parent.stat().st_ino, path.name, status.st_ino) not in self._names:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        elif path.is_file() and status.st_size > self._sizes.get(status.st_ino, 0):
            os.truncate(path, max(status.st_size // 2, self._sizes.get(status.st_ino, 0)))

    def _keep(self, path: Path, status: os.stat_result) -> None:
        self._names.add((path.parent.stat().st_ino, path.name, status.st_ino))
        self._sizes[status.st_ino] = status.st_size

    def _paths(self) -> list[Path]:
        """Innermost first, so that what is in a folder that is lost has been seen."""
        return sorted(self._data_dir.glob("*/**/*"), key=lambda path: -len(path.parts))
