"""Models tried, put in force and taken back in a running daemon: by command, by the clock, or because they tell of too much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from detectors.finding import Severity
from monitor.alerts import notices
from monitor.audit import AuditEntry
from monitor.config import Config
from monitor.content.in_force import InForce, Installed
from monitor.content.reload import PROBLEMS_MAX, Reloader, places_told
from monitor.models.shelf import ModelRefused, ModelShelf, label, standing
from monitor.moments import DAY_US, HOUR_US
from monitor.notifiers.notice import Notice
from monitor.requests import Answer, reply_of
from monitor.settings import channels_of
from monitor.stores import Message
from monitor.stores.models import ModelRow, ModelState
from monitor.stores.record import Request
from monitor.stores.sql import SqlStore
from monitor.telemetry import Telemetry, upkeep

TRY: Final = "models.try"
ACTIVATE: Final = "models.activate"
ROLLBACK: Final = "models.rollback"

LOOK_S: Final = 60.0
"""How often models are looked at: whether their time of trial is over, and whether they tell of too much."""

SWITCHED_OFF: Final = "models are switched off; set models.enabled to true, and start the daemon again"

WATCHER: Final = "system:model-watch"

FINDINGS_TIMES_MAX: Final = 10.0
FINDINGS_MIN: Final = 10
"""A model that tells of so many times more than the false findings that are afforded, and of so many at least, is taken back."""


class ModelChanger:
    """Does what people and the clock ask of models. The record is changed once the pipeline has taken them up."""

    def __init__(
        self,
        config: Config,
        store: SqlStore,
        installed: Installed,
        reloader: Reloader,
        clock: Callable[[], int],
        telemetry: Telemetry,
        apps: Callable[[], int],
    ) -> None:
        """`apps` says how many apps there are."""
        self._config = config
        self._store = store
        self._installed = installed
        self._reloader = reloader
        self._clock = clock
        self._telemetry = telemetry
        self._apps = apps
        self._channels = channels_of(config)

    def do(self, request: Request) -> Answer:
        """Try or activate the model that a request names by its digest, or take the last step back."""
        return self._change(request.kind, request.subject, request.actor, request.reason, asked=request)

    def look(self) -> None:
        """Take back a model that tells of too much; put one in force whose time of trial is over."""
        if not self._config.models.enabled:
            return
        shelf = ModelShelf(self._store.models())
        for row in (shelf.candidate, shelf.active):
            if row is not None and (reason := self._too_much(row)) is not None:
                self._return(row, reason)
                return
        row, hours = shelf.candidate, self._config.models.shadow_h
        if row is None or not hours or not row.story.drift:  # which is noted once a whole day has been looked at
            return
        if self._clock() - row.since >= hours * HOUR_US:
            why = f"{hours:g} hours of trial are over"
            self._change(ACTIVATE, row.digest, "system:schedule", why)

    def _too_much(self, row: ModelRow) -> str | None:
        """Why a model tells of too much since it came to its state, of the last day at most."""
        now = self._clock()
        since = max(row.since, now - DAY_US)
        days = max((now - since) / DAY_US, 1 / 24)
        afforded = self._config.models.false_per_thousand_apps_day * max(self._apps(), 1000) / 1000 * days
        most = max(int(FINDINGS_TIMES_MAX * afforded), FINDINGS_MIN)
        told = self._store.told_of(row.digest[:16], since)
        if told <= most:
            return None
        return f"it told of {told} apps in {days * 24:.0f} h, where {most} are the most that is to be expected"

    def _return(self, row: ModelRow, reason: str) -> None:
        shelf = ModelShelf(self._store.models())
        is_back = row.state is ModelState.CANDIDATE or any(map(self._is_usable, shelf.before))
        messages = notices(_returned(row, reason, self._clock(), is_back=is_back), self._channels)
        if self._change(ROLLBACK, row.digest, WATCHER, reason, messages).done:
            self._telemetry.emit(upkeep.ModelReturned(model=label(row), reason=reason))

    def _change(
        self,
        kind: str,
        subject: str,
        actor: str,
        reason: str,
        messages: Sequence[Message] = (),
        asked: Request | None = None,
    ) -> Answer:
        """Have the models taken up that would be there; only then let them change their states."""
        if kind != ROLLBACK and not self._config.models.enabled:
            return self._refused(subject[:16], (SWITCHED_OFF,))
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
        shelf = ModelShelf(self._store.models())
        try:
            changed, entry = change_of(shelf, kind, subject, actor, reason, self._clock(), self._is_usable)
        except ModelRefused as error:
            return self._refused(subject[:16], (str(error),))
        if kind != ROLLBACK and (why := self._installed.why_not(changed[0].digest)):
            return self._refused(entry.subject, (f"{entry.subject} cannot be used: {why}",))
        done = self._reloader.reload(f"{entry.action} by {actor}", lambda: self._with(shelf.after(changed)))
        if done.problems:
            return self._refused(entry.subject, done.problems)
        answer = Answer(done=True, said=f"{entry.after}; from turn {done.turn} on, {places_told(done.positions)}")
        reply = None if asked is None else reply_of(asked, answer, self._clock())
        self._store.change_models(changed, entry, messages, reply)
        for row in changed:
            self._telemetry.emit(upkeep.ModelChanged(model=label(row), state=row.state, why=reason or actor))
        return answer

    def _with(self, shelf: ModelShelf) -> InForce:
        """What is in force with other models: whatever may be wrong with a rule meanwhile is no matter of theirs."""
        return msgspec.structs.replace(self._reloader.in_force, models=self._installed.models(shelf))

    def _is_usable(self, row: ModelRow) -> bool:
        return not self._installed.why_not(row.digest)

    def _refused(self, model: str, problems: tuple[str, ...]) -> Answer:
        self._telemetry.emit(upkeep.ModelChangeRefused(model=model, reason="; ".join(problems[:5])))
        return Answer(done=False, problems=problems[:PROBLEMS_MAX])


def change_of(
    shelf: ModelShelf,
    kind: str,
    subject: str,
    actor: str,
    reason: str,
    now: int,
    usable: Callable[[ModelRow], bool] = lambda _row: True,
) -> tuple[Sequence[ModelRow], AuditEntry]:
    """How models change their states when that is asked, the one that is asked for first; raises `ModelRefused` if it may not be.
    `usable` says which can be gone back to.
    """
    if kind == ROLLBACK:
        changed = shelf.returned(now, subject, usable)
    else:
        row = shelf.named(subject)
        changed = shelf.tried(row, now) if kind == TRY else shelf.activated(row, now)
    entry = AuditEntry(
        time=now,
        actor=actor,
        action=kind.replace("models.", "model."),
        subject=label(changed[0]),
        reason=reason,
        before=standing([row for row in (shelf.active, shelf.candidate) if row is not None]),
        after=standing(changed),
    )
    return changed, entry


def _returned(row: ModelRow, reason: str, now: int, *, is_back: bool) -> Notice:
    after = "What was in force before it is in force" if is_back else "No model is in force now: miniwatch model train"
    return Notice(
        what="model-returned",
        key=f"{row.digest[:16]}:{row.since}",
        severity=Severity.HIGH,
        title=f"{label(row).capitalize()} was taken back by itself",
        text=f"{reason[:1].upper()}{reason[1:]}. {after}.",
        time=now,
        look="miniwatch model list",
    )
