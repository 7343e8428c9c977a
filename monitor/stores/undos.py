"""What an undo is, is asked, and comes to: findings that no longer count, and what became of each decision."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from detectors.finding import Entity
from monitor.moments import DAY_US
from monitor.refusal import StoreError
from playbooks.decision import Decision

FINDINGS_MAX: Final = 500_000
"""Findings that one undo looks at, those of the same entities and owners included."""

MARK_DAYS_DEFAULT: Final = 180
"""How long a mark counts as input of allow-lists and training where nobody says otherwise."""


class Verdict(StrEnum):
    """What a person says of a finding: it is wrong; it is right; it is right, and what was seen is known and does no harm."""

    FALSE = "false"
    TRUE = "true"
    BENIGN_KNOWN = "benign-known"


class FindingMark(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of a finding: a person's verdict, and the undo that left it out. A verdict outweighs an undo.

    Before `expires`, a verdict is input of allow-lists and training; what it says of the finding stays.
    """

    finding: str
    verdict: Verdict | None = None
    undo: str | None = None
    reason: str
    actor: str
    time: int
    expires: int | None = None

    @property
    def counts(self) -> bool:
        """Whether risk, incidents and decisions rest on it."""
        return self.verdict is Verdict.TRUE or (self.verdict is None and self.undo is None)

    @property
    def word(self) -> str:
        """In a word: `false`, `true`, `benign-known`, `undone`."""
        return self.verdict.value if self.verdict is not None else "undone"


class MarkInForce(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict while it counts as input of allow-lists and training, with what was found: who, when, and by what."""

    finding: str
    verdict: Verdict
    rule: str
    detector: str
    kind: str
    entity: Entity
    owner: str | None
    first_event: int
    last_event: int
    reason: str
    actor: str
    time: int
    expires: int

    @property
    def is_normal(self) -> bool:
        """Whether what went on in its window is as things should be: what is true does not belong into training."""
        return self.verdict is not Verdict.TRUE


class UndoKind(StrEnum):
    """What was undone: a rule's part in a span, or single findings."""

    RULE = "rule"
    FINDING = "finding"


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of a rule that were weighed in a time: `since` is included, `until` is not."""

    rule: str
    since: int
    until: int


class Marking(msgspec.Struct, frozen=True, kw_only=True):
    """A person's verdict on findings, and until when it is input of allow-lists and training; None takes an earlier one back."""

    findings: tuple[str, ...]
    verdict: Verdict | None
    expires: int | None = None  # None: `MARK_DAYS_DEFAULT` from when it is said

    def until(self, now: int) -> int | None:
        """When a verdict that is said now ceases to be input; None without one."""
        if self.verdict is None:
            return None
        return now + MARK_DAYS_DEFAULT * DAY_US if self.expires is None else self.expires


class UndoAsked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be undone, by whom and why. `because` says it in a clause, for those who read of a decision."""

    id: str
    what: Span | Marking
    because: str
    reason: str
    actor: str
    now: int

    @property
    def kind(self) -> UndoKind:
        return UndoKind.RULE if isinstance(self.what, Span) else UndoKind.FINDING

    @property
    def subject(self) -> str:
        """The rule, or the (first) finding."""
        return self.what.rule if isinstance(self.what, Span) else self.what.findings[0]


class Fate(StrEnum):
    """What became of a decision in an undo."""

    LIFTED = "lifted"  # it was decided on a finding that no longer counts
    RELEASED = "released"  # it rested on one
    WAITS = "waits"  # it would be in force without what was undone: a person decides
    HELD = "held"  # it would be held
    RESTORED = "restored"  # it acts on nobody (shadow, replay), and stands again
    KEPT = "kept"  # a person made or approved it, and it stays


class Undo(msgspec.Struct, frozen=True, kw_only=True):
    """An undo that was carried out, with its counts; times are microseconds since 1970 UTC. `lifted` counts live and other decisions."""

    id: str
    kind: UndoKind
    subject: str
    reason: str
    actor: str
    time: int
    since: int | None = None
    until: int | None = None
    findings: int
    lifted: int
    released: int
    waiting: int
    kept: int


class Undone(msgspec.Struct, frozen=True, kw_only=True):
    """A decision of an undo as it stands after it, and what became of it there."""

    decision: Decision
    fate: Fate


class TooMuch(StoreError):
    """An undo would look at more findings than one may."""

    def __init__(self) -> None:
        super().__init__(
            f"more than {FINDINGS_MAX:,} findings hang together with these; undo a shorter time first", retryable=False
        )
