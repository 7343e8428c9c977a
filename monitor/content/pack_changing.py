"""Packs put in force and taken back in a running daemon, by command, by schedule, or because their findings run away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from detectors.finding import Finding, Severity
from monitor.alerts import notices
from monitor.audit import AuditEntry
from monitor.config import Config
from monitor.content.in_force import InForce, Installed
from monitor.content.reload import PROBLEMS_MAX, Reloader, places_told
from monitor.models.shelf import ModelShelf
from monitor.moments import HOUR_US
from monitor.notifiers.notice import Notice
from monitor.packs.manifest import Bounds, PackRefused
from monitor.packs.shelf import Shelf, Stage
from monitor.packs.unpacking import tidy
from monitor.requests import Answer, reply_of
from monitor.rules.suspending import Suspensions
from monitor.settings import channels_of
from monitor.stores import Message
from monitor.stores.places import Places
from monitor.stores.record import PackRow, PackState, Request
from monitor.stores.sql import SqlStore
from monitor.telemetry import Telemetry, upkeep

ACTIVATE: Final = "packs.activate"
ROLLBACK: Final = "packs.rollback"

PACKS_S: Final = 5.0
"""How often packs are looked at: whether their time in a stage is over, and whether their findings are in bounds."""

WATCHER: Final = "system:pack-watch"

PROBLEMS_IN_NOTICE: Final = 3


class PackChanger:
    """Does what people and the clock ask of packs. The record is changed once the pipeline has taken up the rules."""

    def __init__(
        self,
        config: Config,
        store: SqlStore,
        installed: Installed,
        reloader: Reloader,
        clock: Callable[[], int],
        telemetry: Telemetry,
        suspensions: Suspensions,
    ) -> None:
        self._suspensions = suspensions
        self._config = config
        self._store = store
        self._installed = installed
        self._reloader = reloader
        self._clock = clock
        self._telemetry = telemetry
        self._folder = Places(config.data_dir).packs
        self._watch = _Watch()
        self._watched = self._stuck = ""
        self._channels = channels_of(config)
        self.begin()

    def begin(self) -> None:
        """Go by what is in force: what is tried is watched."""
        trial = self._reloader.in_force.trial
        self._tried = trial.tried if trial is not None else frozenset[str]()
        self._watched = ""

    def activate(self, request: Request) -> Answer:
        """Bring the pack that a request names ("DIGEST STAGE") to a stage."""
        digest, _, stage = request.subject.partition(" ")
        return self._change(ACTIVATE, f"{digest} {Stage(stage)}", request.actor, request.reason, asked=request)

    def roll_back(self, request: Request) -> Answer:
        """Take the last step back."""
        return self._back(request.actor, request.reason, asked=request)

    def note(self, events: int, fresh: Sequence[Finding]) -> None:
        """Count a turn's events and the findings of rules that are watched; called by the pipeline."""
        self._watch.note(events, fresh)

    def look(self) -> None:
        """Take back a pack whose findings are out of bounds; bring on one whose time in its stage is over."""
        shelf = Shelf(self._store.packs())
        row = shelf.candidate or shelf.active
        if row is None:
            return
        if (reason := self._out_of_bounds(row) or self._faulty()) is not None:
            self._return(row, reason)
            return
        hours = {Stage.SHADOW: self._config.packs.shadow_h, Stage.CANARY: self._config.packs.canary_h}
        stage = Stage(row.stage)
        if row is shelf.candidate and hours[stage] and self._clock() - row.since >= hours[stage] * HOUR_US:
            following = Stage.CANARY if stage is Stage.SHADOW else Stage.LIVE
            why = f"{hours[stage]:g} hours in stage {stage} are over"
            self._change(ACTIVATE, f"{row.digest} {following}", "system:schedule", why)

    def _return(self, row: PackRow, reason: str) -> None:
        """Take a pack back because of what it finds, and tell the people on call, also when it cannot be taken back."""
        messages = notices(_returned(row, reason, self._clock()), self._channels)
        answer = self._back(WATCHER, reason, messages)
        if answer.done:
            self._telemetry.emit(upkeep.PackReturned(pack=label(row), reason=reason))
        elif self._stuck != self._watched:
            self._stuck = self._watched
            why = "; ".join(answer.problems[:PROBLEMS_IN_NOTICE])
            entry = AuditEntry(
                time=self._clock(), actor=WATCHER, action="pack.stuck", subject=f"pack {label(row)}", reason=why
            )
            messages = notices(_stuck(row, f"{reason}. {why}", self._clock()), self._channels)
            self._store.change_packs((), entry, messages)

    def _out_of_bounds(self, row: PackRow) -> str | None:
        key = f"{row.digest} {row.stage} {row.since}"
        if self._watched != key:
            self._watched = key
            self._watch = self._watch_of(row)
        return self._watch.verdict()

    def _faulty(self) -> str | None:
        """Why a trial has ended already: one of its rules brought out a fault."""
        return next((why for rule, why in self._suspensions.tried.copy().items() if rule in self._tried), None)

    def _watch_of(self, row: PackRow) -> _Watch:
        try:
            return _Watch(self._installed.opened(row).manifest.bounds, self._tried)
        except PackRefused:
            return _Watch()

    def _back(self, actor: str, reason: str, messages: Sequence[Message] = (), asked: Request | None = None) -> Answer:
        answer = self._change(ROLLBACK, "packs", actor, reason, messages, asked)
        if answer.done:
            self._tried = frozenset()  # what was in force before is trusted again
        return answer

    def _change(
        self,
        kind: str,
        subject: str,
        actor: str,
        reason: str,
        messages: Sequence[Message] = (),
        asked: Request | None = None,
    ) -> Answer:
        """Have the rules taken up that packs would bring; only then let the packs change their states."""
        with self._reloader.alone():
            return self._changed(kind, subject, actor, reason, messages, asked)

    def _changed(
        self,
        kind: str,
        subject: str,
        actor: str,
        reason: str,
        messages: Sequence[Message],
        asked: Request | None,
    ) -> Answer:
        shelf, before = Shelf(self._store.packs()), self._reloader.in_force
        try:
            changed, entry = change_of(shelf, kind, subject, actor, reason, self._clock())
            self._installed.opened(changed[0])
        except PackRefused as error:
            return self._refused(subject, (str(error),))
        models = ModelShelf(self._store.models())
        done = self._reloader.reload(
            f"{entry.action} by {actor}", lambda: self._installed.load(shelf.after(changed), models)
        )
        if done.problems:
            return self._refused(entry.subject, done.problems)
        self._tried = _tried(before, self._reloader.in_force)
        answer = Answer(done=True, said=f"{entry.after}; from turn {done.turn} on, {places_told(done.positions)}")
        reply = None if asked is None else reply_of(asked, answer, self._clock())
        self._store.change_packs(changed, entry, messages, reply)
        after = Shelf(self._store.packs())
        tidy(self._folder, [row.digest for row in (after.active, after.candidate) if row is not None])
        for row in changed:
            self._telemetry.emit(
                upkeep.PackChanged(pack=label(row), state=row.state, stage=row.stage, why=reason or actor)
            )
        return answer

    def _refused(self, pack: str, problems: tuple[str, ...]) -> Answer:
        self._telemetry.emit(upkeep.PackChangeRefused(pack=pack, reason="; ".join(problems[:5])))
        return Answer(done=False, problems=problems[:PROBLEMS_MAX])


