"""What a daemon does at this moment, as it is seen from beside it: in its record, its archive and its own pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from detectors.finding import Finding


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a daemon is at work, and what it says of itself. `silent` is why it says nothing; empty where it does."""

    running: bool
    since: int | None = None  # when it began, where that is known
    version: str = ""
    status: str = ""
    reasons: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()
    silent: str = ""


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What came in a second, over the time that was looked at; None before there is a second look."""

    over_s: float
    events: float
    dead_letters: float
    findings: float
    decisions: float


class SourceLag(msgspec.Struct, frozen=True, kw_only=True):
    """How far a source is behind; None where it cannot be known."""

    source: str
    bytes: int | None
    failing: bool


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How far behind the daemon is, as it says itself: sources, the furthest behind first, what came over HTTP, the age of the latest events.

    `half_within_s` and `most_within_s`: within which time half, and 99 in 100, of the events that were just committed were so.
    """

    sources: tuple[SourceLag, ...] = ()
    spool_bytes: int = 0
    input_age_s: float = 0.0
    half_within_s: float | None = None
    most_within_s: float | None = None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of the outbox that were not taken yet, by channel."""

    channel: str
    messages: int
    oldest_s: float


class BusyApp(msgspec.Struct, frozen=True, kw_only=True):
    """An app among the newest events; `risk` is its score now, None where it has none."""

    app_id: str
    events: int
    risk: float | None = None


class Busiest(msgspec.Struct, frozen=True, kw_only=True):
    """The apps with most of the newest events. `elsewhere`: the archive is on other disks."""

    events: int
    apps: tuple[BusyApp, ...]
    elsewhere: bool = False


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, at a moment. What has a bound is one above it where there is more (`stores.standing_now.COUNTED_MAX`)."""

    time: int
    standing: Standing
    rates: Rates | None
    lines: Mapping[str, int]
    findings_lately: int
    decisions_lately: int
    decisions_waiting: int
    lag: Lag | None  # None where the daemon says nothing
    outbox: tuple[Waiting, ...]
    busiest: Busiest
    findings: Sequence[Finding]
