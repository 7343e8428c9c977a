"""What people say of findings over the API, which of it is in force, and what an exception would silence besides."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import msgspec

from detectors.finding import Entity, Scope
from monitor.backtest.silencing import silenced_by_exception
from monitor.console.access import Refused
from monitor.console.api.acting import Reason, Seconds, Value, refusals_told
from monitor.console.api.lists import list_operation
from monitor.console.api.objects import named
from monitor.console.api.operation import OBJECT_ERRORS, Api, Call, Operation, Reply
from monitor.console.api.undoing import UndoRow, undo_told
from monitor.listing.feedback import silenced_told
from monitor.listing.lists import MARKS
from monitor.moments import DAY_US, MICROSECONDS
from monitor.responding.undoing import FINDINGS_MARKED_MAX, mark_findings
from monitor.stores.undos import Marking, TooMuch, Verdict
from monitor.tokens import Role
from playbooks.decision import Decision


class MarkingAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which findings are true, false, or benign-known; null takes a mark back.

    Without `for_s`, the mark is input of allow-lists and training for `feedback.mark_days`.
    """

    findings: Annotated[tuple[Value, ...], msgspec.Meta(min_length=1, max_length=FINDINGS_MARKED_MAX)]
    verdict: Verdict | None
    for_s: Seconds | None = None
    reason: Reason


class MarkRow(msgspec.Struct, kw_only=True):
    """A mark that has not expired, and what was found."""

    finding: str
    verdict: Verdict
    rule: str
    detector: str
    kind: str
    entity: Entity
    owner: str | None
    first_event: datetime
    last_event: datetime
    reason: str
    actor: str
    time: datetime
    expires: datetime


class SilencedRow(msgspec.Struct, kw_only=True):
    """What an exception of a finding's rule for its entity would have silenced in a time, beside that finding; nothing is done.

    `findings`, of which so many were marked `true`, `false` and `benign_known`; `decisions` are in force and rest on them. `more`: there were
    more findings than are looked at.
    """

    rule: str
    scope: Scope
    value: str
    since: datetime
    until: datetime
    findings: int
    true: int
    false: int
    benign_known: int
    decisions: tuple[Decision, ...]
    more: bool


def _mark(api: Api, call: Call) -> Reply:
    asked: MarkingAsked = call.body
    now = api.clock()
    whole = tuple(dict.fromkeys(named(api, "finding", key) for key in asked.findings))
    until = now + (api.mark_days * DAY_US if asked.for_s is None else asked.for_s * MICROSECONDS)
    marking = Marking(findings=whole, verdict=asked.verdict, expires=None if asked.verdict is None else until)
    with refusals_told():
        try:
            undo, undone = mark_findings(
                api.store,
                marking,
                api.policy(),
                reason=asked.reason,
                actor=call.actor,
                now=now,
                channels=api.channels,
            )
        except TooMuch as error:
            raise Refused(409, str(error)) from None
    return Reply(undo_told(undo, undone, is_dry=False))


def _exception(api: Api, call: Call) -> Reply:
    finding = api.store.finding(named(api, "finding", call.path["id"]))
    if finding is None:
        raise Refused(404, f"there is no finding {call.path['id']}")
    return Reply(silenced_told(silenced_by_exception(api.store, finding, api.policy(), now=api.clock())))


OPERATIONS: Final[tuple[Operation, ...]] = (
    list_operation(MARKS, MarkRow, "Marks of findings that have not expired, those said first before the others."),
    Operation(
        "/findings/mark",
        "mark_findings",
        Role.RESPONDER,
        "Say that findings are true, false, or benign-known; of false and benign ones all is decided again as if they had not been.",
        _mark,
        UndoRow,
        method="POST",
        about="Sent again, the same marks stand. Until a benign-known mark expires, the same about the same entity is not acted on.",
        body=MarkingAsked,
        errors=(400, 404, 409, 422),
    ),
    Operation(
        "/findings/{id}/exception",
        "show_exception_foreseen",
        Role.VIEWER,
        "What an exception of a finding's rule for its entity would have silenced in the last seven days, beside it. Nothing is done.",
        _exception,
        SilencedRow,
        errors=OBJECT_ERRORS,
    ),
)
