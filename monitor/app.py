"""The composition root: a configuration becomes a daemon. Parts are opened first to last and closed last to first."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from detectors import kernel
from detectors.finding import Entity, Scope, Severity
from monitor import __version__, native
from monitor.alerts import Channel
from monitor.config import Config
from monitor.console.http import Bounds as HealthBounds
from monitor.console.http import Health, HttpServer
from monitor.containment import Fault, FaultWatch
from monitor.counting import counted
from monitor.decoders import Decoder
from monitor.decoders.combined import CombinedDecoder
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.door import Door, PeopleHash
from monitor.dropped import DroppedWatch
from monitor.folder_watch import FolderWatch
from monitor.in_force import InForce, Installed
from monitor.intake import Intake
from monitor.lineup import Lineup
from monitor.misread import MisreadWatch
from monitor.notifiers import Notifier, Patience
from monitor.notifiers.webhook import Webhook
from monitor.outbox import OutboxWorker
from monitor.pack_changing import ACTIVATE, PACKS_S, ROLLBACK, PackChanger
from monitor.packs.shelf import Shelf
from monitor.pipeline import Pipeline, Settings
from monitor.playbook_files import LoadedPlaybooks
from monitor.recall import KEPT
from monitor.registry import Registry
from monitor.reload import PROBLEMS_MAX, Reloader
from monitor.requests import LOOK_S, RELOAD, Answer, Requests
from monitor.rule_cache import RuleCache
from monitor.rules import LoadedRules
from monitor.schedule import Schedule
from monitor.sealing import Seal, key_at
from monitor.snapshots import SnapshotFolder
from monitor.sources import Source
from monitor.sources.uri import parse_source
from monitor.stores import LetterBounds, Progress, StandingKind, Store
from monitor.stores.archive import Archive
from monitor.stores.places import Places
from monitor.stores.record import Request
from monitor.stores.sqlite import SqliteStore
from monitor.stores.upkeep import compact, retain
from monitor.telemetry import Telemetry, happenings, upkeep
from monitor.timeline import Bounds
from playbooks.decision import Tier
from playbooks.incident import IncidentConfig
from playbooks.ladder import Playbook
from playbooks.policy import BudgetConfig, Exceptions, Exemption, Exemptions, Policy, RuleException
from playbooks.risk import RiskConfig

EXPIRY_S: Final = 10.0
COMPACTION_S: Final = 600.0
REGISTRY_S: Final = 10.0
POLICY_S: Final = 1.0
"""How old what operators have laid down may be when a finding is decided."""


def wall_clock() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000


class Interrupted(Exception):
    """The daemon was asked to stop while it read; what it read was not taken."""


class AlreadyRunning(Exception):
    """Another daemon works on the same data folder."""


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold a data folder for one daemon; the lock is gone with the process, however it ends."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"another miniwatch runs on {path.parent}; stop it, or use another data_dir") from None
        yield
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Kept:
    """What an installation keeps: its record, its archive and its keys. Commands open it beside a running daemon."""

    places: Places
    seal: Seal
    store: SqliteStore
    archive: Archive

    @staticmethod
    def open(data_dir: Path, letter_bounds: LetterBounds = LetterBounds()) -> Kept:  # noqa: B008 - frozen
        """Open or make everything below the data folder; raises `StoreError` or `SealError`."""
        places = Places(data_dir)
        seal = Seal(key_at(places.seal_key))
        store = SqliteStore(places.database, seal=seal, letter_bounds=letter_bounds)
        return Kept(places, seal, store, Archive(places.archive, KEPT))

    def people(self, config: Config) -> PeopleHash:
        """The keyed hash for people: the configured key, or the installation's own."""
        if config.people.key is not None:
            return PeopleHash(bytes.fromhex(config.people.key.get_secret_value()))
        return PeopleHash(key_at(self.places.people_key))


def rules_of(config: Config) -> LoadedRules:
    """The rules that an installation has in force: of the folders that its configuration names, and of its pack."""
    with _shelf_of(config) as (installed, shelf):
        return installed.rules(shelf)


