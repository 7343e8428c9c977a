"""Machines log in with a token for a password, and go on with it: ``/v1/watchers/login``, ``/v1/refresh_token``.

There are no sessions: what they get back is the token itself, so that a token that is revoked or over opens nothing any more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from monitor.console.access import Asked, Guard, Refused, credential
from monitor.console.bodies import read_body
from monitor.console.bounds import STRANGER_BYTES_MAX, RequestBounds
from monitor.console.crowdsec.answers import unauthorized
from monitor.console.crowdsec.given import NO_JSON
from monitor.console.pages import Page, json_answer
from monitor.moments import HOUR_US
from monitor.notifiers.alert import told_time
from monitor.tokens import Role, Token

LOGIN: Final = "/v1/watchers/login"
REGISTER: Final = "/v1/watchers"
REFRESH: Final = "/v1/refresh_token"


SESSION_US: Final = HOUR_US
"""After so long a machine logs in again."""

NOT_HERE: Final = "machines do not register themselves here: `miniwatch tokens add NAME --role responder` makes a token, which is the password"


class _Credentials(msgspec.Struct):
    password: str
    machine_id: str = ""


class LoginPages:
    """Lets machines in."""

    def __init__(self, guard: Guard, bounds: RequestBounds, clock: Callable[[], int]) -> None:
        self._guard = guard
        self._bounds = bounds.within(STRANGER_BYTES_MAX)
        self._clock = clock

    def pages(self) -> list[Page]:
        post, refused = ("POST",), unauthorized
        return [
            Page(LOGIN, post, self._login, Role.VIEWER, is_open=True, takes_body=True, refused=refused),
            Page(REGISTER, post, self._register, Role.VIEWER, is_open=True, takes_body=True, refused=refused),
            Page(REFRESH, ("GET",), self._refresh, Role.VIEWER, refused=refused),
        ]

    async def _login(self, request: Request, _token: Token | None) -> Response:
        body = await read_body(request, self._bounds)
        try:
            given = msgspec.json.decode(body, type=_Credentials)
        except NO_JSON:
            raise Refused(400, "machine_id and password are expected") from None
        address = request.client.host if request.client else None
        asked = Asked(address=address, page=LOGIN, headers={"authorization": f"Bearer {given.password}"})
        token = self._guard.admit(asked, Role.VIEWER)
        assert token is not None  # noqa: S101 - strangers are refused
        return self._welcome(token, given.password)

    async def _register(self, _request: Request, _token: Token | None) -> Response:
        return json_answer({"message": NOT_HERE}, 422)

    async def _refresh(self, request: Request, token: Token | None) -> Response:
        assert token is not None  # noqa: S101 - this page is for nobody else
        return self._welcome(token, credential(request.headers) or "")

    def _welcome(self, token: Token, text: str) -> Response:
        ends = min(token.expires, self._clock() + SESSION_US)
        return json_answer({"code": 200, "expire": told_time(ends), "token": text})
