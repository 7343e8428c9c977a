"""Taking back in bulk over the API: what a rule brought about in a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from monitor.console.access import Refused
from monitor.console.api import shapes
from monitor.console.api.acting import Reason, Value, refusals_told
from monitor.console.api.lists import list_operation
from monitor.console.api.objects import refused
from monitor.console.api.operation import OBJECT_ERRORS, Api, Call, Operation, Reply
from monitor.listing.asked import Given, Part
from monitor.listing.in_force import rule_recorded
from monitor.listing.lists import Listed, Place
from monitor.listing.named import NotOne, whole_id
from monitor.listing.wire import Told, wire
from monitor.moments import NoMoment, moment
from monitor.responding.undoing import NothingToUndo, undo_rule
from monitor.stores.undos import Span, TooMuch, Undo, Undone
from monitor.tokens import Role

DECISIONS_TOLD_MAX: Final = 1000
"""Decisions of an undo in one answer."""

Moment = Annotated[str, msgspec.Meta(min_length=1, max_length=64, description="A date, RFC 3339, or 2h, 7d ago.")]


class Undoing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which rule, which time, and why. With `dry_run` it is only said what would become of which decision."""

    rule: Value
    since: Moment
    until: Moment | None = None
    dry_run: bool = False
    reason: Reason


class UndoneRow(msgspec.Struct, kw_only=True):
    """What became of a decision in an undo, and the decision as it stands."""

    fate: str
    id: str


class UndoRow(msgspec.Struct, kw_only=True):
    """An undo with its counts, and the first of its decisions; `more`: there are further ones, which `miniwatch undos show` lists."""

    id: str
    kind: str
    subject: str
    reason: str
    actor: str
    time: datetime
    since: datetime | None
    until: datetime | None
    findings: int
    lifted: int
    released: int
    waiting: int
    kept: int
    dry_run: bool
    decisions: tuple[UndoneRow, ...]
    more: bool


def _undo(api: Api, call: Call) -> Reply:
    asked: Undoing = call.body
    now = api.clock()
    try:
        named = rule_recorded(api.store, api.rules(), asked.rule)
        rule = whole_id(api.store.rules_starting(named), "rule with findings", named)
    except NotOne as error:
        raise refused(error, 422) from None
    span = Span(rule=rule, since=_at(asked.since, now), until=now + 1 if asked.until is None else _at(asked.until, now))
    with refusals_told():
        try:
            undo, undone = undo_rule(
                api.store,
                span,
                api.policy(),
                reason=asked.reason,
                actor=call.actor,
                now=now,
                channels=api.channels,
                dry_run=asked.dry_run,
            )
        except (NothingToUndo, TooMuch) as error:
            raise Refused(409, str(error)) from None
    return Reply(undo_told(undo, undone, is_dry=asked.dry_run))


def _show(api: Api, call: Call) -> Reply:
    try:
        key = whole_id(api.store.ids_starting("undos", call.path["id"]), "undo", call.path["id"])
    except NotOne as error:
        raise refused(error) from None
    undo = api.store.undo_of(key)
    if undo is None:
        raise Refused(404, f"there is no undo {key}")
    return Reply(undo_told(undo, api.store.undone(key), is_dry=False))


def undo_told(undo: Undo, undone: Sequence[Undone], *, is_dry: bool) -> Told:
    """An undo with the first of its decisions."""
    rows = [{"fate": one.fate.value, **wire(one.decision)} for one in undone[:DECISIONS_TOLD_MAX]]
    return {**wire(undo), "dry_run": is_dry, "decisions": rows, "more": len(undone) > DECISIONS_TOLD_MAX}


def _at(text: str, now: int) -> int:
    try:
        return moment(text, now)
    except NoMoment as error:
        raise Refused(422, str(error)) from None


def _rows(api: Api, _given: Given, part: Part, _now: int) -> Iterator[Undo]:
    rows = (row for row in api.store.undos(None) if part.after is None or UNDOS.place.of(row) < tuple(part.after))
    yield from (row for row, _ in zip(rows, range(part.limit or 0), strict=False))


UNDOS: Final[Listed[Any]] = Listed(
    "undos", (), _rows, Place(lambda row: (row.time, row.id)), lambda row, _now: wire(row)
)

OPERATIONS: Final = (
    list_operation(UNDOS, shapes.UNDO, "What was undone, the last first."),
    Operation(
        "/undos/{id}",
        "show_undo",
        Role.VIEWER,
        "What became of each decision in an undo, as it stands now.",
        _show,
        UndoRow,
        errors=OBJECT_ERRORS,
    ),
    Operation(
        "/undos",
        "undo_rule",
        Role.RESPONDER,
        "Undo what a rule brought about in a time: all is decided again as if its findings had not been.",
        _undo,
        UndoRow,
        method="POST",
        about="What they led to is lifted; what only the others would have led to waits for a person. Sent again there is nothing "
        "left to undo, and it is refused with 409.",
        body=Undoing,
        errors=(400, 409, 422),
    ),
)
