"""What can be asked of the record, and what a person or a worker may change in it, beside the pipeline's turns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol, Self

import msgspec

from detectors.finding import Entity, Finding, Severity
from monitor.audit import AuditEntry, ChainedEntry
from monitor.decoders import DeadLetter, DeadLetterReason
from monitor.stores import (
    AppRecord,
    Detected,
    Fence,
    GivenUp,
    Lease,
    Message,
    Segment,
    SnapshotPlace,
    Standing,
    Store,
    StoreError,
    StreamState,
    ToldRow,
    Turn,
)
from monitor.tokens import Token
from playbooks.decision import Considered, Decision, DecisionState, Mode
from playbooks.incident import Incident

DECISIONS_PER_ENTITY_MAX: Final = 500
"""Ended decisions of one entity that are remembered for judging repetition, the newest; those not ended always are."""

RECENT_DECISIONS_MAX: Final = 100_000
"""Decisions given to a budget at most, the newest."""

NOT_ENDED: Final = (
    DecisionState.PROPOSED,
    DecisionState.HELD,
    DecisionState.AWAITING_APPROVAL,
    DecisionState.ACTIVE,
)
"""States from which a decision can still expire or be revoked."""

CLOCK_MODES: Final = (Mode.LIVE, Mode.SHADOW)
"""Modes whose decisions expire by the wall clock; replayed ones belong to their stream's own past."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What a list shall hold, newest first. None filters nothing; a filter that the list has no field for is refused.

    `since` is included, `until` is not: of a finding's, decision's or dead letter's time, an incident's opening, and an appeal's filing.
    `after` is that time and the id of a row: the list begins behind it. Where a page takes longer than `seconds_max`
    to read, the list raises `TooSlow`.
    """

    since: int | None = None
    until: int | None = None
    scope: str | None = None
    value: str | None = None
    rule: str | None = None
    severity_min: Severity | None = None
    state: str | None = None
    mode: str | None = None
    incident: str | None = None
    decision: str | None = None
    partition: str | None = None
    reason: str | None = None
    limit: int | None = None
    after: tuple[int, str] | None = None
    seconds_max: float | None = None


EVERYTHING: Final = Query()


class DeadLetterRow(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter as it is kept: all but its raw bytes, which are sealed (`Record.unseal`)."""

    id: str
    turn: int
    time: int
    partition: str
    position: int
    reason: DeadLetterReason
    detail: str
    sealed: bytes
    length: int
    lines: int = 1
    format: str = "ndjson"
    replayed: int | None = None


class LetterAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The dead letters of one source and reason: how many lines came to it, and what is kept of them.

    `dropped` lines are those whose letters went because there were too many; what went with age is in none of the others.
    """

    partition: str
    reason: str
    lines: int = 0  # that ever came
    rows: int = 0  # letters that are kept
    kept: int = 0  # lines that these stand for
    bytes: int = 0  # that they take, about
    dropped: int = 0

    def grown(self, lines: int, size: int) -> LetterAccount:
        """With one letter more."""
        return msgspec.structs.replace(
            self, lines=self.lines + lines, rows=self.rows + 1, kept=self.kept + lines, bytes=self.bytes + size
        )

    def without(self, lines: int, size: int) -> LetterAccount:
        """With one letter less that there was no room for."""
        return msgspec.structs.replace(
            self, rows=self.rows - 1, kept=self.kept - lines, bytes=self.bytes - size, dropped=self.dropped + lines
        )


class NumberedDecision(msgspec.Struct, frozen=True):
    """A decision with its number, by which programs know it that know numbers alone, and the place of its last change.

    Places are in the order in which changes were committed; none is ever given twice.
    """

    number: int
    changed: int
    decision: Decision


class Pull(msgspec.Struct, frozen=True, kw_only=True):
    """How far a client that keeps no place itself has been told of the changes of decisions, and when it asked last."""

    client: str
    token: str
    address: str
    agent: str
    place: int
    time: int


class DeliveryState(StrEnum):
    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How far a message of the outbox has come."""

    message: Message
    attempts: int = 0
    next_attempt: int
    state: DeliveryState = DeliveryState.PENDING
    last_error: str = ""
    receipt: str = ""
    sent: int | None = None


class EnforcerState(msgspec.Struct, frozen=True, kw_only=True):
    """How a channel stands: messages by their state, when the last was taken, and since when the oldest pending one waits."""

    channel: str
    pending: int
    sent: int
    dead: int
    last_sent: int | None = None
    waiting_since: int | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a request, and its word in the audit."""

    request: str
    answer: str
    time: int
    entry: AuditEntry


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person asks of the running daemon, and why: `kind` ("rules.reload") done to `subject`."""

    id: str
    kind: str
    subject: str
    reason: str
    actor: str
    created: int


class PackState(StrEnum):
    """Where a pack stands: given to the daemon, tried beside what is in force, in force, in force before, or given up."""

    OFFERED = "offered"
    CANDIDATE = "candidate"
    ACTIVE = "active"
    RETIRED = "retired"
    WITHDRAWN = "withdrawn"


