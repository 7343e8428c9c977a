"""Alerts to whatever Apprise has an address for: WeCom, Slack, mail and a hundred more.

Apprise is loaded with the first message, and its own log is shut: what it writes there holds addresses, and addresses hold secrets. It says no more
than whether a message was taken, so every failure is tried again.

It cannot be cut off. What has not answered in time goes on, and is waited for by whoever sends next: nothing is begun beside it, and what it says in the end
counts, so that a slow receiver gets no message twice.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLong
from typing import Any, Final

import msgspec

from monitor.notifiers import NotifierError, Patience, Receipt
from monitor.notifiers.wording import headline, is_over, paragraphs, severity_of
from monitor.stores import Message

TITLE_CHARACTERS_MAX: Final = 250

LATE_MAX: Final = 1000
"""Messages taken late that are remembered until they are tried again."""

_loading: Final = threading.Lock()


class _Failed(NotifierError):
    """A carrier that ended with an error, not with an answer."""


class Apprise:
    """One address."""

    def __init__(self, target: str | None, *, timeout_s: float = 10.0, patience: Patience | None = None) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._patience = patience or Patience()
        self._sends = ThreadPoolExecutor(1, "apprise")
        self._under_way: tuple[str, Future[Any]] | None = None  # a message's key, and what becomes of it
        self._taken_late: dict[str, None] = {}  # keys of what was taken after it had been given back to be tried again

    @property
    def patience(self) -> Patience:
        return self._patience

    @property
    def at_once(self) -> int:
        return 1

    def send(self, message: Message) -> Receipt:
        self._await_late()
        if message.key in self._taken_late:
            del self._taken_late[message.key]
            return Receipt("taken, late")
        library, carrier = _carrier(self._target)
        told = msgspec.json.decode(message.body)
        kind = _kind(library, told)
        title, body = headline(told)[:TITLE_CHARACTERS_MAX], paragraphs(told)
        sending = self._sends.submit(
            carrier.notify, body=body, title=title, notify_type=kind, body_format=library.NotifyFormat.TEXT
        )
        self._under_way = message.key, sending
        if not self._is_taken(sending):
            raise NotifierError("not taken; Apprise says no more", retryable=True)
        return Receipt("taken")

    def _await_late(self) -> None:
        """Wait for what had not answered in time, and note what became of it."""
        if self._under_way is None:
            return
        key, sending = self._under_way
        with contextlib.suppress(_Failed):  # it is tried again as what it is
            if self._is_taken(sending):
                self._taken_late[key] = None
                while len(self._taken_late) > LATE_MAX:
                    del self._taken_late[next(iter(self._taken_late))]

    def _is_taken(self, sending: Future[Any]) -> bool:
        """What became of the one under way; raises `NotifierError`, and leaves it under way where it does not answer."""
        try:
            is_taken = bool(sending.result(self._timeout_s))
        except TooLong:
            if not sending.done():
                raise NotifierError(f"no answer within {self._timeout_s:g} s", retryable=True) from None
            is_taken = False  # it failed by a time limit of its own
        except Exception as error:  # noqa: BLE001 - a hundred carriers, and what they raise may hold the address
            self._under_way = None
            raise _Failed(f"Apprise failed: {type(error).__name__}", retryable=True) from None
        self._under_way = None
        return is_taken

    def close(self) -> None:
        self._sends.shutdown(wait=False, cancel_futures=True)


def refuse_useless(target: str | None) -> None:
    """Raises `NotifierError` where nothing can be carried to an address, whoever listens there."""
    _carrier(target)


def _carrier(target: str | None) -> tuple[Any, Any]:
    """Apprise, and what carries to an address; raises `NotifierError` where there is no such thing."""
    if target is None:
        raise NotifierError("no address is configured", retryable=True)
    library = _library()
    carrier = library.Apprise()
    if not carrier.add(target):
        raise NotifierError("Apprise does not know this kind of address, or it is incomplete", retryable=True)
    return library, carrier


def _library() -> Any:
    """Apprise; raises `NotifierError` where it is not installed."""
    with _loading:
        log = logging.getLogger("apprise")
        log.disabled, log.propagate = True, False
        try:
            import apprise  # noqa: PLC0415 - a fifth of a second and its own dependencies, for those who use it
        except ImportError:
            raise NotifierError(
                "Apprise is not installed: install the package apprise beside Miniwatch", retryable=True
            ) from None
        log.disabled, log.propagate = True, False
        return apprise


def _kind(library: Any, told: dict[str, Any]) -> Any:
    """How it looks: green, red, yellow or blue, where the receiver has colours."""
    kinds = library.NotifyType
    if is_over(told):
        return kinds.SUCCESS
    by_severity = {"critical": kinds.FAILURE, "high": kinds.FAILURE, "medium": kinds.WARNING}
    return by_severity.get(severity_of(told), kinds.INFO)
