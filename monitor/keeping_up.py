"""Keeps alerts up at a member of Alertmanager: what is open is sent again, and what has just ended for five more minutes.

It is made of the record at every time, so that nothing is lost with a restart, ours or the member's. A member that does not answer is asked again the
next time; it holds up nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol

from monitor.alerts import Channel, is_unanswered
from monitor.notifiers import NotifierError
from monitor.notifiers.alertmanager import Member
from monitor.stores import StoreError
from monitor.telemetry import Telemetry
from monitor.telemetry.oncall import AlertsKeptUp, AlertsNotKeptUp
from playbooks.clocks import Clock
from playbooks.incident import Incident

ALERTS_MAX: Final = 10_000
"""Alerts that are kept up, those that began last."""

ENDED_US: Final = 300 * 1_000_000
"""For how long an alert that is over is sent again."""


class EpisodeStore(Protocol):
    """The part of the record that alerts are made of."""

    def episodes(self, ended_after: int, limit: int) -> Sequence[tuple[Clock, Incident]]: ...
    def clocks_of(self, incidents: Sequence[str]) -> Sequence[Clock]: ...


class KeptUp:
    """One member, in a thread of its own."""

    def __init__(
        self,
        store: EpisodeStore,
        channel: Channel,
        member: Member,
        clock: Callable[[], int],
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._channel = channel
        self._member = member
        self._clock = clock
        self._telemetry = telemetry
        self._pool = ThreadPoolExecutor(1, "keep-up")
        self._under_way: Future[None] | None = None

    @property
    def channel(self) -> Channel:
        return self._channel

    def look(self) -> None:
        """Begin to send what stands, unless that is still under way."""
        if self._under_way is None or self._under_way.done():
            self._under_way = self._pool.submit(self.keep_up)

    def keep_up(self) -> None:
        """Send what stands."""
        try:
            standing = self.standing()
            posts = self._member.keep_up(standing)
        except (NotifierError, StoreError) as error:
            self._telemetry.emit(AlertsNotKeptUp(channel=self._channel.name, error=str(error)))
        else:
            self._telemetry.emit(AlertsKeptUp(channel=self._channel.name, alerts=len(standing), posts=posts))

    def standing(self) -> list[tuple[Clock, Incident]]:
        """The episodes that this member is told of, and that are open or have just ended."""
        found = self._store.episodes(self._clock() - ENDED_US, ALERTS_MAX)
        unanswered = self._unanswered([clock for clock, _ in found]) if self._channel.is_second else set()
        return [
            (clock, incident)
            for clock, incident in found
            if self._channel.hears_of(clock.episode, is_unanswered=(clock.incident, clock.episode) in unanswered)
        ]

    def stop(self) -> None:
        """Begin no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _unanswered(self, clocks: Sequence[Clock]) -> set[tuple[str, object]]:
        every = self._store.clocks_of(sorted({clock.incident for clock in clocks}))
        return {(clock.incident, clock.episode) for clock in every if is_unanswered([clock])}
