"""A run over the past: sources or a stretch of the archive, through the pipeline, before whoever wants to watch."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import polars as pl

from detectors.detector import Detector, State
from detectors.event import Batch
from detectors.finding import Entity, Scope, Sighting
from monitor.backtest.archived import PARTITION, ArchivedIntake, ArchivedPipeline, ArchiveSource, frames_of
from monitor.backtest.nothing import NoArchive, NoSnapshots
from monitor.backtest.record import PastRecord
from monitor.clock import now_us
from monitor.config import Config
from monitor.content.in_force import playbooks_of
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.door import Door, PeopleHash
from monitor.intake import Intake
from monitor.intake.opening import intakes_of, sources_of
from monitor.intake.timeline import Bounds
from monitor.own_keys import people_of
from monitor.pipeline import Pipeline
from monitor.recall import KEPT
from monitor.recorded import may_have_record, open_record
from monitor.registry import Registry
from monitor.rules.lineup import Lineup
from monitor.rulings import Rulings
from monitor.searching import reader_of
from monitor.settings import settings_of
from monitor.stores import Progress, Segment, Standing, StandingKind, StoreError
from monitor.stores.archive import Archive
from monitor.stores.places import Places
from monitor.stores.undos import MarkInForce, Verdict
from monitor.telemetry import Telemetry

if TYPE_CHECKING:
    from monitor.stores.elasticsearch.reading import SearchReader

DATASET: Final = "event.dataset"


@dataclass(frozen=True, slots=True)
class Past:
    """What is gone through: the sources of the configuration, or without any the archive between two times of events.

    `dataset` is taken for that of events that do not say theirs.
    """

    config: Config
    people: PeopleHash
    registry: Registry
    standings: tuple[Standing, ...] = ()
    segments: tuple[Segment, ...] = ()
    reach: int | None = None
    since: int | None = None
    until: int | None = None
    dataset: str | None = None
    search: SearchReader | None = None  # in place of the archive
    marks: tuple[MarkInForce, ...] = ()

    @property
    def rows(self) -> int | None:
        """Events in it at most; None for sources, which do not say."""
        return sum(segment.rows for segment in self.segments) if not self.config.sources else None

    def newest(self, events: int) -> Past:
        """Only the last files of the archive, as many as hold so many events; sources stay as they are."""
        chosen: list[Segment] = []
        for segment in sorted(self.segments, key=lambda one: (one.turn_first, one.path), reverse=True):
            if sum(one.rows for one in chosen) >= events:
                break
            chosen.append(segment)
        return replace(self, segments=tuple(chosen))


@contextmanager
def past_of(
    config: Config, *, since: int | None = None, until: int | None = None, dataset: str | None = None
) -> Iterator[Past]:
    """The past of an installation, read beside its daemon. Where there is none, sources can be gone through all the same."""
    key = config.people.key
    if not may_have_record(config):
        people = PeopleHash(bytes.fromhex(key.get_secret_value()) if key else secrets.token_bytes(32))
        yield Past(config, people, Registry(()), since=since, until=until, dataset=dataset)
        return
    store = open_record(config, read_only=True)
    try:
        mark = store.last_mark()
        yield Past(
            config,
            # Those of the archive are hashed already.
            people_of(config, store, notes=False) if config.sources else PeopleHash(secrets.token_bytes(32)),
            Registry(list(store.apps())),
            tuple(one for one in store.standings(now_us()) if one.kind is not StandingKind.SHADOW),
            tuple(store.segments()),
            reach=mark.watermark if mark is not None and until is None else None,
            since=since,
            until=until,
            dataset=dataset,
            search=reader_of(config, store),
            marks=tuple(store.marks_in_force(now_us(), Verdict.BENIGN_KNOWN)),
        )
    finally:
        store.close()


@dataclass(frozen=True, slots=True)
class Gone:
    """How far a run has come: bytes of its sources or rows of the archive, of how many if that is known, and events."""

    done: int
    total: int | None
    events: int


def rerun(
    past: Past,
    detectors: Sequence[Detector],
    record: PastRecord,
    *,
    told: Callable[[Gone], None] = lambda _gone: None,
    enough: Callable[[], bool] = lambda: False,
) -> None:
    """Put the past before some detectors, and what they say into a record. `enough` ends it before the end."""
    telemetry = Telemetry(level="error", log_format=past.config.log.format)
    pipeline = _pipeline(past, detectors, record, telemetry)
    try:
        pipeline.recover()
        while not enough() and pipeline.turn():
            told(_gone(past, pipeline))
        pipeline.finish()
        record.events = sum(intake.progress.processed for intake in pipeline.intakes)
        record.finish()
    finally:
        for intake in pipeline.intakes:
            intake.source.close()
        telemetry.close()


def _pipeline(past: Past, detectors: Sequence[Detector], record: PastRecord, telemetry: Telemetry) -> Pipeline:
    config = past.config
    registry, now = past.registry, now_us()
    protected = frozenset(Entity(Scope.APP, app) for app in registry.protected(now))
    owners = frozenset(Entity(Scope.DEVELOPER, owner) for owner in registry.owners_of_protected(now))
    rulings = Rulings(
        config,
        playbooks_of(config),
        record,
        now_us,
        protected=lambda: protected,
        owners_of_protected=lambda: owners,
        released=registry.released,
    )
    kind = Pipeline if config.sources else ArchivedPipeline
    return kind(
        intakes=_sources(past, telemetry) if config.sources else [_archived(past)],
        lineup=Lineup.unrecorded([Assuming(one, past.dataset) for one in detectors] if past.dataset else detectors),
        registry=lambda: past.registry,
        policy=rulings,
        store=record,
        archive=NoArchive(),
        snapshots=NoSnapshots(),
        telemetry=telemetry,
        clock=now_us,
        settings=settings_of(config, until_end=True, deliver=False),
    )


def _sources(past: Past, telemetry: Telemetry) -> Sequence[Intake]:
    return intakes_of(
        past.config, past.people, sources_of(past.config, run="backtest", until_end=True).sources, telemetry
    )


def _archived(past: Past) -> Intake:
    if past.search is not None:
        several = len({segment.stream for segment in past.segments}) > 1
        frames = past.search.events(since=past.since, until=past.until, newest_first=False, several=several)
    else:
        archive = Archive(Places(past.config.data_dir).archive, KEPT)
        if elsewhere := sum(one.rows for one in past.segments) - sum(one.rows for one in archive.here(past.segments)):
            found = f"{elsewhere:,} of the events lie in archive folders of other disks"
            raise StoreError(f"{found}: read them from the search, with --from elasticsearch", retryable=False)
        frames = frames_of(archive, past.segments, past.since, past.until, past.config.batch.rows_max)
    source = ArchiveSource(frames)
    decoder = NdjsonDecoder()
    intake = ArchivedIntake(
        source, decoder, Door(past.people, decoder, hashed=True), Bounds(), Progress(partition=PARTITION, end=0)
    )
    intake.archived, intake.reach = source, past.reach
    return intake


def _gone(past: Past, pipeline: Pipeline) -> Gone:
    done = sum(intake.progress.end for intake in pipeline.intakes)
    events = sum(intake.progress.processed for intake in pipeline.intakes)
    if not past.config.sources:
        return Gone(done, past.rows, events)
    waiting = [intake.source.lag_bytes for intake in pipeline.intakes]
    total = None if None in waiting else done + sum(lag for lag in waiting if lag is not None)
    return Gone(done, total, events)


class Assuming:
    """A detector before which events that name no dataset are of one that is given: logs of other programs."""

    def __init__(self, detector: Detector, dataset: str) -> None:
        self._detector = detector
        self._dataset = dataset
        self.name = detector.name
        self.needs = detector.needs | {DATASET}

    @property
    def forgotten(self) -> int:
        return self._detector.forgotten

    def observe(self, batch: Batch) -> list[Sighting]:
        return self._detector.observe(
            Batch(batch.frame.with_columns(pl.col(DATASET).fill_null(self._dataset)), batch.watermark)
        )

    def snapshot(self) -> State:
        return self._detector.snapshot()

    def restore(self, state: State) -> None:
        self._detector.restore(state)
