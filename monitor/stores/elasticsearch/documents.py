"""Archived events as documents, a whole frame at a time: each is its redacted line with what the archive knows about it put in front.

Nothing is decoded for that. Where a line cannot stand as a document (its fields clash with their meaning in ECS, or it would break
the framing), the columns of the archive stand in its place, with the line as a text.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa

from detectors.event import (
    ARRIVAL,
    FUTURE,
    HASH,
    INDEX,
    LATE,
    LINE,
    PARTITION,
    POSITION,
    TIME,
    WATERMARK,
)
from detectors.finding import Finding, Scope
from monitor.recall import KEPT
from monitor.stores.elasticsearch import EVENTS, FINDINGS
from monitor.stores.segment import ROW, TURN

ID_DIGITS: Final = 14
"""Of a partition's digest in the ids of its documents: 84 bits."""

_UNSAFE: Final = r'["\\\x00-\x1f]'
"""What cannot stand in a JSON text as it is."""

_KINDS: Final = r'^\[("[a-z0-9_.-]+"(,"[a-z0-9_.-]+")*)?\]$'


@dataclass(frozen=True, slots=True)
class Bodies:
    """Documents for `_bulk`, one after the other: that of row n is from `ends[n - 1]` to `ends[n]` of `data`."""

    data: memoryview
    offsets: np.ndarray[Any, np.dtype[np.int64]]

    @staticmethod
    def of(lines: Sequence[bytes]) -> Bodies:
        """Documents that were made one by one."""
        ends = np.cumsum([0, *(len(line) for line in lines)], dtype=np.int64)
        return Bodies(memoryview(b"".join(lines)), ends)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def part(self, first: int, last: int) -> memoryview:
        """Those of rows from `first` to before `last`."""
        return self.data[int(self.offsets[first]) : int(self.offsets[last])]


@dataclass(frozen=True, slots=True)
class Documents:
    """How events of one installation, and of one of its streams of turns, are written for one namespace."""

    installation: str
    namespace: str
    turns: str = ""

    @property
    def seam(self) -> str:
        """What stands between what we put in front and the line; no text of an event can look like it."""
        place = {"type": "logs", "dataset": f"miniwatch.{EVENTS}", "namespace": self.namespace}
        return f'}},"data_stream":{msgspec.json.encode(place).decode()},'

    @property
    def _whose(self) -> dict[str, str]:
        return {"installation": self.installation} | ({"stream": self.turns} if self.turns else {})

    def ids(self, frame: pl.DataFrame) -> pl.Series:
        """The id of each event's document: always the same for the same line of the same source, and never another's."""
        names = frame[PARTITION].unique().to_list()
        known = {name: self._prefix(name) for name in names}
        prefix = (
            pl.lit(known[names[0]])
            if len(names) == 1
            else pl.col(PARTITION).replace_strict(known, return_dtype=pl.String)
        )
        return frame.select(pl.concat_str(prefix, POSITION).alias("id")).to_series()

    def _prefix(self, partition: str) -> str:
        digest = hashlib.sha256(f"{self.installation}\x1f{partition}".encode()).digest()
        return base64.urlsafe_b64encode(digest)[:ID_DIGITS].decode() + "-"

    def bodies(self, frame: pl.DataFrame, ids: pl.Series) -> Bodies:
        """Every event with its line as it is; rows that cannot stand so are empty."""
        columns = {name: _text(frame, name) for name in ("event.id", PARTITION)}
        whose = msgspec.json.encode(self._whose).decode().removesuffix("}")
        parts = [
            pl.lit('{"create":{"_id":"'),
            ids,
            pl.lit(f'"}}}}\n{{"miniwatch":{whose},"id":'),
            columns["event.id"],
            *(piece for name, column in _NUMBERS.items() for piece in (pl.lit(f',"{name}":'), pl.col(column))),
            pl.lit(',"partition":'),
            columns[PARTITION],
            _kinds(frame),
            pl.lit(',"kept":{"arrival":'),
            pl.col(ARRIVAL),
            pl.lit(',"watermark":'),
            pl.col(WATERMARK),
            pl.lit(',"hash":'),
            pl.col(HASH),
            *(_flag(frame, name, column) for name, column in ((LATE, "late"), (FUTURE, "future"))),
            pl.lit("}" + self.seam),
            pl.col(LINE).str.slice(1),
            pl.lit("\n"),
        ]
        whole = pl.concat_str(parts)
        plain = frame.select(
            (pl.col(LINE).str.starts_with('{"') & ~pl.col(LINE).str.contains("\n", literal=True)).alias("plain")
        ).to_series()
        if not plain.all():
            whole = pl.when(plain).then(whole).otherwise(pl.lit(""))
        return _joined(frame.select(whole.alias("body")).to_series())

    def plainly(self, row: dict[str, Any], key: str) -> bytes:
        """One event by the archive's columns alone, with its line as a text."""
        known = {name: row[name] for name in (*INDEX, *KEPT) if row.get(name) is not None and name != "redaction.kinds"}
        ours: dict[str, Any] = {**self._whose, "id": row["event.id"], "partition": row[PARTITION]}
        ours |= {name: row[column] for name, column in _NUMBERS.items()}
        kinds = row.get("redaction.kinds")
        ours |= {"kinds": msgspec.json.decode(kinds)} if kinds else {}
        kept = {"arrival": row[ARRIVAL], "watermark": row[WATERMARK], "hash": row[HASH]}
        kept |= {name: True for column, name in ((LATE, "late"), (FUTURE, "future")) if row[column]}
        place = {"type": "logs", "dataset": f"miniwatch.{EVENTS}", "namespace": self.namespace}
        body = {
            "miniwatch": {**ours, "kept": kept, "line": row[LINE]},
            "data_stream": place,
            "@timestamp": moment(row[TIME]),
            **known,
        }
        return _action("create", {"_id": key}) + msgspec.json.encode(body) + b"\n"

    def finding(self, finding: Finding, changed: int) -> dict[str, Any]:
        """A finding as a document: in the words of ECS, and whole."""
        entity = finding.entity
        app = entity.value if entity.scope is Scope.APP else None
        ours = {
            "installation": self.installation,
            "id": finding.id,
            "time": finding.time,
            "changed": changed,
            "detector": finding.detector,
            "kind": finding.kind,
            "severity": finding.severity.value,
            "scope": entity.scope.value,
            "value": entity.value,
            "owner": finding.owner,
            "confidence": finding.confidence,
            "count": finding.evidence.count,
            "event_ids": finding.evidence.event_ids,
            "finding": finding,
        }
        return {
            "@timestamp": moment(finding.time),
            "message": finding.title,
            "tags": finding.tags,
            "event": {
                "id": finding.id,
                "kind": "alert",
                "category": ["intrusion_detection"],
                "type": ["info"],
                "dataset": f"miniwatch.{FINDINGS}",
                "module": "miniwatch",
                "start": moment(finding.first_event),
                "end": moment(finding.last_event),
                "severity": finding.severity.rank,
                "risk_score": finding.score,
            },
            "rule": {"id": finding.rule.id, "version": finding.rule.version, "name": finding.title},
            "related": _related(finding),
            "miniprogram": {"app_id": app, "developer_id": finding.owner},
            "data_stream": {"type": "logs", "dataset": f"miniwatch.{FINDINGS}", "namespace": self.namespace},
            "miniwatch": ours,
        }


