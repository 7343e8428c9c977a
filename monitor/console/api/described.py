"""Operations under ``/api/v1`` that pages of their own answer, for the document."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from detectors.finding import Scope
from monitor.console.api.operation import Api, Call, Operation, Reply
from monitor.console.changes import CHANGES_MAX, WAIT_S_MAX
from monitor.tokens import Role
from playbooks.decision import Act, DecisionState


class Change(msgspec.Struct, kw_only=True):
    """A decision as it stands after a change. Enforcers end it at `expires` by themselves."""

    number: int
    id: str
    scope: Scope
    value: str
    type: Act
    target: str | None
    parameters: dict[str, int | str]
    in_force: bool
    state: DecisionState
    begun: datetime
    expires: datetime
    explanation: str


class Changes(msgspec.Struct, kw_only=True):
    """What has changed, and the `position` to ask with next; `more` says that there are further changes already."""

    position: int
    more: bool
    changes: tuple[Change, ...]


def _elsewhere(_api: Api, _call: Call) -> Reply:
    raise AssertionError("this is answered by a page of its own")


_WAIT: Final[dict[str, Any]] = {"type": "number", "minimum": 0, "maximum": WAIT_S_MAX, "default": 0}

OPERATIONS: Final = (
    Operation(
        "/decisions/changes",
        "list_changes",
        Role.BOUNCER,
        "What has changed among live decisions, for enforcers that keep their own place.",
        _elsewhere,
        Changes,
        about=f"At most {CHANGES_MAX:,} changes an answer. With `wait_s`, an answer that would be empty waits for a change.",
        more=(
            {
                "name": "after",
                "in": "query",
                "description": "`position` of the answer before; 0 gives what is in force.",
                "schema": {"type": "integer", "minimum": 0, "default": 0},
            },
            {
                "name": "scopes",
                "in": "query",
                "description": "Only of these scopes, with commas between them: AppId,Ip.",
                "schema": {"type": "string"},
            },
            {"name": "wait_s", "in": "query", "description": "Seconds to wait for a change.", "schema": _WAIT},
        ),
        errors=(400,),
    ),
)