class PackRow(msgspec.Struct, frozen=True, kw_only=True):
    """A pack in the record, without its bytes; `since` is when it came to its state and stage."""

    digest: str
    name: str
    version: int
    signer: str
    state: PackState
    stage: str
    since: int


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Figures for a summary: `tables` by table name, the rest by the value of the column they are named for."""

    tables: Mapping[str, int]
    findings_by_severity: Mapping[str, int]
    findings_by_rule: Mapping[str, int]
    incidents_by_state: Mapping[str, int]
    decisions_by_type: Mapping[str, int]
    decisions_by_state: Mapping[str, int]
    dead_letters_by_reason: Mapping[str, int]
    messages_by_state: Mapping[str, int]
    archived_events: int
    archived_bytes: int


class NotFound(StoreError):
    """There is no row with this id."""

    def __init__(self, what: str, key: str) -> None:
        super().__init__(f"there is no {what} {key}", retryable=False)


class TooSlow(StoreError):
    """A list took longer to read than it may."""

    def __init__(self, seconds_max: float) -> None:
        super().__init__(
            f"this takes longer than {seconds_max:g} s: ask for less, with narrower filters", retryable=False
        )


class AlreadyEnded(StoreError):
    """A decision is no longer in force, so there is nothing to revoke."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(f"decision {decision.id} has ended already: it is {decision.state}", retryable=False)


class UnknownFilter(StoreError):
    """A list cannot be filtered by that."""

    def __init__(self, table: str, name: str) -> None:
        super().__init__(f"{table} cannot be filtered by {name}", retryable=False)


