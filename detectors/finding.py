"""What a detector says about one entity, with an id that the same events always give."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping


class Scope(StrEnum):
    """What kind of thing an entity is."""

    APP = "AppId"
    DEVELOPER = "DeveloperId"
    USER = "OpenId"
    DEVICE = "DeviceId"
    SESSION = "SessionId"
    ADDRESS = "Ip"
    RANGE = "Range"
    DOMAIN = "Domain"
    API = "Api"
    ORDER = "Order"
    MERCHANT = "MerchantId"
    HOST = "Host"
    DATASET = "Dataset"


SCOPE_FIELDS: Final = {
    Scope.APP: "miniprogram.app_id",
    Scope.DEVELOPER: "miniprogram.developer_id",
    Scope.USER: "user.id",
    Scope.DEVICE: "device.id",
    Scope.SESSION: "session.id",
    Scope.ADDRESS: "source.ip",
    Scope.DOMAIN: "url.domain",
    Scope.API: "miniprogram.api",
    Scope.ORDER: "payment.order_id",
    Scope.MERCHANT: "payment.merchant_id",
    Scope.HOST: "host.name",
    Scope.DATASET: "event.dataset",
}
"""The event field that names an entity of each scope."""


class Severity(StrEnum):
    INFORMATIONAL = "informational"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 (informational) to 4 (critical)."""
        return _SEVERITY_RANK[self]


_SEVERITY_RANK: Final = {severity: rank for rank, severity in enumerate(Severity)}


class Entity(msgspec.Struct, frozen=True, order=True):
    """Who a finding is about."""

    scope: Scope
    value: str


class Related(msgspec.Struct, frozen=True):
    """Somebody else in a finding, and their part: victim, accomplice or carrier."""

    scope: Scope
    value: str
    role: str


class RuleRef(msgspec.Struct, frozen=True):
    """A rule and the version that spoke: the first 16 hexadecimal digits of the SHA-256 of its content."""

    id: str
    version: str


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The events behind a finding: all of them counted, the first few named.

    `values` are the fields that the rule looked at, as they stood in the first event.
    """

    count: int
    event_ids: tuple[str, ...] = ()
    truncated: bool = False
    values: dict[str, str] = msgspec.field(default_factory=dict)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A number that was found unusual, and what is usual there.

    `worth` is −log10 of the share of like numbers that come as far; what is usual was learned for `learned_h` hours.
    """

    name: str
    test: str
    value: float
    usual: float
    worth: float
    learned_h: int = 0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing seen about one entity. Times are microseconds since 1970 UTC.

    `proof` says that the rule by itself is evidence enough for removal (`design.md`, promise 6).
    """

    id: str
    time: int
    first_event: int
    last_event: int
    detector: str  # "sigma", …
    kind: str  # "rule", "statistical", "learned", "integrity"
    rule: RuleRef
    entity: Entity
    owner: str | None = None  # developer of the app, where the event says so
    related: tuple[Related, ...] = ()
    severity: Severity
    confidence: float = 1.0
    score: float = 0.0
    title: str
    evidence: Evidence
    tags: tuple[str, ...] = ()
    proof: bool = False
    false_positives: tuple[str, ...] = ()
    response: str = ""
    measured: tuple[Measured, ...] = ()
    shadow: bool = False  # its rule is being tried: it is recorded, and nothing follows from it


class Sighting(msgspec.Struct, frozen=True):
    """A finding and the row of the batch at which it became known, so that many detectors' findings can be put in order.

    Parts of a finding, one for each batch that adds to it, are merged; any other is whole, and saying it again adds nothing.
    """

    row: int
    finding: Finding
    is_part: bool = False


EVIDENCE_IDS_MAX: Final = 20
"""Event ids kept with a finding; the count goes on."""


def finding_id(rule_id: str, entity: Entity, time: int, groups: Mapping[str, str] | None = None) -> str:
    """The id of a finding: `time` is the minute of a stateless rule's event, or the crossing time of a window.

    `groups` are what a window is grouped by. Those that are not the entity itself take part, for several groups about
    one entity may cross at the same instant. Never of event ids or the rule's version, so that cutting, replaying and
    resuming the stream give the same id.
    """
    parts = [rule_id, entity.scope, entity.value, str(time)]
    others = {name: value for name, value in (groups or {}).items() if value != entity.value}
    if others:
        parts.append(msgspec.json.encode(others, order="sorted").decode())
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def in_share(entity: Entity, share: float) -> bool:
    """Whether an entity is among a share (0 to 1) of all: always the same ones, and of a larger share too."""
    digest = hashlib.sha256(f"share\x1f{entity.scope}\x1f{entity.value}".encode()).digest()
    return int.from_bytes(digest[:6]) < share * 2**48


def in_shadow(finding: Finding) -> Finding:
    """The same, of a rule that is being tried; its id is another, so that it stands beside what the rule in force says."""
    other = hashlib.sha256(f"shadow\x1f{finding.id}".encode()).hexdigest()[:32]
    return msgspec.structs.replace(finding, id=other, shadow=True)


def merge(earlier: Finding, later: Finding, ids_max: int = EVIDENCE_IDS_MAX) -> Finding:
    """Two parts of one finding (same id) as one. `earlier` was processed first; its time, values and version stay."""
    ids = earlier.evidence.event_ids + later.evidence.event_ids
    return msgspec.structs.replace(
        earlier,
        first_event=min(earlier.first_event, later.first_event),
        last_event=max(earlier.last_event, later.last_event),
        evidence=Evidence(
            count=earlier.evidence.count + later.evidence.count,
            event_ids=ids[:ids_max],
            truncated=earlier.evidence.truncated or later.evidence.truncated or len(ids) > ids_max,
            values=earlier.evidence.values,
        ),
    )
