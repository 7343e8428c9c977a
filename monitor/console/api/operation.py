"""What an operation of the API is: its path, who may ask for it, what it takes and gives. Page and document come from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from detectors.sigma import Rule
from monitor.alerts import Channel
from monitor.door import PeopleHash
from monitor.listing.filters import Filter
from monitor.stores import Standing
from monitor.stores.appeals import AppealTerms
from monitor.stores.sql import SqlStore
from monitor.tokens import Role, Token
from playbooks.ladder import Playbook
from playbooks.policy import Policy
from playbooks.waiting import HeldConfig

PREFIX: Final = "/api/v1"

ID_CHARACTERS_MAX: Final = 256
TEXT_CHARACTERS_MAX: Final = 256
KEY_CHARACTERS_MAX: Final = 255

LIST_ERRORS: Final = (400, 422)
OBJECT_ERRORS: Final = (400, 404)

ERRORS: Final = {
    400: "A parameter is unknown, given twice, or not what it may be; or the body is not JSON.",
    401: "No token, or one that is not known, has expired or was revoked.",
    403: "The token has not the role for that.",
    404: "There is nothing of this id.",
    408: "The request took too long to come.",
    409: "It cannot be done as things stand: it was done before, or has ended.",
    413: "The body is too large.",
    415: "The body is not said to be application/json, or it is packed.",
    422: "What was sent or asked for was understood, and is refused: the message says why.",
    429: "Too many requests; come again after Retry-After seconds.",
    431: "The headers are too large.",
    503: "The record cannot be used now; come again after Retry-After seconds.",
}
"""What each status says, wherever it is given."""


@dataclass(frozen=True, slots=True)
class Api:
    """What operations work on; `rules` and `playbooks` are those in force, `windows` those of the configuration that are not over.

    It is a `listing.named.Source`.
    """

    store: SqlStore
    people: Callable[[], PeopleHash]
    rules: Callable[[], Sequence[Rule]]
    playbooks: Callable[[], Sequence[Playbook]]
    playbook_files: Callable[[], Mapping[str, Path]]
    windows: Callable[[int], Sequence[Standing]]
    held: HeldConfig
    appeals: AppealTerms
    mark_days: int
    policy: Callable[[], Policy]
    clock: Callable[[], int]
    channels: Sequence[Channel] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A request as an operation gets it, checked: `path` and `query` by name, `body` as its type.

    `key` is its Idempotency-Key.
    """

    token: Token
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    key: str | None = None
    wants_lines: bool = False

    @property
    def actor(self) -> str:
        """Who asks, as the audit names them."""
        return f"token:{self.token.id} ({self.token.name})"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: JSON, or with `is_lines` one JSON object a line. Without a `status` it has that of its operation."""

    content: Any
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_lines: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path.

    `gives` is the shape of the answer (`shapes`), of each item where it is a list; `body` the struct that is sent.
    `more` are further parameters, as the document has them. `status` is that of success, `also` are further ones.
    `paged`: a list, with `limit` and `cursor`. `keyed`: it takes an Idempotency-Key. `errors` are further ones than every
    operation has.
    """

    path: str
    name: str
    role: Role
    summary: str
    answer: Callable[[Api, Call], Reply]
    gives: Any
    method: str = "GET"
    about: str = ""
    filters: tuple[Filter, ...] = ()
    more: tuple[Mapping[str, Any], ...] = ()
    paged: bool = False
    body: Any = None
    keyed: bool = False
    status: int = 200
    also: tuple[int, ...] = ()
    errors: tuple[int, ...] = ()

    @property
    def whole_path(self) -> str:
        return f"{PREFIX}{self.path}"

    @property
    def tag(self) -> str:
        """The first word of the path: what the operation is about."""
        return self.path.split("/")[1]
