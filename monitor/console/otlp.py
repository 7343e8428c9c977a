"""``POST /v1/logs``: log records of OpenTelemetry (OTLP/HTTP), in protobuf or JSON. They are acknowledged once they are on disk.

- 200: taken, but for the records that ``partial_success`` speaks of; these are not to be sent again.
- 400 with a ``google.rpc.Status``: no such request. 413, 415: not so.
- 429 and 503 with ``Retry-After``: as for ``POST /v1/events``.
"""

from __future__ import annotations

from types import ModuleType
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from monitor.console import otlp_json
from monitor.console.access import Refused
from monitor.console.doors import WORKED_BYTES, Door
from monitor.console.otlp_lines import Body, Forms, Plans
from monitor.console.pages import HEADERS, Page
from monitor.spool.given import Given
from monitor.spool.window import request_digest
from monitor.tokens import Role, Token

PATH: Final = "/v1/logs"
JSON: Final = "application/json"
PROTOBUF: Final = ("application/x-protobuf", "application/protobuf")

_CODES: Final = {400: 3, 413: 3, 415: 3, 429: 8}
_UNAVAILABLE: Final = 14


class OtlpPage:
    """Takes log records for the spool."""

    def __init__(self, door: Door, line_bytes_max: int) -> None:
        self._door = door
        self._line_bytes_max = line_bytes_max
        self._plans = Plans()
        self._forms = Forms()

    def pages(self) -> list[Page]:
        return [Page(PATH, ("POST",), self._answer, Role.INGEST, takes_body=True)]

    async def _answer(self, request: Request, token: Token | None) -> Response:
        assert token is not None  # noqa: S101 - this page is for nobody else
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != JSON and kind not in PROTOBUF:
            raise Refused(415, f"Content-Type is one of {', '.join((*PROTOBUF, JSON))}")
        form = otlp_json if kind == JSON else _protobuf()

        def made(content: bytes | memoryview, lines_bytes_max: int) -> tuple[Given, tuple[int, str]]:
            body = self._body(form, content, lines_bytes_max)
            digest = request_digest(token.id, PATH, content)
            return Given(body.lines.content(), request=digest, count=body.count), (body.rejected, body.why)

        try:
            _, (rejected, why) = await self._door.receive(request, PATH, token.id, made, small_bytes=WORKED_BYTES)
        except Refused as refused:
            content = form.status(_CODES.get(refused.status, _UNAVAILABLE), refused.message)
            return _told(content, kind, refused.status, refused.retry_after_s)
        return _told(form.answer(rejected, why), kind)

    def _body(self, form: ModuleType, content: bytes | memoryview, lines_bytes_max: int) -> Body:
        """The records as lines. Raises `Refused` where they are too many, or no request."""
        form.check(content)
        body = Body(self._plans, self._line_bytes_max, lines_bytes_max)
        if isinstance(content, bytes) and self._forms.read(form.NAME, content, body):
            return body
        body = Body(
            self._plans, self._line_bytes_max, lines_bytes_max
        )  # what is large or not ordinary: a record at a time
        for record, common in form.read(content, self._line_bytes_max):
            body.add(record, common)
        return body


def _protobuf() -> ModuleType:
    from monitor.console import otlp_protobuf  # noqa: PLC0415 - who is sent none need not wait for its libraries

    return otlp_protobuf


def _told(content: bytes, kind: str, status: int = 200, retry_after_s: int | None = None) -> Response:
    more = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return Response(content, status, {**HEADERS, **more}, kind)
