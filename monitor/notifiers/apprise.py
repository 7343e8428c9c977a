"""Alerts to whatever Apprise has an address for: WeCom, Slack, mail and a hundred more.

Apprise is loaded with the first message, and its own log is shut: what it writes there holds addresses, and addresses hold secrets. It says no more
than whether a message was taken, so every failure is tried again.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLong
from typing import Any, Final

import msgspec

from monitor.notifiers import NotifierError, Patience, Receipt
from monitor.notifiers.wording import headline, is_over, paragraphs, severity_of
from monitor.stores import Message

TITLE_CHARACTERS_MAX: Final = 250

_loading: Final = threading.Lock()


class Apprise:
    """One address."""

    def __init__(self, target: str | None, *, timeout_s: float = 10.0, patience: Patience | None = None) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._patience = patience or Patience()
        self._sends = ThreadPoolExecutor(1, "apprise")

    @property
    def patience(self) -> Patience:
        return self._patience

    @property
    def at_once(self) -> int:
        return 1

    def send(self, message: Message) -> Receipt:
        library, carrier = _carrier(self._target)
        told = msgspec.json.decode(message.body)
        kind = _kind(library, told)
        title, body = headline(told)[:TITLE_CHARACTERS_MAX], paragraphs(told)
        sending = self._sends.submit(
            carrier.notify, body=body, title=title, notify_type=kind, body_format=library.NotifyFormat.TEXT
        )
        try:
            is_taken = sending.result(self._timeout_s)
        except TooLong:
            raise NotifierError(f"no answer within {self._timeout_s:g} s", retryable=True) from None
        except Exception as error:  # noqa: BLE001 - a hundred carriers, and what they raise may hold the address
            raise NotifierError(f"Apprise failed: {type(error).__name__}", retryable=True) from None
        if not is_taken:
            raise NotifierError("not taken; Apprise says no more", retryable=True)
        return Receipt("taken")

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
