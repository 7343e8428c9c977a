"""A real Alertmanager of the tests' own, and somebody before it who fails, throttles and lies."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from typing import Final

import httpx
from server import CannotBeHad, Server, alive, until

PROGRAM: Final = "prometheus-alertmanager"
ROUTES: Final = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


class AlertmanagerServer(Server):
    """One member that is a cluster of its own, at `url`."""

    def __init__(self) -> None:
        found = shutil.which(PROGRAM)
        if found is None:
            raise CannotBeHad(f"there is no {PROGRAM} (Debian: apt-get install {PROGRAM})")
        self._program = found
        super().__init__()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        routes = self.folder / "alertmanager.yml"
        routes.write_text(ROUTES)
        shutil.rmtree(self.folder / "data", ignore_errors=True)  # it knows nothing of before
        self._process = subprocess.Popen(
            [
                self._program,
                f"--config.file={routes}",
                f"--storage.path={self.folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",
            ],
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("ab"),
        )
        until(self._is_ready)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def processes(self) -> list[int]:
        pid = self._process.pid if self._process is not None else 0
        return [pid] if pid and alive(pid) else []

    def alerts(self) -> list[dict]:
        """The alerts that are not over."""
        return httpx.get(f"{self.url}/api/v2/alerts", timeout=5).json()

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=1).status_code == 200
        except httpx.HTTPError:
            return False


class Unreliable(ThreadingHTTPServer):
    """Stands before a member: takes and hands on, or fails, throttles, answers late, says no though it took it, and yes though it did not."""

    daemon_threads = True
    MOODS: Final = ("fail", "take", "throttle", "take-and-fail", "take-late", "lie")

    def __init__(self, before: str) -> None:
        super().__init__(("127.0.0.1", 0), _Moody)
        self.before = before
        self.moods = cycle(self.MOODS)
        self.shown: set[str] = set()
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def calm_down(self) -> None:
        """From now on it takes everything."""
        with self.lock:
            self.moods = cycle(("take",))

    def mood(self) -> str:
        with self.lock:
            self.shown.add(mood := next(self.moods))
            return mood


class _Moody(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        mood = self.server.mood()
        status = self._hand_on(body) if mood.startswith("take") else 200
        if mood == "take-late":
            time.sleep(0.3)
        self._answer({"fail": 503, "throttle": 429, "take-and-fail": 500}.get(mood, status))

    def _hand_on(self, body: bytes) -> int:
        try:
            head = {"Content-Type": "application/json"}
            return httpx.post(self.server.before + self.path, content=body, headers=head, timeout=5).status_code
        except httpx.HTTPError:
            return 502

    def _answer(self, status: int) -> None:
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""
