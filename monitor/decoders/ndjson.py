"""Newline-delimited JSON straight to columns: Arrow's reader for the many good lines, the strict reader for the rest.

Arrow's reader is strict where it matters (a repeated key, half a surrogate pair or a wrong type is an error, not a guess)
but refuses a whole block for one bad line. So: lines that look odd are set aside first, a block that is refused is
looked through line by line by msgspec (three times cheaper than reading it strictly), and what both pass is read again.
Whatever way a line takes, `monitor.decoders.strict` defines what it means; a property test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import compress, groupby, pairwise
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.json as pj

from detectors.event import DTYPES, LINE, POSITION, Kind, kind_of
from monitor.decoders import DeadLetter, DeadLetterReason, Decoded, left_out
from monitor.decoders.blank import blank_runs
from monitor.decoders.shape import Shape, arrow_schema, columns_of, line_type, shape_of
from monitor.decoders.strict import DEPTH_MAX, ODD_ESCAPE, Refused, read_line
from monitor.decoders.times import instant, instants, other_unit
from monitor.sources import RawBatch

BLOCK_BYTES: Final = 1 << 20
"""Read at a time by Arrow; about what the processor's cache holds, a third faster than a whole batch at once."""

DOTTED_SHARE: Final = 10
"""From one line in so many on, dotted spellings are looked for in all of them; below that such lines are read strictly."""

RETRY_LINES: Final = 256
"""Read at a time in a block that holds bad lines: few enough to read again cheaply, enough to be worth a call."""

BAD_SHARE_MAX: Final = 8
"""Of a block with fewer bad lines than one in so many, the bad lines are what is wrong; with more, what was expected of all."""

CUTS_MAX: Final = 16
"""Lines that only Arrow refuses, cut out one by one; of a block with more of them, those read with another are read strictly."""

UTF8_BLOCK_BYTES: Final = 1 << 14
"""Looked at together; in a block that holds what is no UTF-8 each line is looked at."""

FEW_LINES: Final = 512
"""Up to so many lines are read strictly at once: Arrow's reader, and finding out which lines are for it, has its price."""

DEAD_LETTER_BYTES_MAX: Final = 65_536

_ODD_NUMBER: Final = r"[:\[,]\s*(?:-?(?:NaN|Inf)|-0(?:[^0-9.]|$))"
_MINUS_ZERO: Final = tuple(f"{before}-0" for before in ":[, \t\r")  # Arrow reads it as 0
_SPACED_COLON: Final = ('" ', '"\t', '"\r')  # a key may stand before it in a way that a search for ``"key":`` misses
_TYPE_CHANGE: Final = re.compile(r"Column\((.*)\) changed from (?:string to number|number to string)")
_ROW: Final = re.compile(r"in row (\d+)")


