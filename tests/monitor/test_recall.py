"""Archived lines are decoded again; one that cannot be any more keeps what is held of it."""

import polars as pl
import pytest

from detectors.event import DTYPES, INDEX, INTERNAL, LINE, POSITION, kind_of
from monitor.containment import LINES_WATCHED
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.recall import KEPT, recalled

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
