"""What acts over the API have in common: what they are told, when they are refused, and how they are safe to send again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import msgspec

from detectors.finding import Entity, Scope
from monitor.console.access import Refused
from monitor.console.api.operation import Api, Call
from monitor.holding import AlreadySo
from monitor.listing.named import value_of
from monitor.responding.refusals import ActRefused, No
from monitor.stores.record import AlreadyEnded, NotFound

REASON_CHARACTERS_MAX: Final = 1000
VALUE_CHARACTERS_MAX: Final = 512
SECONDS_MAX: Final = 366 * 86_400

Reason = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=REASON_CHARACTERS_MAX, pattern=r"\S", description="Why; kept in the audit."),
]
Value = Annotated[
    str,
    msgspec.Meta(
        min_length=1, max_length=VALUE_CHARACTERS_MAX, description="Its name; people are known by their id too."
    ),
]
Seconds = Annotated[int, msgspec.Meta(ge=1, le=SECONDS_MAX, description="How long, in seconds.")]

_STATUS: Final = {
    No.PROTECTED: 409,
    No.EXEMPT: 409,
    No.NOT_WAITING: 409,
    No.NOT_LIVE: 409,
    No.TOO_LATE: 409,
    No.TOO_MANY: 409,
    No.SECOND_PERSON: 403,
    No.NO_PERSON: 403,
}
"""What is refused because of how things stand, or of who asks; the rest is what was sent: 422."""


@contextmanager
def refusals_told() -> Iterator[None]:
    """Tell what the rules of acting refuse, with the word that programs know it by."""
    try:
        yield
    except ActRefused as error:
        raise Refused(_STATUS.get(error.why, 422), str(error), why=error.why.value) from None
    except NotFound as error:
        raise Refused(404, str(error)) from None
    except (AlreadyEnded, AlreadySo) as error:
        raise Refused(409, str(error)) from None


def entity_of(api: Api, scope: Scope, value: str) -> Entity:
    """Whom a body means; people given by their own id are known by its hash."""
    return Entity(scope, str(value_of(api, scope.value, value)))


def key_of(call: Call, what: str) -> str | None:
    """The id that what is made gets by the request's Idempotency-Key: each token has its own keys."""
    if call.key is None:
        return None
    return hashlib.sha256(f"{what}\x1f{call.token.id}\x1f{call.key}".encode()).hexdigest()[:32]


def other_content(what: str) -> Refused:
    """A key that comes again with something else."""
    told = f"a request with this Idempotency-Key made another {what}; a new request needs a new key"
    return Refused(422, told, why=No.OTHER_CONTENT.value)
