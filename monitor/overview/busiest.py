"""The apps with most of the newest events, counted from the newest files of the archive: the daemon is not asked."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

from detectors.finding import Entity, Scope
from monitor.overview import Busiest, BusyApp
from monitor.stores import Segment
from monitor.stores.archive import Archive
from monitor.stores.folder_name import name_there
from monitor.stores.segment import SegmentBroken
from monitor.stores.sql import SqlStore
from playbooks.risk import decay

EVENTS_MAX: Final = 100_000
"""The newest events that are counted, about: a group of rows counts as a whole."""

FILES_MAX: Final = 64
"""Files of a stream that are opened in one look."""

APP: Final = "miniprogram.app_id"


class BusiestApps:
    """Remembers what it has counted: each look reads what came since, and no event twice."""

    def __init__(self, store: SqlStore, archive: Archive, half_life_s: int, seconds_max: float) -> None:
        self._store = store
        self._archive = archive
        self._half_life_s = half_life_s
        self._seconds_max = seconds_max
        self._seen: dict[str, int] = {}
        self._parts: deque[tuple[int, Counter[str]]] = deque()

    def look(self, now: int, limit: int) -> Busiest:
        """The busiest of the newest events, at most so many apps."""
        name = name_there(self._archive.folder)
        segments = self._store.newest_segments(name, self._seen, FILES_MAX, self._seconds_max)
        self._read(segments)
        together: Counter[str] = Counter()
        for _, counts in self._parts:
            together.update(counts)
        apps = together.most_common(limit)
        risks = self._store.risks([Entity(scope=Scope.APP, value=app) for app, _ in apps])
        scores = {entity.value: decay(risk, now, self._half_life_s).score for entity, risk in risks.items()}
        return Busiest(
            events=sum(rows for rows, _ in self._parts),
            apps=tuple(BusyApp(app_id=app, events=count, risk=scores.get(app)) for app, count in apps),
            elsewhere=not name and not self._parts,  # whoever writes here has named the folder
        )

    def _read(self, segments: Sequence[Segment]) -> None:
        """Count what these files have that was not seen yet, the newest before the others, up to the bound."""
        fresh: list[tuple[int, Counter[str]]] = []
        left = EVENTS_MAX
        for segment in sorted(segments, key=lambda each: (each.time_max, each.turn_last), reverse=True):
            if left <= 0:
                break
            after = self._seen.get(segment.stream, 0)
            for frame in self._archive.scan(
                [segment], columns=[APP], turn_after=after, newest_first=True, broken=_passed_over
            ):
                counts = frame.get_column(APP).drop_nulls().value_counts()
                fresh.append((frame.height, Counter(dict(counts.iter_rows()))))
                left -= frame.height
                if left <= 0:
                    break
        for segment in segments:
            self._seen[segment.stream] = max(self._seen.get(segment.stream, 0), segment.turn_last)
        self._parts.extend(reversed(fresh))
        while len(self._parts) > 1 and sum(rows for rows, _ in self._parts) - self._parts[0][0] >= EVENTS_MAX:
            self._parts.popleft()


def _passed_over(_broken: SegmentBroken) -> None:
    """A file that was joined or deleted since it was named: what it had counts no more. Of damage `doctor` tells."""
