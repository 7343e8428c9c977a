"""Who asks, and whether they may: every request for a page that is not for everyone passes here."""

from __future__ import annotations

import base64
import binascii
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
from starlette.requests import Request

from monitor.console.clients import Limits, Lockout, Pace, network_of
from monitor.console.refusals import Kind, Refusals, Why
from monitor.stores import StoreError
from monitor.telemetry import Telemetry, happenings
from monitor.tokens import Role, Token, is_secret_of, parts_of, roles_for

FRESH_S: Final = 1.0
"""How old what is known of tokens may be: so long after its revocation a token may still be taken."""

STALE_S_MAX: Final = 60.0
"""How long the last known tokens are gone by while the store cannot be read; after that nobody gets in."""

LOOK_S_MAX: Final = 0.1
"""How long all others wait while tokens are looked up."""

CREDENTIAL_CHARACTERS_MAX: Final = 512


class Refused(Exception):
    """A request is not answered, with what its sender is told; `why` is a word for programs, where there is one."""

    def __init__(self, status: int, message: str, *, retry_after_s: float | None = None, why: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.why = why
        self.retry_after_s = None if retry_after_s is None else max(1, math.ceil(retry_after_s))


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What matters of a request: where it came from, which page it is for, and what it says of itself."""

    address: str | None
    page: str
    headers: Mapping[str, str]

    @staticmethod
    def of(request: Request, page: str) -> Asked:
        return Asked(address=request.client.host if request.client else None, page=page, headers=request.headers)


_TOLD: Final = {
    Why.NO_TOKEN: (401, "this needs a token: Authorization: Bearer mw_…"),
    Why.BAD_TOKEN: (401, "this token is not known here"),
    Why.REVOKED: (401, "this token was revoked"),
    Why.EXPIRED: (401, "this token has expired"),
    Why.ROLE: (403, "this token has not the role for that"),
    Why.LOCKED_OUT: (429, "too many failed tries; come again after Retry-After seconds"),
    Why.RATE: (429, "too many requests; come again after Retry-After seconds"),
}


class Guard:
    """Lets requests in or refuses them. Used by one thread; what is refused is counted for the audit and the metrics."""

    def __init__(
        self,
        tokens: Callable[[], Sequence[Token]],
        limits: Limits,
        telemetry: Telemetry,
        clock: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._known = KnownTokens(tokens, monotonic)
        self._clock = clock
        self._monotonic = monotonic
        self._telemetry = telemetry
        self._pace = Pace(limits)
        self._lockout = Lockout(limits)
        self.refusals: Final = Refusals()

    def admit(self, asked: Asked, role: Role, *, optional: bool = False) -> Token | None:
        """The token of a request that may have the page; raises `Refused`.

        With `optional`, nobody is refused for want of a token or a role: None stands for a stranger.
        """
        client, now_s = network_of(asked.address), self._monotonic()
        if (wait_s := self._pace.wait_s(client, now_s)) > 0:
            raise self._refused(asked, Why.RATE, wait_s=wait_s)
        text = credential(asked.headers)
        if text is None:
            if optional:
                return None
            raise self._refused(asked, Why.NO_TOKEN)
        token = self._verified(asked, text, client, now_s)
        if not token.may(role):
            if optional:
                return None
            raise self._refused(asked, Why.ROLE, token.id, more=f": it takes one of {', '.join(roles_for(role))}")
        return token

    def recheck(self, asked: Asked, token: Token) -> None:
        """Raise `Refused` where a token that was let in is revoked or over by now: for answers that were long in coming."""
        known = self._known.get(token.id)
        state = known.state(self._clock()) if known is not None else Why.REVOKED.value
        if state != "valid":
            raise self._refused(asked, Why(state), token.id)

    def _verified(self, asked: Asked, text: str, client: str, now_s: float) -> Token:
        key, secret = parts_of(text) or ("", "")
        token = self._known.get(key) if key else None
        whose = token.id if token is not None else ""
        if (wait_s := self._lockout.wait_s(client, whose, now_s)) > 0:
            raise self._refused(asked, Why.LOCKED_OUT, whose, wait_s=wait_s)
        if token is None or not is_secret_of(token, secret):
            self._lockout.failed(client, whose, now_s)
            raise self._refused(asked, Why.BAD_TOKEN, whose)
        state = token.state(self._clock())
        if state != "valid":
            self._lockout.failed(client, whose, now_s)
            raise self._refused(asked, Why(state), whose)
        return token

    def _refused(
        self, asked: Asked, why: Why, token: str = "", *, wait_s: float | None = None, more: str = ""
    ) -> Refused:
        client = network_of(asked.address)
        self.refusals.note(Kind(client=client, why=why, page=asked.page, token=token), self._clock())
        self._telemetry.emit(
            happenings.RequestRefused(reason=why.value, page=asked.page, client=client, known_as=token)
        )
        status, message = _TOLD[why]
        return Refused(status, message + more, retry_after_s=wait_s)


class KnownTokens:
    """The tokens of the record by id, looked up anew when they are asked for and a second old.

    They are asked for by one thread, which has others to serve: a store that is busy is waited for a tenth of a second, and
    one that cannot be read is tried once a second. Meanwhile those known before go by.
    """

    def __init__(self, tokens: Callable[[], Sequence[Token]], monotonic: Callable[[], float]) -> None:
        self._tokens = tokens
        self._monotonic = monotonic
        self._by_id: Mapping[str, Token] = {}
        self._read_at = -math.inf
        self._failed_at = -math.inf
        self._reading: threading.Thread | None = None

    def get(self, key: str) -> Token | None:
        """The token of an id; raises `Refused` where the record cannot be read for too long, or now, and no such token was known."""
        if self._monotonic() - max(self._read_at, self._failed_at) >= FRESH_S:
            self._look()
        token, age_s = self._by_id.get(key), self._monotonic() - self._read_at
        if age_s > STALE_S_MAX or (token is None and age_s >= FRESH_S):
            raise Refused(503, "tokens cannot be looked up now", retry_after_s=5)
        return token

    def _look(self) -> None:
        if self._reading is not None and self._reading.is_alive():
            return
        self._reading = threading.Thread(target=self._read, name="tokens", daemon=True)
        self._reading.start()
        self._reading.join(LOOK_S_MAX)

    def _read(self) -> None:
        begun = self._monotonic()
        try:
            self._by_id = {token.id: token for token in self._tokens()}
            self._read_at = begun
        except StoreError:
            self._failed_at = begun


def credential(headers: Mapping[str, str]) -> str | None:
    """What a request presents for a token, however its program is used to: Bearer, a Basic password, ApiKey, or X-Api-Key."""
    if (key := headers.get("x-api-key")) is not None:
        return key[:CREDENTIAL_CHARACTERS_MAX].strip()
    scheme, _, given = headers.get("authorization", "")[:CREDENTIAL_CHARACTERS_MAX].strip().partition(" ")
    given = given.strip()
    if scheme.lower() == "bearer":
        return given
    if scheme.lower() == "basic" or (scheme.lower() == "apikey" and parts_of(given) is None):
        return _after_colon(given)
    return given if scheme.lower() == "apikey" else None


def _after_colon(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
