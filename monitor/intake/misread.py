"""Sources read in the wrong one of two formats: nearly all their lines are dead letters, and one word mends it."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from monitor.decoders import DeadLetterReason
from monitor.decoders.combined import CombinedDecoder
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.sources import RawBatch
from monitor.stores.record import Query
from monitor.telemetry import happenings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from monitor.sources import Source
    from monitor.stores.sql import SqlStore
    from monitor.telemetry import Telemetry

SHARE_MIN: Final = 0.9
"""Of a source's lines that are dead letters, and of the letters looked at that the other format can read."""

LETTERS_MAX: Final = 20
"""Dead letters of a source that are looked at."""

SOURCES_MAX: Final = 10
"""Sources whose dead letters are looked at in one go."""


class Mistake(msgspec.Struct, frozen=True):
    """What a source of one format looks like when it should be read in the other, and what to do."""

    reason: DeadLetterReason  # of nearly all its lines
    decoder: type[CombinedDecoder | NdjsonDecoder]  # that can read them
    format: str
    one: str
    several: str
    remedy: str


MISTAKES: Final = MappingProxyType(
    {
        "ndjson": Mistake(
            reason=DeadLetterReason.BROKEN_JSON,
            decoder=CombinedDecoder,
            format="combined",
            one="an access log",
            several="access logs",
            remedy="add format=combined to the source (file:PATH?format=combined)",
        ),
        "combined": Mistake(
            reason=DeadLetterReason.NOT_COMBINED,
            decoder=NdjsonDecoder,
            format="ndjson",
            one="JSON",
            several="JSON",
            remedy="take format=combined off the source",
        ),
    }
)
"""By the format that a source is read in."""


def misread(store: SqlStore, sources: Sequence[Source], counts: Mapping[str, tuple[int, int]]) -> dict[str, Mistake]:
    """The sources that look like the other format. `counts`: how many lines each has had, and dead letters among them."""
    mistakes = {source.partition: MISTAKES[source.format] for source in sources}
    suspects = [name for name in mistakes if name in counts and _is_nearly_all(*counts[name])]
    return {name: mistakes[name] for name in suspects[:SOURCES_MAX] if _is_so(store, name, mistakes[name])}


class MisreadWatch:
    """Tells of each such source once, while the daemon runs."""

    def __init__(self, store: SqlStore, sources: Sequence[Source], telemetry: Telemetry) -> None:
        self._store = store
        self._left = list(sources)
        self._telemetry = telemetry

    def look(self) -> None:
        """Look at the sources that nothing was said of yet."""
        counts = {name: (each.received, each.dead_lettered) for name, each in self._store.progress().items()}
        found = misread(self._store, self._left, counts)
        for name, mistake in found.items():
            advice = f"it looks like {mistake.one}: {mistake.remedy}"
            self._telemetry.emit(happenings.SourceMisread(source=name, advice=advice))
        self._left = [source for source in self._left if source.partition not in found]


def _is_nearly_all(lines: int, dead: int) -> bool:
    return lines > 0 and dead >= SHARE_MIN * lines


def _is_so(store: SqlStore, partition: str, mistake: Mistake) -> bool:
    """Whether the newest dead letters of a source can nearly all be read in the other format."""
    query = Query(reason=mistake.reason, partition=partition, limit=LETTERS_MAX)
    lines = [store.unseal(row).raw for row in store.dead_letters(query)]
    data = b"".join(line + b"\n" for line in lines)
    read = mistake.decoder().decode(RawBatch(partition, mistake.format, data, 0, len(data)), frozenset())
    return _is_nearly_all(len(lines), read.frame.height)