def playbooks_of(config: Config) -> LoadedPlaybooks:
    """The playbooks that an installation has in force; the operator's are asked before those of the program, by priority."""
    with _shelf_of(config) as (installed, shelf):
        return installed.playbooks(shelf)


@contextmanager
def _shelf_of(config: Config) -> Iterator[tuple[Installed, Shelf]]:
    """The packs of an installation, seen beside its daemon; none where no key is trusted, or nothing is there yet."""
    places = Places(config.data_dir)
    if not config.packs.trusted_keys or not places.database.is_file():
        yield Installed(config, lambda _digest: None), Shelf(())
        return
    store = SqliteStore(places.database, seal=Seal(key_at(places.seal_key)), read_only=True)
    try:
        yield Installed(config, store.pack_content), Shelf(store.packs())
    finally:
        store.close()


def sources_of(config: Config, run: str) -> list[tuple[Source, bool]]:
    """The sources that a configuration names, and whether people are hashed in them already; raises `SourceError`."""
    found = []
    for named in config.sources:
        limit = config.decode.line_bytes_max
        parsed = parse_source(named.uri, run=run, format=named.format, line_bytes_max=limit)
        found += [(source, named.hashed) for source in parsed]
    return found


class Rulings:
    """The policy: what the configuration says for good, and what operators have laid down, read again when it is old."""

    def __init__(self, config: Config, playbooks: LoadedPlaybooks, store: Store, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._read_at = float("-inf")
        self._is_shadow = config.mode == "shadow"
        self.protected: frozenset[Entity] = frozenset()
        self._policy = Policy(
            playbooks=(), risk=risk_config(config), incident=incident_config(config), budget=budget_config(config)
        )
        self._current = self._policy
        self.take(playbooks.playbooks)

    def take(self, playbooks: tuple[Playbook, ...], trial: tuple[Playbook, ...] = ()) -> None:
        """From the next finding on, these playbooks answer; those of `trial` answer for rules that are being tried."""
        found = tuple(playbook.in_shadow() for playbook in playbooks) if self._is_shadow else playbooks
        self._policy = msgspec.structs.replace(self._policy, playbooks=found, trial=trial)
        self._read_at = float("-inf")

    def __call__(self) -> Policy:
        if time.monotonic() - self._read_at > POLICY_S:
            self._current = self._with_standings()
            self._read_at = time.monotonic()
        return self._current

    def _with_standings(self) -> Policy:
        exemptions, exceptions = [], []
        for standing in self._store.standings(self._clock()):
            scope = Scope(standing.scope)
            if standing.kind is StandingKind.EXCEPTION and standing.rule is not None:
                exceptions.append(
                    RuleException(rule=standing.rule, scope=scope, value=standing.value, expires=standing.expires)
                )
            else:
                exemptions.append(Exemption(scope=scope, value=standing.value, expires=standing.expires))
        return Policy(
            playbooks=self._policy.playbooks,
            trial=self._policy.trial,
            risk=self._policy.risk,
            incident=self._policy.incident,
            budget=self._policy.budget,
            exemptions=Exemptions(exemptions),
            exceptions=Exceptions(exceptions),
            protected=self.protected,
        )


def risk_config(config: Config) -> RiskConfig:
    keys = config.risk
    return RiskConfig(
        half_life_s=int(keys.half_life_h * 3600),
        owner_share=keys.owner_share,
        **{severity.value: getattr(keys, severity.value) for severity in Severity},
    )


def incident_config(config: Config) -> IncidentConfig:
    due = {
        f"{severity.value}_due_s": int(getattr(config.incidents.due_h, severity.value) * 3600) for severity in Severity
    }
    return IncidentConfig(gap_s=int(config.incidents.gap_h * 3600), **due)


def budget_config(config: Config) -> BudgetConfig:
    tiers = [tier.value for tier in Tier if tier is not Tier.OBSERVE]
    return BudgetConfig(**{f"{name}_per_hour": getattr(config.budgets, f"{name}_per_h") for name in (*tiers, "all")})


@dataclass(slots=True)
class Daemon:
    """One run: opened by `open_daemon`, then `run` until told to stop or all is read."""

    config: Config
    kept: Kept
    pipeline: Pipeline
    telemetry: Telemetry
    reloader: Reloader
    requests: Requests
    packs: PackChanger
    outbox: OutboxWorker
    schedule: Schedule
    http: HttpServer | None
    stopping: threading.Event
    heartbeat: list[float] = field(default_factory=lambda: [time.monotonic()])

    @property
    def rules(self) -> LoadedRules:
        """The rules in force."""
        return self.reloader.in_force.rules

    @property
    def playbooks(self) -> LoadedPlaybooks:
        """The playbooks in force."""
        return self.reloader.in_force.playbooks

    def run(self, progress: Callable[[Pipeline], None] | None = None) -> None:
        """Work until `stop`, or until every source has ended. Raises what cannot be retried."""
        settings = self.pipeline.settings
        for intake in self.pipeline.intakes:
            intake.watch.between = self._still_going
        self.pipeline.recover()
        if not settings.until_end:
            self.outbox.start()
            self.schedule.start()
        reason = "all sources have ended"
        while True:
            self.heartbeat[0] = time.monotonic()
            if self.stopping.is_set():
                reason = "it was asked to"
                break
            try:
                if not self.pipeline.turn():
                    break
            except Interrupted:
                continue
            if progress is not None:
                progress(self.pipeline)
            if settings.deliver and settings.channels:
                self.outbox.wake()
        self.pipeline.finish()
        if settings.until_end and settings.deliver:
            self.outbox.deliver_all(wait_s=60.0)
        self.telemetry.emit(happenings.Stopped(reason=reason, turns=self.pipeline.turn_number))

    def _still_going(self) -> None:
        """Lines with faults are being looked for, which takes its time: the daemon is alive, and can be stopped."""
        self.heartbeat[0] = time.monotonic()
        if self.stopping.is_set():
            raise Interrupted

    def stop(self, *_: Any) -> None:
        """Finish the turn under way and leave. Safe from signal handlers and other threads."""
        self.stopping.set()

    def reload(self, *_: Any) -> None:
        """Read rules and playbooks anew, within a second or so. Safe from signal handlers and other threads."""
        self.requests.hung_up.set()

    def obey_signals(self) -> None:
        """SIGTERM and SIGINT stop the daemon in order; SIGHUP reads rules and playbooks anew."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)
        signal.signal(signal.SIGHUP, self.reload)


@contextmanager
def open_daemon(
    config: Config,
    telemetry: Telemetry,
    *,
    until_end: bool = False,
    deliver: bool | None = None,
    sources: Sequence[tuple[Source, bool]] | None = None,
    clock: Callable[[], int] = wall_clock,
) -> Iterator[Daemon]:
    """Put the daemon together. `deliver` None: live runs deliver, runs to the end do not.

    `sources`, each with whether people are hashed in it already, stand for those of the configuration.
    """
    with ExitStack() as closing:
        places = Places(config.data_dir)
        closing.enter_context(only_one(places.lock))
        telemetry.emit(happenings.Starting(version=__version__, data_dir=str(config.data_dir)))
        letters = config.dead_letters
        bounds = LetterBounds(rows_max=letters.rows_max, source_bytes_max=letters.source_bytes_max)
        kept = Kept.open(config.data_dir, bounds)
        closing.callback(kept.store.close)
        kept.archive.sweep(kept.store.segments(), kept.store.last_turn())
        cache = RuleCache(places.rule_cache, kept.seal, partial(_cache_refused, telemetry))
        installed = Installed(config, kept.store.pack_content, cache)
        found = installed.load(Shelf(kept.store.packs()))
        _tell_loaded(config, found, telemetry)
        registry = RegistryHolder(kept.store, telemetry)
        rulings = Rulings(config, found.playbooks, kept.store, clock)
        rulings.protected = registry.protected
        delivering = deliver if deliver is not None else not until_end
        notifiers = {f"webhook:{keys.name}": _webhook(keys, clock) for keys in config.webhooks}
        outbox = OutboxWorker(kept.store, notifiers, clock, telemetry)
        closing.callback(outbox.stop)
        stopping = threading.Event()
        pipeline = Pipeline(
            intakes=_intakes(config, kept, sources, telemetry),
            lineup=_compiled(config, found),
            registry=registry,
            policy=rulings,
            store=kept.store,
            archive=kept.archive,
            snapshots=SnapshotFolder(places.snapshots),
            telemetry=telemetry,
            clock=clock,
            settings=settings_of(config, until_end=until_end, deliver=delivering),
            stopping=stopping.is_set,
        )
        for intake in pipeline.intakes:
            closing.callback(intake.source.close)
        schedule = Schedule(telemetry, time.monotonic)
        closing.callback(schedule.stop)
        reloader = Reloader(
            found,
            lambda: installed.load(Shelf(kept.store.packs())),
            partial(_compiled, config),
            pipeline.offer,
            lambda taken: rulings.take(taken.playbooks.playbooks, taken.trial_playbooks),
            telemetry,
        )
        changer = PackChanger(config, kept.store, installed, reloader, clock, telemetry)
        pipeline.noted = changer.note
        reload = partial(_reloaded, reloader)
        handlers: dict[str, Callable[[Request], Answer]] = {
            RELOAD: reload,
            ACTIVATE: changer.activate,
            ROLLBACK: changer.roll_back,
        }
        requests = Requests(kept.store, clock, handlers)
        daemon = Daemon(
            config, kept, pipeline, telemetry, reloader, requests, changer, outbox, schedule, None, stopping
        )
        _schedule_jobs(daemon, registry, rulings, clock)
        if config.http.listen and not until_end:
            health = HealthBounds(alive_s_max=config.http.alive_s_max, lag_bytes_max=config.http.ready_lag_bytes_max)
            daemon.http = HttpServer(config.http.listen, telemetry, lambda: health_of(daemon), health)
            daemon.http.start()
            closing.callback(daemon.http.stop)
        names = tuple(intake.partition for intake in pipeline.intakes)
        telemetry.emit(
            happenings.Started(version=__version__, mode=config.mode, data_dir=str(config.data_dir), sources=names)
        )
        yield daemon


def _compiled(config: Config, found: InForce) -> Lineup:
    return Lineup.of(found.rules.rules, config.rules.window_events_max, found.trial)


def _tell_loaded(config: Config, found: InForce, telemetry: Telemetry) -> None:
    for folder in (*config.rules.folders, *config.playbooks.folders):
        telemetry.emit(upkeep.FolderUnsigned(folder=str(folder)))
    for problem in (*found.rules.problems, *found.playbooks.problems):
        telemetry.emit(upkeep.RuleRefused(place=_place(problem), problem=str(problem)))
    telemetry.emit(upkeep.RulesLoaded(rules=len(found.rules.rules), refused=len(found.rules.problems)))


def _reloaded(reloader: Reloader, request: Request) -> Answer:
    """Do what `miniwatch rules reload` asks for."""
    done = reloader.reload(f"asked by {request.actor}")
    if done.problems:
        return Answer(done=False, problems=done.problems[:PROBLEMS_MAX])
    changes = f"{done.added} added, {done.changed} changed, {done.removed} removed"
    return Answer(done=True, said=f"{counted(done.rules, 'rule')} in force from turn {done.turn} on: {changes}")


def _place(problem: Any) -> str:
    file = getattr(problem, "path", getattr(problem, "file", ""))
    return f"{file}:{problem.line}" if problem.line else str(file)


def settings_of(config: Config, *, until_end: bool, deliver: bool) -> Settings:
    """What the pipeline needs to know of a configuration."""
    clock = config.clock
    return Settings(
        bounds=Bounds(clock.lateness_s_max, clock.skew_s_max, clock.step_s_max),
        rows_max=config.batch.rows_max,
        bytes_max=config.batch.bytes_max,
        wait_s=config.batch.wait_ms_max / 1000,
        window_events=config.duplicates.window_events,
        snapshot_s=config.snapshots.every_s,
        idle_s=max(1.0, clock.lateness_s_max),
        until_end=until_end,
        deliver=deliver,
        channels=tuple(Channel(f"webhook:{keys.name}", Severity(keys.min_severity)) for keys in config.webhooks),
    )


def _webhook(keys: Any, clock: Callable[[], int]) -> Notifier:
    secret = keys.secret.get_secret_value().encode() if keys.secret is not None else None
    patience = Patience(
        attempts_max=keys.attempts_max, backoff_s_min=keys.backoff_s_min, backoff_s_max=keys.backoff_s_max
    )
    return Webhook(keys.url, secret, clock, timeout_s=keys.timeout_s, patience=patience)


def _intakes(
    config: Config, kept: Kept, sources: Sequence[tuple[Source, bool]] | None, telemetry: Telemetry
) -> Sequence[Intake]:
    return intakes_of(config, kept.people(config), sources, telemetry)


def intakes_of(
    config: Config, people: PeopleHash, sources: Sequence[tuple[Source, bool]] | None, telemetry: Telemetry
) -> Sequence[Intake]:
    """Sources with all that turns their lines into events; `sources`, as for `open_daemon`, in place of the configuration's."""
    bounds = Bounds(config.clock.lateness_s_max, config.clock.skew_s_max, config.clock.step_s_max)
    limit = config.dead_letters.bytes_max
    intakes = []
    found = sources_of(config, run=uuid.uuid4().hex[:12]) if sources is None else sources
    for source, hashed in found:
        ndjson = NdjsonDecoder(dead_letter_bytes_max=limit)
        decoder: Decoder = CombinedDecoder(dead_letter_bytes_max=limit) if source.format == "combined" else ndjson
        door = Door(people, ndjson, hashed=hashed, dead_letter_bytes_max=limit)
        intake = Intake(source, decoder, door, bounds, Progress(partition=source.partition, end=0))
        intake.watch = FaultWatch(partial(_line_faulted, telemetry, source.partition))
        intake.dead_letter_bytes_max = limit
        if source.format == "ndjson" and kernel.available():
            failed = partial(_kernel_failed, telemetry, source.partition)
            intake.native = native.NativeNdjson(people, hashed=hashed, dead_letter_bytes_max=limit, failed=failed)
        intakes.append(intake)
    return intakes


def _cache_refused(telemetry: Telemetry, path: Path, reason: str) -> None:
    telemetry.emit(upkeep.CacheRefused(path=str(path), reason=reason))


def _kernel_failed(telemetry: Telemetry, source: str, error: str) -> None:
    telemetry.emit(happenings.KernelFailed(source=source, error=error))


def _line_faulted(telemetry: Telemetry, source: str, fault: Fault) -> None:
    telemetry.emit(happenings.LineFaulted(source=source, error=fault.error, place=fault.place, position=fault.position))


class RegistryHolder:
    """The registry as it stands; read again when operators have imported apps."""

    def __init__(self, store: SqliteStore, telemetry: Telemetry) -> None:
        self._store = store
        self._telemetry = telemetry
        self._version: tuple[int, int] = (-1, -1)
        self.protected: frozenset[Entity] = frozenset()
        self._registry = Registry(())
        self.refresh()

    def __call__(self) -> Registry:
        return self._registry

    def refresh(self) -> None:
        """Take up what was imported since; the present registry stays in use until the new one is whole."""
        version = self._store.apps_version()
        if version == self._version:
            return
        registry = Registry(list(self._store.apps()))
        self.protected = frozenset(Entity(Scope.APP, app) for app in registry.protected())
        self._registry, self._version = registry, version
        self._telemetry.emit(upkeep.RegistryLoaded(apps=len(registry)))


def _schedule_jobs(daemon: Daemon, registry: RegistryHolder, rulings: Rulings, clock: Callable[[], int]) -> None:
    kept, config, schedule = daemon.kept, daemon.config, daemon.schedule
    sources = [intake.source for intake in daemon.pipeline.intakes]

    def expire() -> None:
        ended = kept.store.expire_decisions(clock())
        if ended:
            daemon.telemetry.emit(happenings.DecisionsExpired(decisions=len(ended)))

    def tidy() -> None:
        done = daemon.pipeline.snapshot_turn
        for day in sorted({segment.day for segment in kept.store.segments()}):
            compact(kept.archive, kept.store, day, done)

    def forget() -> None:
        done = daemon.pipeline.snapshot_turn
        gone = retain(kept.archive, kept.store, days=config.retention.events_days, now=clock(), turn_max=done)
        letters = clock() - config.retention.dead_letters_days * 86_400_000_000
        kept.store.forget_dead_letters(letters)
        kept.store.forget_findings(clock() - config.retention.findings_days * 86_400_000_000)
        kept.store.forget_messages(letters)
        kept.store.forget_requests(letters)
        daemon.telemetry.emit(upkeep.RetentionRan(segments=len(gone.days), rows=gone.events, bytes=gone.bytes))

    def learn() -> None:
        registry.refresh()
        rulings.protected = registry.protected

    watch = FolderWatch([*config.rules.folders, *config.playbooks.folders], config.rules.pipelines)

    def attend() -> None:
        if daemon.requests.hung_up.is_set():
            daemon.requests.hung_up.clear()
            daemon.reloader.reload("SIGHUP")
        daemon.requests.look()

    def watch_folders() -> None:
        if watch.has_changed():
            daemon.reloader.reload("a folder has changed")

    schedule.every("attend to requests", LOOK_S, attend)
    schedule.every("watch packs", PACKS_S, daemon.packs.look)
    if config.rules.watch_s:
        schedule.every("watch folders", config.rules.watch_s, watch_folders)
    schedule.every("expire decisions", EXPIRY_S, expire)
    schedule.every("compact archive", COMPACTION_S, tidy)
    schedule.every("refresh registry", REGISTRY_S, learn)
    schedule.every("check ledger", REGISTRY_S, lambda: check_ledger(daemon))
    schedule.every("look for dropped letters", REGISTRY_S, DroppedWatch(kept.store, daemon.telemetry).look)
    schedule.every("look for access logs", REGISTRY_S, MisreadWatch(kept.store, sources, daemon.telemetry).look)
    schedule.every("tell what was left out", REGISTRY_S, daemon.telemetry.tick)
    schedule.daily("retention", config.retention.hour_utc, forget)


def check_ledger(daemon: Daemon) -> None:
    """Received must be processed and dead-lettered, whatever happened; what is not is told."""
    off = {name: imbalance(progress) for name, progress in daemon.kept.store.progress().items()}
    for name, by in off.items():
        if by:
            daemon.telemetry.emit(happenings.LedgerImbalance(source=name, imbalance=by))
    if not any(off.values()):
        daemon.telemetry.emit(happenings.LedgerBalanced())


def imbalance(progress: Progress) -> int:
    """Events of a partition that are unaccounted for; nothing is in flight in what is committed."""
    return progress.received - progress.processed - progress.dead_lettered


def health_of(daemon: Daemon) -> Health:
    """How the daemon is, for probes and for `doctor`."""
    pipeline = daemon.pipeline
    stalled = pipeline.stalled
    age = 0.0 if stalled is not None else time.monotonic() - daemon.heartbeat[0]
    return Health(
        heartbeat_age_s=age,
        store_stalled=stalled,
        failing_sources=dict(pipeline.failures),
        lag_bytes={intake.partition: intake.source.lag_bytes for intake in pipeline.intakes},
        others=(*(("stopping",) if daemon.stopping.is_set() else ()), *pipeline.suspensions.words(pipeline.lineup)),
    )
