"""What happens beside the stream: loading, snapshots, jobs, deliveries, and the log's own troubles; one record each."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from monitor.telemetry import metrics
from monitor.telemetry.happening import Happening, Level

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monitor.telemetry.meter import Meter


class SnapshotSaved(Happening, frozen=True, kw_only=True):
    """Detectors' memory is on disk as it stood after this turn; `time` is in microseconds since 1970."""

    turn: int
    time: int
    bytes: int
    seconds: float

    def count(self, meter: Meter) -> None:
        meter.add(metrics.SNAPSHOTS)
        meter.set(metrics.SNAPSHOT_BYTES, self.bytes)
        meter.set(metrics.SNAPSHOT_TIME, self.time / 1_000_000)


class SnapshotFailed(Happening, frozen=True, kw_only=True):
    """A snapshot could not be written; the earlier one stays, and a restart replays more."""

    level: ClassVar[Level] = "warning"
    turn: int
    error: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.STORE_FAILURES)


class SnapshotRefused(Happening, frozen=True, kw_only=True):
    """A snapshot on disk is not what was written; the one before it is taken."""

    level: ClassVar[Level] = "warning"
    path: str
    reason: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.STORE_FAILURES)


class MemoryRelearnt(Happening, frozen=True, kw_only=True):
    """A partition's stream has no snapshot that can be used: its log is read from as far back as its windows reach."""

    level: ClassVar[Level] = "warning"
    stream: str
    turn: int


class StreamBegun(Happening, frozen=True, kw_only=True):
    """A partition is worked on by this process from now on."""

    stream: str
    epoch: int
    turn: int
    streams: int

    def count(self, meter: Meter) -> None:
        meter.begin("source", self.stream)
        meter.set(metrics.STREAMS, self.streams)


class StreamLeft(Happening, frozen=True, kw_only=True):
    """A partition is not worked on by this process any more: given up in order, taken away, or failing."""

    stream: str
    turn: int
    reason: str
    streams: int

    def count(self, meter: Meter) -> None:
        meter.end("source", self.stream)
        meter.set(metrics.STREAMS, self.streams)


class RulesFollowed(Happening, frozen=True, kw_only=True):
    """Other rules are in force, by the record; the streams of this process take them up."""

    digest: str
    rules: int

    def count(self, meter: Meter) -> None:
        meter.set(metrics.RULES, self.rules, state="active")


class StreamFailed(Happening, frozen=True, kw_only=True):
    """A partition cannot be taken up; it is tried again."""

    level: ClassVar[Level] = "warning"
    stream: str
    error: str


class LagCommitFailed(Happening, frozen=True, kw_only=True):
    """Kafka did not take what it was told of how far we are."""

    level: ClassVar[Level] = "debug"
    topic: str
    failures: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.LAG_COMMIT_FAILURES, self.failures)


class LagUntold(Happening, frozen=True, kw_only=True):
    """Kafka has not taken it for a while: whoever watches the group's lag there is misled. Told once, until `LagToldAgain`."""

    level: ClassVar[Level] = "warning"
    topic: str
    error: str


class LagToldAgain(Happening, frozen=True, kw_only=True):
    topic: str


class LeadTaken(Happening, frozen=True, kw_only=True):
    """Findings are decided by this process from now on."""

    holder: str
    turn: int


class LeadLost(Happening, frozen=True, kw_only=True):
    """Another process decides about findings; this one stands by."""

    level: ClassVar[Level] = "warning"
    holder: str


class MemoryLost(Happening, frozen=True, kw_only=True):
    """A partition's stream goes on without what its windows remembered: there is no snapshot, and its log is gone."""

    level: ClassVar[Level] = "error"
    stream: str
    turn: int
    reason: str


class RecoveryDone(Happening, frozen=True, kw_only=True):
    turn: int
    events: int
    seconds: float

    def count(self, meter: Meter) -> None:
        meter.set(metrics.RECOVERY_SECONDS, self.seconds)


class RulesLoaded(Happening, frozen=True, kw_only=True):
    rules: int
    refused: int

    def count(self, meter: Meter) -> None:
        meter.set(metrics.RULES, self.rules, state="active")
        meter.set(metrics.RULES, self.refused, state="refused")


class RulesLost(Happening, frozen=True, kw_only=True):
    """Rules that were in force before cannot be had again; what is replayed meets those of now instead."""

    level: ClassVar[Level] = "warning"
    digest: str
    reason: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.STORE_FAILURES)


class Reloaded(Happening, frozen=True, kw_only=True):
    """Rules and playbooks were changed without a stop; `turn` is the first under the new ones, and begins at these positions."""

    why: str
    turn: int
    positions: Mapping[str, int]
    rules: int
    added: int
    changed: int
    removed: int
    refused: int
    seconds: float

    def count(self, meter: Meter) -> None:
        meter.add(metrics.RELOADS, outcome="taken")
        meter.set(metrics.RULES, self.rules, state="active")
        meter.set(metrics.RULES, self.refused, state="refused")


