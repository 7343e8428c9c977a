"""``POST /_bulk`` and its kin: events from shippers that speak to Elasticsearch. They are acknowledged once they are on disk.

- 200: each item has its own status. 201: taken. 200 (``noop``): the same document with this ``_id`` was taken before. 409: a
  ``create`` whose ``_id`` was taken before. 400: ``update``, ``delete``, an ``_id`` that is none.
- 400: a line where an action is expected is none; nothing was taken. 413: too large, or too many items.
- 429 and 503 with ``Retry-After``: as for ``POST /v1/events``.

Documents are not judged here: what is wrong with one makes a dead letter.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from monitor.console.access import Refused
from monitor.console.bulk_body import INDEX_CHARACTERS_MAX, BulkBody, BulkReader, outcome_of
from monitor.console.cluster import shipper_answer, shipper_head
from monitor.console.documents import on_one_line
from monitor.console.doors import WORKED_BYTES, Door
from monitor.console.pages import Answer, LongAnswer, Page
from monitor.spool.aside import Body
from monitor.spool.given import Given
from monitor.spool.window import request_digest
from monitor.tokens import Role, Token

BULK: Final = "/_bulk"
WHOLE_ITEMS: Final = 1000
"""Answers about more items are sent in parts."""

DOCUMENT_LINES: Final = 4
"""A document over several lines may be so many times as long as a line; it is shorter on one."""

_TYPES: Final = {400: "illegal_argument_exception", 409: "version_conflict_engine_exception"}


class BulkPages:
    """Takes documents for the spool, many or one."""

    def __init__(self, door: Door, line_bytes_max: int) -> None:
        self._door = door
        self._line_bytes_max = line_bytes_max

    def pages(self) -> list[Page]:
        def page(path: str, methods: tuple[str, ...], answer: Answer) -> Page:
            return Page(path, methods, _told(answer), Role.INGEST, takes_body=True)

        return [
            page(BULK, ("POST", "PUT"), self._bulk),
            page("/{index}/_bulk", ("POST", "PUT"), self._bulk),
            page("/{index}/_doc", ("POST",), self._index),
            page("/{index}/_doc/{name}", ("POST", "PUT"), self._index),
            page("/{index}/_create/{name}", ("POST", "PUT"), self._create),
        ]

    async def _bulk(self, request: Request, token: Token | None) -> Response:
        assert token is not None  # noqa: S101 - this page is for nobody else
        index = _index_of(request)

        def made(content: Body, lines_bytes_max: int) -> tuple[Given, BulkBody]:
            reader = BulkReader(token.id, lines_bytes_max, self._line_bytes_max)
            body = reader.read(content, index)
            return reader.given(request_digest(token.id, f"{BULK} {index}", content)), body

        taken, body = await self._door.receive(
            request, BULK, token.id, made, small_bytes=WORKED_BYTES, answer_bytes=BulkBody.answer_bytes
        )
        if len(body.items) <= WHOLE_ITEMS:
            return shipper_answer(request, b"".join(body.answer(taken)))
        return LongAnswer(body.answer(taken), *shipper_head(request))

    async def _index(self, request: Request, token: Token | None) -> Response:
        return await self._one(request, token, "index")

    async def _create(self, request: Request, token: Token | None) -> Response:
        return await self._one(request, token, "create")

    async def _one(self, request: Request, token: Token | None, operation: str) -> Response:
        assert token is not None  # noqa: S101 - this page is for nobody else
        index, name = _index_of(request), request.path_params.get("name")

        def made(content: Body, lines_bytes_max: int) -> tuple[Given, BulkBody]:
            document = on_one_line(content, DOCUMENT_LINES * self._line_bytes_max)
            if not document or (len(document) <= self._line_bytes_max and bytes(document).isspace()):
                raise Refused(400, "no document in it")
            reader = BulkReader(token.id, lines_bytes_max, self._line_bytes_max)
            reader.add(operation, index, name, document)
            return reader.given(request_digest(token.id, f"{operation} {index} {name}", content)), reader.body

        taken, body = await self._door.receive(request, f"/{operation}", token.id, made)
        (item,) = body.items
        status, result = outcome_of(item, is_repeated=item.line in taken.repeated)
        if "error" in result:
            return shipper_answer(request, msgspec.json.encode({**result, "status": status}), status)
        told: dict[str, Any] = {"_index": index, "_id": name, **result, "_version": 1}
        return shipper_answer(request, msgspec.json.encode(told), status)


def _told(answer: Answer) -> Answer:
    """What is refused is told the way that shippers know."""

    async def answered(request: Request, token: Token | None) -> Response:
        try:
            return await answer(request, token)
        except Refused as refused:
            error = {"type": _TYPES.get(refused.status, "status_exception"), "reason": refused.message}
            told = shipper_answer(
                request, msgspec.json.encode({"error": error, "status": refused.status}), refused.status
            )
            if refused.retry_after_s is not None:
                told.headers["Retry-After"] = str(refused.retry_after_s)
            return told

    return answered


def _index_of(request: Request) -> str:
    index: str = request.path_params.get("index", "")
    if len(index) > INDEX_CHARACTERS_MAX:
        raise Refused(400, f"the name of an index has at most {INDEX_CHARACTERS_MAX} characters")
    return index
