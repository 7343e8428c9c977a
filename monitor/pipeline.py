"""The stream's way, a turn at a time: source → decode → detect → decide → record → commit. Delivery works off the outbox.

A turn is one transaction. What it changes is made first and written whole; a disk or database that refuses is asked again
with the same turn, and nothing is read meanwhile. Recovery loads the newest snapshot and feeds the detectors what the
archive holds after it, without effects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from detectors.detector import Detector
from detectors.event import (
    DTYPES,
    DUPLICATE,
    INDEX,
    INTERNAL,
    LATE,
    PARTITION,
    PEOPLE,
    WATERMARK,
    Batch,
    kind_of,
)
from detectors.finding import Finding, Sighting
from detectors.sigma.found import Found
from monitor.content.control_log import ControlLog
from monitor.intake import Intake, Piece, merged
from monitor.intake.timeline import BEGINNING, label
from monitor.models.opening import OpenedModels
from monitor.recall import KEPT, recalled
from monitor.registry import Registry
from monitor.rules.lineup import Due, History, Lineup, Models, Offer, Taken
from monitor.rules.suspending import Suspensions
from monitor.settings import Settings
from monitor.snapshots import Memory, Snapshot
from monitor.stores import Control, Fence, Mark, Progress, Segment, Store, StoreError, Turn
from monitor.stores.archive import Archive
from monitor.stream.awaiting import Awaiting
from monitor.stream.committing import Committer, TurnCommitter
from monitor.stream.duplicates import CONFLICT, Duplicates
from monitor.stream.own_refusals import without_refusals
from monitor.stream.reading import Reader
from monitor.stream.seen import Labelled, Made, Seen
from monitor.stream.set_aside import SetAside
from monitor.stream.telling import Done, TurnTeller
from monitor.stream.watching import Spoilt, TooManyOverlooked, Watching
from monitor.surroundings import Surroundings, surroundings_of
from monitor.telemetry import Telemetry, happenings, upkeep
from playbooks.guards.health import ailment
from playbooks.policy import Policy

RETRY_S: Final = (0.2, 10.0)
"""First and longest pause before a refused write is tried again."""

NOTHING_FOUND: Final[Mapping[str, Found]] = {}


def decoded_fields(needed: frozenset[str]) -> frozenset[str]:
    """What must be decoded of every line so that detectors get the columns they need: the registry's own are joined."""
    own = frozenset(name for name in needed if not name.startswith(("app.", "catalogue.")))
    return own | Registry.fields(needed) | {*INDEX, *PEOPLE, *KEPT}


