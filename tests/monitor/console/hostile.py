"""A server of the front in a process of its own, whose memory can be looked at; run as a program it serves."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from monitor import process
from monitor.config import load_config
from monitor.console.health import Health
from monitor.front import front_of
from monitor.sealing import Seal
from monitor.spool.spool import Spool
from monitor.spool.taking import Taker
from monitor.telemetry import Telemetry
from monitor.testing import scratch_store
from monitor.tokens import Role, new_token

MIB = 1 << 20

TRIES_MAX = 300
"""How often a server is asked that has no room; between two tries is waited as it says."""


class Server:
    """The process; it serves until it is closed."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        assert self._process.stdout is not None
        port, self.token = self._process.stdout.readline().decode().split()
        self.url = f"http://127.0.0.1:{port}"

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def most_bytes(self) -> int:
        """The most memory that the process has had since it was last asked."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        most = int(status.partition("VmHWM:")[2].split()[0]) * 1024
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")
        return most

    def post(
        self, path: str, content: bytes, headers: dict[str, str], method: str = "POST", tries: int = TRIES_MAX
    ) -> int:
        """What is answered, once there is room."""
        named = {"Authorization": f"Bearer {self.token}", **headers}
        for _ in range(tries):
            answer = httpx.request(method, self.url + path, content=content, headers=named, timeout=120)
            if answer.status_code != 429:
                return answer.status_code
            time.sleep(float(answer.headers["Retry-After"]))
        return 429

    def posted_at_once(self, requests: Sequence[tuple[str, bytes, dict[str, str]]]) -> set[int]:
        """What all of these are answered. Raises what sending one of them raises."""
        with ThreadPoolExecutor(len(requests)) as threads:
            return set(threads.map(lambda one: self.post(*one), requests))


def serve(folder: Path) -> None:
    """As `miniwatch run` does, without what reads the events."""
    process.prepare()
    store = scratch_store(folder)
    token, text = new_token("hostile", [Role.INGEST], created=0, expires=2**62, actor="operator:test")
    store.add_token(token, "")
    spool = Spool(
        folder / "spool", Seal(bytes(32)), bytes_max=4096 * MIB, floor=0, clock=lambda: time.time_ns() // 1000
    )
    taker = Taker(spool)
    taker.start()
    config = load_config(None, {}, {"http.listen": "127.0.0.1:0", "http.requests_per_s_max": 100_000.0})
    telemetry = Telemetry(level="debug")
    now = lambda: time.time_ns() // 1000  # noqa: E731
    front = front_of(config, store, telemetry, now, lambda: Health(heartbeat_age_s=0.0), (), taker.take)
    front.start()
    sys.stdout.write(f"{front.server.port} {text}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    serve(Path(tempfile.mkdtemp(dir=sys.argv[1])))
