"""Archived lines are decoded again; one that cannot be any more keeps what is held of it."""

import msgspec
import polars as pl
import pytest

from detectors import kernel
from detectors.event import DTYPES, INDEX, INTERNAL, LINE, POSITION, kind_of
from monitor.containment import LINES_WATCHED
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.pipeline import decoded_fields
from monitor.recall import KEPT, recalled
from monitor.simulate import simulate
from monitor.sources import RawBatch

FIELDS = frozenset({*INDEX, *KEPT, "message"})
GOOD = '{"@timestamp":"2026-03-02T08:00:00Z","message":"good"}'
TRAP = '{"@timestamp":"2026-03-02T08:00:00Z","message":"trap"}'


@pytest.fixture
def trapped(monkeypatch):
    """A decoder with a fault that some lines bring out."""
    decode = NdjsonDecoder.decode

    def failing(self, raw, fields):
        if b"trap" in raw.data:
            raise IndexError
        return decode(self, raw, fields)

    monkeypatch.setattr(NdjsonDecoder, "decode", failing)


def archived(lines):
    columns = {name: DTYPES[kind_of(name)] for name in (*INDEX, *KEPT)} | dict(INTERNAL)
    held = pl.DataFrame(schema=columns).clear(len(lines))
    return held.with_columns(
        pl.Series(LINE, lines),
        pl.Series(POSITION, range(len(lines)), pl.Int64),
        pl.Series("event.id", map(str, range(len(lines)))),
    )


@pytest.mark.usefixtures("trapped")
def test_a_line_that_brings_out_a_fault_keeps_what_is_held_and_the_others_are_whole():
    found = recalled(archived([GOOD, TRAP, GOOD]), FIELDS)
    assert found["message"].to_list() == ["good", None, "good"]
    assert found["event.id"].to_list() == ["0", "1", "2"]


@pytest.mark.usefixtures("trapped")
def test_where_all_do_all_keep_what_is_held_and_it_takes_no_longer():
    found = recalled(archived([TRAP] * 4 * LINES_WATCHED), FIELDS)
    assert found.height == 4 * LINES_WATCHED
    assert found["message"].null_count() == found.height


WHOLE = decoded_fields(
    frozenset({"url.full", "message", "miniprogram.api_args", "labels.x", "http.response.status_code"})
)
"""As a daemon asks for them: with these the kernel decodes, where there is one."""


def kept(*lines):
    """Lines that have been through the door, as the archive gives them."""
    data = b"\n".join(lines) + b"\n"
    frame = NdjsonDecoder().decode(RawBatch("a", "ndjson", data, 0, len(data)), WHOLE).frame
    held = frame.select(name for name in frame.columns if name in {*INDEX, *KEPT, *INTERNAL})
    return held.with_columns(pl.lit("kept").alias("auth.code"))


@pytest.mark.skipif(not kernel.available(), reason="there is no kernel to compare with")
def test_the_kernel_gives_the_same(monkeypatch):
    odd = [
        b'{"@timestamp":1,"message":"secret=<app_secret:132f7ffe> 13800138000","labels":{"x":"\\u00e9"}}',
        b'{"@timestamp":2,"message":"\\u0041","url.full":"x"}',
        b'{"@timestamp":3,"miniprogram":{"api_args":{"token":"abc"}}}',
    ]
    frame = kept(*(line for part in simulate(3, 2_000) for line in part.splitlines()), *odd)
    by_kernel = recalled(frame, WHOLE)
    monkeypatch.setattr(kernel, "available", lambda: False)
    assert by_kernel.equals(recalled(frame, WHOLE))


@pytest.mark.parametrize("native", [True, False])
def test_what_the_archive_keeps_stands_and_what_is_redacted_stays_as_it_is(monkeypatch, native):
    told = "session_key=<session_key:019b892b>"
    frame = kept(msgspec.json.encode({"@timestamp": 1, "message": told, "auth": {"code": "other"}}))
    if not native:
        monkeypatch.setattr(kernel, "available", lambda: False)
    again = recalled(frame, WHOLE)
    assert (again["message"][0], again["auth.code"][0]) == (told, "kept")
