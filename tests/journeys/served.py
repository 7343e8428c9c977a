"""A daemon in a process of its own that takes events over HTTP and is killed again and again, and clients that outlive it."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import httpx
import msgspec
from child import Plan
from journey import Outcome, outcome
from ports import free_port

from detectors.event import LINE
from monitor.kept import Kept
from monitor.tokens import Role, new_token

KEYS: Final[dict[str, object]] = {
    "batch__rows_max": 50,
    "snapshots__every_s": 1.0,
    "http__requests_per_s_max": 10_000.0,
}
LONG_S: Final = 120.0


class Served:
    """A data folder whose daemon listens on one port, however often it is started."""

    def __init__(self, folder: Path, segment_bytes: int = 20_000) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self.port = free_port()
        kept = Kept.open(self.data)
        token, self.token = new_token("shipper", [Role.INGEST], created=0, expires=2**60, actor="operator:test")
        kept.store.add_token(token, "")
        kept.store.close()
        self._segment_bytes = segment_bytes
        self.process: BaseProcess | None = None

    def plan(self, **more: object) -> Plan:
        return Plan(
            data_dir=str(self.data),
            sources=["http:"],
            keys={**KEYS, "http__listen": f"127.0.0.1:{self.port}"},
            live=True,
            every_turn=False,
            spool_segment_bytes=self._segment_bytes,
            **more,  # type: ignore[arg-type]
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, **more: object) -> BaseProcess:
        self.process = self.plan(**more).start()
        return self.process

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.join()

    def killed_while(self, is_done: Callable[[], bool], kills: int, seed: int) -> int:
        """Start the daemon and have it killed while somebody ships into it; how often it was.

        Every second time it is between the moment at which something is on disk and the answer, else at any moment.
        """
        chance, killed = random.Random(seed), 0
        until = time.monotonic() + LONG_S
        while killed < kills and not is_done() and time.monotonic() < until:
            if killed % 2:
                process = self.start()
                while not self.listens() and time.monotonic() < until:
                    time.sleep(0.02)
                time.sleep(chance.uniform(0, 1.0))
                process.kill()
            else:
                process = self.start(at="fsync:spool:done", occurrence=chance.randrange(2, 9))
            while process.is_alive() and not is_done() and time.monotonic() < until:
                time.sleep(0.02)
            process.kill()  # one that was to be killed later is followed by one that is not
            process.join()
            killed += 1
        self.start()
        return killed

    def listens(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=1).status_code > 0
        except httpx.HTTPError:
            return False

    def ended(self, lines: int) -> Outcome:
        """The outcome once so many lines are accounted for and the daemon was told to stop."""
        assert self.process is not None
        until = time.monotonic() + LONG_S
        while self.received() < lines and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(1.5)  # the spool is cleared once a second
        os.kill(self.process.pid or 0, signal.SIGTERM)
        self.process.join(30)
        assert self.process.exitcode == 0
        return outcome(self.data)

    def received(self) -> int:
        connection = sqlite3.connect(f"file:{self.data / 'miniwatch.db'}?mode=ro", uri=True)
        try:
            return int(connection.execute("select coalesce(sum(received), 0) from progress").fetchone()[0])
        finally:
            connection.close()

    def events(self) -> Iterator[dict[str, object]]:
        """Every event of the archive."""
        kept = Kept.open(self.data)
        try:
            for frame in kept.archive.replay(kept.store.segments(), 0):
                for line in frame[LINE]:
                    yield msgspec.json.decode(line)
        finally:
            kept.store.close()

    def counted(self, name: str) -> Counter[object]:
        """How often each value of a field of the first level is there."""
        return Counter(event.get(name) for event in self.events())


class Shipper:
    """A client in a process of its own, that is killed and begins again until it has shipped everything."""

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        self._command = [sys.executable, str(Path(__file__).with_name("shipping.py")), *arguments, str(log)]
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.kills = 0
        self._stopped = threading.Event()
        self.thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        chance = random.Random(4)
        while not self._stopped.is_set():
            with subprocess.Popen(self._command) as process:
                self._process = process
                while process.poll() is None and not self._stopped.is_set():
                    if self.kills < 3 and len(self.acknowledged) > 40 * (self.kills + 1):
                        time.sleep(chance.uniform(0, 0.2))
                        process.kill()
                        self.kills += 1
                        break
                    time.sleep(0.02)
                if self._stopped.is_set():
                    process.kill()
            if process.returncode == 0:
                return

    @property
    def is_done(self) -> bool:
        return not self.thread.is_alive()

    @property
    def acknowledged(self) -> set[str]:
        """What the client was told is taken, as it wrote it down then."""
        return set(self.log.read_text().split()) if self.log.exists() else set()

    def stop(self) -> None:
        self._stopped.set()
        self.thread.join(20)
