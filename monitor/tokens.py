"""Who may do what over HTTP: tokens with roles.

A token reads ``mw_ID_SECRET``. The id is public: it names the token in lists, in the audit and in what is told to people, and it
is how a token is looked up. The secret is 256 random bits, shown once, when it is made; kept is only its SHA-256. A slow hash
for passwords would protect secrets that can be guessed; a random one of 256 bits cannot be, so a fast hash gives nothing away,
and an attacker cannot make the daemon burn its time on wrong ones. The comparison takes the same time whatever is presented.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from enum import StrEnum
from typing import Final

import msgspec

PREFIX: Final = "mw"
ID_BYTES: Final = 6
SECRET_BYTES: Final = 32

TOKENS_MAX: Final = 10_000
"""Tokens that are kept at most, those that have expired included: all of them are held in memory by the daemon."""

NAME_CHARACTERS_MAX: Final = 64

_SHAPE: Final = re.compile(rf"{PREFIX}_([0-9a-f]{{{ID_BYTES * 2}}})_([A-Za-z0-9_-]{{43}})")


class Role(StrEnum):
    """What a token is for."""

    INGEST = "ingest"
    BOUNCER = "bouncer"
    VIEWER = "viewer"
    RESPONDER = "responder"
    APPROVER = "approver"
    ADMIN = "admin"


ROLES: Final = {
    Role.INGEST: "send events",
    Role.BOUNCER: "fetch decisions, to enforce them",
    Role.VIEWER: "see what happened, and the metrics",
    Role.RESPONDER: "what viewers may, and act: revoke decisions, exempt, mark",
    Role.APPROVER: "what viewers may, and approve or reject what waits for a second person",
    Role.ADMIN: "everything",
}
"""What each role may."""

_IMPLIED: Final = {
    Role.RESPONDER: (Role.VIEWER,),
    Role.APPROVER: (Role.VIEWER,),
    Role.ADMIN: tuple(Role),
}


def roles_for(role: Role) -> tuple[Role, ...]:
    """The roles of which each lets in where this one is asked for."""
    return tuple(own for own in Role if own is role or role in _IMPLIED.get(own, ()))


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it is kept: everything but its secret. Times are microseconds; `revoked` is None while it was not."""

    id: str
    name: str
    roles: tuple[Role, ...]
    digest: str
    created: int
    expires: int
    actor: str
    revoked: int | None = None

    def may(self, role: Role) -> bool:
        """Whether one of its roles is this one, or includes it."""
        return not set(self.roles).isdisjoint(roles_for(role))

    def state(self, now: int) -> str:
        """``valid``, ``revoked`` or ``expired``."""
        if self.revoked is not None:
            return "revoked"
        return "valid" if now < self.expires else "expired"


def new_token(name: str, roles: Collection[Role], *, created: int, expires: int, actor: str) -> tuple[Token, str]:
    """A token to keep, and the text to give away: it cannot be had again."""
    key, secret = secrets.token_hex(ID_BYTES), secrets.token_urlsafe(SECRET_BYTES)
    ordered = tuple(role for role in Role if role in roles)
    kept = Token(
        id=key, name=name, roles=ordered, digest=_digest(secret), created=created, expires=expires, actor=actor
    )
    return kept, f"{PREFIX}_{key}_{secret}"


def parts_of(text: str) -> tuple[str, str] | None:
    """Id and secret of what somebody presents; None when it has not the shape of a token."""
    match = _SHAPE.fullmatch(text)
    return (match[1], match[2]) if match else None


def is_secret_of(token: Token, secret: str) -> bool:
    """Whether this is the token's secret, in time that does not depend on how much of it is right."""
    return hmac.compare_digest(_digest(secret), token.digest)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
