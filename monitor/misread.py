"""Sources read as JSON whose lines are those of an access log: nearly all of them are dead letters, and one word mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from monitor.decoders import DeadLetterReason
from monitor.decoders.combined import CombinedDecoder
from monitor.sources import RawBatch
from monitor.stores.record import Query
from monitor.telemetry import happenings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from monitor.sources import Source
    from monitor.stores.sqlite import SqliteStore
    from monitor.telemetry import Telemetry

SHARE_MIN: Final = 0.9
"""Of a source's lines that are dead letters, and of the letters looked at that are lines of an access log."""

LETTERS_MAX: Final = 20
"""Dead letters of a source that are looked at."""

SOURCES_MAX: Final = 10
"""Sources whose dead letters are looked at in one go."""

ADVICE: Final = "it looks like an access log: add format=combined to the source"


def misread(store: SqliteStore, sources: Sequence[Source], counts: Mapping[str, tuple[int, int]]) -> list[str]:
    """The sources of JSON that look like access logs. `counts`: how many lines each has had, and dead letters among them."""
    names = [source.partition for source in sources if source.format == "ndjson"]
    suspects = [name for name in names if name in counts and _is_nearly_all(*counts[name])]
    return [name for name in suspects[:SOURCES_MAX] if _is_access_log(store, name)]


class MisreadWatch:
    """Tells of each such source once, while the daemon runs."""

    def __init__(self, store: SqliteStore, sources: Sequence[Source], telemetry: Telemetry) -> None:
        self._store = store
        self._left = list(sources)
        self._telemetry = telemetry

    def look(self) -> None:
        """Look at the sources that nothing was said of yet."""
        counts = {name: (each.received, each.dead_lettered) for name, each in self._store.progress().items()}
        found = misread(self._store, self._left, counts)
        for name in found:
            self._telemetry.emit(happenings.SourceMisread(source=name, advice=ADVICE))
        self._left = [source for source in self._left if source.partition not in found]


def _is_nearly_all(lines: int, dead: int) -> bool:
    return lines > 0 and dead >= SHARE_MIN * lines


def _is_access_log(store: SqliteStore, partition: str) -> bool:
    """Whether the newest broken lines of a source are nearly all in the combined format."""
    query = Query(reason=DeadLetterReason.BROKEN_JSON, partition=partition, limit=LETTERS_MAX)
    lines = [store.unseal(row).raw for row in store.dead_letters(query)]
    data = b"".join(line + b"\n" for line in lines)
    read = CombinedDecoder().decode(RawBatch(partition, "combined", data, 0, len(data)), frozenset())
    return _is_nearly_all(len(lines), read.frame.height)