class Record(Store, Protocol):
    """The whole record: the pipeline's `Store`, the lists, and the writes of people and workers.

    Lists are iterators that read a page at a time and hold no transaction between pages: rows that come while one
    reads may or may not be in the list. Each write is one transaction, with its audit entry where a person or the
    passing of time changed something that matters.
    """

    def of_stream(self, stream: str) -> Self:
        """The same record, for the turns of another stream; closed with this one."""
        ...

    def commit_together(self, turns: Sequence[Turn]) -> None:
        """Commit turns, each of another stream, all of them or none: as `commit` otherwise. After an error some of the same turns may be given again."""
        ...

    def streams(self) -> Sequence[StreamState]:
        """The streams beside the first that have ever had a turn."""
        ...

    def read_out(self, streams: Mapping[str, int]) -> None:
        """All that was in the logs of these streams at the moments that are given, of the record's clock, has been taken."""
        ...

    def detected(self, after: Mapping[str, int], limit: int) -> Sequence[Detected]:
        """What streams have left to be answered after the turns given, at most so many turns of each, in order."""
        ...

    def unanswered(self) -> tuple[int, int | None]:
        """How many turns of streams have left something that is not answered yet, and when the first of them was taken."""
        ...

    def told(self, after: Mapping[str, int], streams: Sequence[StreamState], limit: int) -> Sequence[ToldRow]:
        """What these streams have told of their surroundings after the turns given, at most so many turns of each, in order."""
        ...

    def gathered(self) -> bytes | None:
        """What was last kept of what streams have told, put together."""
        ...

    def keep_gathered(self, body: bytes, turns: Mapping[str, int], now: int, fence: Fence) -> None:
        """Keep what was put together, in place of what streams have told up to these turns; raises `Fenced`."""
        ...

    def answered(self, findings: Collection[str]) -> set[str]:
        """Those of these findings about which something was decided already."""
        ...

    def snapshot_places(self) -> Sequence[SnapshotPlace]:
        """Where this stream's memory lies, the newest first."""
        ...

    def add_snapshot(self, place: SnapshotPlace, fence: Fence) -> Sequence[SnapshotPlace]:
        """Note where a snapshot lies; raises `Fenced`. Those given back are too old, and forgotten: their files can go."""
        ...

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Have a listener called after every commit of this process, by the thread that committed: it must not take long."""
        ...

    def findings(self, query: Query = EVERYTHING) -> Iterator[Finding]: ...
    def incidents(self, query: Query = EVERYTHING) -> Iterator[Incident]: ...
    def decisions(self, query: Query = EVERYTHING) -> Iterator[Decision]: ...
    def dead_letters(self, query: Query = EVERYTHING) -> Iterator[DeadLetterRow]: ...
    def finding(self, key: str) -> Finding | None: ...
    def incident(self, key: str) -> Incident | None: ...
    def decision(self, key: str) -> Decision | None: ...
    def dead_letter(self, key: str) -> DeadLetterRow | None: ...
    def unseal(self, row: DeadLetterRow) -> DeadLetter: ...
    def dead_letter_accounts(self) -> Sequence[LetterAccount]: ...
    def forget_dead_letters(self, before: int, now: int) -> int: ...
    def mark_replayed(self, keys: Collection[str], actor: str, now: int) -> int: ...
    def considered(self, finding: str) -> Considered | None: ...
    def decisions_in_force(self, now: int, modes: Collection[Mode] = CLOCK_MODES) -> Sequence[Decision]: ...
    def decision_changes(
        self, after: int, limit: int, modes: Collection[Mode] = (Mode.LIVE,)
    ) -> Sequence[NumberedDecision]: ...
    def last_decision_change(self) -> int: ...
    def decision_floor(self) -> int:
        """Who knows changes up to a place before this one knows some of a record that is lost: only what is in force now counts."""
        ...

    def numbered_decision(self, number: int) -> NumberedDecision | None: ...
    def in_force_after(
        self, number: int, limit: int, now: int, scopes: Collection[str] | None = None
    ) -> Sequence[NumberedDecision]: ...
    def ended_after(
        self, number: int, limit: int, now: int, since: tuple[int, int], scopes: Collection[str] | None = None
    ) -> Sequence[NumberedDecision]: ...
    def in_force_of(self, entities: Collection[Entity], now: int) -> Sequence[NumberedDecision]: ...

    def crowded(self, entities: Collection[Entity], now: int) -> Collection[Entity]:
        """Those of these about which several live decisions are in force."""
        ...

    def newest_decisions(
        self, before: int, limit: int, since: int, *, active: int | None = None
    ) -> Sequence[NumberedDecision]: ...
    def numbers_of(self, ids: Collection[str]) -> Mapping[str, int]: ...
    def pull(self, client: str) -> Pull | None: ...
    def pulls(self) -> Sequence[Pull]: ...
    def put_pulls(self, told: Sequence[Pull]) -> None: ...
    def counts(self) -> Counts: ...
    def audit_entries(self, after_seq: int = 0) -> Iterator[ChainedEntry]: ...
    def audit(self, entry: AuditEntry) -> None: ...

    def waiting_decisions(self, limit: int, after: tuple[int, str] | None = None) -> Sequence[Decision]: ...
    def expire_decisions(self, now: int, modes: Collection[Mode] = CLOCK_MODES) -> list[Decision]: ...
    def has_due_clocks(self, now: int) -> bool: ...
    def add_standing(self, standing: Standing) -> None: ...
    def remove_standing(self, key: str, actor: str, reason: str, now: int) -> Standing: ...
    def import_apps(self, records: Sequence[AppRecord], actor: str, now: int) -> None: ...
    def apps(self, after: str | None = None) -> Iterator[AppRecord]: ...
    def app_lines(self, app_id: str) -> Sequence[AppRecord]: ...

    def add_token(self, token: Token, reason: str) -> None: ...
    def tokens(self) -> Sequence[Token]: ...
    def revoke_token(self, key: str, actor: str, reason: str, now: int) -> Token: ...

    def due_messages(self, now: int, limit: int) -> Sequence[Delivery]: ...
    def message_sent(self, key: str, receipt: str, now: int) -> None: ...
    def message_failed(
        self, key: str, error: str, next_attempt: int, *, dead: bool, given_up: GivenUp = ...
    ) -> None: ...
    def forget_messages(self, before: int, now: int) -> int: ...
    def delivery(self, key: str) -> Delivery | None: ...
    def deliveries_about(self, decision: str) -> Sequence[Delivery]: ...
    def enforcer_states(self, prefix: str) -> Sequence[EnforcerState]: ...
    def messages_waiting(self) -> Mapping[str, tuple[int, int]]: ...
    def messages_given_up(self) -> Mapping[str, int]: ...
    def archived(self) -> tuple[int, int]: ...
    def count_waiting(self) -> int: ...

    def replace_segments(
        self, old: Sequence[Segment], new: Sequence[Segment], audit: AuditEntry | None = None
    ) -> None: ...

    def take(self, name: str, holder: str, now: int, for_s: float) -> Fence | None:
        """Hold a name for so many seconds, where it is free, has lapsed, or is held by the same already; else None.

        The epoch is a new one unless the same holder has held it all the while. `now` counts only where the record has no clock
        that all who write share: a holder measures its time from before it asked, with a clock that only goes forward.
        """
        ...

    def seize(self, name: str, holder: str, now: int, for_s: float) -> Fence:
        """Hold a name whoever held it before, with a new epoch: once this is back, no turn of an older one is written."""
        ...

    def renew(self, fence: Fence, now: int, for_s: float, *, lapsed: bool = False) -> bool:
        """Hold on to a name from now on for so many seconds; False when it has lapsed or is another's, and nothing is changed.

        With `lapsed`, one that has lapsed is held on to, as long as nobody has had it since.
        """
        ...

    def held(self, name: str, now: int) -> Lease | None:
        """Who holds a name at present, and until when."""
        ...

    def give_up(self, fence: Fence) -> None:
        """Let others take a name at once; nothing happens where it is not held with this fence any more."""
        ...

    def agreed_time(self, now: int) -> int:
        """The time by which leases go: that of the record's server, where there is one, else the caller's."""
        ...

    def leases(self) -> Sequence[Lease]:
        """All names that were ever held, in order; those given up have no holder."""
        ...
