"""What the tests of the gateway stand on: HAProxy with our configuration, a tiny platform behind it, and Miniwatch's list of changes."""

from __future__ import annotations

import base64
import getpass
import grp
import http.client
import http.server
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from miniwatch_gateway.agent import Agent
from miniwatch_gateway.decisions import Decision
from miniwatch_gateway.haproxy import MapFiles, Runtime
from miniwatch_gateway.registry import Developers
from miniwatch_gateway.tables import tables
from ports import free_port

DEPLOY = Path(__file__).parents[3] / "deploy" / "gateway"
PEOPLE_KEY = bytes(range(32))


def now_ms():
    return int(time.time() * 1000)


def stamp(milliseconds):
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat().replace("+00:00", "Z")


def decided(type_, scope="AppId", value="wx01", number=1, lasts_s=60.0, target=None, **parameters):
    """A decision in force from now on."""
    expires = now_ms() + int(lasts_s * 1000)
    return Decision(number, f"d{number}", scope, value, type_, target, tuple(parameters.items()), expires)


def changed(decision, changed_at, *, in_force=True):
    """A decision as Miniwatch tells it."""
    return {
        "number": decision.number,
        "changed": changed_at,
        "id": decision.id,
        "scope": decision.scope,
        "value": decision.value,
        "type": decision.type,
        "target": decision.target,
        "parameters": dict(decision.parameters),
        "in_force": in_force,
        "state": "active" if in_force else "revoked",
        "begun": stamp(now_ms()),
        "expires": stamp(decision.expires),
        "explanation": "Rule R saw 12 events.",
    }


