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


class KeepingNode:
    """Answers as a sound cluster of one node does, and keeps the documents that it is given, by stream and id."""

    def __init__(self) -> None:
        self.documents: dict[str, dict[str, bytes]] = {}
        self.templates: dict[str, Any] = {}
        self.created = 0

    def __call__(self, asked: Asked) -> Says:
        place = asked.path.partition("?")[0]
        if asked.path == "/":
            return Says(body={"version": {"number": "9.5.3"}, "cluster_uuid": "u"})
        if place.startswith(("/_component_template", "/_index_template", "/_ilm")):
            return self._template(asked, place)
        if place.startswith("/_data_stream/"):
            name = place.rpartition("/")[2]
            there = {"data_streams": [{"indices": [{"index_name": f".ds-{name}-1"}]}]}
            return Says(body=there) if name in self.documents else Says(404, {})
        if place.endswith("/_bulk"):
            return self._bulk(asked, place.split("/")[1])
        if place.endswith("/_search"):
            return Says(body={"hits": {"hits": []}, "aggregations": {"turn": {"value": None}}})
        return Says(body={})

    def _template(self, asked: Asked, place: str) -> Says:
        kind, name = place.split("/")[1], place.rpartition("/")[2]
        if asked.method == "PUT":
            self.templates[place] = msgspec.json.decode(asked.body)
            return Says(body={"acknowledged": True})
        if place not in self.templates:
            return Says(404, {})
        one = {"name": name, kind.lstrip("_"): self.templates[place]}
        return Says(body={f"{kind.lstrip('_')}s": [one]})

    def _bulk(self, asked: Asked, stream: str) -> Says:
        kept, items = self.documents.setdefault(stream, {}), []
        for about, body in documents_in(asked):
            ((kind, what),) = about.items()
            is_there = kind == "create" and what["_id"] in kept
            self.created += not is_there
            kept.setdefault(what["_id"], body)
            items.append({kind: {"status": 409, "error": {"type": "conflict"}} if is_there else {"status": 201}})
        return Says(body={"errors": any("error" in fate for one in items for fate in one.values()), "items": items})
