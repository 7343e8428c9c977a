"""Commits a turn with what is done about what its detectors saw: findings told apart from those known, and decided."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any, Protocol

import msgspec
import polars as pl

from detectors.finding import Entity, Finding, Scope, Severity, Sighting
from monitor.alerts import alerts
from monitor.moments import HOUR_US
from monitor.settings import Settings
from monitor.stores import Message, Overtaken, Store, Turn
from monitor.surroundings import Surroundings
from monitor.tripping import shadowing, told
from playbooks.clocks import Clock, begun, latest
from playbooks.decide import decide, decide_in_shadow
from playbooks.incident import Incident
from playbooks.known import Known, Outcome
from playbooks.policy import Policy


class Committer(Protocol):
    """Decides about what a turn has seen, or leaves it to be decided, and commits the turn."""

    def told(self, sightings: Sequence[Sighting]) -> tuple[list[Finding], list[Finding]]: ...
    def remember(self, sightings: Sequence[Sighting]) -> list[Finding]: ...
    def commit(self, turn: Turn, fresh: Sequence[Finding], orders: Mapping[str, int]) -> Turn: ...
    def snapshot(self) -> dict[str, pl.DataFrame]: ...
    def restore(self, state: Mapping[str, pl.DataFrame]) -> None: ...


class TurnCommitter:
    """Decides with the policy as it stands, and commits what follows.

    `retried` asks a store that refuses again, `timed` counts the time that a stage takes, and `clock` is that of live runs.
    """

    def __init__(
        self,
        store: Store,
        policy: Callable[[], Policy],
        settings: Settings,
        clock: Callable[[], int],
        retried: Callable[[Callable[[], Any]], Any],
        timed: Callable[[str], AbstractContextManager[None]],
        around: Surroundings,
    ) -> None:
        self._store = store
        self._policy = policy
        self._settings = settings
        self._clock = clock
        self._retried = retried
        self._timed = timed
        self._around = around

    def told(self, sightings: Sequence[Sighting]) -> tuple[list[Finding], list[Finding]]:
        """What is written down of all that was seen; and which of it is new: risk and playbooks count each once."""
        first = {sighting.finding.id: sighting for sighting in reversed(sightings)}
        known = self._retried(lambda: self._store.known_findings(first)) if first else set()
        findings = [one.finding for one in sightings if one.is_part or one.finding.id not in known]
        fresh = [one.finding for one in sightings if one.finding.id not in known and first[one.finding.id] is one]
        return findings, fresh

    def remember(self, sightings: Sequence[Sighting]) -> list[Finding]:  # noqa: ARG002 - the record knows them
        """What was seen again after a restart: nothing of it is new."""
        return []

    def snapshot(self) -> dict[str, pl.DataFrame]:
        """Nothing: the record knows all that it needs."""
        return {}

    def restore(self, state: Mapping[str, pl.DataFrame]) -> None:
        """Nothing to take up."""

    def commit(self, turn: Turn, fresh: Sequence[Finding], orders: Mapping[str, int]) -> Turn:
        """Decide about new findings and commit the turn with what follows; gives it as it was committed. `orders` are places by the finding's id.

        Decided anew when what people have laid down changed in between: it holds at the commit itself.
        """
        while True:
            with self._timed("decide"):
                rulings = self._retried(self._store.rulings_version) if fresh else None
                outcome = self._retried(lambda: self.decided(fresh, orders))
                clocks, episodes, risen = self._retried(partial(self._clocks, outcome.incidents))
            whole = msgspec.structs.replace(
                turn,
                risks=outcome.risks,
                incidents=outcome.incidents,
                clocks=clocks,
                decisions=outcome.decisions,
                considered=outcome.considered,
                messages=self._messages(outcome, fresh, episodes, risen),
                standings=shadowing(outcome.trips),
                rulings=rulings,
            )
            with self._timed("commit"), suppress(Overtaken):
                self._retried(partial(self._write, whole, time.monotonic()))
                return whole

    def _write(self, turn: Turn, decided: float) -> None:
        """Commit, unless the record has refused for so long that what was decided is old: that is decided anew."""
        is_old = time.monotonic() - decided > self._settings.store_stalled_s
        if is_old and turn.decisions and self._store.last_turn() < turn.number:
            raise Overtaken
        self._store.commit(turn)

    def decided(self, fresh: Sequence[Finding], orders: Mapping[str, int]) -> Outcome:
        """What is done about new findings; those of rules that are being tried are answered apart, and only for the record."""
        if not fresh:
            return Outcome()
        policy = self._around.seen_by(self._policy())
        outcome = self._acted([finding for finding in fresh if not finding.shadow], orders, policy)
        for finding in fresh:
            if finding.shadow:
                tried = decide_in_shadow(finding, policy, now=self._now())
                outcome.decisions.extend(tried.decisions)
                outcome.considered.extend(tried.considered)
        return outcome

    def _acted(self, fresh: Sequence[Finding], orders: Mapping[str, int], policy: Policy) -> Outcome:
        if not fresh:
            return Outcome()
        owners = {finding.owner for finding in fresh if finding.owner is not None}
        owners |= {finding.entity.value for finding in fresh if finding.entity.scope is Scope.DEVELOPER}
        entities = {finding.entity for finding in fresh} | {Entity(Scope.DEVELOPER, owner) for owner in owners}
        now = self._now()
        since = (now if now is not None else min(finding.time for finding in fresh)) - HOUR_US
        known = Known(
            risks=self._store.risks(entities),
            incidents=self._store.open_incidents(entities),
            decisions=self._store.decisions_of(entities),
            owners=self._store.decisions_of_owners(owners),
            recent=self._store.recent_decisions(since),
            active=self._around.active(fresh),
            behind=self._around.behind(fresh, orders),
        )
        return decide(fresh, known, policy, now=now)

    def _clocks(self, incidents: Sequence[Incident]) -> tuple[list[Clock], dict[str, Severity], dict[str, list[Clock]]]:
        """The clocks of episodes that begin; in which episode each incident is; and of those that have become worse, the clocks of the one before.

        None where nobody is told.
        """
        targets = self._settings.targets
        if targets is None or not self._settings.deliver or not incidents:
            return [], {}, {}
        now, earlier = self._clock(), defaultdict[str, list[Clock]](list)
        for clock in self._store.clocks_of([incident.id for incident in incidents]):
            earlier[clock.incident].append(clock)
        made: list[Clock] = []
        episodes: dict[str, Severity] = {}
        risen: dict[str, list[Clock]] = {}
        for incident in incidents:
            known = earlier[incident.id]
            fresh = begun(incident.id, incident.severity, known, targets, now)
            made += fresh
            episodes[incident.id] = (fresh or latest(known))[0].episode
            if fresh and known:
                risen[incident.id] = latest(known)
        return made, episodes, risen

    def _messages(
        self,
        outcome: Outcome,
        fresh: Sequence[Finding],
        episodes: Mapping[str, Severity],
        risen: Mapping[str, Sequence[Clock]],
    ) -> list[Message]:
        channels = self._settings.channels if self._settings.deliver else ()
        if not channels:
            return []
        return [*alerts(outcome, fresh, channels, self._clock(), episodes, risen), *told(outcome.trips, channels)]

    def _now(self) -> int | None:
        """The present, unless the run lives on the stream's own clock."""
        return None if self._settings.until_end else self._clock()
