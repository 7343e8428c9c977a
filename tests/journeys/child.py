"""A daemon in a process of its own, which may be killed, or meet a disk that refuses, at a place that the test names."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import journey
import msgspec

from monitor import durable
from monitor.app import open_daemon
from monitor.telemetry import Telemetry

_processes: Final = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["monitor.app"])  # a child then starts in a tenth of the time


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a child does, and what befalls it.

    At the `occurrence`-th time that it passes the durable boundary `at`, it is killed; with `torn`, the file being
    written has lost its second half by then.
    """

    data_dir: str
    sources: list[str]
    keys: dict[str, object] = {}
    live: bool = False
    deliver: bool = False
    every_turn: bool = True  # save a snapshot after each, so that restarts begin at all of them
    at: str = ""
    occurrence: int = 1
    torn: bool = False

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


def work(encoded: bytes) -> None:
    """In the child: run the daemon."""
    plan = msgspec.json.decode(encoded, type=Plan)
    passed: Counter[str] = Counter()

    def observe(name: str) -> None:
        passed[name] += 1
        if name == plan.at and passed[name] == plan.occurrence:
            if plan.torn:
                tear(Path(plan.data_dir))
            os.kill(os.getpid(), signal.SIGKILL)

    durable.observer = observe
    config = journey.configured(Path(plan.data_dir), plan.sources, **plan.keys)
    log = Path(plan.data_dir).with_suffix(".log").open("a", encoding="utf-8")
    telemetry = Telemetry(level="info", log_format="json", stream=log)
    clock = (lambda: time.time_ns() // 1000) if plan.live else (lambda: journey.NOW)
    deliver = plan.deliver or plan.live
    with open_daemon(config, telemetry, until_end=not plan.live, deliver=deliver, clock=clock) as daemon:
        if plan.every_turn:
            journey.remember_every_turn(daemon)
        daemon.obey_signals()
        daemon.run()


def tear(data_dir: Path) -> None:
    """Cut the file that is being written in half."""
    parts = [path for path in data_dir.rglob("*") if path.is_file() and ".part" in str(path.relative_to(data_dir))]
    newest = max(parts, key=lambda path: (path.stat().st_mtime_ns, path.name))
    os.truncate(newest, newest.stat().st_size // 2)
