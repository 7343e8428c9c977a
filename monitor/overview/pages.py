"""Asks a daemon how it is, at its own pages, as any other program would: one request each for ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Mapping
from typing import Final

import msgspec

from monitor.config.listening import HttpKeys, split_listen
from monitor.telemetry.page import PLAIN, MetricsPage, PageBroken

TIMEOUT_S: Final = 2.0
"""How long an answer is waited for."""

PAGE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of an answer that is longer nothing is read: what is there is no daemon of ours."""

_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked there, not listened at
_NEEDS_TOKEN: Final = (401, 403)


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """What ``/readyz`` says."""

    status: str
    reasons: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a daemon says of itself: how ready it is, and its metrics."""

    ready: Ready
    metrics: MetricsPage


class Silent(Exception):
    """The daemon cannot be asked, or does not answer; the text says why, and what to do."""


class DaemonPages:
    """The pages of the daemon that listens where a configuration says."""

    def __init__(self, keys: HttpKeys, token: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self._keys = keys
        self._token = token
        self._timeout_s = timeout_s

    def ask(self) -> Told:
        """Both pages; raises `Silent`."""
        if not self._keys.listen:
            raise Silent("http.listen is empty, so it has no pages")
        if self._keys.tls_client_ca:
            raise Silent("its pages are for clients with a certificate (http.tls_client_ca), and this has none")
        host, port = split_listen(self._keys.listen)
        connection = self._connection(_ANYWHERE.get(host, host), port)
        try:
            body = self._get(connection, "/readyz", (200, 503))
            ready = msgspec.json.decode(body, type=Ready)
            page = self._get(connection, "/metrics", (200,))
            return Told(ready=ready, metrics=MetricsPage(page.decode()))
        except (msgspec.MsgspecError, UnicodeDecodeError, PageBroken):
            raise Silent(f"what answers at {self._keys.listen} is no daemon of ours") from None
        except ssl.SSLError as error:
            raise Silent(f"{self._keys.listen}: {_reason(error)}") from None
        except (OSError, http.client.HTTPException) as error:
            raise Silent(f"nothing answers at {self._keys.listen} ({_reason(error)})") from None
        finally:
            connection.close()

    def _connection(self, host: str, port: int) -> http.client.HTTPConnection:
        if not self._keys.tls_certificate:
            return http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        return http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=_pinned(self._keys))

    def _get(self, connection: http.client.HTTPConnection, path: str, wanted: tuple[int, ...]) -> bytes:
        connection.request("GET", path, headers=self._headers())
        answer = connection.getresponse()
        body = answer.read(PAGE_BYTES_MAX + 1)
        if answer.status in _NEEDS_TOKEN:
            raise Silent(f"{self._keys.listen}{path} wants a viewer's token: --token-file FILE")
        if answer.status not in wanted or len(body) > PAGE_BYTES_MAX:
            raise Silent(f"{self._keys.listen}{path} answers {answer.status}")
        return body

    def _headers(self) -> Mapping[str, str]:
        return {"Accept": PLAIN, **({"Authorization": f"Bearer {self._token}"} if self._token else {})}


def _pinned(keys: HttpKeys) -> ssl.SSLContext:
    """Trusts the configured certificate and no other: names do not matter, for it is asked by address."""
    context = ssl.create_default_context(cafile=keys.tls_certificate)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
