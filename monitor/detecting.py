"""The composition root of a worker: a configuration becomes a process that detects, and leaves what it finds to be answered."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from monitor import __version__
from monitor.alone import refuse_beside_one
from monitor.clock import now_us
from monitor.config import Config
from monitor.config.keys import SourceKeys
from monitor.console.health import Check, Health
from monitor.content.compiling import compiled
from monitor.content.in_force import Installed
from monitor.content.model_changing import LOOK_S as MODELS_S
from monitor.forecasting.measuring import Measuring
from monitor.front import health_front
from monitor.gauging import Gauging
from monitor.intake.opening import kafka_settings
from monitor.kept import Kept
from monitor.models.moving import note_drift
from monitor.models.opening import OpenedModels
from monitor.models.shelf import ModelShelf
from monitor.packs.shelf import Shelf
from monitor.partitions.followed import LOOK_S, FollowedRules
from monitor.partitions.keying import Keying
from monitor.partitions.opening import Opener
from monitor.partitions.pipeline import PartitionPipeline
from monitor.partitions.record_clock import RecordClock
from monitor.partitions.worker import Worker
from monitor.process import Role, holder_name
from monitor.registered import Registered
from monitor.rules.cache import RuleCache
from monitor.schedule import Schedule
from monitor.searching import indexer_of
from monitor.sources.kafka.address import is_kafka, parse_address, refuse_readable_password
from monitor.sources.kafka.group import Group
from monitor.sources.kafka.opening import open_group
from monitor.stores import StoreError
from monitor.stores.damage import marked_when_damaged
from monitor.stores.held_folder import only_one
from monitor.stores.places import Places
from monitor.stores.upkeep import compact, sweep_days
from monitor.telemetry import Telemetry, happenings, upkeep
from monitor.topics.hits import HitsTopic

if TYPE_CHECKING:
    from monitor.indexer import Indexer

COMPACTION_S: Final = 600.0
REGISTRY_S: Final = 10.0
LAG_S: Final = 5.0
PARTITIONS_S_MAX: Final = 30.0
"""How long the brokers may take to say how many partitions the topic has."""

WAIT_S_MAX: Final = 0.05
"""How long a worker waits for one of its topics before it looks at the other."""

HITS: Final = ".miniwatch-hits"
"""What the topic of hits, and its group, have behind the names of those of events."""


HITS_S_MAX: Final = 0.03
"""How long hits that were sent just now are waited for, to be counted at once and not after the next turns: decisions wait for what is counted."""


class NoPartitions(Exception):
    """The configuration names no topic whose partitions could be shared out."""


@dataclass(slots=True)
class Detecting:
    """One worker's run: opened by `open_detecting`, then `run` until told to stop."""

    config: Config
    kept: Kept
    workers: list[Worker]
    groups: list[Group]
    rules: FollowedRules
    telemetry: Telemetry
    stopping: threading.Event
    orphaned: Callable[[], bool]
    keying: Keying
    wait_s: float
    indexer: Indexer | None = None
    heartbeat: list[float] = field(default_factory=lambda: [time.monotonic()])
    _looked: float = 0.0

    def run(self, looked: Callable[[], None] = lambda: None) -> None:
        """Work until `stop`; `looked` is called after each look at the partitions. Raises what cannot be retried."""
        try:
            while not self.stopping.is_set():
                self._between()
                worked = self.workers[0].look()
                if self.workers[0].sends:
                    self.groups[1].wait_for_messages(HITS_S_MAX)
                if not (self.workers[1].look() or worked):
                    self.workers[0].wait(self.wait_s)
                looked()
        finally:
            turns = sum(stream.turn_number for worker in self.workers for stream in worker.streams.values())
            for worker in self.workers:
                worker.close()
        self.telemetry.emit(happenings.Stopped(reason="it was asked to", turns=turns))

    def _between(self) -> None:
        """Between two looks at the partitions: still alive, and under the rules that are in force."""
        now = self.heartbeat[0] = time.monotonic()
        if self.orphaned():
            self.stopping.set()
        self.keying.say()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        try:
            offers = [(stream.part, stream.offer) for worker in self.workers for stream in worker.streams.values()]
            self.rules.look(offers)
        except StoreError as error:
            if not error.retryable:
                raise

    def stop(self, *_: Any) -> None:
        """Finish the turn under way and leave. Safe from signal handlers and other threads."""
        self.stopping.set()

    def obey_signals(self) -> None:
        """SIGTERM and SIGINT stop the worker in order; rules are taken up from the record, whatever SIGHUP says."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    @property
    def age_s(self) -> float:
        """How old the last sign of life is. A store that cannot be written is waited for on purpose."""
        return 0.0 if self._stalled() is not None else time.monotonic() - self.heartbeat[0]

    def streams(self) -> list[PartitionPipeline]:
        """The partitions at work; from any thread."""
        return [stream for worker in self.workers for stream in list(worker.streams.values())]

    def lags(self) -> dict[str, int | None]:
        """How many bytes of each partition wait to be read; from any thread."""
        return {name: lag for worker in self.workers for name, lag in worker.lags.items()}

    def _stalled(self) -> str | None:
        return next((stream.stalled for stream in self.streams() if stream.stalled is not None), None)

    def health(self) -> Health:
        """How the worker is, for probes."""
        streams = self.streams()
        failing = {name: error for worker in self.workers for name, error in worker.failing.items()}
        failing |= {group.address.topic: group.trouble for group in self.groups if group.trouble is not None}
        for stream in streams:
            failing |= stream.failures
        return Health(
            heartbeat_age_s=self.age_s,
            store_stalled=self._stalled(),
            failing_sources=failing,
            lag_bytes=self.lags(),
            degraded=self.indexer.health().words() if self.indexer is not None else (),
            others=(
                *(((Check.STOP, "stopping"),) if self.stopping.is_set() else ()),
                *((Check.MODELS, problem) for problem in self.rules.problems),
            ),
        )


def topic_of(config: Config) -> SourceKeys:
    """The one topic that workers share; raises `NoPartitions`."""
    topics = [source for source in config.sources if is_kafka(source.uri)]
    if len(topics) != 1 or len(config.sources) != 1:
        raise NoPartitions(
            f"found {len(config.sources)} sources, {len(topics)} of them kafka: with --role detect or --workers there is one, "
            "kafka://HOST:PORT/TOPIC?group=NAME"
        )
    return topics[0]


@contextmanager
def open_detecting(
    config: Config,
    telemetry: Telemetry,
    *,
    clock: Callable[[], int] = now_us,
    parent: int | None = None,
    listener: socket.socket | None = None,
) -> Iterator[Detecting]:
    """Put a worker together. `parent` is the process that has started it: without it, it ends too. `listener` is a socket that listens at
    `http.listen` already.
    """
    source = topic_of(config)
    address = parse_address(source.uri, format=source.format, client=config.kafka.client)
    if not address.group:
        raise NoPartitions(f"{source.uri} names no group: add ?group=NAME, the same for all workers")
    settings = kafka_settings(config)
    refuse_readable_password(address, settings.sasl_mechanism, tls=settings.tls)
    with ExitStack() as closing:
        telemetry.emit(happenings.Starting(version=__version__, data_dir=str(config.data_dir)))
        closing.enter_context(only_one(Places(config.data_dir).lock, shared=True))
        if not config.store.url:
            closing.enter_context(marked_when_damaged(Places(config.data_dir), clock))
        kept = Kept.of(config)
        closing.callback(kept.store.close)
        kept.refuse_other_keys(config)
        refuse_beside_one(kept.store, clock)
        keying = Keying(kept.store, address.topic, config.kafka.keyed_by, clock)
        keying.say()
        kept.note_folder(clock())
        cache = RuleCache(
            kept.places.rule_cache, kept.seal, lambda path, reason: _refused(telemetry, str(path), reason)
        )
        models = OpenedModels(kept.store.content)
        installed = Installed(config, kept.store.pack_content, cache, models)
        found = installed.load(Shelf(kept.store.packs()), ModelShelf(kept.store.models()))
        telemetry.emit(upkeep.RulesLoaded(rules=len(found.rules.rules), refused=len(found.rules.problems)))
        for problem in found.models.problems:
            telemetry.emit(upkeep.ModelChangeRefused(model=problem.model, reason=problem.message))
        window_events_max = config.rules.window_events_max
        lineup = compiled(config, found)
        rules = FollowedRules(lineup, window_events_max, kept.store, telemetry, models, config.kafka.keyed_by)
        registry = Registered(kept.store, telemetry, clock)
        stopping = threading.Event()
        heartbeat = [time.monotonic()]

        def asked_to_stop() -> bool:
            """Asked by streams while they read their logs again, which may take long: they move."""
            heartbeat[0] = time.monotonic()
            return stopping.is_set()

        line_bytes_max = config.decode.line_bytes_max
        group = open_group(address, settings, line_bytes_max=line_bytes_max)
        closing.callback(group.close)
        group.partitions(PARTITIONS_S_MAX)
        hits_topic = address.topic + HITS
        writer = HitsTopic(address.brokers, hits_topic, config.kafka.hits_partitions, settings)
        closing.callback(writer.close)
        hits = msgspec.structs.replace(address, topic=hits_topic, group=address.group + HITS, format="ndjson")
        of_hits = open_group(hits, settings, line_bytes_max=line_bytes_max, pace_s=0.0)
        closing.callback(of_hits.close)
        opener = Opener(
            config=config,
            kept=kept,
            lineup=rules.of,
            registry=registry,
            telemetry=telemetry,
            clock=clock,
            stopping=asked_to_stop,
            holder=holder_name(),
            partitions=lambda: group.partition_count,
            hashed=source.hashed,
            writer=writer,
            record_clock=RecordClock(kept.store, clock),
        )
        workers = [
            Worker(each, opened, kept.store, telemetry, stopping.is_set)
            for each, opened in ((group, opener.partition), (of_hits, opener.windows))
        ]
        orphaned = (lambda: os.getppid() != parent) if parent is not None else (lambda: False)
        indexer = indexer_of(config, kept, telemetry, clock, Role.DETECT)
        if indexer is not None:
            closing.callback(indexer.stop)
            indexer.start()
        wait_s = min(config.batch.wait_ms_max / 1000, WAIT_S_MAX)
        detecting = Detecting(
            config,
            kept,
            workers,
            [group, of_hits],
            rules,
            telemetry,
            stopping,
            orphaned,
            keying,
            wait_s,
            indexer,
            heartbeat,
        )
        schedule = Schedule(telemetry, time.monotonic)
        closing.callback(schedule.stop)
        schedule.every("refresh registry", REGISTRY_S, registry.refresh)
        schedule.every("compact archive", COMPACTION_S, lambda: _compact(kept, workers[0]))
        schedule.daily("retention", config.retention.hour_utc, lambda: _forget(kept, config, telemetry, clock))
        schedule.every("tell what was left out", REGISTRY_S, telemetry.tick)
        schedule.every("note how features move", MODELS_S, lambda: _note_drift(workers[0], kept, telemetry))
        schedule.every("tell of lag", LAG_S, partial(_tell_of_lag, detecting.groups, telemetry))
        Measuring(
            config=config, kept=kept, telemetry=telemetry, clock=clock, role=Role.DETECT, lags=detecting.lags
        ).enter(schedule)
        if config.http.listen:
            front = health_front(config, kept.store, telemetry, clock, detecting.health, listener)
            front.enter(schedule)
            Gauging(kept=kept, telemetry=telemetry, clock=clock).enter_storage(schedule)
            front.start()
            closing.callback(front.stop)
        schedule.start()
        telemetry.emit(
            happenings.Started(
                version=__version__,
                mode=config.mode,
                data_dir=str(config.data_dir),
                sources=(source.uri,),
                listen=config.http.listen,
            )
        )
        yield detecting


def _tell_of_lag(groups: Sequence[Group], telemetry: Telemetry) -> None:
    """Count and tell what Kafka did not take of how far we are."""
    for group in groups:
        topic, told = group.address.topic, group.lag.look()
        if told.failures:
            telemetry.emit(upkeep.LagCommitFailed(topic=topic, failures=told.failures))
        if told.error is not None:
            telemetry.emit(upkeep.LagUntold(topic=topic, error=told.error))
        if told.is_over:
            telemetry.emit(upkeep.LagToldAgain(topic=topic))


def _note_drift(worker: Worker, kept: Kept, telemetry: Telemetry) -> None:
    """Of one partition, whose apps stand for all; without any there is nothing to tell."""
    first = [stream.lineup.learned for _, stream in sorted(worker.streams.copy().items())[:1]]
    note_drift(first[0] if first else None, kept.store, telemetry)


def _compact(kept: Kept, worker: Worker) -> None:
    """Make few large files of the many small ones of the partitions at work."""
    mine = {name: stream.fence.epoch for name, stream in list(worker.streams.items())}
    here = kept.archive.here(kept.store.segments())
    for name, day in sorted({(one.stream, one.day) for one in here if one.stream in mine}):
        archive = kept.archive.of_stream(name, mine[name])
        compact(archive, kept.store, day, kept.store.of_stream(name).last_turn())


def _forget(kept: Kept, config: Config, telemetry: Telemetry, clock: Callable[[], int]) -> None:
    """Let go of what lies on this disk of days that whoever answers has let go."""
    gone = sweep_days(kept.archive, kept.store, days=config.retention.events_days, now=clock())
    telemetry.emit(upkeep.RetentionRan(segments=len(gone.days), rows=gone.events, bytes=gone.bytes))


def _refused(telemetry: Telemetry, path: str, reason: str) -> None:
    telemetry.emit(upkeep.CacheRefused(path=path, reason=reason))
