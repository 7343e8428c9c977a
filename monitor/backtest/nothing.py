"""Stand-ins for what a run over the past does not keep: the events, which are there already, and snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import polars as pl

from detectors.detector import State
from monitor.snapshots import FORMAT, Refused, Snapshot, SnapshotFolder, SnapshotRow
from monitor.stores import Segment
from monitor.stores.archive import Archive


class NoArchive(Archive):
    """An archive that holds nothing and keeps nothing."""

    def __init__(self) -> None:
        """Without a folder."""

    def write(self, turn: int, frame: pl.DataFrame) -> list[Segment]:  # noqa: ARG002 - nothing is kept of it
        return []

    def replay(self, segments: Iterable[Segment], after_turn: int = 0) -> Iterator[pl.DataFrame]:  # noqa: ARG002 - as above
        return iter(())


class NoSnapshots(SnapshotFolder):
    """Memory that ends with the run."""

    def __init__(self) -> None:
        """Without a folder."""

    def load(self, turn_max: int | None = None) -> tuple[Snapshot | None, tuple[Refused, ...]]:  # noqa: ARG002 - there is none
        return None, ()

    def save(self, turn: int, states: Mapping[str, State], extra: State | None = None) -> SnapshotRow:  # noqa: ARG002 - nothing is kept
        return SnapshotRow(format=FORMAT, turn=turn, owners=(), frames=())
