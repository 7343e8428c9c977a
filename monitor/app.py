"""The composition root: a configuration becomes a daemon. Parts are opened first to last and closed last to first."""

from __future__ import annotations

import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monitor import __version__
from monitor.alone import alone, refuse_beside_one
from monitor.anchoring import anchoring_of
from monitor.carriers import carriers_of, unreached
from monitor.claim import Claim
from monitor.clock import now_us
from monitor.config import Config
from monitor.console.api.operation import Api
from monitor.console.api.pages import ApiPages
from monitor.console.crowdsec.machines import MachinePages
from monitor.console.health import Check, Health
from monitor.content.again import Again
from monitor.content.ages import RuleAges
from monitor.content.compiling import compiled
from monitor.content.in_force import InForce, Installed, as_asked, playbook_folders
from monitor.content.model_changing import ACTIVATE as MODEL_ACTIVATE
from monitor.content.model_changing import ROLLBACK as MODEL_ROLLBACK
from monitor.content.model_changing import TRY as MODEL_TRY
from monitor.content.model_changing import ModelChanger
from monitor.content.pack_changing import ACTIVATE, ROLLBACK, PackChanger
from monitor.content.reload import PROBLEMS_MAX, CaughtUp, Reloader, places_told
from monitor.counting import counted
from monitor.enforcers.catching_up import CatchingUp
from monitor.enforcers.telling import enforcers_of, publications_of, tell_of
from monitor.enforcers.undelivered import giving_up
from monitor.first_token import ensure_first_token
from monitor.forecasting.measuring import Measuring
from monitor.front import Front, bounds_of, front_of
from monitor.gauging import Gauging
from monitor.holding import held_words
from monitor.intake import Intake
from monitor.intake.growing import Intakes
from monitor.intake.opening import Opened, sources_of
from monitor.jobs import Jobs
from monitor.keeping_up import KeptUp
from monitor.kept import Kept
from monitor.models.opening import OpenedModels
from monitor.models.shelf import ModelShelf
from monitor.notifiers.alertmanager import Member
from monitor.outbox import OutboxWorker
from monitor.packs.shelf import Shelf
from monitor.partitions.answering import AnsweringPipeline
from monitor.partitions.around import Around
from monitor.pipeline import Pipeline
from monitor.playbook_files import LoadedPlaybooks, files_of
from monitor.process import Role, holder_name
from monitor.publishing import Publishing, publishing_of
from monitor.registered import Registered
from monitor.requests import RELOAD, Answer, Requests
from monitor.rules import LoadedRules
from monitor.rules.cache import RuleCache
from monitor.rules.lineup import Due, Lineup
from monitor.rulings import Rulings, appeal_terms, held_config, laid_down_windows
from monitor.schedule import Schedule
from monitor.searching import CATCH_UP_S, indexer_of
from monitor.settings import channels_of, settings_of
from monitor.snapshots import SnapshotFolder
from monitor.sources import Source
from monitor.spooling import spooling_of
from monitor.stores import TOPIC, StoreError
from monitor.stores.damage import marked_when_damaged
from monitor.stores.held_folder import AlreadyRunning, only_one
from monitor.stores.places import Places
from monitor.stores.record import Request
from monitor.surroundings import surroundings_of
from monitor.telemetry import Telemetry, happenings, oncall, upkeep
from monitor.telemetry.standing import NamesKnown
from monitor.unreached import telling_others

if TYPE_CHECKING:
    from monitor.indexer import Indexer


class Interrupted(Exception):
    """The daemon was asked to stop while it read; what it read was not taken."""


