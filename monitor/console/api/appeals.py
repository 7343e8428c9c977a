"""Appeals over the API: filed, looked at, and answered by the rules of `monitor.responding`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec

from monitor.console.access import Refused
from monitor.console.api import shapes
from monitor.console.api.acting import Reason, Value, key_of, refusals_told
from monitor.console.api.acts import AGAIN, Why
from monitor.console.api.lists import list_operation
from monitor.console.api.objects import named
from monitor.console.api.operation import OBJECT_ERRORS, Api, Call, Operation, Reply
from monitor.listing.lists import APPEALS
from monitor.listing.wire import wire
from monitor.responding.appealing import (
    APPELLANT_CHARACTERS_MAX,
    STATEMENT_CHARACTERS_MAX,
    file,
    grant,
    reject,
    review,
    withdraw,
)
from monitor.stores.undos import TooMuch
from monitor.tokens import Role

Statement = Annotated[str, msgspec.Meta(min_length=1, max_length=STATEMENT_CHARACTERS_MAX, pattern=r"\S")]
Appellant = Annotated[str, msgspec.Meta(min_length=1, max_length=APPELLANT_CHARACTERS_MAX, pattern=r"\S")]


class Filing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Against which decision, who appeals, and what they say."""

    decision: Value
    appellant: Appellant
    statement: Statement


class Granting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why; with `findings_stand` only the decision is lifted, and what was found is right."""

    reason: Reason
    findings_stand: bool = False


def _file(api: Api, call: Call) -> Reply:
    asked: Filing = call.body
    decision = named(api, "decision", asked.decision)
    with refusals_told():
        row, is_new = file(
            api.store,
            decision,
            appellant=asked.appellant,
            statement=asked.statement,
            actor=call.actor,
            now=api.clock(),
            terms=api.appeals,
            name=key_of(call, "appeal"),
        )
    return Reply(wire(row), status=201 if is_new else 200)


def _show(api: Api, call: Call) -> Reply:
    row = api.store.appeal(named(api, "appeal", call.path["id"]))
    if row is None:
        raise Refused(404, f"there is no appeal {call.path['id']}")
    return Reply(wire(row))


def _grant(api: Api, call: Call) -> Reply:
    asked: Granting = call.body
    key = named(api, "appeal", call.path["id"])
    with refusals_told():
        try:
            granted = grant(
                api.store,
                key,
                api.policy(),
                actor=call.actor,
                reason=asked.reason,
                now=api.clock(),
                channels=api.channels,
                findings_stand=asked.findings_stand,
            )
        except TooMuch as error:
            raise Refused(409, str(error)) from None
    return Reply(wire(granted.appeal))


def _moving(act: Callable[..., Any]) -> Callable[[Api, Call], Reply]:
    def answer(api: Api, call: Call) -> Reply:
        key = named(api, "appeal", call.path["id"])
        with refusals_told():
            return Reply(wire(act(api.store, key, actor=call.actor, reason=call.body.reason, now=api.clock())))

    return answer


def _act(word: str, role: Role, summary: str, answer: Callable[[Api, Call], Reply], body: Any = Why) -> Operation:
    return Operation(
        f"/appeals/{{id}}/{word}",
        f"{word}_appeal",
        role,
        summary,
        answer,
        shapes.APPEAL,
        method="POST",
        about=AGAIN,
        body=body,
        errors=(400, 404, 409, 422),
    )


OPERATIONS: Final = (
    list_operation(APPEALS, shapes.APPEAL, "Appeals against decisions, the last filed first."),
    Operation("/appeals/{id}", "show_appeal", Role.VIEWER, "One appeal.", _show, shapes.APPEAL, errors=OBJECT_ERRORS),
    Operation(
        "/appeals",
        "file_appeal",
        Role.RESPONDER,
        "Record that somebody objects to a decision, which stays in force until the appeal is granted.",
        _file,
        shapes.APPEAL,
        method="POST",
        about="A decision has one open appeal at a time, and no more in all than `appeals.attempts_max`.",
        body=Filing,
        keyed=True,
        status=201,
        also=(200,),
        errors=(400, 404, 409, 422),
    ),
    _act("review", Role.APPROVER, "Take an appeal up, so that others know who looks at it.", _moving(review)),
    _act("grant", Role.APPROVER, "Lift the decision; the findings that it rests on are false.", _grant, Granting),
    _act("reject", Role.APPROVER, "Say no; who added or approved the decision cannot.", _moving(reject)),
    _act("withdraw", Role.RESPONDER, "Record that no answer is wanted any more.", _moving(withdraw)),
)