class _Quiet(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece: the second of two would wait for the first to be acknowledged

    def log_message(self, *_):
        pass

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Serving:
    """A server on a port of this machine, in threads of its own."""

    def __init__(self, handler):
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # whoever is killed hangs up in the middle of an answer
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class Platform(_Serving):
    """The platform's API: every call is answered by yes."""

    def __init__(self):
        class Handler(_Quiet):
            def do_GET(self):
                self.answer(b'{"errcode":0}')

            def do_POST(self):
                self.do_GET()

        super().__init__(Handler)


class Changes(_Serving):
    """Miniwatch's list of changes, by its contract: tests put decisions in force and end them."""

    def __init__(self, page=1000):
        self._rows = {}
        self._sequence = self._floor = 0
        self._told = threading.Condition()
        self.token, self.page, self.asked = "mw_secret", page, []
        changes = self

        class Handler(_Quiet):
            def do_GET(self):
                if self.headers["Authorization"] != f"Bearer {changes.token}":
                    self.answer(b'{"message":"no"}', 401)
                    return
                query = parse_qs(urlsplit(self.path).query)
                self.answer(json.dumps(changes.since(int(query["after"][0]), float(query["wait_s"][0]))).encode())

        super().__init__(Handler)

    def put(self, *decisions, in_force=True):
        """One transaction: decisions begin, or end."""
        with self._told:
            for decision in decisions:
                self._sequence += 1
                self._rows[decision.number] = changed(decision, self._sequence, in_force=in_force)
            self._told.notify_all()

    def since(self, after, wait_s):
        with self._told:
            self.asked.append(after)
            self._told.wait_for(lambda: self._sequence != after or 0 < after <= self._floor, wait_s)
            after = after if self._floor < after <= self._sequence else 0
            rows = sorted(
                (row for row in self._rows.values() if row["changed"] > after), key=lambda row: row["changed"]
            )
            page = rows[: self.page]
            more = len(rows) > len(page)
            told = [row for row in page if after or row["in_force"]]
            position = page[-1]["changed"] if more else self._sequence
            return {"position": position, "more": more, "anew": not after, "changes": told}

    def restore(self, *decisions, at, floor):
        """In place of all that was, a record with these decisions, whose changes after a floor have other places than before."""
        with self._told:
            self._rows = {decision.number: changed(decision, at, in_force=True) for decision in decisions}
            self._sequence, self._floor = at, floor
            self._told.notify_all()


@dataclass
class Gateway:
    """HAProxy in a folder of its own. Its log lines are collected; the maps are told through `runtime`."""

    program: str
    folder: Path
    upstream: int
    configuration: Path = DEPLOY / "haproxy.cfg"
    with_key: bool = False
    port: int = field(default_factory=free_port)
    lines: list = field(default_factory=list)
    said: list = field(default_factory=list)

    def __enter__(self):
        self.short = Path(tempfile.mkdtemp(prefix="mw-"))  # sockets' names must be short
        self.maps = self.folder / "maps"
        self.maps.mkdir(exist_ok=True)
        self.files = MapFiles(self.maps)
        self.files.prepare()
        self.socket = self.short / "haproxy.sock"
        self.runtime = Runtime(self.socket, self.files)
        self._log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._log.bind(str(self.short / "log"))
        threading.Thread(target=self._collect, daemon=True).start()
        self.process = None
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()
        self._log.close()
        shutil.rmtree(self.short, ignore_errors=True)

    @property
    def environment(self):
        own = {
            "PATH": os.environ["PATH"],
            "GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
            "GATEWAY_UPSTREAM": f"127.0.0.1:{self.upstream}",
            "GATEWAY_MAPS": str(self.maps),
            "GATEWAY_SOCKET": str(self.socket),
            "GATEWAY_LUA": str(DEPLOY / "miniwatch.lua"),
            "GATEWAY_LOG": str(self.short / "log"),
            "GATEWAY_USER": getpass.getuser(),
            "GATEWAY_GROUP": grp.getgrgid(os.getgid()).gr_name,
            "GATEWAY_CHROOT": "",
        }
        if self.with_key:
            own["GATEWAY_PEOPLE_KEY"] = base64.b64encode(PEOPLE_KEY).decode()
        return own

    def start(self):
        command = [self.program, "-db", "-f", str(self.configuration)]
        with (self.folder / "haproxy.out").open("ab") as out:
            self.process = subprocess.Popen(command, env=self.environment, stdout=out, stderr=out)
        until = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                with socket.socket(socket.AF_UNIX) as runtime:
                    runtime.connect(str(self.socket))
            except OSError:
                said = (self.folder / "haproxy.out").read_text()
                assert self.process.poll() is None, said
                assert time.monotonic() < until, said
                time.sleep(0.01)
            else:
                return

    def kill(self):
        """End HAProxy at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.socket.unlink(missing_ok=True)
            self.process = None

    def _collect(self):
        while True:
            try:
                self.lines.append(self._log.recv(65536))
            except OSError:
                return

    def decide(self, *decisions, apps=None):
        """Have these decisions enforced, and no others."""
        made, missed = tables(decisions, apps or {}, "Appeal at the desk")
        self.runtime.apply(made)
        return missed

    def agent(self, miniwatch, apps=None):
        """An agent of this gateway, for a thread."""
        return Agent(
            miniwatch,
            self.files,
            self.runtime,
            Developers(apps),
            "Appeal at the desk",
            self.said.append,
            turn_s_max=0.3,
        )

    def ask(self, app="wx01", api="login", method="GET", path="/api/call", **headers):
        """One call: status, headers, body."""
        said = {name.replace("_", "-"): value for name, value in headers.items()}
        said |= {"X-Miniprogram-App-Id": app} if app else {}
        said |= {"X-Miniprogram-Api": api} if api else {}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path, headers=said)
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def logged(self, count):
        """The first so many events of the access log, once they are there."""
        until = time.monotonic() + 5
        while len(self.lines) < count and time.monotonic() < until:
            time.sleep(0.005)
        return [json.loads(line) for line in self.lines]


def eventually(true, within_s=5.0):
    """Whether something becomes true soon."""
    until = time.monotonic() + within_s
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
