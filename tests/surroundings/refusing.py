"""A receiver that refuses as long as a test says so."""

from __future__ import annotations

from monitor.notifiers import NotifierError, Patience, Receipt
from monitor.stores import Message


class Refusing:
    """A notifier that refuses while `refuses` says how, and keeps what it takes."""

    def __init__(self, patience: Patience) -> None:
        self.refuses: NotifierError | None = None
        self.patience = patience
        self.at_once = 2
        self.taken: list[Message] = []

    def send(self, message: Message) -> Receipt:
        if self.refuses is not None:
            raise self.refuses
        self.taken.append(message)
        return Receipt("HTTP 200")

    def close(self) -> None:
        """Nothing to cut off."""
