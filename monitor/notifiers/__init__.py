"""Who carries an alert to people. A notifier sends one message once, or says why not and whether to try again."""

from __future__ import annotations

from typing import Protocol

import msgspec

from monitor.stores import Message


class Receipt(msgspec.Struct, frozen=True):
    """The receiver's word that it has the message, as kept in the record."""

    detail: str


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How often a message is tried, and how long the waits between tries may grow."""

    attempts_max: int = 12
    backoff_s_min: float = 1.0
    backoff_s_max: float = 900.0


class Notifier(Protocol):
    """Carries messages of one channel.

    `send` returns once the receiver has taken the message, or raises `NotifierError`. It never waits longer than a
    bound of its own, never tries twice itself, and never changes the message's key: after a crash the same key may be
    sent again. It may be called from any thread, for `at_once` messages at a time.
    """

    @property
    def patience(self) -> Patience: ...

    @property
    def at_once(self) -> int:
        """How many messages may be under way side by side; none of them is of the same line."""
        ...

    def send(self, message: Message) -> Receipt: ...

    def close(self) -> None:
        """Cut off what is under way: its `send` raises at once. Called from another thread, when the daemon stops."""
        ...


class NotifierError(Exception):
    """A message was not taken. `retry_after_s` is the wait that the receiver asked for."""

    def __init__(self, message: str, *, retryable: bool, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after_s = retry_after_s
