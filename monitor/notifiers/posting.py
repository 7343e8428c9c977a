"""One message posted to one address over HTTP, and what its receiver's answer means.

Any 2xx says that the message was taken. 408, 425, 429 and 5xx ask for another try (``Retry-After`` is honoured), and so does a receiver that is
silent, unreachable or without a certificate that counts: of the system's authorities, or of those in a file that is named beside them. Where somebody can mend the address or the secret, for whoever tells people, so do answers about
these: redirects, 401, 403, 404 and their like. Anything else is final.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Collection, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Final

import httpx

from monitor import __version__
from monitor.notifiers import NotifierError, Receipt

ANSWER_BYTES_MAX: Final = 2048
"""What is read of a receiver's answer, for the log."""

RETRY_AFTER_S_MAX: Final = 3600.0
"""The longest wait that a receiver can impose."""

Answer = tuple[int, str | None, str]
"""Status, Retry-After, and the beginning of what a receiver said."""

_TRY_AGAIN: Final = frozenset({408, 425, 429})
_OF_ADDRESS_OR_SECRET: Final = frozenset({*range(300, 400), 401, 402, 403, 404, 405, 407, 410, 421})


class Poster:
    """One address. Each message has a connection of its own and at most `timeout_s` in all, name lookup to answer."""

    def __init__(
        self,
        url: str,
        clock: Callable[[], int],
        *,
        timeout_s: float = 10.0,
        secrets: Collection[str] = (),
        auth: tuple[str, str] | None = None,
        outlives_mistakes: bool = False,
        ca_file: str = "",
    ) -> None:
        """`secrets` are texts that are never repeated in an error; `auth` is a user and a password.

        `outlives_mistakes`: whether a message is tried again that an address or a secret was wrong for. `ca_file`: authorities beside the system's.
        """
        self._url = url
        self._clock = clock
        self._timeout_s = timeout_s
        self._secrets = tuple(secret for secret in secrets if secret)
        self._auth = auth
        self._try_again = _TRY_AGAIN | _OF_ADDRESS_OR_SECRET if outlives_mistakes else _TRY_AGAIN
        self._ca_file = ca_file
        self._closed = False
        self._sending: set[tuple[asyncio.AbstractEventLoop, asyncio.Task[Answer]]] = set()

    @cached_property
    def _trusted(self) -> ssl.SSLContext:
        """Whose certificates count. Reading them anew for every message would cost twenty times what sending it does."""
        trusted = ssl.create_default_context()
        if self._ca_file:
            trusted.load_verify_locations(self._ca_file)
        return trusted

    def post(self, body: bytes, headers: Mapping[str, str]) -> Receipt:
        """Post it once; raises `NotifierError`. It may be called from any thread."""
        try:
            status, after, answer = asyncio.run(self._cancellable(body, headers))
        except TimeoutError:
            raise NotifierError(f"no answer within {self._timeout_s:g} s", retryable=True) from None
        except asyncio.CancelledError:
            raise NotifierError("cut off: the daemon stops", retryable=True) from None
        except httpx.InvalidURL as error:
            raise NotifierError(f"not an address: {error}", retryable=False) from None
        except (httpx.HTTPError, OSError) as error:
            raise NotifierError(self._without_secrets(f"{type(error).__name__}: {error}"), retryable=True) from None
        if 200 <= status < 300:
            return Receipt(f"HTTP {status}")
        retryable = status in self._try_again or status >= 500
        wait_s = self._wait_s(after) if retryable else None
        raise NotifierError(f"HTTP {status} {answer}".strip(), retryable=retryable, retry_after_s=wait_s)

    def close(self) -> None:
        """Cut off what is under way."""
        self._closed = True
        for loop, task in list(self._sending):
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(task.cancel)

    async def _cancellable(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """The post as a task that `close` can reach."""
        sending = (asyncio.get_running_loop(), asyncio.ensure_future(self._post(body, headers)))
        self._sending.add(sending)
        try:
            if self._closed:
                sending[1].cancel()
            return await sending[1]
        finally:
            self._sending.discard(sending)

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        told = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"miniwatch/{__version__}",
            **headers,
        }
        async with (
            asyncio.timeout(self._timeout_s),
            httpx.AsyncClient(
                timeout=self._timeout_s, follow_redirects=False, verify=self._trusted, auth=self._auth
            ) as client,
            client.stream("POST", self._url, content=body, headers=told) as response,
        ):
            answer = b"" if response.is_success else await _beginning(response)
        text = self._without_secrets(answer[:ANSWER_BYTES_MAX].decode("utf-8", "replace"))
        return response.status_code, response.headers.get("Retry-After"), text

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

    def _without_secrets(self, text: str) -> str:
        """Many receivers' addresses are secrets: they are not repeated in errors, and neither is what else is secret."""
        for secret in self._secrets:
            text = text.replace(secret, "<secret>")
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
