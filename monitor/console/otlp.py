"""``POST /v1/logs``: log records of OpenTelemetry (OTLP/HTTP), in protobuf or JSON. They are acknowledged once they are on disk.

- 200: taken, but for the records that ``partial_success`` speaks of; these are not to be sent again.
- 400 with a ``google.rpc.Status``: no such request. 413, 415: not so.
- 429 and 503 with ``Retry-After``: as for ``POST /v1/events``.
"""

from __future__ import annotations

import io
from types import ModuleType
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from monitor.console import otlp_json
from monitor.console.access import Refused
from monitor.console.doors import WORKED_BYTES, Door
from monitor.console.otlp_fields import Common, Lines, Plans, Record, Unreadable
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

    def pages(self) -> list[Page]:
        return [Page(PATH, ("POST",), self._answer, Role.INGEST, takes_body=True)]

    async def _answer(self, request: Request, token: Token | None) -> Response:
        assert token is not None  # noqa: S101 - this page is for nobody else
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != JSON and kind not in PROTOBUF:
            raise Refused(415, f"Content-Type is one of {', '.join((*PROTOBUF, JSON))}")
        form = otlp_json if kind == JSON else _protobuf()

        def made(content: bytes) -> tuple[Given, tuple[int, str]]:
            lines, count, rejected, why = self._lines(form, content)
            return Given(lines, request=request_digest(token.id, PATH, content), count=count), (rejected, why)

        try:
            _, (rejected, why) = await self._door.receive(request, PATH, made, WORKED_BYTES)
        except Refused as refused:
            content = form.status(_CODES.get(refused.status, _UNAVAILABLE), refused.message)
            return _told(content, kind, refused.status, refused.retry_after_s)
        return _told(form.answer(rejected, why), kind)

    def _lines(self, form: ModuleType, content: bytes) -> tuple[bytes, int, int, str]:
        """The records as lines, and how many there are; how many were rejected, and why the first of them.

        What is said once for many records is written with each, so a small request may say very much: raises `Refused` then.
        """
        writer, lines, count, rejected, why = Lines(self._plans), io.BytesIO(), 0, 0, ""
        for record, common in form.read(content, self._line_bytes_max):
            line = record if isinstance(record, Unreadable) else self._line(writer, record, common)
            if isinstance(line, Unreadable):
                rejected += 1
                why = why or str(line)
                continue
            count += 1
            if lines.tell() + len(line) > self._door.bounds.unpacked_bytes_max:
                raise Refused(
                    413, f"more than {self._door.bounds.unpacked_bytes_max} bytes of events; send it in parts"
                )
            lines.write(line)
        return lines.getvalue(), count, rejected, why

    def _line(self, writer: Lines, record: Record, common: Common) -> bytes | Unreadable:
        try:
            line = writer.line(record, common)
        except Unreadable as unreadable:
            return unreadable.with_traceback(None)  # which would hold all of the request until memory is cleared up
        except UnicodeError:
            return Unreadable("a record with half a surrogate pair")
        return line if len(line) <= self._line_bytes_max else Unreadable(f"more than {self._line_bytes_max} bytes")


def _protobuf() -> ModuleType:
    from monitor.console import otlp_protobuf  # noqa: PLC0415 - who is sent none need not wait for its libraries

    return otlp_protobuf


def _told(content: bytes, kind: str, status: int = 200, retry_after_s: int | None = None) -> Response:
    more = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    return Response(content, status, {**HEADERS, **more}, kind)
