"""What happens in the stream's way from line to decision, one record each."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from monitor.telemetry import metrics
from monitor.telemetry.happening import Happening, Level

if TYPE_CHECKING:
    from monitor.telemetry.meter import Meter


class Starting(Happening, frozen=True, kw_only=True):
    """The first line of a run: opening the record and loading the rules may take seconds, in which nothing else is told."""

    version: str
    data_dir: str


class Started(Happening, frozen=True, kw_only=True):
    version: str
    mode: str
    data_dir: str
    sources: tuple[str, ...]
    listen: str
    """Where the HTTP server listens; empty where there is none."""


class Stopped(Happening, frozen=True, kw_only=True):
    reason: str
    turns: int


class TurnCommitted(Happening, frozen=True, kw_only=True):
    """One turn is durable. `stages_s` is seconds by stage, `latencies` how many events took how long from their arrival to now, by the
    buckets of `metrics.EVENT_LATENCY`, and `latency_s` their sum.
    """

    level: ClassVar[Level] = "debug"
    turn: int
    stages_s: dict[str, float]
    latencies: tuple[int, ...] = ()
    latency_s: float = 0.0

    def count(self, meter: Meter) -> None:
        meter.add(metrics.TURNS)
        for stage, seconds in self.stages_s.items():
            meter.observe(metrics.STAGE_SECONDS, seconds, stage=stage)
        if self.latencies:
            meter.observe_many(metrics.EVENT_LATENCY, self.latencies, self.latency_s)


class LinesTaken(Happening, frozen=True, kw_only=True):
    """What one source has given to a turn that is durable. `watermark` is in microseconds since 1970."""

    level: ClassVar[Level] = "debug"
    turn: int
    source: str
    received: int
    processed: int
    bytes: int
    watermark: int | None = None
    lag_bytes: int | None = None

    def count(self, meter: Meter) -> None:
        meter.add(metrics.EVENTS_RECEIVED, self.received, source=self.source)
        meter.add(metrics.EVENTS_PROCESSED, self.processed, source=self.source)
        meter.add(metrics.BYTES_RECEIVED, self.bytes, source=self.source)
        if self.watermark is not None:
            meter.set(metrics.WATERMARK, self.watermark / 1_000_000, source=self.source)


class DeadLettered(Happening, frozen=True, kw_only=True):
    """Lines of one reason in one turn; `position` is the first one's."""

    level: ClassVar[Level] = "warning"
    source: str
    reason: str
    lines: int
    position: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.EVENTS_DEAD, self.lines, reason=self.reason)


class LateEvents(Happening, frozen=True, kw_only=True):
    source: str
    events: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.EVENTS_LATE, self.events, source=self.source)


class DuplicateEvents(Happening, frozen=True, kw_only=True):
    source: str
    events: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.EVENTS_DUPLICATE, self.events, source=self.source)


class OwnRefusals(Happening, frozen=True, kw_only=True):
    """Events that are refusals by our own gateway: no detector saw them."""

    level: ClassVar[Level] = "debug"
    source: str
    events: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.EVENTS_REFUSED, self.events, source=self.source)


class FutureEvents(Happening, frozen=True, kw_only=True):
    """Events that claimed a time far ahead; they are given that of the arrival clock."""

    level: ClassVar[Level] = "warning"
    source: str
    events: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.EVENTS_FUTURE, self.events, source=self.source)


class KernelFailed(Happening, frozen=True, kw_only=True):
    """The native kernel could not read a batch, which went the slower way of Python; nothing was lost."""

    level: ClassVar[Level] = "warning"
    source: str
    error: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.KERNEL_FAILURES, source=self.source)


class LineFaulted(Happening, frozen=True, kw_only=True):
    """A line brought out a fault of the program in reading it: it is a dead letter, and the rest went on. Report it."""

    level: ClassVar[Level] = "error"
    source: str
    error: str
    place: str
    position: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.LINE_FAULTS, source=self.source)


class EventOverlooked(Happening, frozen=True, kw_only=True):
    """An event brought out a fault of the program in what looks at it: it is kept, and this one did not see it. Report it."""

    level: ClassVar[Level] = "error"
    by: str
    error: str
    place: str
    source: str
    position: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.EVENTS_OVERLOOKED, by=self.by)


class SourceAdded(Happening, frozen=True, kw_only=True):
    """A partition was added to a topic that is followed, and is read from now on."""

    source: str

    def count(self, meter: Meter) -> None:
        meter.begin("source", self.source)


class SourceFailed(Happening, frozen=True, kw_only=True):
    level: ClassVar[Level] = "warning"
    source: str
    error: str
    retryable: bool

    def count(self, meter: Meter) -> None:
        meter.add(metrics.SOURCE_FAILURES, source=self.source)


class SourceMisread(Happening, frozen=True, kw_only=True):
    """Lines of a source are those of another format than the one it is read in; told once a run."""

    level: ClassVar[Level] = "warning"
    source: str
    advice: str


class SourceEnded(Happening, frozen=True, kw_only=True):
    """A source that is not followed has given all it had; `position` is where that is."""

    source: str
    position: int


class FindingMade(Happening, frozen=True, kw_only=True):
    finding: str
    rule: str
    kind: str
    severity: str
    scope: str
    value: str
    title: str
    shadow: bool

    def count(self, meter: Meter) -> None:
        if self.shadow:
            meter.add(metrics.FINDINGS_IN_SHADOW, rule=self.rule)
            return
        meter.add(metrics.FINDINGS, severity=self.severity, kind=self.kind)
        meter.add(metrics.FINDINGS_BY_RULE, rule=self.rule)


