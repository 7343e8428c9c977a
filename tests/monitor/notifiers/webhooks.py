"""A receiver that answers as a test has it, and remembers what came."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from monitor.notifiers.webhook import Webhook

NOW = 1_700_000_000


class Receiver(ThreadingHTTPServer):
    """Answers every POST by `behave`, and remembers what came."""

    daemon_threads = True

    def __init__(self, tls=None):
        self.tls = tls
        self.came: list[tuple[dict[str, str], bytes]] = []
        self.behave = lambda handler: handler.answer(204)
        super().__init__(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def webhook(self, **options) -> Webhook:
        url = f"http://127.0.0.1:{self.server_port}/hook/T0KEN"
        return Webhook(url, b"sesame", lambda: NOW * 1_000_000, **{"timeout_s": 5, **options})

    @property
    def url(self) -> str:
        return f"{'http' if self.tls is None else 'https'}://127.0.0.1:{self.server_port}"

    @property
    def told(self) -> list:
        """The bodies that came, as JSON."""
        return [json.loads(body) for _, body in self.came]


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.came.append((dict(self.headers), body))
        self.server.behave(self)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        pass
