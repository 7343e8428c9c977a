"""Alerts by HTTP POST to an address of the operator's, signed.

A receiver gets the alert's JSON as the body and three headers of ours:

- ``Idempotency-Key``: the same for every try of one message; whoever has seen it may answer 200 and do nothing.
- ``Miniwatch-Signature: t=SECONDS,v1=HEX``: HEX is HMAC-SHA256, keyed with the shared secret, of the ASCII digits of
  SECONDS (since 1970 UTC), a full stop, and the raw body. Compare in constant time; refuse when SECONDS is more than
  five minutes off. Absent where no secret is configured.
- ``User-Agent: miniwatch/VERSION``.

What its answer means stands in `posting`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from monitor.notifiers import Patience, Receipt
from monitor.notifiers.posting import Poster
from monitor.stores import Message


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
        outlives_mistakes: bool = False,
        ca_file: str = "",
    ) -> None:
        self._poster = Poster(url, clock, timeout_s=timeout_s, outlives_mistakes=outlives_mistakes, ca_file=ca_file)
        self._secret = secret
        self._clock = clock
        self._patience = patience or Patience()
        self._at_once = at_once

    @property
    def patience(self) -> Patience:
        return self._patience

    @property
    def at_once(self) -> int:
        return self._at_once

    @property
    def is_signed(self) -> bool:
        """Whether there is a secret, so that its receiver can tell who sends."""
        return self._secret is not None

    def send(self, message: Message) -> Receipt:
        headers = {"Idempotency-Key": message.key}
        if self._secret is not None:
            headers["Miniwatch-Signature"] = signature(self._secret, self._clock() // 1_000_000, message.body)
        return self._poster.post(message.body, headers)

    def close(self) -> None:
        self._poster.close()


def signature(secret: bytes, seconds: int, body: bytes) -> str:
    """The value of ``Miniwatch-Signature``."""
    digest = hmac.new(secret, f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"
