"""The operations of the API as pages of the server, each within bounds on its parameters, its body and its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from monitor.console.access import Refused
from monitor.console.api import acts, appeals, described, laying, lists, marking, objects, tending, undoing
from monitor.console.api.given import JSON, LINES, body_of, key_of, path_of, query_of, wants_lines
from monitor.console.api.openapi import document_text
from monitor.console.api.operation import PREFIX, Api, Call, Operation, Reply
from monitor.console.bounds import BUSY_S
from monitor.console.pages import HEADERS, Answer, Page
from monitor.refusal import StoreError
from monitor.tokens import Role, Token

AT_ONCE_MAX: Final = 4
"""Requests that are worked on at a time; each may keep a thread and the database busy."""

WAITING_MAX: Final = 64
"""Requests that wait for their turn; a further one is told to come again."""

AGAIN_S: Final = 5

OPERATIONS: Final = (
    *lists.OPERATIONS,
    *objects.OPERATIONS,
    *tending.OPERATIONS,
    *acts.OPERATIONS,
    *laying.OPERATIONS,
    *undoing.OPERATIONS,
    *marking.OPERATIONS,
    *appeals.OPERATIONS,
)
"""Everything that is answered here."""

DOCUMENTED: Final = (*OPERATIONS, *described.OPERATIONS)
"""Everything under ``/api/v1``."""


class ApiPages:
    """Answers for programs and for people with curl."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._turns = asyncio.Semaphore(AT_ONCE_MAX)
        self._waiting = 0

    def pages(self) -> list[Page]:
        own = Page(DOCUMENT_PATH, ("GET",), self._document, Role.VIEWER)
        return [own, *(self._page(operation) for operation in OPERATIONS)]

    def _page(self, operation: Operation) -> Page:
        return Page(
            operation.whole_path,
            (operation.method,),
            self._answer_of(operation),
            operation.role,
            takes_body=operation.body is not None,
        )

    def _answer_of(self, operation: Operation) -> Answer:
        async def answer(request: Request, token: Token | None) -> Response:
            assert token is not None  # noqa: S101 - no operation is open to strangers
            call = Call(
                token=token,
                path=path_of(request),
                query=query_of(request, operation),
                body=None if operation.body is None else await body_of(request, operation.body),
                key=key_of(request) if operation.keyed else None,
                wants_lines=operation.paged and wants_lines(request),
            )
            return await self._in_turn(lambda: _done(operation, self._api, call))

        return answer

    async def _in_turn(self, work: Callable[[], Response]) -> Response:
        if self._waiting >= WAITING_MAX:
            raise Refused(429, "too many requests are under way", retry_after_s=BUSY_S)
        self._waiting += 1
        try:
            async with self._turns:
                return await run_in_threadpool(work)
        finally:
            self._waiting -= 1

    async def _document(self, _request: Request, _token: Token | None) -> Response:
        return Response(document_text(DOCUMENTED), 200, HEADERS, JSON)


DOCUMENT_PATH: Final = PREFIX.rpartition("/")[0] + "/openapi.json"


def _done(operation: Operation, api: Api, call: Call) -> Response:
    """The answer, made in a thread: reading, and writing it as JSON."""
    try:
        reply = operation.answer(api, call)
    except StoreError as error:
        if not error.retryable:
            raise
        raise Refused(503, "the record cannot be used now", retry_after_s=AGAIN_S) from None
    status = operation.status if reply.status is None else reply.status
    return Response(_written(reply), status, {**HEADERS, **reply.headers}, LINES if reply.is_lines else JSON)


def _written(reply: Reply) -> bytes:
    if not reply.is_lines:
        return msgspec.json.encode(reply.content) + b"\n"
    return b"".join(msgspec.json.encode(row) + b"\n" for row in reply.content)
