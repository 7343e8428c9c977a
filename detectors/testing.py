"""For tests of detectors: batches from plain dictionaries, and the laws that every detector keeps.

>>> one = batch({"@timestamp": "2026-01-05T10:00:00Z", "event.dataset": "miniprogram.api", "miniprogram.api": "login"})
>>> one.frame["miniprogram.api"][0]
'login'
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from detectors.event import (
    ARRIVAL,
    DTYPES,
    DUPLICATE,
    FUTURE,
    HASH,
    INTERNAL,
    LATE,
    LINE,
    MICROSECONDS,
    PARTITION,
    POSITION,
    TIME,
    WATERMARK,
    Batch,
    Kind,
    kind_of,
)
from detectors.finding import Finding, merge

if TYPE_CHECKING:
    from detectors.detector import Detector, State

FIRST_TIME: Final = 1_767_225_600 * MICROSECONDS
"""When events without a ``@timestamp`` begin, one a second: 2026-01-01T00:00:00Z."""

ARGUMENTS: Final = "miniprogram.api_args"

Outcome = dict[str, tuple[int, Finding]]
"""What a run said: for each finding its first row in the whole stream and its parts merged."""


def batch(*events: Mapping[str, Any], lateness_s: float = 0, watermark: int | None = None, **columns: Any) -> Batch:
    """A batch of events given as dictionaries, nested or dotted, with every column a detector may rely on.

    The watermark of a row is the latest time so far less the lateness; among neighbouring rows of one instant only the
    last one moves it there, so that events of one instant are not late. `watermark` is the batch's own, by default its
    last row's. Further arguments are columns that replace the derived ones: ``batch(a, b, **{"_late": [False, True]})``.
    """
    rows = [_flat(event) for event in events]
    frame = pl.DataFrame(_fields(rows), height=len(rows))
    frame = frame.with_columns(_internal(events, rows, lateness_s))
    replaced = [pl.Series(name, values, dtype=INTERNAL.get(name)) for name, values in columns.items()]
    frame = frame.with_columns(replaced)
    if watermark is None:
        watermark = int(frame[WATERMARK][-1]) if frame.height else 0
    return Batch(frame, watermark)


def _flat(event: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """One level of dotted names; arguments and lists stay whole."""
    flat: dict[str, Any] = {}
    for key, value in event.items():
        name = prefix + key
        if isinstance(value, Mapping) and name != ARGUMENTS:
            flat |= _flat(value, name + ".")
        elif value is not None:
            flat[name] = value
    return flat


def _fields(rows: Sequence[Mapping[str, Any]]) -> list[pl.Series]:
    names = dict.fromkeys(name for row in rows for name in row)
    return [_field(name, [row.get(name) for row in rows]) for name in names]


def _field(name: str, values: list[Any]) -> pl.Series:
    """A column as the decoder or the registry would give it."""
    if name.startswith("app."):
        values = [json.dumps(value) if isinstance(value, list) else value for value in values]
        return pl.Series(name, values, dtype=pl.Boolean if any(isinstance(one, bool) for one in values) else pl.String)
    kind = kind_of(name)
    if kind is Kind.TIME:
        values = [None if value is None else time_us(value) for value in values]
    elif DTYPES[kind] == pl.String:
        values = [None if value is None else _text(value) for value in values]
    return pl.Series(name, values, dtype=DTYPES[kind])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def time_us(value: str | float) -> int:
    """Microseconds since 1970 of RFC 3339 text or epoch milliseconds."""
    if isinstance(value, str):
        return (datetime.fromisoformat(value) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return int(value * 1_000)


def _internal(
    events: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], lateness_s: float
) -> list[pl.Series]:
    times = [
        time_us(row["@timestamp"]) if "@timestamp" in row else FIRST_TIME + place * MICROSECONDS
        for place, row in enumerate(rows)
    ]
    arrivals = [
        time_us(row["event.ingested"]) if "event.ingested" in row else times[place] for place, row in enumerate(rows)
    ]
    lines = [json.dumps(event, ensure_ascii=False, default=str) for event in events]
    watermarks = _watermarks(times, int(lateness_s * MICROSECONDS))
    ends = [0]
    for line in lines:
        ends.append(ends[-1] + len(line.encode()) + 1)
    before = [None, *watermarks[:-1]]
    values: dict[str, list[Any]] = {
        TIME: times,
        ARRIVAL: arrivals,
        WATERMARK: watermarks,
        HASH: [int.from_bytes(hashlib.sha256(line.encode()).digest()[:8], "big") for line in lines],
        LINE: lines,
        PARTITION: ["test:0"] * len(rows),
        POSITION: ends[:-1],
        LATE: [mark is not None and time <= mark for time, mark in zip(times, before, strict=False)],
        FUTURE: [False] * len(rows),
        DUPLICATE: [False] * len(rows),
    }
    return [pl.Series(name, values[name], dtype=dtype) for name, dtype in INTERNAL.items()]


def _watermarks(times: Sequence[int], lateness_us: int) -> list[int]:
    watermarks: list[int] = []
    latest = 0
    for time, following in pairwise([*times, None]):
        latest = max(latest, time or 0)
        reached = latest - lateness_us
        passed = watermarks[-1] if watermarks else 0
        watermarks.append(max(passed, reached - 1 if following == reached else reached))
    return watermarks


def cut(whole: Batch, row: int) -> tuple[Batch, Batch]:
    """A batch as two, the second beginning at a row; the first ends with the watermark of its last row."""
    if not 0 < row < whole.frame.height:
        raise ValueError(f"cannot cut a batch of {whole.frame.height} rows at {row}")
    return Batch(whole.frame[:row], int(whole.frame[WATERMARK][row - 1])), Batch(whole.frame[row:], whole.watermark)


def run(detector: Detector, batches: Iterable[Batch]) -> Outcome:
    """What a detector says of a stream, findings that came in parts merged."""
    outcome: Outcome = {}
    offset = 0
    for one in batches:
        for sighting in detector.observe(one):
            earlier = outcome.get(sighting.finding.id)
            if earlier is None:
                outcome[sighting.finding.id] = (offset + sighting.row, sighting.finding)
            else:
                outcome[sighting.finding.id] = (earlier[0], merge(earlier[1], sighting.finding))
        offset += one.frame.height
    return outcome


def check_detector(make: Callable[[], Detector], batches: Sequence[Batch]) -> None:
    """All laws at once; raises `AssertionError` naming the law that is broken and where."""
    check_replay(make, batches)
    check_split(make, batches)
    check_resume(make, batches)


def check_replay(make: Callable[[], Detector], batches: Sequence[Batch]) -> None:
    """The same events say the same again, and the detector leaves the batch as it was."""
    before = [one.frame.clone() for one in batches]
    first = run(make(), batches)
    assert all(one.frame.equals(copy) for one, copy in zip(batches, before, strict=True)), "replay: a batch was changed"  # noqa: S101 - laws speak by assertion
    _same("replay", first, run(make(), batches))


def check_split(make: Callable[[], Detector], batches: Sequence[Batch]) -> None:
    """Cutting batches, at each row, in halves and after the first row, changes nothing."""
    whole = run(make(), batches)
    _same("split at each row", whole, run(make(), pieces(batches, 1)))
    _same("split in halves", whole, run(make(), halves(batches)))
    _same("split in threes", whole, run(make(), pieces(batches, 3)))


def check_resume(make: Callable[[], Detector], batches: Sequence[Batch]) -> None:
    """Stopping after each batch, and starting anew from the snapshot, equals never having stopped."""
    parts = halves(batches)
    whole = run(make(), parts)
    _same("resume after each batch", whole, run(_Restarted(make), parts))


def pieces(batches: Iterable[Batch], rows: int) -> list[Batch]:
    """The stream in batches of so many rows at most."""
    out: list[Batch] = []
    for one in batches:
        rest = one
        while rest.frame.height > rows:
            head, rest = cut(rest, rows)
            out.append(head)
        out.append(rest)
    return out


def halves(batches: Iterable[Batch]) -> list[Batch]:
    """Each batch in two, where it has two rows."""
    return [part for one in batches for part in (cut(one, one.frame.height // 2) if one.frame.height > 1 else (one,))]


class _Restarted:
    """A detector that is stopped after every batch and started anew from what it left."""

    def __init__(self, make: Callable[[], Detector]) -> None:
        self._make = make
        self._state: State | None = None
        self.name, self.needs, self.forgotten = make().name, make().needs, 0

    def observe(self, one: Batch) -> list[Any]:
        detector = self._make()
        if self._state is not None:
            detector.restore(self._state)
        sightings = detector.observe(one)
        self.forgotten = detector.forgotten
        self._state = {name: _stored(frame) for name, frame in detector.snapshot().items()}
        return sightings

    def snapshot(self) -> State:
        return self._state or {}

    def restore(self, state: State) -> None:
        self._state = state


def _stored(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame as it comes back from a file."""
    file = io.BytesIO()
    frame.write_ipc(file)
    return pl.read_ipc(io.BytesIO(file.getvalue()))


def _same(law: str, expected: Outcome, found: Outcome) -> None:
    for finding_id in expected.keys() | found.keys():
        left, right = expected.get(finding_id), found.get(finding_id)
        if left != right:
            raise AssertionError(f"{law}: finding {finding_id} differs\nundisturbed: {left}\ndisturbed:   {right}")
