"""Where things are kept. The record (findings, incidents, decisions, positions …) is one database, a transaction a turn;
the archive is the events themselves, in files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

import msgspec

from detectors.finding import Entity, Finding
from monitor.audit import AuditEntry
from monitor.decoders import DeadLetter
from monitor.refusal import StoreError as StoreError
from monitor.stores.undos import MarkInForce, Verdict
from playbooks.clocks import Clock
from playbooks.decision import Considered, Decision
from playbooks.incident import Incident
from playbooks.risk import Risk


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far one partition has come, and its account: received = processed + dead-lettered (+ in flight, while running).

    `clock` is the arrival clock's own state. Late, duplicate and future events are among the processed.
    """

    partition: str
    end: int
    cursor: bytes = b""
    clock: bytes = b""
    received: int = 0
    processed: int = 0
    dead_lettered: int = 0
    late: int = 0
    duplicate: int = 0
    future: int = 0

    @property
    def imbalance(self) -> int:
        """Lines that are unaccounted for; nothing is in flight in what is committed."""
        return self.received - self.processed - self.dead_lettered


CONTROLS_KEPT: Final = 100
"""Of each subject, so many of the newest controls are kept though no replay after a snapshot needs them: for people, and for a run that
goes by them again.
"""


class LetterBounds(msgspec.Struct, frozen=True, kw_only=True):
    """How many dead letters of one source are kept, and how many bytes they may take on disk together."""

    rows_max: int = 1_000_000
    source_bytes_max: int = 1 << 30

    @property
    def units(self) -> tuple[tuple[str, int], ...]:
        """The bounds by what they count."""
        return ("rows", self.rows_max), ("bytes", self.source_bytes_max)


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """One archive file that has been fsynced: path relative to the archive, day of arrival, what is in it."""

    path: str
    day: str  # YYYY-MM-DD of arrival, UTC
    turn_first: int
    turn_last: int
    rows: int
    bytes: int
    time_min: int
    time_max: int
    sha256: str
    stream: str = ""
    folder: str = ""  # the name of the archive folder that holds it; of files from before folders had names, none


TOPIC: Final = "topic"
"""What the names of channels begin with that lead to topics: these are written many messages at a time."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Something that must leave the machine once: the outbox's row. `key` is its idempotency key."""

    key: str
    channel: str  # "webhook:NAME", "enforcer:NAME", "topic:NAME"
    body: bytes
    created: int
    line: str = ""  # messages of one channel and line never overtake one another; empty: it may be overtaken
    about: str = ""  # the id of the decision that it tells of


class GivenUp(msgspec.Struct, frozen=True, kw_only=True):
    """What follows when a message is given up: who is told, and what the audit has of it."""

    messages: Sequence[Message] = ()
    audit: Sequence[AuditEntry] = ()


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """How far event time had come after a turn, in the stream made of these partitions (sorted, one a line).

    `position`, of a stream of one partition: lines that begin before it were taken.
    """

    watermark: int
    inputs: str
    position: int = 0


class Marked(NamedTuple):
    """A turn, how far event time had come after it, and the position that its mark tells."""

    turn: int
    watermark: int
    position: int


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """How far a stream beside the first has come: its last turn and when that was taken; the arrival clock after it; and
    when it was last known that all that was in its log had been taken.
    """

    name: str
    turn: int
    time: int
    reached: int
    read_out: int = 0


