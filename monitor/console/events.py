"""``POST /v1/events``: events as JSON, one a line. They are acknowledged once they are on disk.

- 200 ``{"taken": LINES}``: durable. 409: a request with this ``Idempotency-Key`` was taken within a day; nothing was taken twice.
- 422: a request with this ``Idempotency-Key`` and other lines was taken within a day; these were not.
- 429 with ``Retry-After``: the spool is full, or too many requests are under way. 503: the disk refuses. 413, 415, 400: not so.

Lines are not read here: what is wrong with one makes a dead letter, like those of every source.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from monitor.console.access import Refused
from monitor.console.doors import Door
from monitor.console.pages import Page, json_answer
from monitor.spool.aside import Aside, Body
from monitor.spool.given import Given, Outcome
from monitor.spool.window import digest_of, request_digest
from monitor.tokens import Role, Token

PATH: Final = "/v1/events"
KEY_CHARACTERS_MAX: Final = 255

_BLOCK_BYTES: Final = 256 << 10
_END: Final = ord("\n")


class EventsPage:
    """Takes events for the spool."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def pages(self) -> list[Page]:
        return [Page(PATH, ("POST",), self._answer, Role.INGEST, takes_body=True)]

    async def _answer(self, request: Request, token: Token | None) -> Response:
        assert token is not None  # noqa: S101 - this page is for nobody else
        key = _key_of(request)

        def made(body: Body, _lines_bytes_max: int) -> tuple[Given, int]:
            given = _given(body, token, key)
            return given, given.count

        taken, count = await self._door.receive(request, PATH, token.id, made)
        if taken.outcome is Outcome.REPEATED:
            raise Refused(409, "a request with this Idempotency-Key has been taken already")
        if taken.outcome is Outcome.OTHER:
            raise Refused(
                422,
                "a request with this Idempotency-Key and other events has been taken; these were not: a new request needs a new key",
            )
        return json_answer({"taken": count})


def _given(lines: Body, token: Token, key: str | None) -> Given:
    if not any(not bytes(block).isspace() for block in _blocks(lines)):
        raise Refused(400, "no event: one JSON object a line is expected")
    whole = lines if lines[-1] == _END else _ended(lines)
    count = sum(bytes(block).count(b"\n") for block in _blocks(whole))
    if key is None:
        return Given(whole, request=request_digest(token.id, PATH, whole), count=count)
    return Given(whole, digest_of(token.id, key, whole), count=count)


def _blocks(lines: Body) -> Iterator[Body]:
    """All of it, in blocks of which a copy costs little."""
    if isinstance(lines, bytes):
        return iter((lines,) if lines else ())
    return (lines[at : at + _BLOCK_BYTES] for at in range(0, len(lines), _BLOCK_BYTES))


def _ended(lines: Body) -> Body:
    """With an end behind the last line."""
    if isinstance(lines, bytes):
        return lines + b"\n"
    whole = Aside(len(lines) + 1)
    whole.add(lines)
    whole.add(b"\n")
    return whole.content()


def _key_of(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= KEY_CHARACTERS_MAX:
        raise Refused(400, f"an Idempotency-Key has 1 to {KEY_CHARACTERS_MAX} characters")
    return key
