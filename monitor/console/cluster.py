"""What shippers that speak to Elasticsearch ask before they send: which version this is, and whether their templates are set.

There is no cluster and there are no indices here. Templates, policies and data streams are acknowledged, and known until the
daemon ends, so that a shipper goes on to what it came for.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from monitor.console.access import Refused
from monitor.console.bodies import pass_over
from monitor.console.bounds import RequestBounds
from monitor.console.pages import HEADERS, Page
from monitor.tokens import Role, Token

VERSION: Final = "9.99.0"
"""Newer than every shipper of the same generation: some refuse to speak to what is older than they are."""

SET_MAX: Final = 1000
"""Names of templates and the like that are remembered."""

PATH_CHARACTERS_MAX: Final = 512

SET_PATHS: Final = (
    "/_index_template/{name}",
    "/_component_template/{name}",
    "/_template/{name}",
    "/_ilm/policy/{name}",
    "/_data_stream/{name}",
    "/_ingest/pipeline/{name}",
)

_COMPATIBLE: Final = re.compile(
    r"application/vnd\.elasticsearch\+x?-?(?:nd)?json\s*;\s*compatible-with=([789])", re.ASCII
)


def shipper_answer(request: Request, content: bytes, status: int = 200) -> Response:
    """JSON as clients of Elasticsearch expect it: in the version of the protocol that they ask for, and with its name."""
    headers, kind = shipper_head(request)
    return Response(content, status, headers, kind)


def shipper_head(request: Request) -> tuple[dict[str, str], str]:
    """The headers of such an answer, and its type."""
    asked = _COMPATIBLE.search(request.headers.get("accept", ""))
    kind = f"application/vnd.elasticsearch+json;compatible-with={asked[1]}" if asked else "application/json"
    return {**HEADERS, "X-Elastic-Product": "Elasticsearch"}, kind


class ClusterPages:
    """Answers for a cluster that is not there."""

    def __init__(self, bounds: RequestBounds) -> None:
        self._bounds = bounds
        self._set: dict[str, None] = {}

    def pages(self) -> list[Page]:
        told = [
            ("/", _INFO),
            ("/_license", {"license": {"status": "active", "type": "basic", "uid": "miniwatch"}}),
            ("/_xpack", {"features": {"ilm": {"available": True, "enabled": True}}}),
            ("/_cluster/health", {"cluster_name": "miniwatch", "status": "green", "timed_out": False}),
        ]
        fixed = [_fixed(path, msgspec.json.encode(content)) for path, content in told]
        health = Page("/_cat/health", ("GET", "HEAD"), _health_line, Role.INGEST)
        asked = [Page(path, ("GET", "HEAD"), self._asked, Role.INGEST) for path in SET_PATHS]
        put = [Page(path, ("PUT", "POST"), self._put, Role.INGEST, takes_body=True) for path in SET_PATHS]
        return [*fixed, health, *asked, *put]

    async def _asked(self, request: Request, _token: Token | None) -> Response:
        known = request.url.path in self._set
        return shipper_answer(request, b"{}", 200 if known else 404)

    async def _put(self, request: Request, _token: Token | None) -> Response:
        await pass_over(request, self._bounds)
        if len(request.url.path) > PATH_CHARACTERS_MAX:
            raise Refused(400, f"a path has at most {PATH_CHARACTERS_MAX} characters")
        if len(self._set) >= SET_MAX and request.url.path not in self._set:
            raise Refused(400, f"more than {SET_MAX} templates, policies and data streams")
        self._set[request.url.path] = None
        return shipper_answer(request, b'{"acknowledged":true}')


_INFO: Final = {
    "name": "miniwatch",
    "cluster_name": "miniwatch",
    "cluster_uuid": "miniwatch",
    "version": {
        "number": VERSION,
        "build_flavor": "default",
        "minimum_wire_compatibility_version": "8.19.0",
        "minimum_index_compatibility_version": "8.0.0",
    },
    "tagline": "You Know, for Search",
}


def _fixed(path: str, content: bytes) -> Page:
    async def answer(request: Request, _token: Token | None) -> Response:
        return shipper_answer(request, content)

    return Page(path, ("GET", "HEAD"), answer, Role.INGEST)


async def _health_line(_request: Request, _token: Token | None) -> Response:
    more = {**HEADERS, "X-Elastic-Product": "Elasticsearch"}
    return Response(b"miniwatch green\n", 200, more, "text/plain; charset=UTF-8")