@dataclass(slots=True)
class Daemon:
    """One run: opened by `open_daemon`, then `run` until told to stop or all is read."""

    config: Config
    kept: Kept
    pipeline: Pipeline
    telemetry: Telemetry
    reloader: Reloader
    requests: Requests
    outbox: OutboxWorker
    publishing: Publishing
    schedule: Schedule
    front: Front | None
    stopping: threading.Event
    indexer: Indexer | None = None
    claim: Claim | None = None
    intakes: Intakes | None = None
    heartbeat: list[float] = field(default_factory=lambda: [time.monotonic()])
    has_recovered: bool = False  # the memory is that of the last committed turn: events that come can be judged

    @property
    def age_s(self) -> float:
        """How old the last sign of life is. A store that cannot be written is waited for on purpose."""
        return 0.0 if self.pipeline.stalled is not None else time.monotonic() - self.heartbeat[0]

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
        self.kept.archive.between = self._move
        self.pipeline.recover()
        self.has_recovered = True
        if self.indexer is not None:
            self.indexer.start()
        if not settings.until_end:
            self.outbox.start()
            self.publishing.start()
            self.schedule.start()
        reason = "all sources have ended"
        while True:
            self._move()
            if self.stopping.is_set():
                reason = "it was asked to"
                break
            if self.claim is not None and self.claim.is_lost:
                raise AlreadyRunning("another process has taken over this record, while this one stood still")
            if self.intakes is not None and not settings.until_end:
                self.intakes.grow(self._begin)
            try:
                if not self.pipeline.turn():
                    break
            except Interrupted:
                continue
            if progress is not None:
                progress(self.pipeline)
        self.pipeline.finish()
        if settings.until_end and self.indexer is not None:
            self.indexer.catch_up(CATCH_UP_S)
        if settings.until_end and settings.deliver:
            self.outbox.deliver_all(wait_s=60.0)
            self.publishing.deliver_all(wait_s=60.0)
        self.telemetry.emit(happenings.Stopped(reason=reason, turns=self.pipeline.turn_number))

    def _begin(self, intake: Intake) -> None:
        """Have the intake of a partition that was added go on from where the record says, if it knows it."""
        stored = self.pipeline.retried(self.kept.store.progress)
        intake.watch.between = self._still_going
        intake.open(stored.get(intake.partition))

    def _still_going(self) -> None:
        """Lines with faults are being looked for, which takes its time: the daemon is alive, and can be stopped."""
        self._move()
        if self.stopping.is_set():
            raise Interrupted

    def _move(self) -> None:
        self.heartbeat[0] = time.monotonic()

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
    clock: Callable[[], int] = now_us,
    repeated: Again | None = None,
    role: Role = Role.ALL,
    listener: socket.socket | None = None,
) -> Iterator[Daemon]:
    """Put the daemon together. `deliver` None: live runs deliver, runs to the end do not. A `role` other than all reads nothing: what
    workers have found (`monitor.detecting`) is answered, or only shown.

    `sources`, each with whether people are hashed in it already, stand for those of the configuration. `repeated`, for a run
    to the end, is what comes into force where, whatever is configured; raises `CannotRepeat` when it cannot. `listener` is a socket
    that listens at `http.listen` already.
    """
    with ExitStack() as closing:
        places = Places(config.data_dir)
        closing.enter_context(only_one(places.lock, shared=role is not Role.ALL))
        if role is Role.RESPOND:
            closing.enter_context(only_one(places.respond_lock))
        telemetry.emit(happenings.Starting(version=__version__, data_dir=str(config.data_dir)))
        if not config.store.url:
            closing.enter_context(marked_when_damaged(places, clock))
        delivering = deliver if deliver is not None else not until_end
        kept = Kept.of(config, tell_of(config, clock), findings_leave=delivering)
        closing.callback(kept.store.close)
        claim: Claim | None = None
        kept.refuse_other_keys(config)
        if config.store.url and role is Role.RESPOND:
            refuse_beside_one(kept.store, clock)
        elif config.store.url and role is Role.ALL:
            claim = alone(kept, clock)
            closing.callback(claim.stop)
        if role is not Role.API:
            kept.note_folder(clock())
        kept.archive.sweep(kept.store.segments(), kept.store.last_turn())
        cache = RuleCache(places.rule_cache, kept.seal, partial(_cache_refused, telemetry))
        models = OpenedModels(kept.store.content) if repeated is None else repeated.models
        installed = Installed(config, kept.store.pack_content, cache, models)
        begun = repeated.gone_by(kept.store) if repeated is not None else 0
        if repeated is None:
            found = installed.load(Shelf(kept.store.packs()), ModelShelf(kept.store.models()))
            lineup = compiled(config, found)
        else:
            lineup = repeated.lineup(begun)
            found = repeated.in_force(begun, lineup)
        _tell_loaded(config, found, telemetry)
        registry = Registered(kept.store, telemetry, clock)
        rulings = Rulings(
            config,
            found.playbooks,
            kept.store,
            clock,
            found.trial_playbooks,
            registry.protected,
            registry.owners_of_protected,
            registry.released,
        )
        for mute in unreached(config) if delivering and role is not Role.API else ():
            telemetry.emit(oncall.ChannelMute(place=mute.place, found=mute.found, advice=mute.remedy))
        given_up = giving_up(channels_of(config))
        carriers = carriers_of(config, clock)
        channels = (*carriers, *(f"{TOPIC}:{keys.name}" for keys in config.topics))
        others = telling_others(channels_of(config))
        outbox = OutboxWorker(kept.store, carriers, clock, telemetry, given_up=given_up, unreached=others)
        publishing = publishing_of(config, kept.store, clock, telemetry, given_up)
        catching_up = CatchingUp(kept.store, enforcers_of(config), clock, publications_of(config))
        if not until_end:
            if carriers:
                kept.store.on_commit(outbox.wake)
            if config.topics:
                kept.store.on_commit(publishing.wake)
            kept.store.note_configuration({each.key: each.value for each in config.describe()}, clock())
            if role is Role.ALL:
                catching_up.look()
        closing.callback(outbox.stop)
        closing.callback(publishing.stop)
        stopping = threading.Event()
        reads = role is Role.ALL and not until_end and sources is None
        spooling = None if not reads else spooling_of(config, kept, telemetry, clock)
        settings = settings_of(config, until_end=until_end, deliver=delivering)
        ages = RuleAges(kept.store, clock, config.guards.new_rule_h * 3600)
        ages.take(found)
        around = surroundings_of(settings, clock, kept.store.last_time(), ages.new)
        parts: dict[str, Any] = {
            "lineup": lineup,
            "registry": registry,
            "policy": rulings,
            "store": kept.store,
            "archive": kept.archive,
            "snapshots": SnapshotFolder(places.snapshots),
            "telemetry": telemetry,
            "clock": clock,
            "settings": settings,
            "stopping": stopping.is_set,
            "models": models,
        }
        intakes: Intakes | None = None
        if role is Role.ALL:
            spool = spooling.spool if spooling else None
            opened = Opened([*sources]) if sources is not None else None
            opened = opened or sources_of(config, uuid.uuid4().hex[:12], spool, until_end=until_end)
            intakes = Intakes(config, kept.people(config), telemetry, opened)
            closing.callback(intakes.close)
            pipeline = Pipeline(intakes=intakes.all, around=around, **parts)
        else:
            pipeline = AnsweringPipeline(
                intakes=(),
                around=Around(around.activity, around.neighbours, around.condition, around.lateness),
                record=kept.store,
                holder=holder_name(),
                wait_s_max=config.respond.wait_s_max,
                stands_by=role is Role.API,
                **parts,
            )
        if claim is not None:
            pipeline.fence = claim.taken

        def leads() -> bool:
            return pipeline.leads and (claim is None or claim.fence is not None)

        outbox.leads = leads
        publishing.only_while(leads)
        indexer = indexer_of(config, kept, telemetry, clock, role)
        if indexer is not None:
            closing.callback(indexer.stop)
        schedule = Schedule(telemetry, time.monotonic)
        closing.callback(schedule.stop)
        reloader = Reloader(
            found,
            lambda: installed.load(Shelf(kept.store.packs()), ModelShelf(kept.store.models())),
            partial(compiled, config),
            pipeline.offer,
            partial(_enter, rulings, ages),
            telemetry,
        )
        if repeated is not None:
            repeated.check_sources([intake.partition for intake in pipeline.intakes])
            pipeline.expect([_due(repeated, place, reloader) for place in range(begun + 1, len(repeated.points))])
        changer = PackChanger(config, kept.store, installed, reloader, clock, telemetry, pipeline.suspensions)
        model_changer = ModelChanger(
            config, kept.store, installed, reloader, clock, telemetry, partial(_apps, pipeline, registry)
        )
        pipeline.noted = changer.note
        if isinstance(pipeline, AnsweringPipeline):
            pipeline.catch_up = partial(_caught_up, reloader, changer)
        reload = partial(_reloaded, reloader)
        handlers: dict[str, Callable[[Request], Answer]] = {
            RELOAD: reload,
            ACTIVATE: changer.activate,
            ROLLBACK: changer.roll_back,
            **dict.fromkeys((MODEL_TRY, MODEL_ACTIVATE, MODEL_ROLLBACK), model_changer.do),
        }
        requests = Requests(kept.store, clock, handlers)
        anchoring = anchoring_of(config, kept.store, telemetry, clock)
        if anchoring.is_wanted and not until_end and role is Role.ALL:
            anchoring.look()
        resend_s = {keys.name: keys.resend_s for keys in config.alertmanagers}
        kept_up = [
            KeptUp(kept.store, channel, member, clock, telemetry, resend_s[channel.name.split(":")[1]])
            for channel in channels_of(config)
            if isinstance(member := carriers.get(channel.name), Member)
        ]
        for one in kept_up:
            closing.callback(one.stop)
        Jobs(
            config=config,
            kept=kept,
            pipeline=pipeline,
            registry=registry,
            reloader=reloader,
            requests=requests,
            packs=changer,
            models=model_changer,
            anchoring=anchoring,
            catching_up=catching_up,
            kept_up=kept_up,
            telemetry=telemetry,
            clock=clock,
        ).enter(schedule)
        Measuring(
            config=config,
            kept=kept,
            telemetry=telemetry,
            clock=clock,
            role=role,
            lags=partial(_lags, pipeline),
            spool=spooling.spool if spooling is not None else None,
        ).enter(schedule)
        daemon = Daemon(
            config,
            kept,
            pipeline,
            telemetry,
            reloader,
            requests,
            outbox,
            publishing,
            schedule,
            None,
            stopping,
            indexer,
            claim,
            intakes,
        )
        if config.http.listen and not until_end:
            _make_first_token(kept, telemetry, clock)
            if spooling is not None:
                spooling.taker.start()
                closing.callback(spooling.taker.stop)
                spooling.enter(schedule)
            take = spooling.taker.take if spooling is not None else None
            unsure = [digest for digest, _ in spooling.spool.unsure] if spooling is not None else []
            api = _api(config, kept, reloader, rulings, clock)
            own = [*ApiPages(api).pages(), *MachinePages(api, bounds_of(config.http)).pages()]
            health = partial(health_of, daemon)
            daemon.front = front_of(
                config, kept.store, telemetry, clock, health, own, take=take, unsure=unsure, listener=listener
            )
            daemon.front.enter(schedule)
            gauging = Gauging(kept=kept, telemetry=telemetry, clock=clock, channels=channels)
            gauging.enter(schedule, around.condition, lambda: held_of(daemon))
            daemon.front.start()
            closing.callback(daemon.front.stop)
        names = tuple(intake.partition for intake in pipeline.intakes)
        listen = config.http.listen if daemon.front is not None else ""
        telemetry.emit(
            happenings.Started(
                version=__version__, mode=config.mode, data_dir=str(config.data_dir), sources=names, listen=listen
            )
        )
        telemetry.emit(NamesKnown(sources=names, channels=channels))
        yield daemon


