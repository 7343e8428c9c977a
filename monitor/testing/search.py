"""A node of Elasticsearch that is none: it answers what a test says, for what a real one does only when it is in trouble."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple

import msgspec


class Asked(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Says(NamedTuple):
    """What the node answers."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = {}
    is_elasticsearch: bool = True


Answering = Callable[[Asked], Says]
BULK: Final = "_bulk"


class StubNode:
    """Answers on a port of this machine. `answer` may be changed at any time; `asked` is what came, in order."""

    def __init__(self, answer: Answering) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                stub._serve(self)

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = _any  # noqa: N815 - names that the library looks for

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        if handler.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        asked = Asked(handler.command, handler.path, dict(handler.headers.items()), body)
        self.asked.append(asked)
        says = self.answer(asked)
        text = says.body if isinstance(says.body, bytes) else msgspec.json.encode(says.body)
        handler.send_response(says.status)
        headers = {"Content-Type": "application/json", **says.headers}
        if says.is_elasticsearch:
            headers["X-Elastic-Product"] = "Elasticsearch"
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)


@contextmanager
def stub_node(answer: Answering) -> Iterator[StubNode]:
    """A node that answers so for as long as the block lasts."""
    node = StubNode(answer)
    try:
        yield node
    finally:
        node.close()


def documents_in(asked: Asked) -> list[tuple[dict[str, Any], bytes]]:
    """The documents of a bulk, each with what is said about it."""
    lines = asked.body.split(b"\n")
    return [(msgspec.json.decode(lines[at]), lines[at + 1]) for at in range(0, len(lines) - 1, 2)]


def all_taken(asked: Asked) -> Says:
    """The answer to a bulk of which every document was new."""
    items = [{name: {"status": 201} for name in about} for about, _ in documents_in(asked)]
    return Says(body={"errors": False, "items": items})