class ReloadFailed(Happening, frozen=True, kw_only=True):
    """New rules or playbooks were not taken; those before stay in force, whole."""

    level: ClassVar[Level] = "error"
    why: str
    problems: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.RELOADS, outcome="failed")


class ReloadRefused(Happening, frozen=True, kw_only=True):
    """One of the reasons for which a reload failed."""

    level: ClassVar[Level] = "warning"
    why: str
    problem: str

    def count(self, meter: Meter) -> None:
        """Told one by one; `ReloadFailed` counts them together."""


class FolderUnsigned(Happening, frozen=True, kw_only=True):
    """Rules or playbooks of a folder are taken without a signature: local development."""

    folder: str

    def count(self, meter: Meter) -> None:
        """What is in it is counted with the rest."""


class PackChanged(Happening, frozen=True, kw_only=True):
    """A pack has come to a stage, or to the end of its time."""

    pack: str
    state: str
    stage: str
    why: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.PACK_CHANGES, outcome="done")


class PackChangeRefused(Happening, frozen=True, kw_only=True):
    """A pack was not taken; what was in force stays."""

    level: ClassVar[Level] = "error"
    pack: str
    reason: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.PACK_CHANGES, outcome="refused")


class PackReturned(Happening, frozen=True, kw_only=True):
    """Findings of a new pack came at a rate that its maker did not foresee; it was taken back by itself."""

    level: ClassVar[Level] = "error"
    pack: str
    reason: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.PACK_CHANGES, outcome="returned")


class ModelChanged(Happening, frozen=True, kw_only=True):
    """A model has come to another state."""

    model: str
    state: str
    why: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.MODEL_CHANGES, outcome="done")


class ModelChangeRefused(Happening, frozen=True, kw_only=True):
    """A model was not taken, or cannot be used; what was in force stays."""

    level: ClassVar[Level] = "error"
    model: str
    reason: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.MODEL_CHANGES, outcome="refused")


class ModelReturned(Happening, frozen=True, kw_only=True):
    """A model told of more apps than is to be expected; it was taken back by itself."""

    level: ClassVar[Level] = "error"
    model: str
    reason: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.MODEL_CHANGES, outcome="returned")


class ModelDrift(Happening, frozen=True, kw_only=True):
    """How far each feature has moved since the model in force was trained, as the day that ended last shows."""

    level: ClassVar[Level] = "debug"
    features: Mapping[str, float]

    def count(self, meter: Meter) -> None:
        meter.say(metrics.MODEL_DRIFT, {(name,): value for name, value in self.features.items()})


class ModelTrained(Happening, frozen=True, kw_only=True):
    """A model was trained by the clock, and is tried."""

    said: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.TRAININGS, outcome="done")


class TrainingFailed(Happening, frozen=True, kw_only=True):
    """A model that was to be trained by the clock is not there: there is too little to learn from, it is worse than the one in force, or
    something went wrong; the process that trained it says what. It is tried again the next day.
    """

    level: ClassVar[Level] = "warning"
    code: int
    said: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.TRAININGS, outcome="failed")


class RuleRefused(Happening, frozen=True, kw_only=True):
    """A rule or playbook that will not speak, and why."""

    level: ClassVar[Level] = "warning"
    place: str
    problem: str

    def count(self, meter: Meter) -> None:
        """Told one by one; `RulesLoaded` counts them."""


class CacheRefused(Happening, frozen=True, kw_only=True):
    """A file of the rule cache could not be used or written: what it would have spared is done again."""

    level: ClassVar[Level] = "warning"
    path: str
    reason: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.CACHE_REFUSALS)


class RuleSuspended(Happening, frozen=True, kw_only=True):
    """A rule brought out a fault of the program with one event after another; it is left out until rules are read anew. Report it."""

    level: ClassVar[Level] = "error"
    rule: str
    error: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.RULES_SUSPENDED)


class RuleShadowed(Happening, frozen=True, kw_only=True):
    """A guard moved a rule to shadow: what its findings lead to is only recorded, until a person lifts that."""

    level: ClassVar[Level] = "error"
    rule: str
    reason: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.RULES_SHADOWED)


class RegistryLoaded(Happening, frozen=True, kw_only=True):
    apps: int

    def count(self, meter: Meter) -> None:
        meter.set(metrics.APPS, self.apps)


class LettersDropped(Happening, frozen=True, kw_only=True):
    """A source has more dead letters than are kept: those of so many lines are gone, and the lines are only counted."""

    level: ClassVar[Level] = "warning"
    source: str
    lines: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.LETTERS_DROPPED, self.lines, source=self.source)