def _make_first_token(kept: Kept, telemetry: Telemetry, clock: Callable[[], int]) -> None:
    token = ensure_first_token(kept.store, kept.places.admin_token, clock())
    if token is not None:
        telemetry.emit(upkeep.FirstTokenMade(known_as=token.id, path=str(kept.places.admin_token)))


def _api(config: Config, kept: Kept, reloader: Reloader, rulings: Rulings, clock: Callable[[], int]) -> Api:
    """What our own HTTP API works on."""
    people = kept.people(config)
    return Api(
        store=kept.store,
        people=lambda: people,
        rules=lambda: reloader.in_force.rules.rules,
        playbooks=lambda: as_asked(reloader.in_force.playbooks.playbooks, config),
        playbook_files=lambda: files_of(playbook_folders(config)),
        windows=partial(laid_down_windows, config),
        held=held_config(config),
        appeals=appeal_terms(config),
        mark_days=config.feedback.mark_days,
        policy=rulings,
        clock=clock,
        channels=channels_of(config),
    )


def _apps(pipeline: Pipeline, registry: Registered) -> int:
    """How many apps there are: that are registered, or that models have looked at."""
    learned = pipeline.lineup.learned
    return max(len(registry()), learned.apps if learned is not None else 0)


def _enter(rulings: Rulings, ages: RuleAges, taken: InForce) -> None:
    """What is in force from the next turn on."""
    rulings.take(taken.playbooks.playbooks, taken.trial_playbooks)
    ages.take(taken)


