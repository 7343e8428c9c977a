"""What the API does: each act with its reason, in the audit under the token's name."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from monitor.console.access import Refused
from monitor.console.api import shapes
from monitor.console.api.objects import named
from monitor.console.api.operation import Api, Call, Operation, Reply
from monitor.listing import lists
from monitor.stores.record import AlreadyEnded, NotFound
from monitor.tokens import Role

REASON_CHARACTERS_MAX: Final = 1000

Reason = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=REASON_CHARACTERS_MAX, pattern=r"\S", description="Why; kept in the audit."),
]


class Why(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why something is done."""

    reason: Reason


def _revoke(api: Api, call: Call) -> Reply:
    key, now = named(api, "decision", call.path["id"]), api.clock()
    try:
        ended = api.store.revoke_decision(key, call.actor, call.body.reason, now)
    except NotFound as error:
        raise Refused(404, str(error)) from None
    except AlreadyEnded as error:
        raise Refused(409, str(error)) from None
    return Reply(lists.DECISIONS.told(ended, now))


OPERATIONS: Final = (
    Operation(
        "/decisions/{id}/revoke",
        "revoke_decision",
        Role.RESPONDER,
        "Lift a decision before its time.",
        _revoke,
        shapes.DECISION,
        method="POST",
        about="Sent again, it is refused with 409, and nothing is done twice.",
        body=Why,
        errors=(400, 404, 409, 422),
    ),
)
