"""The optional kernel: decoding and the door in one pass, for the many ordinary lines. The rest goes the way of Python.

What a line means is defined by `NdjsonDecoder` and `Door`; the kernel
takes lines about which nothing is out of the ordinary, and a property test holds both ways together, line for line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa

from detectors.event import DTYPES, LINE, PEOPLE, POSITION, Kind, kind_of
from detectors.kernel import module as kernel
from monitor.decoders import DeadLetter, Decoded, left_out
from monitor.decoders.blank import blank_runs
from monitor.decoders.ndjson import DEAD_LETTER_BYTES_MAX, NdjsonDecoder
from monitor.decoders.shape import shape_of, spellings
from monitor.door import FREE_TEXT, Door, PeopleHash, holding
from monitor.door.telltales import PIECES, WORDS
from monitor.sources import RawBatch

_REDACTED: Final = "redaction.kinds"

READERS_MAX: Final = 8
"""Sets of fields for which a reader is kept; a daemon has one, tests have some."""

_NUMBER_OF_KIND: Final = {Kind.TEXT: 0, Kind.INTEGER: 1, Kind.NUMBER: 2, Kind.BOOLEAN: 3, Kind.TIME: 4}
_LOOSE: Final = 5
_ARROW: Final = {Kind.INTEGER: pa.int64(), Kind.TIME: pa.int64(), Kind.NUMBER: pa.float64(), Kind.BOOLEAN: pa.bool_()}


class NativeNdjson:
    """Decodes NDJSON and admits it: ``Door.admit(NdjsonDecoder.decode(raw, fields), fields)``, several times faster."""

    def __init__(
        self,
        people: PeopleHash,
        *,
        hashed: bool = False,
        dead_letter_bytes_max: int = DEAD_LETTER_BYTES_MAX,
        failed: Callable[[str], None] = lambda _error: None,
    ) -> None:
        """`failed` is told whenever the kernel could not read a batch, and why; the batch went the way of Python then."""
        bound = dead_letter_bytes_max
        self._decoder = NdjsonDecoder(dead_letter_bytes_max=bound)
        self._door = Door(people, self._decoder, hashed=hashed, dead_letter_bytes_max=bound)
        self._secrets = Door(people, self._decoder, hashed=True, dead_letter_bytes_max=bound)
        self._people = None if hashed else kernel.People(people)
        self._plans = lru_cache(READERS_MAX)(_Plan)
        self._dead_letter_bytes_max = bound
        self._failed = failed

    def admit(self, raw: RawBatch, fields: frozenset[str]) -> Decoded:
        """The batch as rows fit to be kept, and its dead letters."""
        if not fields.issuperset(PEOPLE):
            return self._by_python(raw, fields)
        plan = self._plans(fields)
        try:
            told = plan.reader.read(raw.data, self._people)
        except kernel.Unread as error:  # a batch too long for it, or a fault of its own: the batch is not lost
            self._failed(str(error))
            return self._by_python(raw, fields)
        read = _Read(*told)
        fit = self._without_secrets(plan.frame(read, raw), read, raw, fields)
        letters = [*fit.dead_letters, *left_out(raw, self._dead_letter_bytes_max)]
        frame = fit.frame
        if read.odd:
            others = self._odd(raw, read, fields)
            letters += others.dead_letters
            if others.frame.height:
                frame = pl.concat([frame, others.frame.select(frame.columns)], rechunk=True).sort(POSITION)
        return Decoded(frame, sorted(letters, key=lambda letter: letter.position))

    def _by_python(self, raw: RawBatch, fields: frozenset[str]) -> Decoded:
        return self._door.admit(self._decoder.decode(raw, fields), fields)

    def _without_secrets(self, frame: pl.DataFrame, read: _Read, raw: RawBatch, fields: frozenset[str]) -> Decoded:
        """Suspected rows through the door; only those that changed are put back."""
        if not read.suspects:
            return Decoded(frame, [])
        before = frame[read.suspects]
        admitted = self._secrets.admit(Decoded(before, []), fields, suspected=True)
        after = admitted.frame
        gone = {letter.position for letter in admitted.dead_letters}
        if gone:
            frame = frame.filter(~pl.col(POSITION).is_in(list(gone)))
            before = before.filter(~pl.col(POSITION).is_in(list(gone)))
        differs = before.select(pl.col(name).ne_missing(after[name]) for name in frame.columns)
        changed = after.filter(differs.select(pl.any_horizontal(pl.all())).to_series())
        if changed.height:
            rows = frame[POSITION].search_sorted(changed[POSITION])
            names = [name for name in frame.columns if differs[name].any()]
            frame = frame.with_columns(frame[name].scatter(rows, changed[name]) for name in names)
        return Decoded(frame, [self._with_raw(letter, raw) for letter in admitted.dead_letters])

    def _with_raw(self, letter: DeadLetter, raw: RawBatch) -> DeadLetter:
        """With the bytes that came in, as the door gives it."""
        start = raw.offset(letter.position)
        line = raw.data[start : raw.data.index(b"\n", start)].strip(b" \t\r")
        return holding(letter, line, self._dead_letter_bytes_max)

    def _odd(self, raw: RawBatch, read: _Read, fields: frozenset[str]) -> Decoded:
        """The lines that the kernel left, by way of Python, with their positions in the batch."""
        spans = np.array(read.odd, dtype=np.int64)
        is_blank, blank = blank_runs(raw, spans[:, 0], spans[:, 1])
        starts, lengths = spans[~is_blank, 0], (spans[:, 1] - spans[:, 0])[~is_blank]
        ends = np.cumsum(lengths)
        moved = raw.positions(starts) - (ends - lengths)
        data = b"".join([raw.data[start:end] for start, end in spans[~is_blank].tolist()])
        decoded = self._by_python(raw.bare(data), fields)
        position = decoded.frame[POSITION].to_numpy()
        there = pl.Series(POSITION, position + moved[np.searchsorted(ends, position, side="right")], dtype=pl.Int64)
        letters = [
            msgspec.structs.replace(
                letter, position=letter.position + int(moved[np.searchsorted(ends, letter.position, side="right")])
            )
            for letter in decoded.dead_letters
        ]
        return Decoded(decoded.frame.with_columns(there), [*blank, *letters])


@dataclass(frozen=True, slots=True)
class _Read:
    """What the kernel gives for a batch; a column is its count, its bits, its values and its long texts; the
    lines, which are all there, are their views and the blocks in which their texts stand.
    """

    columns: list[tuple[int, bytes, bytes, bytes | None] | None]
    lines: tuple[bytes, list[bytes]]
    starts: bytes
    odd: list[tuple[int, int]]
    suspects: list[int]


class _Plan:
    """A reader for a set of fields, and how its buffers become a frame."""

    def __init__(self, fields: frozenset[str]) -> None:
        shape = shape_of(fields | {"@timestamp", "event.ingested"})
        self.names = [*shape.known, *shape.loose]
        kinds = [_NUMBER_OF_KIND[kind_of(name)] for name in shape.known] + [_LOOSE for _ in shape.loose]
        place = {name: index for index, name in enumerate(self.names)}
        spelt = [(list(keys), place[name]) for name in self.names for keys in shape.places[name]]
        people = [place[name] for name in PEOPLE]
        free = [list(keys) for name in sorted(FREE_TEXT) if kind_of(name) is Kind.TEXT for keys in spellings(name)]
        words = [tuple(word) for word in WORDS]
        self.reader: Any = kernel.Reader(kinds, spelt, place["@timestamp"], people, free, words, PIECES)

    def frame(self, read: _Read, raw: RawBatch) -> pl.DataFrame:
        """The columns in the order in which the door gives them."""
        rows = len(read.starts) // 8
        told = [(name, column) for name, column in zip(self.names, read.columns, strict=True) if column is not None]
        arrays = [_array(kind_of(name), column, rows) for name, column in told]
        views, blocks = (pa.py_buffer(read.lines[0]), map(pa.py_buffer, read.lines[1]))
        arrays.append(pa.Array.from_buffers(pa.string_view(), rows, [None, views, *blocks], null_count=0))
        found = pl.from_arrow(pa.RecordBatch.from_arrays(arrays, names=[*(name for name, _ in told), LINE]))
        assert isinstance(found, pl.DataFrame)  # noqa: S101 - a batch of records is a frame; the types do not know
        there = {column.name: column for column in found}
        nothing = {dtype: pl.Series([None], dtype=dtype).new_from_index(0, rows) for dtype in set(DTYPES.values())}
        # What an event says of its own redaction is not believed.
        there[_REDACTED] = nothing[pl.String()].alias(_REDACTED)
        columns = [there.get(name, nothing[DTYPES[kind_of(name)]].alias(name)) for name in self.names]
        last = [] if _REDACTED in self.names else [there[_REDACTED]]
        position = pl.Series(POSITION, raw.positions(np.frombuffer(read.starts, np.int64)), dtype=pl.Int64)
        return pl.DataFrame([*columns, there[LINE], position, *last])


def _array(kind: Kind, column: tuple[int, bytes, bytes, bytes | None], rows: int) -> pa.Array:
    count, valid, values, texts = column
    bits = None if count == rows else pa.py_buffer(valid)
    buffers = [bits, pa.py_buffer(values)]
    if texts:
        buffers.append(pa.py_buffer(texts))
    return pa.Array.from_buffers(_ARROW.get(kind, pa.string_view()), rows, buffers, null_count=rows - count)
