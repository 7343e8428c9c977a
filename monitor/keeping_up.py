"""Keeps alerts up at a member of Alertmanager: what is open is sent again, and what has just ended for five more minutes, or three rounds.

It is made of the record at every time, so that nothing is lost with a restart, ours or the member's. A member that does not answer is asked again the
next time; it holds up nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol

from monitor.alerts import Channel
from monitor.notifiers import NotifierError
from monitor.notifiers.alertmanager import Member
from monitor.stores import StoreError
from monitor.stores.clocks import Episodes
from monitor.telemetry import Telemetry
from monitor.telemetry.oncall import AlertsKeptUp, AlertsLeftOut, AlertsNotKeptUp
from playbooks.clocks import Clock
from playbooks.incident import Incident

ALERTS_MAX: Final = 10_000
"""Alerts that are kept up at a member: the most severe, of these those that began last. What is left out is counted."""

ENDED_US: Final = 300 * 1_000_000
"""For how long an alert that is over is sent again, at least."""

ENDED_ROUNDS: Final = 3
"""Rounds within which it is: wherever in a round it ends, two of them tell of it, though one may be late."""


class EpisodeStore(Protocol):
    """The part of the record that alerts are made of."""

    def episodes(self, of: Episodes, limit: int) -> Sequence[tuple[Clock, Incident]]: ...
    def count_episodes(self, of: Episodes) -> int: ...


class KeptUp:
    """One member, in a thread of its own, that is told every `every_s` seconds of what stands."""

    def __init__(
        self,
        store: EpisodeStore,
        channel: Channel,
        member: Member,
        clock: Callable[[], int],
        telemetry: Telemetry,
        every_s: float,
    ) -> None:
        self._store = store
        self.every_s = every_s
        self._ended_us = max(ENDED_US, int(ENDED_ROUNDS * every_s * 1_000_000))
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
            left_out = max(0, self._store.count_episodes(self._wanted) - ALERTS_MAX)
            posts = self._member.keep_up(standing)
        except Exception as error:  # noqa: BLE001 - nobody looks at what becomes of this call: a mistake of ours would be silent
            told = str(error) if isinstance(error, (NotifierError, StoreError)) else repr(error)
            self._telemetry.emit(AlertsNotKeptUp(channel=self._channel.name, error=told))
            return
        kept = AlertsKeptUp(channel=self._channel.name, alerts=len(standing), posts=posts, left_out=left_out)
        self._telemetry.emit(kept)
        if left_out:
            self._telemetry.emit(AlertsLeftOut(channel=self._channel.name, alerts=left_out))

    def standing(self) -> Sequence[tuple[Clock, Incident]]:
        """The episodes that this member is told of, and that are open or have just ended."""
        return self._store.episodes(self._wanted, ALERTS_MAX)

    @property
    def _wanted(self) -> Episodes:
        channel = self._channel
        ended_after = self._clock() - self._ended_us
        return Episodes(ended_after=ended_after, at_least=channel.min_severity, unanswered=channel.is_second)

    def stop(self) -> None:
        """Begin no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
