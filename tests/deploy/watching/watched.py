"""A daemon in a process of its own with a life to watch, and a Prometheus that scrapes it; both on the loopback interface."""

from __future__ import annotations

import contextlib
import http.server
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
from lacking import lacking
from ports import free_port
from prometheus_client.parser import text_string_to_metric_families

ROOT: Final = Path(__file__).parents[3]
DEPLOY: Final = ROOT / "deploy"
FOUND: Final = ROOT / "tests" / "rules" / "sandbox" / "another_apps_files" / "hit.jsonl"
START_S_MAX: Final = 300.0
MINIWATCH: Final = [sys.executable, "-c", "from monitor.cli import main; main()"]


def program(name: str) -> str:
    """Where a program of others is; without it the test is skipped, and on CI, which must have it, fails."""
    found = shutil.which(name)
    if found is None:
        lacking(f"this machine lacks {name}")
    return found


def until(true: Callable[[], Any], within_s: float = START_S_MAX, pause_s: float = 0.05) -> Any:
    """Wait for something to be true, and return what it was then."""
    ends = time.monotonic() + within_s
    while not (found := true()) and time.monotonic() < ends:
        time.sleep(pause_s)
    assert found, "it did not come to that in time"
    return found


def simulated(folder: Path, *words: str, minutes: int = 12) -> Path:
    """Events of the minutes that just went by, with misbehaviour among them, and their apps."""
    start = (datetime.now(UTC) - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
    events, apps = folder / "events.ndjson", folder / "apps.ndjson"
    shape = ["--start", start, "--hours", str(minutes / 60), "-O", str(events), "--registry", str(apps)]
    subprocess.run([*MINIWATCH, "simulate", *shape, *words], cwd=ROOT, check=True, capture_output=True)
    return events


class Receiver:
    """Takes what is posted, or refuses it."""

    def __init__(self, status: int) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Daemon:
    """`miniwatch run`, live, on a data folder of its own. `config` is what stands in its file."""

    def __init__(self, folder: Path, config: str = "", sources: Sequence[str] = ()) -> None:
        self.folder = folder
        self.port = free_port()
        self.config = folder / "config.toml"
        self.config.write_text(f'data_dir = "{folder / "data"}"\n{config}\n[http]\nlisten = "127.0.0.1:{self.port}"\n')
        self._sources = [word for source in sources for word in ("--source", source)]
        self._log = (folder / "log").open("wb")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def do(self, *words: str) -> str:
        """A command on the same data folder; what it says."""
        command = [*MINIWATCH, *words, "--config", str(self.config)]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    def start(self) -> None:
        command = [*MINIWATCH, "run", "--config", str(self.config), *self._sources]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=self._log)
        until(self._answers)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        return False

    def more(self) -> None:
        """Over HTTP: the events that were left for later, such in which a rule finds something, and a line that is none."""
        lines = (self.folder / "later.ndjson").read_bytes().splitlines(keepends=True)
        for line in FOUND.read_text().splitlines():
            event = {**json.loads(line), "@timestamp": datetime.now(UTC).isoformat()}
            lines.append(json.dumps(event).encode() + b"\n")
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": "application/x-ndjson"}
        answer = httpx.post(f"{self.url}/v1/events", content=b"".join([*lines, b"{\n"]), headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text

    def _token(self) -> str:
        return self.do("tokens", "add", "shipper", "--role", "ingest").strip()

    def page(self) -> str:
        return httpx.get(f"{self.url}/metrics", timeout=30).text

    def series(self) -> list[tuple[str, dict[str, str], float]]:
        """Every series of the page: name, labels, value."""
        return [
            (sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(self.page())
            for sample in family.samples
        ]

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series of a name that have these labels."""
        return sum(value for found, has, value in self.series() if found == name and labels.items() <= has.items())

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._log.close()


class Prometheus:
    """A real one, with a configuration and a data folder of its own."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._command = program("prometheus")
        self.port = free_port()
        self._folder = folder
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        self._process: subprocess.Popen[bytes] | None = None
        self.began = time.time()

    def start(self) -> None:
        words = [
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen([self._command, *words], stderr=log, stdout=log)
        until(self._ready)

    def _ready(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.port}/-/ready", timeout=5).status_code == 200
        return False

    def ask(self, page: str, **query: object) -> Any:
        """The data of an answer of its API; an error fails with its words."""
        answer = httpx.get(f"http://127.0.0.1:{self.port}/api/v1/{page}", params=query, timeout=30).json()
        assert answer["status"] == "success", (query, answer)
        return answer["data"]

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def standing(*parts: Any) -> Iterator[None]:
    """Start these one after the other, and end them the other way round."""
    with contextlib.ExitStack() as closing:
        for part in parts:
            closing.callback(part.stop)
            part.start()
        yield
