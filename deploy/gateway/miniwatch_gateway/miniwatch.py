"""Miniwatch's list of changed decisions, asked for over HTTPS with a long poll."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

from miniwatch_gateway.decisions import ANSWER_BYTES_MAX, Answer, UnreadableAnswer, read_answer

PATH: Final = "/api/v1/decisions/changes"
GRACE_S: Final = 10.0
"""How much longer than it was asked to wait Miniwatch may take to answer."""

RETRY_AFTER_S_MAX: Final = 60.0


class Unreachable(Exception):
    """Miniwatch gave no answer that can be used. `wait_s`: how long to leave it alone."""

    def __init__(self, why: str, wait_s: float = 1.0) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class Miniwatch:
    """One daemon. The connection is kept; the token is read anew for each one, so that it can be renewed."""

    def __init__(self, url: str, token: Path, tls: ssl.SSLContext | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError(f"{url} is no address; https://HOST:PORT is expected")
        if parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError(f"{url} would send the token in the clear; over a network use https")
        self._host, self._port = parts.hostname, parts.port
        self._path = parts.path.rstrip("/") + PATH
        self._tls = (tls or ssl.create_default_context()) if parts.scheme == "https" else None
        self._token = token
        self._connection: http.client.HTTPConnection | None = None

    def changes(self, after: int, wait_s: float) -> Answer:
        """What has changed after a position. Raises `Unreachable`."""
        target = f"{self._path}?{urlencode({'after': after, 'wait_s': f'{wait_s:.1f}'})}"
        was_kept = self._connection is not None
        try:
            status, retry_after, body = self._ask(target, wait_s)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            self.close()
            # A kept connection may have been closed by the other side at any time: a new one says more.
            raise Unreachable(f"{type(error).__name__}: {error}", 0.0 if was_kept else 1.0) from None
        if status != 200 or len(body) > ANSWER_BYTES_MAX:
            self.close()
            raise Unreachable(f"it answers {status}", _wait_s(retry_after))
        try:
            return read_answer(body)
        except UnreadableAnswer as error:
            raise Unreachable(f"its answer cannot be read: {error}") from None

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _ask(self, target: str, wait_s: float) -> tuple[int, str | None, bytes]:
        connection = self._connection or self._connect()
        if connection.sock is not None:
            connection.sock.settimeout(wait_s + GRACE_S)
        headers = {"Authorization": f"Bearer {self._token.read_text().strip()}", "Accept": "application/json"}
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        return response.status, response.getheader("Retry-After"), response.read(ANSWER_BYTES_MAX + 1)

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is None:
            made = http.client.HTTPConnection(self._host, self._port, timeout=GRACE_S)
        else:
            made = http.client.HTTPSConnection(self._host, self._port, timeout=GRACE_S, context=self._tls)
        made.connect()
        self._connection = made
        return made


def _wait_s(retry_after: str | None) -> float:
    try:
        return min(max(float(retry_after or 1.0), 1.0), RETRY_AFTER_S_MAX)
    except ValueError:
        return 1.0


def verified(authority: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """TLS that believes one authority (or those of the system), and shows a certificate of ours where there is one."""
    context = ssl.create_default_context(cafile=authority)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context
