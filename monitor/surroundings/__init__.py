"""What goes on around findings, gathered from the stream: who is active, who stands behind an address, how we ourselves are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import polars as pl

from detectors.event import ARRIVAL
from detectors.finding import Finding, Scope
from monitor.decoders import lines_of
from monitor.intake import Piece
from monitor.settings import Settings
from monitor.surroundings.activity import Activity
from monitor.surroundings.condition import Condition
from monitor.surroundings.neighbours import Neighbours
from monitor.surroundings.news import moment_of, moments_of
from monitor.surroundings.passers import passers
from playbooks.policy import Policy
from playbooks.risk import MICROSECONDS
from playbooks.surroundings import Active, Behind

SHARED: tuple[Scope, ...] = (Scope.ADDRESS, Scope.RANGE)
"""What many may share."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The memories, which belong to the stream as detectors' do, and the condition, which is of the present. `lateness` is that of the stream, in
    microseconds: a finding's place in the order of arrivals is so much after the watermark of then.
    """

    activity: Activity
    neighbours: Neighbours
    condition: Condition
    lateness: int = 0
    _behind: dict[str, Behind] = field(default_factory=dict)
    _reached: list[int] = field(default_factory=list)

    def observe(self, frame: pl.DataFrame) -> None:
        """Remember who comes by in these events, each for the first time."""
        if not frame.height:
            return
        seen = passers(frame)
        self.activity.observe(seen)
        if self._reached:  # of what was found before nothing is asked any more
            self.neighbours.settle(self._reached.pop())
        self.neighbours.observe(seen)
        self._reached.append(int(moments_of(seen.mark)[-1]))

    def taken(self, pieces: Sequence[Piece], frame: pl.DataFrame) -> None:
        """A turn reads these: when its events arrived, and what of its lines could not be read."""
        self.condition.arrived(frame[ARRIVAL].to_numpy())
        self.condition.read(sum(piece.lines for piece in pieces), sum(lines_of(piece.letters) for piece in pieces))

    def active(self, findings: Sequence[Finding]) -> dict[str, Active]:
        """Who was active when each finding was made, by its id."""
        return {finding.id: self.activity.at(finding.time) for finding in findings}

    def behind(self, findings: Sequence[Finding], orders: Mapping[str, int]) -> dict[str, Behind]:
        """Who stood behind the addresses that findings accuse when each was made, by its id: all who came before the moment of then.

        `orders` are the findings' places in the order of arrivals. Those that are asked about again get the same answer.
        """
        told: dict[str, Behind] = {}
        accused = [finding for finding in findings if finding.entity.scope in SHARED]
        for finding in sorted(accused, key=lambda one: orders[one.id]):
            if finding.id not in self._behind:
                self.neighbours.settle(moment_of(orders[finding.id] - self.lateness))
                self._behind[finding.id] = self.neighbours.behind(finding.entity)
            told[finding.id] = self._behind[finding.id]
        self._behind.clear()
        self._behind.update(told)
        return told

    def seen_by(self, policy: Policy) -> Policy:
        """A policy that knows how we are."""
        return msgspec.structs.replace(policy, health=self.condition.health())

    def snapshot(self) -> dict[str, pl.DataFrame]:
        return {**self.activity.snapshot(), **self.neighbours.snapshot()}

    def restore(self, state: Mapping[str, pl.DataFrame]) -> None:
        self.activity.restore(state)
        self.neighbours.restore(state)


def surroundings_of(
    settings: Settings,
    clock: Callable[[], int],
    last_written: int = 0,
    new_rules: Callable[[], dict[str, int]] = dict,
) -> Surroundings:
    """What a pipeline with these settings gathers. `last_written` is the newest time that the record has from the daemon's clock."""
    reach_s = (settings.bounds.lateness + settings.bounds.skew) / MICROSECONDS
    condition = Condition(
        clock,
        clock_off_s=settings.clock_off_s,
        lines_min=settings.letters_lines_min,
        last_written=last_written,
        new_rules=new_rules,
    )
    return Surroundings(Activity(reach_s), Neighbours(), condition, settings.bounds.lateness)