def _caught_up(reloader: Reloader, packs: PackChanger, take_up: Callable[[Lineup], int]) -> CaughtUp:
    """Have in force what the record says now: this process comes to lead."""
    found = reloader.catch_up("this process leads now", take_up)
    if found is not CaughtUp.NOT_NOW:
        packs.begin()
    return found


def _due(repeated: Again, place: int, reloader: Reloader) -> Due:
    """What comes into force at one of the later points."""
    made: list[Lineup] = []

    def lineup() -> Lineup:
        made.append(repeated.lineup(place))
        return made[0]

    return Due(repeated.points[place].positions, lineup, lambda: reloader.take(repeated.in_force(place, made[0])))


def _tell_loaded(config: Config, found: InForce, telemetry: Telemetry) -> None:
    for folder in (*config.rules.folders, *config.playbooks.folders):
        telemetry.emit(upkeep.FolderUnsigned(folder=str(folder)))
    for problem in (*found.rules.problems, *found.playbooks.problems):
        telemetry.emit(upkeep.RuleRefused(place=_place(problem), problem=str(problem)))
    for model in found.models.problems:
        telemetry.emit(upkeep.ModelChangeRefused(model=model.model, reason=model.message))
    telemetry.emit(upkeep.RulesLoaded(rules=len(found.rules.rules), refused=len(found.rules.problems)))