class NdjsonDecoder:
    """Decodes NDJSON; remembers only how this stream likes to write its text fields, and only to be quicker."""

    def __init__(self, *, dead_letter_bytes_max: int = DEAD_LETTER_BYTES_MAX, few_lines: int = FEW_LINES) -> None:
        self._few_lines = few_lines
        self._dead_letter_bytes_max = dead_letter_bytes_max
        self._numeric: frozenset[str] = frozenset()

    def decode(self, raw: RawBatch, fields: frozenset[str]) -> Decoded:
        shape = shape_of(fields | {"@timestamp", "event.ingested"})
        starts, lines = _split(raw.data)
        positions = raw.positions(starts)
        frames, strict_rows = self._fast(lines, shape)
        ends = np.append(starts[1:], len(raw.data))
        rows: list[dict[str, Any]] = []
        kept: list[int] = []
        is_blank, letters = blank_runs(raw, starts[strict_rows], ends[strict_rows])
        letters += left_out(raw, self._dead_letter_bytes_max)
        for row in strict_rows[~is_blank].tolist():
            whole = raw.data[starts[row] : ends[row]]
            try:
                values, text = read_line(whole, shape)
                times = {name: _time(values.get(name), name) for name in ("@timestamp", "event.ingested")}
            except Refused as refused:
                letters.append(self._letter(raw, int(positions[row]), refused.reason, refused.detail, whole))
                continue
            rows.append({**values, **times, LINE: text})
            kept.append(row)
        if kept:
            frames.append(_strict_frame(rows, kept, shape))
        frame = _join(frames, shape)
        frame, missing = _without_time(frame)
        for row, reason, detail in missing:
            letters.append(self._letter(raw, int(positions[row]), reason, detail, raw.data[starts[row] : ends[row]]))
        position = pl.Series(POSITION, positions[frame["_row"].to_numpy()], dtype=pl.Int64)
        letters.sort(key=lambda letter: letter.position)
        return Decoded(frame.drop("_row").with_columns(position), letters)

    def _fast(self, lines: pl.Series, shape: Shape) -> tuple[list[pl.DataFrame], np.ndarray[Any, Any]]:
        """What the fast reader makes of the lines, and the places of those left to the strict one."""
        if len(lines) <= self._few_lines:
            return [], np.arange(len(lines))
        odd, is_dotted = _triage(lines, shape)
        reading = _Reading(shape, lines, self._numeric, is_dotted=is_dotted)
        good = np.flatnonzero(~odd)
        frames = reading.fast(good) if len(good) else []
        self._numeric = reading.numeric
        return frames, np.union1d(np.flatnonzero(odd), np.asarray(reading.refused, dtype=np.int64)).astype(np.int64)

    def _letter(self, raw: RawBatch, position: int, reason: DeadLetterReason, detail: str, whole: bytes) -> DeadLetter:
        body = whole.rstrip(b"\n")
        return DeadLetter(raw.partition, position, reason, detail, body[: self._dead_letter_bytes_max], len(body))


def _split(data: bytes) -> tuple[np.ndarray[Any, Any], pl.Series]:
    """Where each line starts, and the lines as text without their ends; null where a line is not UTF-8."""
    newlines = np.flatnonzero(np.frombuffer(data, np.uint8) == 10)
    offsets = np.concatenate([[0], newlines + 1]).astype(np.int64)
    whole, broken = _as_utf8(data, newlines)
    array = pa.LargeStringArray.from_buffers(len(newlines), pa.py_buffer(offsets), pa.py_buffer(whole))
    text = pl.Series(LINE, array).str.strip_chars(" \t\r\n\ufeff")
    return offsets[:-1], text.scatter(broken, None) if broken else text


def _triage(lines: pl.Series, shape: Shape) -> tuple[np.ndarray[Any, Any], bool]:
    """Which lines look odd and go to the strict reader, and whether any spells a field with dots.

    One pass looks for anything out of the ordinary; only where it finds something do closer looks follow.
    """
    line = pl.col(LINE)
    frame = lines.to_frame()
    odd = ~(line.str.starts_with("{") & line.str.ends_with("}")).fill_null(value=False)
    if (lines.str.len_bytes() > 2 * DEPTH_MAX).any():
        odd |= _deep(line).fill_null(value=False)
    leaves = sorted({f'"{keys[-1]}"' for path in shape.loose for keys in shape.places[path]})
    dotted = [*shape.dotted, *_SPACED_COLON]
    unusual = lines.filter(lines.str.contains_any(["\\u", "NaN", "Inf", *_MINUS_ZERO, *dotted, *leaves]))
    if not len(unusual):
        return frame.select(odd)[LINE].to_numpy(), False
    closer = line.str.contains(ODD_ESCAPE) | line.str.contains(_ODD_NUMBER)
    if leaves:
        closer |= line.str.contains_any(leaves)
    spelt = unusual.str.contains_any(dotted).sum()
    is_dotted = spelt * DOTTED_SHARE > len(lines)
    if spelt and not is_dotted:  # a few such lines are not worth telling the fast reader of all spellings
        closer |= line.str.contains_any(dotted)
    return frame.select(odd | closer.fill_null(value=False))[LINE].to_numpy(), is_dotted


