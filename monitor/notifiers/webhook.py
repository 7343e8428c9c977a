"""Alerts by HTTP POST to an address of the operator's, signed.

A receiver gets the alert's JSON as the body and three headers of ours:

- ``Idempotency-Key``: the same for every try of one message; whoever has seen it may answer 200 and do nothing.
- ``Miniwatch-Signature: t=SECONDS,v1=HEX``: HEX is HMAC-SHA256, keyed with the shared secret, of the ASCII digits of
  SECONDS (since 1970 UTC), a full stop, and the raw body. Compare in constant time; refuse when SECONDS is more than
  five minutes off. Absent where no secret is configured.
- ``User-Agent: miniwatch/VERSION``.

Any 2xx says that the message was taken. 408, 425, 429 and 5xx ask for another try (``Retry-After`` is honoured), and
so does a receiver that is silent, unreachable or without a valid certificate. Anything else is final, redirects too.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ssl
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Final

import httpx

from monitor import __version__
from monitor.notifiers import NotifierError, Patience, Receipt
from monitor.stores import Message

ANSWER_BYTES_MAX: Final = 2048
"""What is read of a receiver's answer, for the log."""

RETRY_AFTER_S_MAX: Final = 3600.0
"""The longest wait that a receiver can impose."""

Answer = tuple[int, str | None, str]
"""Status, Retry-After, and the beginning of what a receiver said."""

_TRY_AGAIN: Final = frozenset({408, 425, 429})


class Webhook:
    """One address. Each message has a connection of its own and at most `timeout_s` in all, name lookup to answer."""

    def __init__(
        self,
        url: str,
        secret: bytes | None,
        clock: Callable[[], int],
        *,
        timeout_s: float = 10.0,
        patience: Patience | None = None,
        at_once: int = 1,
    ) -> None:
        self._url = url
        self._secret = secret
        self._clock = clock
        self._timeout_s = timeout_s
        self._patience = patience or Patience()
        self._at_once = at_once
        self._closed = False
        self._sending: set[tuple[asyncio.AbstractEventLoop, asyncio.Task[Answer]]] = set()

    @property
    def patience(self) -> Patience:
        return self._patience

    @property
    def at_once(self) -> int:
        return self._at_once

    @cached_property
    def _trusted(self) -> ssl.SSLContext:
        """Whose certificates count. Reading them anew for every message would cost twenty times what sending it does."""
        return httpx.create_ssl_context()

    def send(self, message: Message) -> Receipt:
        try:
            status, after, answer = asyncio.run(self._cancellable(message))
        except TimeoutError:
            raise NotifierError(f"no answer within {self._timeout_s:g} s", retryable=True) from None
        except asyncio.CancelledError:
            raise NotifierError("cut off: the daemon stops", retryable=True) from None
        except httpx.InvalidURL as error:
            raise NotifierError(f"not an address: {error}", retryable=False) from None
        except (httpx.HTTPError, OSError) as error:
            raise NotifierError(self._without_url(f"{type(error).__name__}: {error}"), retryable=True) from None
        if 200 <= status < 300:
            return Receipt(f"HTTP {status}")
        retryable = status in _TRY_AGAIN or status >= 500
        wait_s = self._wait_s(after) if retryable else None
        raise NotifierError(f"HTTP {status} {answer}".strip(), retryable=retryable, retry_after_s=wait_s)

    def close(self) -> None:
        self._closed = True
        for loop, task in list(self._sending):
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(task.cancel)

    async def _cancellable(self, message: Message) -> Answer:
        """The post as a task that `close` can reach."""
        sending = (asyncio.get_running_loop(), asyncio.ensure_future(self._post(message)))
        self._sending.add(sending)
        try:
            if self._closed:
                sending[1].cancel()
            return await sending[1]
        finally:
            self._sending.discard(sending)

    async def _post(self, message: Message) -> Answer:
        headers = self._headers(message)
        async with (
            asyncio.timeout(self._timeout_s),
            httpx.AsyncClient(timeout=self._timeout_s, follow_redirects=False, verify=self._trusted) as client,
            client.stream("POST", self._url, content=message.body, headers=headers) as response,
        ):
            answer = b"" if response.is_success else await _beginning(response)
        text = self._without_url(answer[:ANSWER_BYTES_MAX].decode("utf-8", "replace"))
        return response.status_code, response.headers.get("Retry-After"), text

    def _headers(self, message: Message) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"miniwatch/{__version__}",
            "Idempotency-Key": message.key,
        }
        if self._secret is not None:
            headers["Miniwatch-Signature"] = signature(self._secret, self._clock() // 1_000_000, message.body)
        return headers

    def _wait_s(self, text: str | None) -> float | None:
        """``Retry-After`` as seconds or a date, within the bound; None when absent or unreadable."""
        if not text:
            return None
        try:
            wait_s = float(min(int(text), 10**9))
        except ValueError:
            try:
                until = parsedate_to_datetime(text).replace(tzinfo=UTC).timestamp()
            except (ValueError, OverflowError):
                return None
            wait_s = until - self._clock() / 1_000_000
        return min(max(wait_s, 0.0), RETRY_AFTER_S_MAX)

    def _without_url(self, text: str) -> str:
        """Many receivers' addresses are secrets: they are not repeated in errors."""
        path = httpx.URL(self._url).raw_path.decode("ascii")
        return text.replace(self._url, "<url>").replace(path, "<path>") if len(path) > 1 else text


async def _beginning(response: httpx.Response) -> bytes:
    """The first bytes of an answer; the rest is never read."""
    answer = b""
    async for part in response.aiter_raw():
        answer += part
        if len(answer) >= ANSWER_BYTES_MAX:
            break
    return answer


def signature(secret: bytes, seconds: int, body: bytes) -> str:
    """The value of ``Miniwatch-Signature``."""
    digest = hmac.new(secret, f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"
