"""The whole loop on one machine: a gateway's access log goes to a real daemon, which decides, and its agent enforces."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from ports import free_port
from standing import DEPLOY, Gateway

from monitor.kept import Kept
from monitor.tokens import Role, new_token

ENTRY = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module('miniwatch_gateway', run_name='__main__')"
)

TOOLS = "https://servicewechat.com/{app}/devtools/page-frame.html"
"""The Referer by which the built-in rule `tools_against_production` knows an app that is taken apart."""

RELEASED = "https://servicewechat.com/{app}/17/page-frame.html"

PLAYBOOK = """\
name: quick
title: A development build is slowed at once, for seconds
priority: 500
match:
  behaviours: [18]
steps:
  - tier: throttle
    when: {{risk: 1}}
    actions:
      - {{type: throttle, target: {api}, limit: {limit}, per: {per_s}s, for: {lasts_s}s}}
"""


@dataclass
class Miniwatch:
    """A daemon in a process of its own, which can be killed and started again."""

    folder: Path
    playbook: str
    sources: tuple = ("http:",)
    more: str = ""
    port: int = field(default_factory=free_port)

    def __post_init__(self):
        self.data = self.folder / "data"
        self.data.mkdir(parents=True)
        playbooks = self.folder / "playbooks"
        playbooks.mkdir()
        (playbooks / "quick.yaml").write_text(self.playbook)
        sources = "".join(f'[[sources]]\nuri = "{uri}"\n' for uri in self.sources)
        self.config = self.folder / "config.toml"
        self.config.write_text(
            f'data_dir = "{self.data}"\n{self.more}\n[http]\nlisten = "127.0.0.1:{self.port}"\n'
            f"requests_per_s_max = 10000.0\n[playbooks]\nbuiltin = false\nfolders = ['{playbooks}']\n{sources}"
        )
        self.ingest, self.bouncer = (self._token(role) for role in (Role.INGEST, Role.BOUNCER))
        self.token_file = self.folder / "token"
        self.token_file.write_text(self.bouncer)
        self.process = None

    def _token(self, role):
        kept = Kept.open(self.data)
        token, text = new_token(role, [role], created=0, expires=2**60, actor="operator:test")
        kept.store.add_token(token, "")
        kept.store.close()
        return text

    def __enter__(self):
        self.start()
        self.wait()
        return self

    def __exit__(self, *_):
        self.kill()

    def start(self):
        with (self.folder / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(self._command("run"), stdout=log, stderr=log)

    def wait(self, within_s=60.0):
        """Until it answers."""
        until = time.monotonic() + within_s
        while self._asked("/healthz") != 200:
            assert time.monotonic() < until, (self.folder / "daemon.log").read_text()[-3000:]
            time.sleep(0.05)

    def kill(self, how=signal.SIGKILL):
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def told(self, *words):
        """What a command says."""
        run = subprocess.run(self._command(*words), capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def in_force(self):
        """The decisions that are in force, as the store has them."""
        kept = Kept.open(self.data)
        try:
            return kept.store.decisions_in_force(int(time.time() * 1_000_000))
        finally:
            kept.store.close()

    def send(self, body, key=None, timeout_s=5.0):
        """Events to ``/v1/events``; whether they are acknowledged."""
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
            headers = {"Authorization": f"Bearer {self.ingest}"} | ({"Idempotency-Key": key} if key else {})
            connection.request("POST", "/v1/events", body, headers)
            return connection.getresponse().status in {200, 409}
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _asked(self, path):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    def _command(self, *words):
        return [str(Path(sys.executable).with_name("miniwatch")), *words, "--config", str(self.config)]


class Shipper:
    """Takes the gateway's log lines to the daemon, some times a second, each until it is acknowledged."""

    def __init__(self, gateway: Gateway, miniwatch: Miniwatch, every_s=0.05):
        self._gateway, self._miniwatch, self._every_s = gateway, miniwatch, every_s
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._leaving.set()
        self._thread.join(10)

    def _run(self):
        while not self._leaving.wait(self._every_s):
            lines = self._gateway.lines[self.sent :]
            if lines and self._miniwatch.send(b"".join(lines), key=f"lines-{self.sent}-{len(lines)}"):
                self.sent += len(lines)


class AgentProgram:
    """The agent as it runs on a gateway's machine, in a process of its own."""

    def __init__(self, gateway: Gateway, miniwatch: Miniwatch):
        options = ["--url", f"http://127.0.0.1:{miniwatch.port}", "--token-file", str(miniwatch.token_file)]
        options += ["--maps", str(gateway.maps), "--socket", str(gateway.socket)]
        self._command = [sys.executable, "-I", "-c", ENTRY, str(DEPLOY), *options]
        self._log = gateway.folder / "agent.log"
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    def start(self):
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, env={"PATH": os.environ["PATH"]}, stdout=log, stderr=log)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Caller:
    """Calls at a steady pace, in a thread: when each was made, its status, and how long it took (seconds)."""

    def __init__(self, gateway: Gateway, app: str, per_s: float, *, referer=RELEASED, api="login"):
        self._gateway, self._app, self._pause_s = gateway, app, 1 / per_s
        self._headers = {"X-Miniprogram-App-Id": app, "X-Miniprogram-Api": api, "Referer": referer.format(app=app)}
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.calls: list[tuple[float, int, float]] = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._leaving.set()
        self._thread.join(10)

    def statuses(self, since=0.0, until=1e18):
        return [status for at, status, _ in self.calls if since <= at < until]

    def _run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self._gateway.port, timeout=5)
        due = time.monotonic()
        while not self._leaving.is_set():
            at, begun = time.time(), time.perf_counter()
            try:
                connection.request("GET", "/api/call", headers=self._headers)
                response = connection.getresponse()
                response.read()
                status = response.status
            except (OSError, http.client.HTTPException):
                connection.close()
                status = 0
            self.calls.append((at, status, time.perf_counter() - begun))
            due = max(due + self._pause_s, time.monotonic() - 1)
            self._leaving.wait(max(0.0, due - time.monotonic()))
