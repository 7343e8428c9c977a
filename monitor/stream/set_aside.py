"""What statistics knew when they were last written down, kept while they are left out after a fault of ours.

What they remember at the fault itself is of no use: they ended in the middle of something. What they had learned in weeks until the last
snapshot is, once they are taken up again. It goes from snapshot to snapshot until then.
"""

from __future__ import annotations

from collections.abc import Mapping

from detectors.detector import State
from detectors.statistical.detector import NAME
from monitor.rules.lineup import Lineup
from monitor.snapshots import Memory


class SetAside:
    """Hears of every change of the lineup. Nothing is kept where no statistics are wanted."""

    def __init__(self, snapshots: Memory) -> None:
        self._snapshots = snapshots
        self._is_wanted = False
        self._state: State | None = None

    def begin(self, states: Mapping[str, State], lineup: Lineup, configured: Lineup) -> None:
        """Go on from a snapshot under the lineup of its turn; `configured` says whether there are to be statistics."""
        self._is_wanted = _has(configured)
        self._state = states.get(NAME) if self._is_wanted and not _has(lineup) else None

    def changed(self, before: Lineup, after: Lineup, turn: int) -> None:
        """Keep the memory of statistics that go, as the snapshot of a turn has it, and give it to those that come."""
        if not self._is_wanted or _has(before) == _has(after):
            return
        if _has(before):
            snapshot, _ = self._snapshots.load(turn)
            self._state = snapshot.states.get(NAME) if snapshot is not None else None
        elif self._state is not None:
            after.restore({NAME: self._state})

    def beside(self, states: Mapping[str, State]) -> Mapping[str, State]:
        """What a snapshot is to hold: the memory of those who watch, and what is kept until they watch again."""
        if NAME in states:
            self._state = None
        return {NAME: self._state, **states} if self._state is not None else states


def _has(lineup: Lineup) -> bool:
    return any(detector.name == NAME for detector in lineup.detectors)
