"""Which person acts, whichever way they came, and whether two who act are one.

A person is a name: `operator:alice` and a token named ``alice`` are one. A token also speaks for whoever made it, for they have
seen its secret: alice cannot be asked for and approve by a token that she made for bob. What the daemon made by itself, such as
the first token, is nobody's.

That is as far as names go. Who can write the data folder is the operator of the machine and can call themselves what they
like; who has two tokens with two names, made by a third, counts as two. Give everyone one token, by their name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Final

import msgspec

from monitor.tokens import Token

OPERATOR: Final = "operator:"
TOKEN: Final = "token:"  # noqa: S105 - a prefix, no secret
SYSTEM: Final = "system:"

_TOKEN: Final = re.compile(r"token:([^ ]+)(?: \((.*)\))?", re.DOTALL)


class Person(msgspec.Struct, frozen=True):
    """Somebody who acts, and, where they came with a token, who made it."""

    name: str
    maker: str | None = None

    def is_same(self, other: Person) -> bool:
        """Whether both may be one and the same human being."""
        return self.name in {other.name, other.maker} or self.maker == other.name


def person_of(actor: str, token_of: Callable[[str], Token | None]) -> Person | None:
    """Who acts; None where it is no person, but the machine or a token that nobody made."""
    if actor.startswith(OPERATOR):
        return Person(_folded(actor.removeprefix(OPERATOR)))
    match = _TOKEN.fullmatch(actor)
    if match is None:
        return None
    token = token_of(match[1])
    name, maker = (token.name, token.actor) if token is not None else (match[2] or "", "")
    if maker.startswith(SYSTEM) or not _folded(name):
        return None
    return Person(_folded(name), _folded(_name_in(maker)) or None)


def short_name(actor: str) -> str:
    """Who acted, as explanations name them: without the way they came."""
    return _name_in(actor) or actor


def _name_in(actor: str) -> str:
    match = _TOKEN.fullmatch(actor)
    return (match[2] or match[1]) if match is not None else actor.partition(":")[2]


def _folded(name: str) -> str:
    """A name as it is compared: capitals, width and spaces around it make no other person."""
    return unicodedata.normalize("NFKC", name).casefold().strip()
