"""What the API does about incidents: acknowledged, given to somebody, noted and closed, by the rules of `monitor.responding`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec

from monitor.console.access import Refused
from monitor.console.api import shapes
from monitor.console.api.acting import Reason, key_of, refusals_told
from monitor.console.api.acts import Why
from monitor.console.api.objects import named
from monitor.console.api.operation import OBJECT_ERRORS, Api, Call, Operation, Reply
from monitor.listing.tended import shown
from monitor.responding.tending import (
    ASSIGNEE_CHARACTERS_MAX,
    NOTE_CHARACTERS_MAX,
    Tended,
    acknowledge,
    assign,
    close,
    note,
)
from monitor.tokens import Role

Assignee = Annotated[str, msgspec.Meta(min_length=1, max_length=ASSIGNEE_CHARACTERS_MAX, pattern=r"\S")]
Note = Annotated[str, msgspec.Meta(min_length=1, max_length=NOTE_CHARACTERS_MAX, pattern=r"\S")]


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What whoever looks at it has to say."""

    reason: Reason = "seen"


class Assignment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who has it from now on."""

    assignee: Assignee
    reason: Reason = "assigned"


class Noting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known or done."""

    text: Note


def _show(api: Api, call: Call) -> Reply:
    key = named(api, "incident", call.path["id"])
    row = api.store.incident(key)
    if row is None:
        raise Refused(404, f"there is no incident {key}")
    return Reply(shown(api.store, row, api.clock()))


def _tending(act: Callable[..., Tended], words: Callable[[Call], dict[str, Any]]) -> Callable[[Api, Call], Reply]:
    def answer(api: Api, call: Call) -> Reply:
        key, now = named(api, "incident", call.path["id"]), api.clock()
        with refusals_told():
            tended = act(api.store, key, actor=call.actor, now=now, channels=api.channels, **words(call))
        return Reply(shown(api.store, tended.incident, now))

    return answer


def _act(
    word: str, summary: str, answer: Callable[[Api, Call], Reply], body: Any, *, about: str, keyed: bool = False
) -> Operation:
    return Operation(
        f"/incidents/{{id}}/{word}",
        f"{word}_incident",
        Role.RESPONDER,
        summary,
        answer,
        shapes.INCIDENT_SHOWN,
        method="POST",
        about=about,
        body=body,
        keyed=keyed,
        errors=(400, 404, 409, 422),
    )


OPERATIONS: Final = (
    Operation(
        "/incidents/{id}",
        "show_incident",
        Role.VIEWER,
        "One incident, with its clocks and what people have said about it.",
        _show,
        shapes.INCIDENT_SHOWN,
        errors=OBJECT_ERRORS,
    ),
    _act(
        "ack",
        "Say that somebody looks at it: nobody else is called, until it becomes more severe.",
        _tending(acknowledge, lambda call: {"reason": call.body.reason}),
        Acknowledgement,
        about="Done again it changes nothing.",
    ),
    _act(
        "assign",
        "Give it to somebody; that acknowledges it.",
        _tending(assign, lambda call: {"to": call.body.assignee, "reason": call.body.reason}),
        Assignment,
        about="Done again it changes nothing.",
    ),
    _act(
        "note",
        "Write down what is known or done: the first note is the answer that is owed.",
        _tending(note, lambda call: {"text": call.body.text, "name": key_of(call, "note")}),
        Noting,
        about="Each is another note; with an Idempotency-Key it is safe to send again.",
        keyed=True,
    ),
    _act(
        "close",
        "Say that it is over, and why; what is found from then on opens another one.",
        _tending(close, lambda call: {"reason": call.body.reason}),
        Why,
        about="Decisions stay as they are. Done again it changes nothing.",
    ),
)
