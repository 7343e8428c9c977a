"""The memory of a partition's stream on disk: in a folder that every worker reaches, with a row in the record for each snapshot.

`snapshots/<stream>/<epoch>/<turn>/`: each holder of the partition writes into a folder of its own epoch, so that one who has lost the
partition and does not know it yet spoils nothing; its row is refused. A snapshot counts with its row, and only if the files are those
that the row's hash names.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from detectors.detector import State
from monitor.snapshots import MANIFEST, Refused, Snapshot, SnapshotFolder, SnapshotRow, loaded
from monitor.stores import Fence, SnapshotPlace
from monitor.stores.record import Record


class StreamMemory:
    """The snapshots of one stream, written under one fence. Not for several threads at once."""

    def __init__(
        self,
        folder: Path,
        store: Record,
        stream: str,
        fence: Fence,
        position: Callable[[], int],
        clock: Callable[[], int],
    ) -> None:
        self._root = folder
        self._store = store
        self._stream = stream
        self._fence = fence
        self._position = position
        self._clock = clock
        self._own = Path(hashlib.sha256(stream.encode()).hexdigest()[:12]) / f"{fence.epoch:012d}"
        self._folder = SnapshotFolder(folder / self._own)

    def save(self, turn: int, states: Mapping[str, State], extra: State | None = None) -> SnapshotRow:
        """Write the memory after a committed turn; raises `StoreError` when the disk or the record refuses, `Fenced` included."""
        row = self._folder.save(turn, states, extra)
        name = self._own / f"{turn:012d}"
        place = SnapshotPlace(
            stream=self._stream,
            turn=turn,
            epoch=self._fence.epoch,
            position=self._position(),
            time=self._clock(),
            bytes=row.bytes,
            place=name.as_posix(),
            sha256=_digest(self._root / name),
        )
        for old in self._store.add_snapshot(place, self._fence):
            shutil.rmtree(self._root / old.place, ignore_errors=True)
        return row

    def load(self, turn_max: int | None = None) -> tuple[Snapshot | None, tuple[Refused, ...]]:
        """The newest snapshot that the record names and whose files are as they were written, and those refused on the way."""
        refused = []
        for place in self._store.snapshot_places():
            path = self._root / place.place
            if turn_max is not None and place.turn > turn_max:
                refused.append(Refused(path, f"of turn {place.turn}, but the record ends with turn {turn_max}"))
                continue
            if not path.is_dir():
                refused.append(Refused(path, "it is not there"))
                continue
            if _digest(path) != place.sha256:
                refused.append(Refused(path, f"{MANIFEST} is not the one that the record names"))
                continue
            snapshot, more = loaded(path)
            refused += more
            if snapshot is not None:
                return snapshot, tuple(refused)
        return None, tuple(refused)


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()
    except OSError:
        return ""