def _reloaded(reloader: Reloader, request: Request) -> Answer:
    """Do what `miniwatch rules reload` asks for."""
    done = reloader.reload(f"asked by {request.actor}")
    if done.problems:
        return Answer(done=False, problems=done.problems[:PROBLEMS_MAX])
    changes = f"{done.added} added, {done.changed} changed, {done.removed} removed"
    return Answer(
        done=True,
        said=f"{counted(done.rules, 'rule')} in force from turn {done.turn} on, {places_told(done.positions)}: {changes}",
    )


def _place(problem: Any) -> str:
    file = getattr(problem, "path", getattr(problem, "file", ""))
    return f"{file}:{problem.line}" if problem.line else str(file)


def _cache_refused(telemetry: Telemetry, path: Path, reason: str) -> None:
    telemetry.emit(upkeep.CacheRefused(path=str(path), reason=reason))


def held_of(daemon: Daemon) -> tuple[str, ...]:
    """Why acts do not begin; nothing where the record does not answer, which is told as such. How well we see ourselves keeps acts from
    beginning where they are decided, and nowhere else.
    """
    pipeline = daemon.pipeline
    try:
        ailments = pipeline.ailments() if pipeline.leads else ()
        return (*held_words(daemon.kept.store, pipeline.clock()), *ailments, *daemon.publishing.troubles())
    except StoreError:
        return ()


def _lags(pipeline: Pipeline) -> dict[str, int | None]:
    """How many bytes of each source wait to be read; None where that cannot be known."""
    return {intake.partition: intake.source.lag_bytes for intake in pipeline.intakes}


def health_of(daemon: Daemon) -> Health:
    """How the daemon is, for probes and for `doctor`."""
    pipeline = daemon.pipeline
    search = daemon.indexer.health().words() if daemon.indexer is not None else ()
    return Health(
        heartbeat_age_s=daemon.age_s,
        leads=pipeline.leads,
        store_stalled=pipeline.stalled,
        failing_sources=dict(pipeline.failures),
        lag_bytes=_lags(pipeline),
        degraded=search,
        held=lambda: held_of(daemon),
        others=(
            *(() if daemon.has_recovered else ((Check.START, "recovering: bringing memory up to the record"),)),
            *(((Check.STOP, "stopping"),) if daemon.stopping.is_set() else ()),
            *((Check.RULES, words) for words in pipeline.suspensions.words(pipeline.lineup)),
            *((Check.MODELS, str(problem)) for problem in daemon.reloader.in_force.models.problems),
        ),
    )