@dataclass(slots=True, eq=False)
class Pipeline:
    """The parts, put together by `monitor.app`; `turn` is called until it says that all is done."""

    intakes: Sequence[Intake]
    lineup: Lineup
    registry: Callable[[], Registry]
    policy: Callable[[], Policy]
    store: Store
    archive: Archive
    snapshots: Memory
    telemetry: Telemetry
    clock: Callable[[], int]
    settings: Settings
    stopping: Callable[[], bool] = lambda: False
    noted: Callable[[int, Sequence[Finding]], None] = lambda _events, _fresh: None  # told of every committed turn
    around: Surroundings | None = None
    turn_number: int = 0
    watermark: int = BEGINNING
    stalled: str | None = None
    fence: Fence | None = None  # without which no turn is committed, where others may have the record
    _duplicates: Duplicates = field(init=False)
    _teller: TurnTeller = field(init=False)
    _committer: Committer = field(init=False)
    _around: Surroundings = field(init=False)
    stages: dict[str, float] = field(default_factory=dict)
    snapshot_turn: int = -1
    _snapshot_at: float = 0.0
    _is_ahead: bool = False  # memory is not that of the last committed turn
    _stalled_at: float = 0.0
    _heard_at: float = 0.0
    _awaiting: Awaiting = field(init=False)
    _foreseen: int = -1
    _ended: set[str] = field(default_factory=set)
    _reader: Reader = field(init=False)
    suspensions: Suspensions = field(init=False)
    _watching: Watching = field(init=False)
    _aside: SetAside = field(init=False)
    _controls: ControlLog = field(default_factory=ControlLog)
    _begun: dict[str, int] = field(default_factory=dict)  # where in each partition the next turn begins
    _offer: Offer | None = None
    _due: Sequence[Due] = ()
    models: Models | None = None  # who opens them; without, each is read from the record
    _models: Models = field(init=False)

    def __post_init__(self) -> None:
        self._models = self.models or OpenedModels(self.store.content)
        self._duplicates = Duplicates(self.settings.window_events)
        self._watching = Watching(self.telemetry)
        self._aside = SetAside(self.snapshots)
        self.suspensions = Suspensions(self.telemetry, self.clock)
        self._teller = TurnTeller(self.telemetry, self._now)
        self._reader = Reader(self.intakes, self.settings, self.telemetry, self._now, self._timed)
        self._awaiting = Awaiting(self.intakes)
        if self.around is None:
            self.around = surroundings_of(self.settings, self.clock)
        self._around = self.around
        self._committer = self._make_committer()

    def _make_committer(self) -> Committer:
        return TurnCommitter(
            self.store, self.policy, self.settings, self.clock, self.retried, self._timed, self._around
        )

    @property
    def leads(self) -> bool:
        """Whether this process is the one that decides and does what goes with it."""
        return True

    @property
    def failures(self) -> dict[str, str]:
        """Why a partition cannot be read, by its name, while it cannot."""
        return self._reader.failures

    @property
    def fields(self) -> frozenset[str]:
        """What is decoded of every line."""
        return decoded_fields(self.lineup.needed)

    def policy_now(self) -> Policy:
        """What people have laid down, and how we are."""
        return self._around.seen_by(self.policy())

    def ailments(self) -> tuple[str, ...]:
        """Why nothing above a warning begins by itself, if it is for us, in words."""
        if self.settings.until_end:
            return ()
        because = ailment(self._around.condition.health(), self.policy().guards)
        return () if because is None else (f"nothing above a warning begins, because {because}",)

    # Starting

    def recover(self) -> None:
        """Take up where the last committed turn ended: positions from the record, memory from snapshot and archive."""
        begun = time.monotonic()
        self.turn_number = self.store.last_turn()
        snapshot, refused = self.snapshots.load(self.turn_number)
        for refusal in refused:
            self.telemetry.emit(upkeep.SnapshotRefused(path=str(refusal.path), reason=refusal.reason))
        self.snapshot_turn = snapshot.turn if snapshot is not None else 0
        configured = self.lineup
        history = History(self.store, configured, self._models, self._lost)
        self.lineup = history.at(self.snapshot_turn)
        if snapshot is not None:
            self.lineup.restore(snapshot.states)
            self._duplicates.restore(dict(snapshot.extra))
            self._around.restore(snapshot.extra)
            self._committer.restore(snapshot.extra)
        self._aside.begin(snapshot.states if snapshot is not None else {}, self.lineup, configured)
        events = self._relearn(snapshot, history)
        self._controls.begin(self.store, history)
        if configured is not self.lineup:
            self._change_to(configured)
        self._begun = self._positions()
        self._teller.begin(self.lineup.detectors)
        self._snapshot_at = self._heard_at = time.monotonic()
        seconds = time.monotonic() - begun
        self.telemetry.emit(upkeep.RecoveryDone(turn=self.turn_number, events=events, seconds=seconds))

    def _relearn(self, _snapshot: Snapshot | None, history: History) -> int:
        """Feed the memory what was committed after its snapshot, and begin to read where that ends; how many events it was."""
        events = self._replay(self.snapshot_turn, history)
        stored = self.store.progress()
        for intake in self.intakes:
            intake.open(stored.get(intake.partition))
        self.watermark = self._watermark_at_start()
        return events

    def _watermark_at_start(self) -> int:
        """That of the same stream's last turn; for other inputs, the time of the one that is least far."""
        mark = self.store.last_mark()
        if mark is not None and mark.inputs == self._inputs():
            return mark.watermark
        reached = [intake.place.reached or BEGINNING for intake in self.intakes]
        return min(reached, default=BEGINNING)

    def _inputs(self) -> str:
        return "\n".join(sorted(intake.partition for intake in self.intakes))

    def _replay(self, after_turn: int, history: History) -> int:
        """Feed the memory what was committed after a snapshot, each turn to those who watched it; its sightings were acted on then."""
        marks = {mark.turn: mark.watermark for mark in self.store.marks(after_turn)}
        events = 0
        for frame in self.archive.replay(self.store.segments(), after_turn):
            turn = int(frame["_turn"][0])
            for quiet in sorted(number for number in marks if number < turn):
                self._observe_again(quiet, frame.clear(), marks.pop(quiet), history)
            events += frame.height
            self._watching.marked(self._duplicates, frame.drop(DUPLICATE))
            self._around.observe(frame)
            last = marks.pop(turn, int(frame["_watermark"].to_numpy().max()))
            self._observe_again(turn, frame, last, history)
        for quiet in sorted(marks):
            self._observe_again(quiet, None, marks[quiet], history)
        return events

    def _observe_again(self, turn: int, frame: pl.DataFrame | None, watermark: int, history: History) -> None:
        lineup = history.at(turn)
        if lineup is not self.lineup:
            self._change_to(lineup)
        watched = self._no_rows() if frame is None else without_refusals(frame)
        self._observe(Batch(self._columns(watched), watermark))

    def _lost(self, digest: str, reason: str) -> None:
        self.telemetry.emit(upkeep.RulesLost(digest=digest[:16], reason=reason))

    # Changing who watches

    def offer(self, offer: Offer) -> None:
        """Have another lineup taken up before the next turn; from any thread. An offer not yet taken up is replaced by it."""
        replaced, self._offer = self._offer, offer
        if replaced is not None:
            replaced.refused("another came before it was taken up")

    def expect(self, due: Sequence[Due]) -> None:
        """Of a run to the end: what will come into force, and where. No turn goes over one of these places."""
        self._due = due
        for intake in self.intakes:
            intake.barrier = due[0].positions.get(intake.partition, 0) if due else None

    def _take_up(self) -> None:
        """Change to what is due here; then to the lineup that is offered, if there is one: on any failure all stays as it was."""
        while self._due and all(intake.exhausted or intake.is_at_barrier for intake in self.intakes):
            due, later = self._due[0], self._due[1:]
            self._change_to(due.lineup())
            due.enter()
            self._write_down()
            self.expect(later)
        offer, self._offer = self._offer, None
        if offer is None or not offer.claim():
            return
        taken = Taken(self.turn_number + 1, self._begun)
        try:
            if offer.lineup.digest != self.lineup.digest:
                self._change_to(offer.lineup)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the new, the old goes on
            offer.refused(f"{type(error).__name__}: {error}")
            return
        offer.enter()
        try:
            self._write_down()
        except BaseException as error:
            offer.refused(f"{type(error).__name__}: {error}")
            raise
        self.suspensions.forget()
        offer.taken(taken)

    def _write_down(self) -> None:
        """Have the record say what is in force now, before anything more is read."""
        if self._news():
            self._commit((), self.watermark)

    def _news(self) -> Sequence[Control]:
        """What the next turn is the first to be under."""
        policy = self.retried(self.policy)
        return self._controls.news(self.lineup, policy, self._begun)

    def _positions(self) -> dict[str, int]:
        return {intake.partition: intake.reached for intake in self.intakes}

    def _change_to(self, lineup: Lineup) -> None:
        """From the next turn on others watch: they take over the memory, and what was read already is decoded as they need it."""
        lineup.take_over(self.lineup)
        self.retried(lambda: self._aside.changed(self.lineup, lineup, self.snapshot_turn))
        lots = {}
        if (fields := decoded_fields(lineup.needed)) != self.fields:
            lots = {intake.partition: intake.decoded_anew(fields) for intake in self.intakes}
        for intake in self.intakes:
            intake.lot = lots.get(intake.partition, intake.lot)
        self.lineup = lineup

    def _seen(self, name: str, batch: Batch, found: Found | None = None) -> list[Sighting]:
        """What one of the detectors sees; without the rules with which it cannot go on."""
        detector = next((one for one in self.lineup.detectors if one.name == name), None)
        if detector is None:  # it has ended meanwhile
            return []
        try:
            return self._watching.seen(detector, batch, found)
        except TooManyOverlooked as error:
            lineup = self.suspensions.without_faulty(self.lineup, error.event, str(error))
            if lineup is None:
                raise
            self._change_to(lineup)
        except Spoilt as error:
            self._change_to(self.suspensions.without(error.name, self.lineup, str(error)))
        return self._seen(name, batch)

    def _columns(self, frame: pl.DataFrame) -> pl.DataFrame:
        """An archived frame with all columns that detectors need."""
        return self.joined(recalled(frame, self.fields))

    def _no_rows(self) -> pl.DataFrame:
        return pl.DataFrame(schema={**{name: DTYPES[kind_of(name)] for name in sorted(self.fields)}, **INTERNAL})

    # Going

    def turn(self) -> bool:
        """Read, decide and commit once; false when nothing more will come."""
        self.stages = {}
        self._take_up()
        pieces = self._reader.read(self.fields)
        while pieces and self.settings.until_end and self._is_small(pieces) and not self.stopping():
            more = self._reader.read(self.fields, wait_s=0.0)  # a turn has its price: small pieces share one
            if not more:
                break
            pieces = [*pieces, *more]
        if pieces:
            self._heard_at = time.monotonic()
            self._awaiting.came(pieces)
            self._commit(pieces)
        self._tell_ended()
        if not pieces and all(intake.exhausted for intake in self.intakes):
            return False
        if not pieces and time.monotonic() - self._heard_at > self.settings.idle_s and self._is_idle():
            self.tick()
        self._maybe_snapshot()
        return True

    def _is_idle(self) -> bool:
        """Whether nothing came because there is nothing."""
        return not self._awaiting.is_any

    def _is_small(self, pieces: Sequence[Piece]) -> bool:
        """Whether a turn has room for as much again."""
        lines = sum(piece.lines for piece in pieces)
        size = sum(piece.bytes for piece in pieces)
        return 2 * lines < self.settings.rows_max and 2 * size < self.settings.bytes_max

    def tick(self) -> None:
        """No event came for a while, or none will: let event time come up to the latest event, so that windows close."""
        reached = max((intake.place.reached for intake in self.intakes), default=0)
        now = self._now()
        reached = reached if now is None else min(reached, now)
        if reached > self.watermark and reached:
            self._commit((), reached)
        claimed = max((intake.place.claimed for intake in self.intakes), default=0)
        self._foresee(claimed if now is None else min(claimed, now))

    def _foresee(self, claimed: int) -> None:
        """Say what windows would if time had come up to what events claim, without believing them.

        Nothing contradicts them either, and more may never come. Lateness and memory stay as they are: what is said here is
        not said again when the windows come to it.
        """
        if claimed <= self.watermark or self._foreseen == self.turn_number:
            return
        foreseeing = self.lineup.foreseeing
        states = {detector.name: detector.snapshot() for detector in foreseeing}
        sightings = self._observe(Batch(self._columns(self._no_rows()), claimed), among=foreseeing)
        self.lineup.restore(states)
        if sightings:
            self._commit((), self.watermark, sightings)
        self._foreseen = self.turn_number

    def finish(self) -> None:
        """The input has ended or the daemon stops: keep the memory."""
        if self.settings.until_end and all(intake.exhausted for intake in self.intakes):
            self.tick()
        if self.snapshot_turn != self.turn_number and self._may_snapshot:
            self._save_snapshot()

    def _now(self) -> int | None:
        """The present, unless the run lives on the stream's own clock."""
        return None if self.settings.until_end else self.clock()

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.stages[stage] = self.stages.get(stage, 0.0) + time.perf_counter() - begun

    # One turn

    def _commit(
        self, pieces: Sequence[Piece], watermark: int | None = None, foreseen: Sequence[Sighting] | None = None
    ) -> None:
        """Detect, decide, record and commit what was read; with `watermark`, only let time come that far.

        `foreseen` stand for what detectors see.
        """
        seen = self._watch(pieces, watermark, foreseen)
        self._seen_by_all(seen)
        made = self._made(pieces, seen, self._archived(seen.watched))
        self._committed(made, self._committer.commit(made.turn, made.fresh, seen.orders))

    def _archived(self, watched: pl.DataFrame) -> Sequence[Segment]:
        """Write the events of the next turn."""
        number = self.turn_number + 1
        with self._timed("archive"):
            written: Sequence[Segment] = self.retried(lambda: self.archive.write(number, watched))
        return written

    def _made(self, pieces: Sequence[Piece], seen: Seen, segments: Sequence[Segment]) -> Made:
        """The turn that follows from what was seen."""
        last = {piece.progress.partition: piece.progress for piece in pieces}
        progress = [self._counted(reached, seen.frame) for reached in last.values()]
        with self._timed("decide"):
            findings, fresh = self._committer.told(seen.sightings)
        turn = Turn(
            number=self.turn_number + 1,
            time=self.clock(),
            mark=self._mark(seen.watermark),
            reached=seen.reached,
            controls=self._news(),
            progress=progress,
            dead_letters=[letter for piece in pieces for letter in piece.letters],
            findings=findings,
            segments=segments,
            fence=self.fence,
            audit=tuple(self.suspensions.audit),
        )
        return Made(turn, fresh, seen, pieces)

    def _committed(self, made: Made, turn: Turn) -> None:
        """It is in the record, as `turn`: go on from there, and tell."""
        self._is_ahead = False
        self._around.condition.committed()
        self.suspensions.audit.clear()
        self.turn_number, self.watermark, self._begun = turn.number, made.seen.watermark, self._positions()
        self._controls.noted(turn.controls)
        frame, fresh = made.seen.frame, made.fresh
        lags = {intake.partition: intake.source.lag_bytes for intake in self.intakes}
        done = Done(turn, made.pieces, frame, fresh, self.lineup.detectors, self.stages, self.watermark, lags)
        self._teller.tell(done)
        self.noted(frame.height, fresh)

    def _watch(
        self, pieces: Sequence[Piece], watermark: int | None, foreseen: Sequence[Sighting] | None = None
    ) -> Seen:
        """Label the events of a turn and have all look at them; `foreseen` stand for what detectors see."""
        taken = self._taken(pieces, watermark)
        with self._timed("detect"):
            joined = self.joined(without_refusals(taken.watched))
            sightings = foreseen if foreseen is not None else self._observe(Batch(joined, taken.watermark))
        return self._as_seen(taken, joined, sightings)

    def _taken(self, pieces: Sequence[Piece], watermark: int | None) -> Labelled:
        """Label the events of a turn, and take note of who comes by."""
        self._is_ahead = True
        frame, watermark = self._labelled(pieces, watermark)
        with self._timed("detect"):
            watched = (
                frame.filter(~pl.col(DUPLICATE)) if frame[DUPLICATE].any() else frame
            )  # whole frames are not copied
            self._around.observe(watched)
            self._around.taken(pieces, frame)
        return Labelled(pieces, frame, watched, watermark)

    def joined(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Events with all columns that detectors need."""
        return self._watching.joined(self.registry(), frame, self.lineup.needed)

    def _as_seen(self, taken: Labelled, joined: pl.DataFrame, sightings: Sequence[Sighting]) -> Seen:
        marks = joined[WATERMARK].to_numpy() if joined.height else np.empty(0, np.int64)
        bounds = self.settings.bounds
        return Seen(taken.frame, taken.watched, taken.watermark, sightings, marks, bounds.lateness)

    def _seen_by_all(self, seen: Seen) -> None:
        """All have looked; nothing is written yet."""

    def _mark(self, watermark: int) -> Mark:
        return Mark(watermark=watermark, inputs=self._inputs())

    def _labelled(self, pieces: Sequence[Piece], watermark: int | None) -> tuple[pl.DataFrame, int]:
        if not pieces:
            assert watermark is not None  # noqa: S101 - a tick says how far
            return self._no_rows().with_columns(pl.lit(None, pl.Boolean).alias(CONFLICT)), watermark
        whole = merged(pieces)
        if not whole.height:
            return whole.with_columns(
                pl.lit(None, pl.Boolean).alias(name) for name in (DUPLICATE, CONFLICT, LATE)
            ), self.watermark
        lateness = self.settings.bounds.lateness
        others = None if self.settings.until_end else self._awaiting.least(pieces, self.watermark, lateness)
        frame, reached = label(whole, self.watermark, others, self.settings.bounds)
        return self._watching.marked(self._duplicates, frame), reached

    def _observe(
        self, batch: Batch, found: Mapping[str, Found] = NOTHING_FOUND, among: Sequence[Detector] | None = None
    ) -> list[Sighting]:
        """What all detectors see, or those `among` them, in an order that does not depend on how the stream is cut; `found` is known
        already of some.
        """
        watching = self.lineup.detectors if among is None else among
        seen = {detector.name: list[Sighting]() for detector in watching}
        lineup = self.lineup
        for name in seen:  # what was found by rules that have been left out meanwhile is not for those that stay
            seen[name] = self._seen(name, batch, found.get(name) if self.lineup is lineup else None)
        sightings = [one for detector in self.lineup.detectors for one in seen.get(detector.name, ())]
        sightings.sort(key=lambda sighting: (sighting.row, sighting.finding.id))
        return sightings

    def _counted(self, progress: Progress, frame: pl.DataFrame) -> Progress:
        """The partition's account with its late and duplicate events."""
        own = frame.select(PARTITION, LATE, DUPLICATE).filter(pl.col(PARTITION) == progress.partition)
        late, duplicate = (int(own[name].sum() or 0) for name in (LATE, DUPLICATE))
        counted = msgspec.structs.replace(progress, late=progress.late + late, duplicate=progress.duplicate + duplicate)
        for intake in self.intakes:
            if intake.partition == progress.partition:
                intake.progress = counted
        return counted

    def retried(self, step: Callable[[], Any]) -> Any:
        """Do it, however long the store refuses; says so once, and again when it is over. A stop ends the waiting."""
        pause_s = RETRY_S[0]
        begun = time.monotonic()
        while True:
            try:
                result = step()
            except StoreError as error:
                if not error.retryable or self.stopping():
                    raise
                if self.stalled is None:
                    self._stalled_at = begun
                    self.telemetry.emit(happenings.StoreStalled(error=str(error), retry_s=pause_s))
                self.stalled = str(error)
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, RETRY_S[1])
                continue
            if self.stalled is not None:
                self.stalled = None
                stalled_s = time.monotonic() - self._stalled_at
                self._around.condition.stalled(stalled_s)
                self.telemetry.emit(happenings.StoreResumed(stalled_s=stalled_s))
            return result

    # Memory

    @property
    def _may_snapshot(self) -> bool:
        """The memory is that of the last committed turn, and of those whom the record says to be in force: not so between a change and
        the turn that records it.
        """
        return not self._is_ahead and self._controls.knows(self.lineup)

    def _maybe_snapshot(self) -> None:
        if not self._may_snapshot:
            return
        if self.snapshot_turn != self.turn_number and time.monotonic() - self._snapshot_at >= self.settings.snapshot_s:
            self._save_snapshot()

    def _save_snapshot(self) -> None:
        begun = time.monotonic()
        states: Mapping[str, Any] = {detector.name: detector.snapshot() for detector in self.lineup.detectors}
        try:
            row = self.snapshots.save(self.turn_number, self._aside.beside(states), self.remembered())
            self.store.forget_marks(self.snapshot_turn)
        except StoreError as error:  # the next one may succeed; until then a restart replays more
            self.telemetry.emit(upkeep.SnapshotFailed(turn=self.turn_number, error=str(error)))
            self._snapshot_at = time.monotonic()
            return
        self.snapshot_turn, self._snapshot_at = self.turn_number, time.monotonic()
        seconds = time.monotonic() - begun
        saved = upkeep.SnapshotSaved(turn=self.turn_number, time=self.clock(), bytes=row.bytes, seconds=seconds)
        self.telemetry.emit(saved)

    def remembered(self) -> dict[str, pl.DataFrame]:
        """What is remembered beside detectors' memory."""
        return {**self._duplicates.snapshot(), **self._around.snapshot(), **self._committer.snapshot()}

    def _tell_ended(self) -> None:
        """Told once of every source that has given all it had."""
        for intake in self.intakes:
            if intake.exhausted and intake.partition not in self._ended:
                self._ended.add(intake.partition)
                self.telemetry.emit(happenings.SourceEnded(source=intake.partition, position=intake.progress.end))