_NUMBERS: Final = {"time": TIME, "turn": TURN, "row": ROW, "position": POSITION}
_RELATED: Final = {Scope.ADDRESS: "ip", Scope.USER: "user", Scope.HOST: "hosts", Scope.DOMAIN: "hosts"}


def _related(finding: Finding) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    named = [(finding.entity.scope, finding.entity.value), *((one.scope, one.value) for one in finding.related)]
    for scope, value in named:
        if (name := _RELATED.get(scope)) is not None:
            found.setdefault(name, []).append(value)
    return found


def _action(name: str, about: dict[str, Any]) -> bytes:
    return msgspec.json.encode({name: about}) + b"\n"


def indexed_as(body: dict[str, Any], key: str, place: tuple[str, int, int] | None) -> bytes:
    """A document for `_bulk`: a new one, or at its place (index, sequence number, term) instead of what is there."""
    if place is None:
        return _action("create", {"_id": key}) + msgspec.json.encode(body) + b"\n"
    index, seq_no, term = place
    about = {"_index": index, "_id": key, "if_seq_no": seq_no, "if_primary_term": term}
    return _action("index", about) + msgspec.json.encode(body) + b"\n"


def deleted(index: str, key: str) -> bytes:
    """An order for `_bulk` to delete a document."""
    return _action("delete", {"_index": index, "_id": key})


def moment(time: int) -> str:
    """A time as RFC 3339, to the millisecond: what a date in Elasticsearch holds."""
    seconds, rest = divmod(time, 1_000_000)
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{rest // 1000:03d}Z"
    except (ValueError, OverflowError):  # no year that people write
        return "1970-01-01T00:00:00.000Z"


def _text(frame: pl.DataFrame, name: str) -> pl.Expr:
    """A text column as JSON; as it is between quotes where that is right for all of it."""
    if frame[name].null_count() == 0 and not frame.select(pl.col(name).str.contains(_UNSAFE).any()).item():
        return pl.concat_str(pl.lit('"'), pl.col(name), pl.lit('"'))
    value = pl.struct(pl.col(name).alias("v")).struct.json_encode()
    return value.str.strip_prefix('{"v":').str.strip_suffix("}")


def _kinds(frame: pl.DataFrame) -> pl.Expr:
    name = "redaction.kinds"
    if frame[name].null_count() == frame.height:
        return pl.lit("")
    is_list = pl.col(name).str.contains(_KINDS).fill_null(value=False)
    return pl.when(is_list).then(pl.concat_str(pl.lit(',"kinds":'), pl.col(name))).otherwise(pl.lit(""))


def _flag(frame: pl.DataFrame, column: str, name: str) -> pl.Expr:
    if not frame[column].any():
        return pl.lit("")
    return pl.when(pl.col(column).fill_null(value=False)).then(pl.lit(f',"{name}":true')).otherwise(pl.lit(""))


def _joined(texts: pl.Series) -> Bodies:
    """The bytes of a column of texts, which lie one after the other already."""
    arrow: Any = texts.to_arrow()
    if isinstance(arrow, pa.ChunkedArray):
        arrow = arrow.combine_chunks()
    _, offsets, data = arrow.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[arrow.offset : arrow.offset + len(arrow) + 1]
    return Bodies(memoryview(data) if data is not None else memoryview(b""), ends)
