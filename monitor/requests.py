"""What people ask of the running daemon: written into the record by commands, done and answered here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from monitor.audit import AuditEntry
from monitor.stores.record import Reply, Request
from monitor.stores.sql import SqlStore

LOOK_S: Final = 0.5
"""How soon a request is seen."""

RELOAD: Final = "rules.reload"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a request: done, with what there is to say about it, or not, with the problems."""

    done: bool
    said: str = ""
    problems: tuple[str, ...] = ()


class Requests:
    """Looks for requests and for changes, and has them dealt with, one after the other."""

    def __init__(
        self,
        store: SqlStore,
        clock: Callable[[], int],
        handlers: Mapping[str, Callable[[Request], Answer]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._handlers = handlers
        self.hung_up: Final = threading.Event()

    def look(self) -> None:
        """Answer every open request; whatever goes wrong with one is its answer."""
        for request in self._store.open_requests():
            handler = self._handlers.get(request.kind)
            try:
                answer = handler(request) if handler else Answer(done=False, problems=("nobody here can do that",))
            except Exception as error:  # noqa: BLE001 - the next request is not to wait for ever behind this one
                answer = Answer(done=False, problems=(f"{type(error).__name__}: {error}",))
            if self._store.answer_of(request.id) is None:  # else with what was done
                self._store.answer_request(reply_of(request, answer, self._clock()))


def reply_of(request: Request, answer: Answer, now: int) -> Reply:
    """An answer as it goes into the record."""
    entry = AuditEntry(
        time=now,
        actor="system:daemon",
        action=f"{request.kind}.{'done' if answer.done else 'refused'}",
        subject=request.subject,
        reason=answer.said or "; ".join(answer.problems[:5]),
        after=request.id,
    )
    return Reply(request=request.id, answer=msgspec.json.encode(answer).decode(), time=now, entry=entry)
