"""The ids of documents beside the segments of the spool: those of a segment that was followed by another are in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from monitor.durable import write_file
from monitor.sealing import Seal
from monitor.spool.frames import IDS, NO_KEY, FrameError, frame, opened, read_head, read_sealed
from monitor.spool.given import Given
from monitor.spool.ids import IdWindow, documents_of, names_of

SUFFIX: Final = ".ids"


class KeptIds:
    """Which ids were taken, in memory and on disk."""

    def __init__(self, folder: Path, seal: Seal) -> None:
        self._folder = folder
        self._seal = seal
        self._window = IdWindow()
        self._sizes: dict[Path, int] = {}
        self.add = self._window.add

    @property
    def disk_bytes(self) -> int:
        """What the files take."""
        return sum(list(self._sizes.values()))

    @property
    def is_full(self) -> bool:
        """Whether the newest segment has enough ids to be followed by another."""
        return self._window.is_full

    def repeated(self, given: Given, beside: dict[int, int], now: int) -> frozenset[int]:
        """Which lines of a request are not new; `beside` are ids, with their documents, of requests that are taken with it."""
        if not given.ids:
            return frozenset()
        found, names = self._window.find(given.ids, now), names_of(given.ids)
        if found.count(None) == len(names) == len(set(names)) and beside.keys().isdisjoint(names):
            return frozenset()  # all are new, as in most requests
        within, repeated = dict[int, int](), set[int]()
        for place, (name, document) in enumerate(zip(names, documents_of(given.ids), strict=True)):
            known = within.get(name, beside.get(name, found[place])) if name else None
            if known is None or (known != document and not given.creates[place]):
                within[name] = document
            else:
                repeated.add(place)
        return frozenset(repeated)

    def keep(self, start: int) -> Path | None:
        """Write the ids of the newest segment down, before another follows it at `start` and it may be deleted. Raises `OSError`."""
        content, newest = self._window.packed()
        if not content:
            return None
        path = self._folder / f"{start:020d}{SUFFIX}"
        _, parts = frame(self._seal, IDS, start, newest, NO_KEY, content)
        whole = b"".join(parts)
        write_file(path, whole, "spool-ids")
        self._sizes[path] = len(whole)
        return path

    def followed(self, path: Path | None, now: int) -> None:
        """The newest segment was followed by another, and its ids are in this file. Files that are not needed are deleted."""
        if path is not None:
            self._window.close_run(path)
        for spared in self._window.spare(now):
            spared.unlink(missing_ok=True)
            self._sizes.pop(spared, None)

    def open(self) -> list[tuple[str, str]]:
        """Read what is kept. Files that cannot be read, and why."""
        unread = []
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            self._sizes[path] = path.stat().st_size
            try:
                self._read(path)
            except FrameError as error:
                unread.append((path.name, str(error)))
        return unread

    def _read(self, path: Path) -> None:
        with path.open("rb") as file:
            head = read_head(file)
            if head is None or head.kind != IDS:
                raise FrameError("no ids")
            content, _ = opened(self._seal, head, read_sealed(file, head))
        self._window.recall(path, content, head.arrival)