class FindingLeft(FindingMade, frozen=True, kw_only=True):
    """A worker has found it and left it to be answered: who answers counts it, once, however many partitions found it."""

    def count(self, meter: Meter) -> None:
        """Not here."""


class IncidentOpened(Happening, frozen=True, kw_only=True):
    """The severity is that at the end of the turn that opened it; it may rise later."""

    incident: str
    severity: str
    scope: str
    value: str
    title: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.INCIDENTS, severity=self.severity)


class FindingConsidered(Happening, frozen=True, kw_only=True):
    """What became of a finding, doing nothing included."""

    level: ClassVar[Level] = "debug"
    finding: str
    reason: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.CONSIDERED, reason=self.reason)


class FindingsAnswered(Happening, frozen=True, kw_only=True):
    """A turn has answered what other processes found."""

    level: ClassVar[Level] = "debug"
    findings: int
    waiting: int
    out_of_order: int

    def count(self, meter: Meter) -> None:
        meter.set(metrics.FINDINGS_WAITING, self.waiting)
        if self.out_of_order:
            meter.add(metrics.FINDINGS_OUT_OF_ORDER, self.out_of_order)


class DecisionMade(Happening, frozen=True, kw_only=True):
    decision: str
    type: str
    tier: str
    mode: str
    state: str
    reason: str
    scope: str
    value: str
    rule: str | None = None

    def count(self, meter: Meter) -> None:
        meter.add(metrics.DECISIONS, type=self.type, mode=self.mode, reason=self.reason)


class Held(Happening, frozen=True, kw_only=True):
    """A guard withheld a decision; a person may want to look."""

    level: ClassVar[Level] = "warning"
    decision: str
    type: str
    reason: str
    explanation: str = ""

    def count(self, meter: Meter) -> None:
        meter.add(metrics.HELD, reason=self.reason)


class DecisionsExpired(Happening, frozen=True, kw_only=True):
    decisions: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.EXPIRED, self.decisions)


class DecisionsUnanswered(Happening, frozen=True, kw_only=True):
    """Nobody has answered decisions that were held, until their time was over."""

    level: ClassVar[Level] = "warning"
    lapsed: int
    began: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.UNANSWERED, self.lapsed, outcome="lapsed")
        meter.add(metrics.UNANSWERED, self.began, outcome="began")


class LedgerImbalance(Happening, frozen=True, kw_only=True):
    """Told whenever the account of a source is looked at and does not balance."""

    level: ClassVar[Level] = "error"
    source: str
    imbalance: int

    def count(self, meter: Meter) -> None:
        """`LedgerChecked` has the sum of all sources."""


class LedgerChecked(Happening, frozen=True, kw_only=True):
    """All accounts were looked at; by so much they are off, whichever way: 0."""

    level: ClassVar[Level] = "debug"
    imbalance: int

    def count(self, meter: Meter) -> None:
        meter.set(metrics.IMBALANCE, self.imbalance)


class StoreStalled(Happening, frozen=True, kw_only=True):
    """The store cannot be written: reading stops and goes on by itself."""

    level: ClassVar[Level] = "error"
    error: str
    retry_s: float

    def count(self, meter: Meter) -> None:
        meter.add(metrics.STORE_FAILURES)


class StoreResumed(Happening, frozen=True, kw_only=True):
    stalled_s: float


class DetectorKnown(Happening, frozen=True, kw_only=True):
    """A detector watches here from now on: its counters are there, so that the first burst is seen as one."""

    level: ClassVar[Level] = "debug"
    detector: str

    def count(self, meter: Meter) -> None:
        meter.begin("detector", self.detector)


class DetectorForgot(Happening, frozen=True, kw_only=True):
    """A bound was met: this many more things than told before were given up."""

    level: ClassVar[Level] = "warning"
    detector: str
    things: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.FORGOTTEN, self.things, detector=self.detector)


class FindingsHeldBack(Happening, frozen=True, kw_only=True):
    """So many more findings were not told: a detector may tell so many an hour, and a model nothing where too many apps are strange at once."""

    level: ClassVar[Level] = "warning"
    detector: str
    findings: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.HELD_BACK, self.findings, detector=self.detector)


class RequestRefused(Happening, frozen=True, kw_only=True):
    """An HTTP request that may not have what it asks for; the audit has it too."""

    level: ClassVar[Level] = "warning"
    reason: str
    page: str
    client: str
    known_as: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.HTTP_REFUSED, reason=self.reason)


class PageFailed(Happening, frozen=True, kw_only=True):
    """A fault of the program while it answered an HTTP request; its sender was told only that there was one."""

    level: ClassVar[Level] = "error"
    page: str
    error: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.HTTP_FAILED)


class BodyGiven(Happening, frozen=True, kw_only=True):
    """Events came over HTTP; `outcome` is what became of them."""

    level: ClassVar[Level] = "debug"
    page: str
    outcome: str
    lines: int
    bytes: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.HTTP_BODIES, outcome=self.outcome)
        if self.outcome == "taken":
            meter.add(metrics.HTTP_LINES, self.lines)


class SpoolRefused(Happening, frozen=True, kw_only=True):
    """What came over HTTP cannot be kept; its senders are told to try again."""

    level: ClassVar[Level] = "error"
    error: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.STORE_FAILURES)


class SpoolUnread(Happening, frozen=True, kw_only=True):
    """Events that were acknowledged are read by nobody: put ``http:`` back among the sources."""

    level: ClassVar[Level] = "warning"
    bytes: int


class SpoolDamaged(Happening, frozen=True, kw_only=True):
    """Events that were acknowledged cannot be read any more: the disk has lost or changed them."""

    level: ClassVar[Level] = "error"
    position: int
    what: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.STORE_FAILURES)
