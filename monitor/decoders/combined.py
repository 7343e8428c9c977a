"""Reads access logs in the combined format of NCSA, Apache and nginx as events of ``miniprogram.gateway``."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from detectors.event import DTYPES, LINE, POSITION, kind_of
from monitor.decoders import DeadLetter, DeadLetterReason, Decoded, left_out
from monitor.decoders.blank import blank_runs
from monitor.decoders.combined_lines import Flags, Integers, read_by_pattern, read_by_position, shown
from monitor.decoders.nested_json import as_json
from monitor.sources import RawBatch

DEAD_LETTER_BYTES_MAX: Final = 65_536

_CONSTANT: Final = {"event.dataset": "miniprogram.gateway", "event.action": "access"}
_PAGE_FRAME: Final = r"^https://servicewechat\.com/([^/?#]+)/([^/?#]+)/page-frame\.html(?:\?.*)?$"
_SAMPLE_ROWS: Final = 1_000  # of a batch, by which its Referers are taken for few or many
_AUTHORITY: Final = r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?]*"

_WRITTEN: Final = (
    "@timestamp",
    "event.dataset",
    "event.action",
    "event.outcome",
    "miniprogram.app_id",
    "miniprogram.version",
    "source.ip",
    "user.name",
    "http.version",
    "http.request.method",
    "http.request.referrer",
    "http.response.status_code",
    "http.response.bytes",
    "url.original",
    "url.path",
    "url.query",
    "user_agent.original",
    "event.original",
)
"""What the line for the archive holds, in this order."""

_EXPECTED: Final = 'ADDRESS IDENT USER [TIME] "REQUEST" STATUS BYTES "REFERRER" "AGENT"'
_STAGES: Final = tuple(
    (name, re.compile(pattern, re.DOTALL))
    for name, pattern in (
        ("an address and a name", rb"[^ ]+ [^ ]+ "),
        ("a user and a time in brackets", rb".*? \[[^\[\]]*\] "),
        ("a request in quotes", rb'"(?:[^"\\]|\\.)*" '),
        ("a status and a size", rb"[0-9]{3} (?:[0-9]+|-)(?= |$)"),
    )
)


class CombinedDecoder:
    """Decodes the combined format; the common one, without referrer and agent, and longer ones that begin so are read too.

    An event is kept whatever its request line holds: junk stands in ``url.original`` with no method. ``event.original``
    is the line as it was; in the other fields printable characters that the server escaped stand as themselves. The
    line for the archive is the event as nested JSON. A mini program's own Referer names it and its version.
    """

    def __init__(self, *, dead_letter_bytes_max: int = DEAD_LETTER_BYTES_MAX) -> None:
        self._dead_letter_bytes_max = dead_letter_bytes_max

    def decode(self, raw: RawBatch, fields: frozenset[str]) -> Decoded:
        """Decode one raw batch; each line becomes a row or a dead letter."""
        starts, ends = _lines(raw.data)
        is_text = _is_utf8(raw.data, starts, ends)
        parts, refused = _read(raw.data, starts, ends, is_text)
        frame = _enriched(parts)
        columns = [
            frame[name].alias(name) if name in frame.columns else pl.lit(None, dtype=DTYPES[kind_of(name)]).alias(name)
            for name in sorted(fields | {"@timestamp", "event.ingested"})
        ]
        positions = raw.positions(starts)
        position = pl.Series(POSITION, positions[frame["_row"].to_numpy()], dtype=pl.Int64)
        rows = np.fromiter(refused, np.int64, len(refused))
        is_blank, letters = blank_runs(raw, starts[rows], np.append(starts[1:], len(raw.data))[rows])
        letters += [
            self._letter(raw, int(positions[row]), raw.data[starts[row] : ends[row]], is_bad_time=refused[row])
            for row in rows[~is_blank].tolist()
        ]
        letters += left_out(raw, self._dead_letter_bytes_max)
        letters.sort(key=lambda letter: letter.position)
        return Decoded(frame.select(*columns, _archived(frame), position), letters)

    def _letter(self, raw: RawBatch, position: int, line: bytes, *, is_bad_time: bool) -> DeadLetter:
        reason, detail = _why(line, is_bad_time=is_bad_time)
        return DeadLetter(raw.partition, position, reason, detail, line[: self._dead_letter_bytes_max], len(line))


def _lines(data: bytes) -> tuple[Integers, Integers]:
    """Where each line starts and where its text ends, before its newline and a carriage return."""
    text = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(text == 10)
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    if b"\r" in data:  # a search for one byte takes a hundredth of one for two
        ends = ends - ((ends > starts) & (text[ends - 1] == 13))
    return starts.astype(np.int64), ends.astype(np.int64)


def _is_utf8(data: bytes, starts: Integers, ends: Integers) -> Flags:
    """Which lines are text. The whole batch is tried first: nearly always that is the answer."""
    good = np.ones(len(starts), dtype=bool)
    if data.isascii():
        return good
    try:
        data.decode()
    except UnicodeDecodeError:
        beyond = np.flatnonzero(np.frombuffer(data, np.uint8) >= 128)
        for row in np.unique(np.searchsorted(starts, beyond, side="right") - 1).tolist():
            try:
                data[starts[row] : ends[row]].decode()
            except UnicodeDecodeError:
                good[row] = False
    return good


def _read(data: bytes, starts: Integers, ends: Integers, is_text: Flags) -> tuple[pl.DataFrame, dict[int, bool]]:
    """All lines that can be read, in order, with their text; the rows of the others and whether only their time is bad."""
    offsets = pa.py_buffer(np.append(starts, len(data)))
    # Lines with their ends, cut by Arrow from where they stand.
    array = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(starts), [None, offsets, pa.py_buffer(data)])
    lines = pl.Series("line", array, dtype=pl.Binary)
    parts = read_by_position(data, starts, ends, lines, np.flatnonzero(is_text))
    parts = parts.with_columns(_plain=_without_controls(data, starts, ends)[parts["_row"].to_numpy()])
    open_rows = is_text & (ends > starts)
    open_rows[parts["_row"].to_numpy()] = False
    bad_times: Integers = np.empty(0, dtype=np.int64)
    if open_rows.any():
        rows = np.flatnonzero(open_rows)
        rest, bad_times = read_by_pattern(_text(lines, starts, ends, rows), rows)
        parts = pl.concat([parts, rest.with_columns(_plain=pl.lit(value=False))]).sort("_row")
    rows = parts["_row"].to_numpy()
    left = np.ones(len(starts), dtype=bool)
    left[rows] = False
    bad = set(bad_times.tolist())
    refused = {row: row in bad for row in np.flatnonzero(left).tolist()}
    return parts.with_columns(_text(lines, starts, ends, rows).alias("event.original")), refused


def _without_controls(data: bytes, starts: Integers, ends: Integers) -> Flags:
    """Which lines hold no control characters."""
    good = np.ones(len(starts), dtype=bool)
    controls = np.frombuffer(data, np.uint8) < 32
    line_ends = len(data) - int((ends - starts).sum())
    if int(np.count_nonzero(controls)) > line_ends:
        places = np.flatnonzero(controls)
        rows = np.searchsorted(starts, places, side="right") - 1
        good[rows[places < ends[rows]]] = False
    return good


def _text(lines: pl.Series, starts: Integers, ends: Integers, rows: Integers) -> pl.Series:
    """Lines, without their ends, as text."""
    chosen = lines if len(rows) == len(lines) else lines.gather(rows)
    length = pl.lit(pl.Series((ends - starts)[rows]))
    return chosen.to_frame().select(pl.col("line").bin.slice(0, length).cast(pl.String)).to_series()


def _enriched(parts: pl.DataFrame) -> pl.DataFrame:
    """What follows from the parts: outcome, path and query, and the mini program that its Referer names."""
    failed = pl.col("http.response.status_code") >= 400
    target: pl.Expr = pl.when(pl.col("http.request.method").is_not_null()).then(pl.col("url.original"))
    frame = parts.with_columns(
        pl.when(failed).then(pl.lit("failure")).otherwise(pl.lit("success")).alias("event.outcome")
    )
    if not frame.select(target.str.starts_with("/").all()).item():
        # A proxy's request names the server as well; CONNECT and * name no path at all.
        local: pl.Expr = target.str.replace(_AUTHORITY, "")
        local = pl.when(local.str.contains(r"^[/?]")).then(local).when(local == "").then(pl.lit("/"))
        target = local.str.replace(r"^\?", "/?")
    url = target.str.splitn("?", 2).struct
    frame = frame.with_columns(url.field("field_0").alias("url.path"), url.field("field_1").alias("url.query"))
    return frame.with_columns(
        *_pages(frame["http.request.referrer"]),
        *(pl.lit(value).alias(name) for name, value in _CONSTANT.items()),
    )


def _pages(referrers: pl.Series) -> list[pl.Series]:
    """The mini program that each Referer names, and its version. Where few differ, each is looked at once."""
    few = referrers.head(_SAMPLE_ROWS).n_unique() * 4 < min(len(referrers), _SAMPLE_ROWS)
    looked_at = (referrers.unique() if few else referrers).alias("referrer").to_frame()
    referrer = pl.col("referrer")
    page: pl.Expr = pl.when(referrer.str.starts_with("https://servicewechat.com/")).then(referrer)
    groups = page.str.extract_groups(_PAGE_FRAME).struct
    pages = looked_at.with_columns(
        groups.field("1").alias("miniprogram.app_id"), groups.field("2").alias("miniprogram.version")
    )
    if few:
        pages = referrers.alias("referrer").to_frame().join(pages, on="referrer", how="left", maintain_order="left")
    return [pages["miniprogram.app_id"], pages["miniprogram.version"]]


def _archived(frame: pl.DataFrame) -> pl.Series:
    """Each event as one line of nested JSON."""
    time = pl.col("@timestamp").cast(pl.Datetime("us")).dt.to_string("%Y-%m-%dT%H:%M:%SZ")
    return as_json(frame.with_columns(time), _WRITTEN, _CONSTANT, frame["_plain"].to_numpy()).alias(LINE)


def _why(line: bytes, *, is_bad_time: bool) -> tuple[DeadLetterReason, str]:
    """Why a line is no event: what was found, where, and what was expected."""
    if not line.strip():
        return DeadLetterReason.EMPTY_LINE, f"nothing in the line; {_EXPECTED} is expected"
    try:
        line.decode()
    except UnicodeDecodeError as error:
        return DeadLetterReason.INVALID_UTF8, f"byte {line[error.start]:#04x} at {error.start} is not UTF-8"
    if is_bad_time:
        match = re.search(rb" \[([^\[\]]*)\] \"", line)
        found = shown(match.group(1)) if match else shown(line)
        return DeadLetterReason.BAD_TIMESTAMP, f"{found} is not a time like 10/Oct/2026:13:55:36 +0800"
    at = 0
    for name, pattern in _STAGES:
        match = pattern.match(line, at)
        if match is None:
            return (
                DeadLetterReason.NOT_COMBINED,
                f"{name} expected at byte {at}, found {shown(line[at:])}; a line is {_EXPECTED}",
            )
        at = match.end()
    return DeadLetterReason.NOT_COMBINED, f"found {shown(line)}; {_EXPECTED} is expected"
