"""What happens to those who are on call: clocks of incidents, and alerts that are kept up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from monitor.telemetry import metrics
from monitor.telemetry.happening import Happening, Level

if TYPE_CHECKING:
    from monitor.telemetry.meter import Meter


class ClockWarned(Happening, frozen=True, kw_only=True):
    """Part of an incident's time is over."""

    incident: str
    clock: str
    severity: str
    share: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.CLOCK_WARNINGS, clock=self.clock, share=str(self.share))


class ClockBreached(Happening, frozen=True, kw_only=True):
    """An incident's time is over, and what was owed did not happen."""

    level: ClassVar[Level] = "warning"
    incident: str
    clock: str
    severity: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.CLOCK_BREACHES, clock=self.clock, severity=self.severity)


class ClocksCounted(Happening, frozen=True, kw_only=True):
    """How many clocks are in each state, by kind, severity and state; and of the last day, how many ended in time or ran out, and how
    many seconds each took that somebody stopped, the shortest first.
    """

    level: ClassVar[Level] = "debug"
    clocks: Mapping[tuple[str, str, str], int]
    settled: Mapping[tuple[str, str, str], int]
    stopped_s: Mapping[tuple[str, str], Sequence[float]]

    def count(self, meter: Meter) -> None:
        meter.say(metrics.CLOCKS, {(*labels,): number for labels, number in self.clocks.items()})
        meter.say(metrics.CLOCKS_SETTLED, {(*labels,): number for labels, number in self.settled.items()})
        within: dict[tuple[str, ...], float] = {
            (*labels, share): seconds[-(-len(seconds) * int(share) // 100) - 1]
            for labels, seconds in self.stopped_s.items()
            for share in metrics.ANSWER_SHARES
            if seconds
        }
        meter.say(metrics.ANSWER_SECONDS, within)


class ChannelMute(Happening, frozen=True, kw_only=True):
    """A channel lacks what it takes to tell anybody anything: what goes there waits, and is given up."""

    level: ClassVar[Level] = "warning"
    place: str
    found: str
    advice: str


class AlertsKeptUp(Happening, frozen=True, kw_only=True):
    """All alerts that stand were sent again to a member of Alertmanager."""

    level: ClassVar[Level] = "debug"
    channel: str
    alerts: int
    posts: int
    left_out: int

    def count(self, meter: Meter) -> None:
        meter.add(metrics.ALERTS_RESENT, self.posts, channel=self.channel, outcome="sent")
        meter.set(metrics.ALERTS_STANDING, self.alerts, channel=self.channel)
        meter.set(metrics.ALERTS_LEFT_OUT, self.left_out, channel=self.channel)


class AlertsLeftOut(Happening, frozen=True, kw_only=True):
    """More alerts stand than are kept up at a member of Alertmanager: the least severe and oldest are over there, and not here."""

    level: ClassVar[Level] = "warning"
    channel: str
    alerts: int


class AlertsNotKeptUp(Happening, frozen=True, kw_only=True):
    """A member of Alertmanager did not take what was sent again; it is the next time."""

    level: ClassVar[Level] = "warning"
    channel: str
    error: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.ALERTS_RESENT, channel=self.channel, outcome="failed")
