"""What a request gives: parameters known, once and well formed; a body of the type that is expected. Else it is refused."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from starlette.requests import Request

from monitor.console.access import Refused
from monitor.console.api.operation import (
    ID_CHARACTERS_MAX,
    KEY_CHARACTERS_MAX,
    TEXT_CHARACTERS_MAX,
    Operation,
)
from monitor.console.bodies import read_body
from monitor.console.bounds import RequestBounds
from monitor.listing.filters import Filter, Form
from monitor.moments import NoMoment, moment

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1000
"""Rows of one answer."""

BODY_BYTES_MAX: Final = 64 * 1024
_BOUNDS: Final = RequestBounds(body_bytes_max=BODY_BYTES_MAX)
LINES: Final = "application/x-ndjson"
JSON: Final = "application/json"


def query_of(request: Request, operation: Operation) -> dict[str, str]:
    """The parameters of the query; one that is not known, or is given twice, is refused."""
    known = {each.name for each in operation.filters} | ({"limit", "cursor"} if operation.paged else set())
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            allowed = ", ".join(sorted(known)) or "none"
            raise Refused(400, f"{name[:40]!r} is no parameter here; there are: {allowed}")
        if name in found:
            raise Refused(400, f"{name} is given twice")
        found[name] = value
    return found


def path_of(request: Request) -> dict[str, str]:
    found = {name: str(value) for name, value in request.path_params.items()}
    if any(len(value) > ID_CHARACTERS_MAX for value in found.values()):
        raise Refused(400, f"an id has at most {ID_CHARACTERS_MAX} characters")
    return found


def value_of(each: Filter, text: str, now: int) -> Any:
    """What is given for a filter, as the list takes it."""
    if not 0 < len(text) <= TEXT_CHARACTERS_MAX:
        raise Refused(400, f"{each.name}: 1 to {TEXT_CHARACTERS_MAX} characters are expected")
    if each.form is Form.TIME:
        try:
            return moment(text, now)
        except NoMoment as error:
            raise Refused(400, f"{each.name}: {error}") from None
    if each.form is Form.FLAG:
        if text not in ("true", "false"):
            raise Refused(400, f"{each.name}: true or false is expected")
        return text == "true"
    return text


def limit_of(text: str | None) -> int:
    if text is None:
        return LIMIT_DEFAULT
    if text.isascii() and text.isdigit() and 0 < int(text[:9]) <= LIMIT_MAX and len(text) < 9:
        return int(text)
    raise Refused(400, f"limit: 1 to {LIMIT_MAX} is expected")


def key_of(request: Request) -> str | None:
    """The Idempotency-Key."""
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= KEY_CHARACTERS_MAX:
        raise Refused(400, f"an Idempotency-Key has 1 to {KEY_CHARACTERS_MAX} characters")
    return key


async def body_of(request: Request, kind: Any) -> Any:
    """The body as its type. A form of a foreign page cannot say that it is JSON: so nobody's browser acts for them."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise Refused(415, f"Content-Type: {JSON} is expected")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Refused(415, "a body that is not packed is expected")
    body = await read_body(request, _BOUNDS)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Refused(422, f"the body: {error}") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refused(400, f"the body is no JSON: {error}") from None


def wants_lines(request: Request) -> bool:
    return LINES in request.headers.get("accept", "")