def _deep(line: pl.Expr) -> pl.Expr:
    """Long lines with more brackets than may be nested; whether they are is for the strict reader to say."""
    brackets = line.str.count_matches("{", literal=True) + line.str.count_matches("[", literal=True)
    return pl.when(line.str.len_bytes() > 2 * DEPTH_MAX).then(brackets > DEPTH_MAX)


def _as_utf8(data: bytes, newlines: np.ndarray[Any, Any]) -> tuple[bytes, list[int]]:
    """The bytes with the lines that are not UTF-8 blanked out, and which lines those are; looked for a block at a time."""
    if data.isascii():
        return data, []
    whole, broken = bytearray(data), []
    bounds = [*np.flatnonzero(np.diff(newlines // UTF8_BLOCK_BYTES, prepend=-1)).tolist(), len(newlines)]
    for first, after in pairwise(bounds):
        start = int(newlines[first - 1]) + 1 if first else 0
        if _is_utf8(data[start : newlines[after - 1]]):
            continue
        for line, end in enumerate(newlines[first:after].tolist(), first):
            if not _is_utf8(data[start:end]):
                broken.append(line)
                whole[start:end] = b" " * (end - start)
            start = end + 1
    return bytes(whole) if broken else data, broken


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


class _Reading:
    """One batch on its way through the fast reader, a block of lines at a time: a bad line costs only its block."""

    def __init__(self, shape: Shape, lines: pl.Series, numeric: frozenset[str], *, is_dotted: bool) -> None:
        self.shape = shape
        self.lines = lines
        self.numeric = numeric
        self.refused: list[int] = []
        self.root = shape.root if is_dotted else shape.nested
        self._learned: set[str] = set()
        self._read_tables: list[tuple[np.ndarray[Any, Any], pa.Table]] = []
        self._line_reader: tuple[frozenset[str], Any] | None = None
        self._expects_bad = False
        self._cuts = 0  # left in the block
        self._options: tuple[frozenset[str], pj.ParseOptions] | None = None

    def fast(self, rows: np.ndarray[Any, Any]) -> list[pl.DataFrame]:
        """Read these lines; what must be read strictly instead is added to `refused`."""
        lengths = self.lines.str.len_bytes().fill_null(0).to_numpy()[rows] + 1
        blocks = (np.cumsum(lengths) - 1) // BLOCK_BYTES
        bounds = [*np.flatnonzero(np.diff(blocks, prepend=-1)).tolist(), len(rows)]
        for first, after in pairwise(bounds):
            self._read_block(rows[first:after])
        alike = groupby(self._read_tables, key=lambda read: read[1].schema)
        return [self._columns(list(reads)) for _, reads in alike]

    def _read_block(self, rows: np.ndarray[Any, Any]) -> None:
        """Read a block whole, or without its bad lines; where one was refused, the next is looked through before it is read."""
        if not self._expects_bad:
            try:
                self._read(rows)
            except pa.ArrowInvalid as error:
                if self._learn(str(error)) and self._reads(rows):
                    return
            else:
                return
        fit, lines = self._of_shape(rows)
        self._cuts = CUTS_MAX
        # With many of them it is the shape that is not what was expected, which only a whole read finds out.
        self._expects_bad = len(rows) // BAD_SHARE_MAX > len(rows) - len(fit) > 0
        for first in range(0, len(fit), RETRY_LINES):
            self._read_around(fit[first : first + RETRY_LINES], lines[first : first + RETRY_LINES])

    def _reads(self, rows: np.ndarray[Any, Any]) -> bool:
        """Whether Arrow can read these lines; if so, they are read."""
        try:
            self._read(rows)
        except pa.ArrowInvalid:
            return False
        return True

    def _read_around(self, rows: np.ndarray[Any, Any], lines: Sequence[str]) -> None:
        """Read lines of which only Arrow refuses some: those are cut out one by one."""
        while len(rows):
            try:
                self._read(rows, lines)
            except pa.ArrowInvalid as error:
                place = _ROW.search(str(error))
            else:
                return
            if not self._cuts or place is None or (cut := int(place.group(1))) >= len(rows):
                break
            self._cuts -= 1
            if cut:
                try:
                    self._read(rows[:cut], lines[:cut])
                except pa.ArrowInvalid:  # a value that cannot be converted, found only when all is of the shape
                    self.refused.extend(rows[:cut].tolist())
            self.refused.append(int(rows[cut]))
            rows, lines = rows[cut + 1 :], lines[cut + 1 :]
        self.refused.extend(rows.tolist())

    def _learn(self, error: str) -> bool:
        """A text field arrives as numbers, or as text again: expect what most lines of this batch write.

        Only speed hangs on it (the fewer are read strictly), so nobody gains by writing one line differently. Gives
        whether something else is expected now; each field is looked at once a batch.
        """
        change = _TYPE_CHANGE.search(error)
        if change is None or change.group(1) in self._learned:
            return False
        self._learned.add(change.group(1))
        keys = tuple(change.group(1).lstrip("/").split("/"))
        leaf = re.escape(keys[-1])
        numbers = self.lines.str.contains(rf'"{leaf}"\s*:\s*[-0-9]').sum()
        texts = self.lines.str.contains(rf'"{leaf}"\s*:\s*"').sum()
        before = self.numeric
        for path, places in self.shape.places.items():
            if keys in places and kind_of(path) in (Kind.TEXT, Kind.TIME):
                self.numeric = self.numeric | {path} if numbers > texts else self.numeric - {path}
        return self.numeric != before

    def _of_shape(self, rows: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], list[str]]:
        """Those lines that are of the shape, and what they say; the others are refused."""
        if self._line_reader is None or self._line_reader[0] != self.numeric:
            self._line_reader = (self.numeric, msgspec.json.Decoder(line_type(self.root, self.numeric)).decode)
        decode = self._line_reader[1]
        lines = self.lines.gather(rows).to_list()
        unfit: list[int] = []
        for index, line in enumerate(lines):
            try:
                decode(line)
            except (msgspec.DecodeError, RecursionError, UnicodeError):  # ValidationError is a DecodeError
                unfit.append(index)
        self.refused.extend(rows[unfit].tolist())
        fit = np.ones(len(rows), dtype=bool)
        fit[unfit] = False
        return rows[fit], list(compress(lines, fit.tolist()))

    def _read(self, rows: np.ndarray[Any, Any], lines: Sequence[str] | None = None) -> None:
        """Some lines by Arrow; raises `ArrowInvalid` with the row, and keeps nothing of them then."""
        text = self.lines.gather(rows).str.join("\n")[0] if lines is None else "\n".join(lines)
        data = text.encode()
        reading = pj.ReadOptions(use_threads=False, block_size=max(len(data) + 1, 1024))
        table = pj.read_json(pa.BufferReader(data), read_options=reading, parse_options=self._parse_options())
        if table.num_rows != len(rows):
            raise pa.ArrowInvalid("two objects in a line")
        self._read_tables.append((rows, table))

    def _parse_options(self) -> pj.ParseOptions:
        if self._options is None or self._options[0] != self.numeric:
            schema = arrow_schema(self.root, self.numeric)
            self._options = (
                self.numeric,
                pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
            )
        return self._options[1]

    def _columns(self, reads: Sequence[tuple[np.ndarray[Any, Any], pa.Table]]) -> pl.DataFrame:
        """Tables of one schema as flat columns, with the lines and their places."""
        rows = np.concatenate([read[0] for read in reads])
        table = pa.concat_tables([read[1] for read in reads]).combine_chunks()
        flat, twice = columns_of(pl.from_arrow(table), self.shape)  # type: ignore[arg-type]
        lines = self.lines.gather(rows) if len(rows) < len(self.lines) else self.lines
        flat = _typed(flat, self.shape).with_columns(lines.alias(LINE), pl.Series("_row", rows, dtype=pl.Int64))
        return self._set_aside(flat, twice)

    def _set_aside(self, frame: pl.DataFrame, twice: pl.Series) -> pl.DataFrame:
        """Take out rows that the strict reader must judge: fields spelt twice, times that are none."""
        unread = frame.select(
            ((pl.col("@timestamp") == _NOT_A_TIME) | (pl.col("event.ingested") == _NOT_A_TIME)).fill_null(value=False)
        ).to_series()
        aside = twice.fill_null(value=False) | unread
        if aside.any():
            self.refused.extend(frame["_row"].filter(aside).to_list())
            frame = frame.filter(~aside)
        return frame


_NOT_A_TIME: Final = -1


def _typed(flat: pl.DataFrame, shape: Shape) -> pl.DataFrame:
    """Numbers that stand for text as text; times as microseconds, `_NOT_A_TIME` where they are not."""
    columns = []
    for path in shape.known:
        column = flat[path]
        kind = kind_of(path)
        if kind is Kind.TIME:
            parsed = instants(column)
            columns.append(parsed.set(column.is_not_null() & parsed.is_null(), _NOT_A_TIME).alias(path))
        else:
            columns.append(column.cast(DTYPES[kind]))
    return pl.DataFrame(columns)


def _time(value: Any, name: str) -> int | None:
    """A time that the strict reader found; raises `Refused` when it is not one."""
    if value is None:
        return None
    micros = instant(value)
    if micros is None:
        detail = f"{name} is {_no_time(value)}; RFC 3339 with a zone, or milliseconds since 1970, is expected"
        raise Refused(DeadLetterReason.BAD_TIMESTAMP, detail)
    return micros


def _no_time(value: Any) -> str:
    """What a value is that is no time, without the value."""
    if isinstance(value, str):
        return "a text that is no time"
    unit = other_unit(value)
    return f"a number that looks like {unit}" if unit else "a number that is no time"


def _schema(shape: Shape) -> dict[str, pl.DataType]:
    fields = {path: DTYPES[kind_of(path)] for path in (*shape.known, *shape.loose)}
    return {**fields, LINE: pl.String(), "_row": pl.Int64()}


def _strict_frame(rows: Sequence[dict[str, Any]], kept: Sequence[int], shape: Shape) -> pl.DataFrame:
    """What the strict reader found, as the same columns."""
    return pl.DataFrame([{**row, "_row": index} for row, index in zip(rows, kept, strict=True)], schema=_schema(shape))


def _join(frames: Sequence[pl.DataFrame], shape: Shape) -> pl.DataFrame:
    """All parts in the order of the lines."""
    schema = _schema(shape)
    if not frames:
        return pl.DataFrame(schema=schema)
    whole = [
        frame.with_columns(
            pl.lit(None, dtype=schema[path]).alias(path) for path in shape.loose if path not in frame.columns
        )
        for frame in frames
    ]
    joined = pl.concat([frame.select(list(schema)) for frame in whole], rechunk=True)
    return joined if len(frames) == 1 else joined.sort("_row")


def _without_time(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[tuple[int, DeadLetterReason, str]]]:
    """Events must have a time: those without, as dead letters."""
    if not frame["@timestamp"].null_count():
        return frame, []
    lacking = frame.filter(pl.col("@timestamp").is_null())["_row"].to_list()
    detail = "@timestamp is not there"
    return frame.filter(pl.col("@timestamp").is_not_null()), [
        (row, DeadLetterReason.MISSING_TIMESTAMP, detail) for row in lacking
    ]