class Detected(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn of a stream has left for whoever answers findings, encoded by `monitor.partitions.leaving`."""

    stream: str
    turn: int
    time: int
    body: bytes


class ToldRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn of a stream has told of its surroundings, encoded by `monitor.surroundings.telling`; `reached` as in the turn."""

    stream: str
    turn: int
    reached: int
    body: bytes


class SnapshotPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where the memory of a stream lies as it stood after a turn: a folder's name, and the hash of its manifest.

    `position` is the partition's as in the turn's mark, `epoch` that of the fence under which it was written.
    """

    stream: str
    turn: int
    epoch: int
    position: int
    time: int
    bytes: int
    place: str
    sha256: str


class Control(msgspec.Struct, frozen=True, kw_only=True):
    """From a turn on, something else is in force ("rules", "playbooks"): known by the digest of `content`, from which it can be
    made again.

    `positions` says for each partition where its first line lies that is under the new. Of a partition that is not named,
    all are.
    """

    subject: str
    digest: str
    content: bytes
    positions: dict[str, int] = {}


class Controlled(msgspec.Struct, frozen=True, kw_only=True):
    """A control as the record has it: since which turn, and when that was taken by the daemon's clock."""

    turn: int
    time: int
    subject: str
    digest: str
    positions: dict[str, int]


class Fence(msgspec.Struct, frozen=True):
    """The right to write in a name (a partition, a role), as its holder has it. An epoch is never given twice."""

    name: str
    epoch: int


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a name, and until when: for nobody else to take it before. In microseconds since 1970 UTC, by the record's clock."""

    name: str
    holder: str
    epoch: int
    until: int


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """All that one turn of the pipeline changes; committed whole or not at all.

    `findings` are the parts seen in this turn (merged into what is stored by `detectors.finding.merge`); `progress`
    holds each touched partition's new totals; `risks`, `incidents` and `decisions` replace rows of the same key.
    `clocks` are those of episodes that begin with it; they stop those of the episodes before.
    `controls` are in force from this turn on, its own events included. `time` is when the turn was taken, by the daemon's clock: the time of its dead letters.
    `rulings` is the version that its decisions rest on; None when they rest on nothing that people change.
    `fence` is the right by which it is written; None where nobody else could write.

    Numbers count within a `stream`. The first, "", is the one in which decisions are made. Another leaves what it has found to be
    answered (`detected`), tells what is new in its surroundings (`told`), says how far its arrival clock has come (`reached`), and a moment of the record's clock such
    that all that was in its log then has been taken (`read_out`; 0: it knows of none); a turn of the first may take away what was left (`answered`: stream and turn of each).
    """

    number: int
    stream: str = ""
    time: int = 0
    mark: Mark | None = None
    reached: int = 0
    read_out: int = 0
    detected: bytes = b""
    told: bytes = b""
    answered: Sequence[tuple[str, int]] = ()
    controls: Sequence[Control] = ()
    progress: Sequence[Progress] = ()
    dead_letters: Sequence[DeadLetter] = ()
    findings: Sequence[Finding] = ()
    risks: Sequence[Risk] = ()
    incidents: Sequence[Incident] = ()
    clocks: Sequence[Clock] = ()
    decisions: Sequence[Decision] = ()
    considered: Sequence[Considered] = ()
    messages: Sequence[Message] = ()
    segments: Sequence[Segment] = ()
    audit: Sequence[AuditEntry] = ()
    standings: Sequence[Standing] = ()
    rulings: int | None = None
    fence: Fence | None = None


class StandingKind(StrEnum):
    """A standing word of an operator: do not act on this entity; this rule does not apply there; begin no act at all; there is
    maintenance; what this rule leads to is only recorded.
    """

    EXEMPTION = "exemption"
    EXCEPTION = "exception"
    PAUSE = "pause"
    MAINTENANCE = "maintenance"
    SHADOW = "shadow"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """An exemption (of an entity), an exception (of a rule for an entity), a stop of all acts, a window of maintenance, or a rule in shadow.

    It holds from `begins` until `expires`. What is about everything has no scope and no value; what holds until somebody lifts it expires at
    `END_OF_TIME`.
    """

    id: str
    kind: StandingKind
    scope: str = ""
    value: str = ""
    rule: str | None = None
    reason: str
    actor: str
    created: int
    expires: int
    begins: int = 0


class AppRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the registry (`event.md` 4) as JSON text, true from `as_of` until the app's next line."""

    app_id: str
    as_of: int
    document: str


class Anchored(msgspec.Struct, frozen=True, kw_only=True):
    """The last anchor of the audit: the head that was kept elsewhere, and when."""

    seq: int
    hash: str
    time: int


class Store(Protocol):
    """The record. Every method either succeeds whole or raises `StoreError`; none waits longer than its bound.

    A store speaks of one stream (`Record.of_stream`), the first unless asked otherwise: turns, marks and controls are its own.
    Reading methods see the last committed state. `commit` is idempotent by turn number: a number at or below
    `last_turn` is refused with `StaleTurn`, which is an assertion about the caller, not a thing to retry. A turn whose
    decisions rest on older rulings than the record's is refused with `Overtaken`, and one whose fence is not the newest of its
    name with `Fenced`.
    """

    def last_turn(self) -> int: ...
    def progress(self) -> dict[str, Progress]: ...
    def last_mark(self) -> Mark | None: ...
    def marks(self, after_turn: int) -> Sequence[Marked]:
        """The mark of every turn after one, in order; forgotten ones (`forget_marks`) are left out."""
        ...

    def controls(self, subject: str) -> Sequence[Controlled]:
        """What came into force when, in order; of those forgotten, what a later turn needs is not."""
        ...

    def content(self, digest: str) -> bytes | None:
        """What a digest stands for, as long as some control that is not forgotten names it; of a model its file."""
        ...

    def forget_marks(self, before_turn: int) -> None:
        """Forget the marks of turns before one, and what was in force at none but them: of each subject all but the newest `CONTROLS_KEPT`."""
        ...

    def commit(self, turn: Turn) -> None: ...
    def known_findings(self, ids: Collection[str]) -> set[str]: ...
    def risks(self, entities: Collection[Entity]) -> dict[Entity, Risk]: ...
    def open_incidents(self, entities: Collection[Entity]) -> dict[Entity, Incident]: ...
    def clocks_of(self, incidents: Collection[str]) -> Sequence[Clock]: ...
    def decisions_of(self, entities: Collection[Entity]) -> Mapping[Entity, Sequence[Decision]]: ...
    def decisions_of_owners(self, owners: Collection[str]) -> Mapping[str, Sequence[Decision]]:
        """Decisions about any app of these developers, newest first."""
        ...

    def recent_decisions(self, since: int) -> Sequence[Decision]: ...
    def rulings_version(self) -> int:
        """Raised by all that changes what decisions rest on beside the turns: what people lay down, lift or approve, and expiry."""
        ...

    def standings(self, now: int) -> Sequence[Standing]: ...
    def marks_in_force(self, at: int, verdict: Verdict | None = None) -> Sequence[MarkInForce]: ...
    def note_rules(self, rules: Mapping[str, Sequence[str]], now: int) -> Mapping[str, int]: ...
    def segments(self, day: str | None = None) -> Sequence[Segment]: ...
    def close(self) -> None: ...


class Overtaken(StoreError):
    """What a turn's decisions rest on has changed since they were made: they are to be made again."""

    def __init__(self) -> None:
        super().__init__("what people have laid down has changed meanwhile", retryable=False)


class Fenced(StoreError):
    """Somebody else writes in this name now: whoever held it before writes nothing more."""

    def __init__(self, fence: Fence, newest: int) -> None:
        super().__init__(
            f"{fence.name} has been given to another: epoch {newest} is the newest, this is {fence.epoch}",
            retryable=False,
        )
        self.fence: Final = fence


class StaleTurn(StoreError):
    """A turn with this number has been committed before."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)