class _Watch:
    """Counts findings of some rules in stretches of events, each as long as the bounds say."""

    def __init__(self, bounds: Bounds | None = None, rules: frozenset[str] = frozenset()) -> None:
        self._bounds = bounds
        self._rules = rules
        self._lock = threading.Lock()
        self._events = 0
        self._findings = 0
        self._verdict: str | None = None

    def note(self, events: int, fresh: Sequence[Finding]) -> None:
        bounds = self._bounds
        if bounds is None or not self._rules:
            return
        with self._lock:
            self._events += events
            self._findings += sum(finding.rule.id in self._rules for finding in fresh)
            if self._findings > bounds.findings_max:
                self._say(bounds, f"more than {bounds.findings_max}")
            elif self._events >= bounds.events:
                if self._findings < bounds.findings_min:
                    self._say(bounds, f"fewer than {bounds.findings_min}")
                self._events = self._findings = 0

    def _say(self, bounds: Bounds, what: str) -> None:
        found = f"{self._findings} findings in {self._events} events"
        self._verdict = self._verdict or f"{found}; {what} in {bounds.events} were not foreseen"

    def verdict(self) -> str | None:
        """Why the findings are out of bounds; None while they are not."""
        with self._lock:
            return self._verdict


def _tried(before: InForce, after: InForce) -> frozenset[str]:
    """The rules that a change has brought new or otherwise, or that were tried until it put them in force."""
    for trial in (after.trial, before.trial):
        if trial is not None:
            return trial.tried
    had = {rule.id: rule.version for rule in before.rules.rules}
    return frozenset(rule.id for rule in after.rules.rules if had.get(rule.id) != rule.version)


def change_of(
    shelf: Shelf, kind: str, subject: str, actor: str, reason: str, now: int
) -> tuple[Sequence[PackRow], AuditEntry]:
    """How packs change their states when that is asked, the one that is asked for first; raises `PackRefused` if it may not be."""
    if kind == ROLLBACK:
        changed, action = shelf.returned(now), "pack.rollback"
    else:
        digest, _, stage = subject.partition(" ")
        row = next((row for row in shelf.rows if row.digest == digest), None)
        if row is None:
            raise PackRefused("there is no such pack in the record")
        changed, action = shelf.moved(row, Stage(stage), now), f"pack.{stage}"
    standing = [row for row in shelf.rows if row.state in {PackState.ACTIVE, PackState.CANDIDATE}]
    entry = AuditEntry(
        time=now,
        actor=actor,
        action=action,
        subject=f"pack {label(changed[0])}",
        reason=reason,
        before="; ".join(map(_standing, standing)),
        after="; ".join(map(_standing, changed)),
    )
    return changed, entry


def _returned(row: PackRow, reason: str, now: int) -> Notice:
    return Notice(
        what="pack-returned",
        key=f"{row.digest[:16]}:{row.since}",
        severity=Severity.HIGH,
        title=f"Pack {label(row)} was taken back by itself",
        text=f"It was in stage {row.stage}: {reason}. What was in force before it is in force again.",
        time=now,
        look="miniwatch rules packs",
    )


def _stuck(row: PackRow, reason: str, now: int) -> Notice:
    return Notice(
        what="pack-not-returned",
        key=f"{row.digest[:16]}:{row.since}",
        severity=Severity.CRITICAL,
        title=f"Pack {label(row)} should be taken back and cannot be",
        text=f"It is still in stage {row.stage}: {reason}",
        time=now,
        look="miniwatch doctor",
    )


def label(row: PackRow) -> str:
    """How people call a pack."""
    return f"{row.name} {row.version}"


def _standing(row: PackRow) -> str:
    where = {PackState.CANDIDATE: f"is tried in stage {row.stage}", PackState.ACTIVE: "is in force"}
    return f"pack {label(row)} {where.get(row.state, f'is {row.state}')}"
