"""The arrival clock: gaps are believed, single forgeries are not, and cutting the stream changes nothing."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import ARRIVAL, FUTURE, LATE, TIME, WATERMARK
from monitor.timeline import CLOCK, Bounds, ClockState, label, stamp

S = 1_000_000
SCHEMA = {"@timestamp": pl.Int64, "event.ingested": pl.Int64}


def frame(*times, ingested=None):
    rows = zip(times, ingested or [None] * len(times), strict=True)
    return pl.DataFrame([[t * S, None if i is None else i * S] for t, i in rows], schema=SCHEMA, orient="row")


def test_a_single_forged_time_moves_nothing_and_is_clamped():
    stamped, _ = stamp(frame(100, 101, 10_000_000, 102), ClockState(), Bounds())
    assert stamped[CLOCK].to_list() == [100 * S, 101 * S, 101 * S, 102 * S]
    assert stamped[FUTURE].to_list() == [False, False, True, False]
    assert stamped[TIME].to_list() == [100 * S, 101 * S, 101 * S, 102 * S]


def test_a_gap_is_believed_at_the_second_event():
    stamped, _ = stamp(frame(100, 40_002, 40_000, 40_001, 40_003), ClockState(), Bounds())
    assert stamped[CLOCK].to_list() == [100 * S, 100 * S, 40_000 * S, 40_001 * S, 40_003 * S]


def test_of_a_stream_read_as_it_comes_no_timestamp_passes_the_present():
    stamped, state = stamp(frame(100, 10_000_000, 10_000_001, 104), ClockState(), Bounds(), now=105 * S)
    assert stamped[CLOCK].to_list() == [100 * S, 105 * S, 105 * S, 105 * S]
    assert stamped[FUTURE].to_list() == [False, True, True, False]
    after, _ = stamp(frame(106), state, Bounds(), now=107 * S)
    assert after[CLOCK].to_list() == [106 * S]


def test_what_the_collector_says_is_the_arrival_and_moves_the_clock_at_once():
    stamped, _ = stamp(frame(100, 39_000, 39_001, ingested=[100, 40_000, 39_999]), ClockState(), Bounds())
    assert stamped[ARRIVAL].to_list() == [100 * S, 40_000 * S, 39_999 * S]
    assert stamped[CLOCK].to_list() == [100 * S, 40_000 * S, 40_000 * S]
    assert not stamped[FUTURE].any()


def test_late_is_what_comes_at_or_behind_the_watermark_before_it():
    stamped, _ = stamp(frame(100, 110, 108, 109, 107), ClockState(), Bounds(lateness_s_max=2))
    labelled, reached = label(stamped, -1, None, Bounds(lateness_s_max=2))
    assert labelled[LATE].to_list() == [False, False, True, False, True]
    assert (labelled[WATERMARK].to_list()[-1], reached) == (108 * S, 108 * S)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 500), st.one_of(st.none(), st.integers(0, 500))), min_size=1, max_size=60),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_cutting_the_stream_changes_no_label(events, cuts):
    whole = frame(*[t for t, _ in events], ingested=[i for _, i in events])
    bounds = Bounds(lateness_s_max=3, skew_s_max=20, step_s_max=10)
    stamped, state = stamp(whole, ClockState(), bounds)
    labelled, reached = label(stamped, -1, None, bounds)
    parts, begin, piece_state, mark = [], 0, ClockState(), -1
    while begin < whole.height:
        piece, piece_state = stamp(whole.slice(begin, cuts[len(parts) % len(cuts)]), piece_state, bounds)
        piece, mark = label(piece, mark, None, bounds)
        parts.append(piece)
        begin += piece.height
    assert pl.concat(parts).equals(labelled)
    assert (piece_state, mark) == (state, reached)