class RetentionRan(Happening, frozen=True, kw_only=True):
    segments: int
    rows: int
    bytes: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.RETENTION_ROWS, self.rows)


class DeliverySent(Happening, frozen=True, kw_only=True):
    """A message was taken: this try took `seconds`, and it was made `age_s` ago."""

    channel: str
    message: str
    attempt: int
    seconds: float
    age_s: float

    def count(self, meter: Meter) -> None:
        meter.add(metrics.DELIVERIES, channel=self.channel, outcome="sent")
        meter.observe(metrics.DELIVERY_SECONDS, self.seconds, channel=self.channel)
        meter.observe(metrics.DELIVERY_AGE, self.age_s, channel=self.channel)


class DeliveryFailed(Happening, frozen=True, kw_only=True):
    level: ClassVar[Level] = "warning"
    channel: str
    message: str
    attempt: int
    error: str
    retry_s: float

    def count(self, meter: Meter) -> None:
        meter.add(metrics.DELIVERIES, channel=self.channel, outcome="failed")


class DeliveryDead(Happening, frozen=True, kw_only=True):
    """A message was given up: somebody was not told."""

    level: ClassVar[Level] = "error"
    channel: str
    message: str
    attempt: int
    error: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.DELIVERIES, channel=self.channel, outcome="dead")


class OutboxLooked(Happening, frozen=True, kw_only=True):
    level: ClassVar[Level] = "debug"
    due: int

    def count(self, meter: Meter) -> None:
        meter.set(metrics.OUTBOX_PENDING, self.due)


class OutboxStalled(Happening, frozen=True, kw_only=True):
    """The store could not be asked, or told of a receipt; the worker tries again."""

    level: ClassVar[Level] = "warning"
    error: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.STORE_FAILURES)


class TopicReached(Happening, frozen=True, kw_only=True):
    """A topic can be written: for the first time, again, or it is another one by the same name."""

    channel: str

    def count(self, meter: Meter) -> None:
        meter.set(metrics.TOPIC_TROUBLE, 0, channel=self.channel)


class TopicPublished(Happening, frozen=True, kw_only=True):
    level: ClassVar[Level] = "debug"
    channel: str
    records: int
    seconds: float

    def count(self, meter: Meter) -> None:
        meter.add(metrics.DELIVERIES, self.records, channel=self.channel, outcome="sent")
        meter.observe(metrics.DELIVERY_SECONDS, self.seconds, channel=self.channel)


class TopicFailed(Happening, frozen=True, kw_only=True):
    """A topic cannot be written or read; what is due waits in the record. `lasting`: somebody has to mend something."""

    level: ClassVar[Level] = "error"
    channel: str
    error: str
    lasting: bool
    attempt: int
    retry_s: float

    def count(self, meter: Meter) -> None:
        meter.add(metrics.DELIVERIES, channel=self.channel, outcome="failed")
        meter.set(metrics.TOPIC_TROUBLE, 1, channel=self.channel)


class TopicCompared(Happening, frozen=True, kw_only=True):
    """A topic of decisions was read and compared with the record. `foreign`: keys in it that are none of ours."""

    channel: str
    keys: int
    in_force: int
    written_anew: int
    foreign: int


class AnchorMade(Happening, frozen=True, kw_only=True):
    """The head of the audit, this entry, is kept elsewhere from now on."""

    seq: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.ANCHORS, outcome="made")


class AnchorFailed(Happening, frozen=True, kw_only=True):
    """The head of the audit could not be kept elsewhere; it is tried again within a minute."""

    level: ClassVar[Level] = "error"
    seq: int
    path: str
    error: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.ANCHORS, outcome="failed")


class LibraryWarned(Happening, frozen=True, kw_only=True):
    level: ClassVar[Level] = "warning"
    library: str
    message: str
    error: str = ""

    def count(self, meter: Meter) -> None:
        meter.add(metrics.LIBRARY_WARNINGS)


class LinesSuppressed(Happening, frozen=True, kw_only=True):
    level: ClassVar[Level] = "warning"
    happening: str
    lines: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.LINES_SUPPRESSED, self.lines, happening=self.happening)


class FirstTokenMade(Happening, frozen=True, kw_only=True):
    """There was no token yet: one for an admin was made, and stands in this file."""

    level: ClassVar[Level] = "warning"
    known_as: str
    path: str


class SupervisorUntold(Happening, frozen=True, kw_only=True):
    """Who has started this process cannot be told how it is: it may take the process for one that does not start, and end it."""

    level: ClassVar[Level] = "warning"
    reason: str


class CertificateRenewed(Happening, frozen=True, kw_only=True):
    """New HTTPS connections are given the certificate that is now on disk."""

    path: str


class CertificateRefused(Happening, frozen=True, kw_only=True):
    """What is now on disk cannot be used; the certificate from before goes on."""

    level: ClassVar[Level] = "error"
    path: str
    error: str
