"""What a daemon does by the clock, beside the stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from monitor.anchoring import LOOK_S as ANCHOR_S
from monitor.anchoring import Anchoring
from monitor.config import Config
from monitor.content.folder_watch import FolderWatch
from monitor.content.model_changing import LOOK_S as MODELS_S
from monitor.content.model_changing import ModelChanger
from monitor.content.pack_changing import PACKS_S, PackChanger
from monitor.content.reload import Reloader
from monitor.dropped import DroppedWatch
from monitor.enforcers.catching_up import LOOK_S as CATCH_UP_S
from monitor.enforcers.catching_up import CatchingUp
from monitor.intake.misread import MisreadWatch
from monitor.keeping_up import KeptUp
from monitor.kept import Kept
from monitor.listing.feedback import precisions
from monitor.models.moving import note_drift
from monitor.moments import DAY_US
from monitor.pipeline import Pipeline
from monitor.registered import Registered
from monitor.requests import LOOK_S, Requests
from monitor.responding.appeals_told import AppealReminder
from monitor.responding.clocks_told import LOOK_S as CLOCKS_S
from monitor.responding.clocks_told import ClockWatch
from monitor.responding.lapsing import settle
from monitor.responding.reminding import REMIND_S, Reminder
from monitor.responding.versions import LOOK_S as UPDATES_S
from monitor.responding.versions import end_followed
from monitor.schedule import Schedule
from monitor.settings import channels_of
from monitor.stores.upkeep import compact, retain
from monitor.telemetry import Telemetry, happenings, upkeep
from monitor.telemetry.feedback import FeedbackCounted
from monitor.telemetry.oncall import ClockBreached, ClocksCounted, ClockWarned
from playbooks.clocks import BREACH

EXPIRY_S: Final = 1.0
"""How long after its end a decision may still count as in force for those who only ask what has changed."""

COMPACTION_S: Final = 600.0
REGISTRY_S: Final = 10.0
FEEDBACK_S: Final = 60.0
CLOCK_COUNT_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Each job and what it needs of the daemon's parts."""

    config: Config
    kept: Kept
    pipeline: Pipeline
    registry: Registered
    reloader: Reloader
    requests: Requests
    packs: PackChanger
    models: ModelChanger
    anchoring: Anchoring
    catching_up: CatchingUp
    kept_up: Sequence[KeptUp]
    telemetry: Telemetry
    clock: Callable[[], int]

    def enter(self, schedule: Schedule) -> None:
        """Have all of them done, each as often as it needs."""
        sources = [intake.source for intake in self.pipeline.intakes]
        store = self.kept.store
        leading = self._leading
        schedule.every("attend to requests", LOOK_S, leading(self.attend), may_take_long=True)
        schedule.every("watch packs", PACKS_S, leading(self.packs.look))
        schedule.every("note how features move", MODELS_S, self.note_drift)
        schedule.every("watch models", MODELS_S, leading(self.models.look))
        if self.config.rules.watch_s:
            schedule.every("watch folders", self.config.rules.watch_s, leading(self._folders_watched()))
        if self.anchoring.is_wanted:
            schedule.every("anchor the audit", ANCHOR_S, leading(self.anchoring.look))
        if self.config.enforcers or self.config.topics:
            schedule.every("tell enforcers the rest", CATCH_UP_S, leading(self.catching_up.look))
        schedule.every("expire decisions", EXPIRY_S, leading(self.expire))
        watch = ClockWatch(store, channels_of(self.config), self.clock)
        schedule.every("watch clocks", CLOCKS_S, leading(partial(self.watch_clocks, watch)))
        self.count_clocks()  # a restart is no gap in what alerts go by
        schedule.every("count clocks", CLOCK_COUNT_S, self.count_clocks)
        for one in self.kept_up:
            schedule.every(f"keep up {one.channel.name}", one.every_s, leading(one.look))
        remind_s = int(self.config.held.remind_h * 3600)
        reminder = Reminder(store, channels_of(self.config), remind_s, self.clock)
        schedule.every("end updates that were followed", UPDATES_S, leading(self.end_followed))
        schedule.every("remind of what waits", REMIND_S, leading(reminder.look))
        appeals_s = int(self.config.appeals.remind_h * 3600)
        appeals = AppealReminder(store, channels_of(self.config), appeals_s, self.clock)
        schedule.every("remind of appeals", REMIND_S, leading(appeals.look))
        schedule.every("compact archive", COMPACTION_S, self.compact)
        schedule.every("refresh registry", REGISTRY_S, self.registry.refresh)
        schedule.every("check ledger", REGISTRY_S, self.check_ledger)
        schedule.every("look for dropped letters", REGISTRY_S, DroppedWatch(store, self.telemetry).look)
        schedule.every("look for access logs", REGISTRY_S, MisreadWatch(store, sources, self.telemetry).look)
        schedule.every("count marks", FEEDBACK_S, self.count_marks)
        schedule.every("tell what was left out", REGISTRY_S, self.telemetry.tick)
        schedule.daily("retention", self.config.retention.hour_utc, leading(self.forget))

    def _leading(self, job: Callable[[], object]) -> Callable[[], None]:
        """A job that only the process does that decides; those that stand by leave it."""

        def if_leading() -> None:
            if self.pipeline.leads:
                job()

        return if_leading

    def attend(self) -> None:
        """Do what commands and signals ask for."""
        if self.requests.hung_up.is_set():
            self.requests.hung_up.clear()
            self.reloader.reload("SIGHUP")
        self.requests.look()

    def _folders_watched(self) -> Callable[[], None]:
        folders = [*self.config.rules.folders, *self.config.playbooks.folders]
        watch = FolderWatch(folders, self.config.rules.pipelines)

        def look() -> None:
            if watch.has_changed():
                self.reloader.reload("a folder has changed")

        return look

    def expire(self) -> None:
        """End decisions whose time is up, after what nobody has answered in time."""
        settled = settle(self.kept.store, self.pipeline.policy_now, self.clock())
        if settled.lapsed or settled.began:
            self.telemetry.emit(happenings.DecisionsUnanswered(lapsed=settled.lapsed, began=settled.began))
        ended = self.kept.store.expire_decisions(self.clock())
        if ended:
            self.telemetry.emit(happenings.DecisionsExpired(decisions=len(ended)))

    def watch_clocks(self, watch: ClockWatch) -> None:
        """Tell how much of incidents' time is over."""
        for told in watch.look():
            clock, severity = told.clock.kind.value, told.clock.episode.value
            if told.share == BREACH:
                self.telemetry.emit(ClockBreached(incident=told.clock.incident, clock=clock, severity=severity))
            else:
                self.telemetry.emit(
                    ClockWarned(incident=told.clock.incident, clock=clock, severity=severity, share=told.share)
                )

    def count_clocks(self) -> None:
        """Say what clocks have come to, and what those of the last day."""
        store = self.kept.store
        counted = {(one.kind.value, one.severity.value, one.state): one.clocks for one in store.clock_counts()}
        settled = store.settled_clocks(self.clock() - DAY_US)
        self.telemetry.emit(
            ClocksCounted(
                clocks=counted,
                settled={
                    (one.kind.value, one.severity.value, outcome): number
                    for one in settled
                    for outcome, number in (("met", one.met), ("missed", one.missed))
                },
                stopped_s={(one.kind.value, one.severity.value): one.stopped_s for one in settled},
            )
        )

    def end_followed(self) -> None:
        """End forced updates whose version is released now."""
        ended = end_followed(self.kept.store, self.clock())
        if ended:
            self.telemetry.emit(happenings.DecisionsExpired(decisions=len(ended)))

    def compact(self) -> None:
        """Make few large files of the archive's many small ones."""
        done = self.pipeline.snapshot_turn
        for day in sorted({segment.day for segment in self.kept.store.segments()}):
            compact(self.kept.archive, self.kept.store, day, done)

    def forget(self) -> None:
        """Let go of what has been kept as long as the configuration says."""
        keys, store, now = self.config.retention, self.kept.store, self.clock()
        gone = retain(self.kept.archive, store, days=keys.events_days, now=now, turn_max=self.pipeline.snapshot_turn)
        letters = now - keys.dead_letters_days * DAY_US
        store.forget_dead_letters(letters, now)
        before = now - keys.findings_days * DAY_US
        store.forget_findings(before, now)
        store.forget_decisions(before, now)
        store.forget_incidents(before, now)
        store.forget_messages(letters, now)
        store.forget_requests(letters)
        store.forget_measurements(store.agreed_time(now))
        self.telemetry.emit(upkeep.RetentionRan(segments=len(gone.days), rows=gone.events, bytes=gone.bytes))

    def count_marks(self) -> None:
        """Say how findings of each kind, and of each rule in force, are marked."""
        said, rules = precisions(self.kept.store), self.reloader.in_force.rules.rules
        marked = {rule.id: said.rules[rule.id] for rule in rules if rule.id in said.rules}
        self.telemetry.emit(FeedbackCounted(kinds=said.kinds, rules=marked))

    def note_drift(self) -> None:
        """Say how features have moved since the training of the models that are asked, here and in the record."""
        note_drift(self.pipeline.lineup.learned, self.kept.store, self.telemetry)

    def check_ledger(self) -> None:
        """Received must be processed and dead-lettered, whatever happened; what is not is told."""
        off = {name: progress.imbalance for name, progress in self.kept.store.progress().items()}
        for name, by in off.items():
            if by:
                self.telemetry.emit(happenings.LedgerImbalance(source=name, imbalance=by))
        self.telemetry.emit(happenings.LedgerChecked(imbalance=sum(map(abs, off.values()))))
