"""The arrival clock: gaps are believed, forgeries are not, and cutting the stream changes nothing."""

import time
from itertools import chain

import msgspec
import numpy as np
import polars as pl
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from detectors.event import ARRIVAL, FUTURE, LATE, POSITION, TIME, WATERMARK
from monitor.intake.timeline import (
    AHEAD,
    ALONE,
    BEGINNING,
    CLOCK,
    OPEN,
    PROVISIONAL_MAX,
    Bounds,
    ClockState,
    label,
    stamp,
)

S = 1_000_000
SCHEMA = {"@timestamp": pl.Int64, "event.ingested": pl.Int64, "miniprogram.app_id": pl.String}
NOT_YET = BEGINNING // S
FORGED = 10_000_000


def frame(*times, ingested=None, apps=None):
    rows = zip(times, ingested or [None] * len(times), apps or [None] * len(times), strict=True)
    rows = [[t * S, None if i is None else i * S, app] for t, i, app in rows]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").with_row_index(POSITION)


def said(words):
    """A frame of words like ``"A100"``: an app of one letter, and the time that it claims."""
    words = words.split()
    return frame(*[int(word[1:]) for word in words], apps=[word[0] for word in words])


def seconds(stamped, name=CLOCK):
    return [value // S for value in stamped[name].to_list()]


def settled(clock, *, is_shared=True):
    return ClockState(clock * S, first_app="A", is_shared=is_shared)


def test_a_single_forged_time_moves_nothing_and_is_clamped():
    stamped, _ = stamp(frame(101, FORGED, 102), settled(100), Bounds())
    assert seconds(stamped) == [101, 101, 102]
    assert stamped[FUTURE].to_list() == [False, True, False]
    assert seconds(stamped, TIME) == [101, 101, 102]


def test_a_gap_is_believed_when_two_apps_in_a_row_ask_for_it():
    stamped, _ = stamp(said("A100 A40000 B40002 A40001 B40003"), settled(100), Bounds())
    assert seconds(stamped) == [100, 100, 40_002, 40_002, 40_003]


def test_the_first_event_after_a_gap_has_its_own_time_though_the_clock_waits_for_the_second():
    for words in ("A100 A40000 B40002", "A100 A40000 F9000000 B40001", "A100 A40000 A40001 B40002"):
        stamped, _ = stamp(said(words), settled(100), Bounds())
        assert (seconds(stamped)[1], seconds(stamped, TIME)[1], seconds(stamped, ARRIVAL)[1]) == (100, 40_000, 40_000)
        assert not stamped[FUTURE][1]


def test_what_nothing_contradicts_keeps_its_time_and_is_told_to_be_open():
    alone, state = stamp(said("A100 B101 A40000"), settled(100), Bounds())
    assert seconds(alone, TIME) == [100, 101, 40_000]
    assert (alone[AHEAD].to_list(), alone[OPEN].to_list()) == ([False, False, True], [False, False, True])
    assert state.clock == 101 * S


def test_what_the_next_event_contradicts_came_among_the_others_whatever_it_claims():
    stamped, _ = stamp(said("A100 A40000 B102 A40001"), settled(100), Bounds())
    assert seconds(stamped, TIME) == [100, 100, 102, 40_001]
    assert stamped[FUTURE].to_list() == [False, True, False, False]


def test_of_a_log_that_is_all_gaps_only_the_last_events_are_open():
    alone = [40_000 + 600 * number for number in range(3 * ALONE)]
    stamped, _ = stamp(frame(*alone, apps=["B"] * len(alone)), settled(100), Bounds())
    assert seconds(stamped, TIME) == alone
    assert stamped[OPEN].to_list() == [False] * 2 * ALONE + [True] * ALONE


def test_the_word_on_a_time_is_not_waited_for_through_endless_broken_lines():
    near, far = (said("A100 A40000 B102").with_columns(pl.Series(POSITION, [0, 100, at])) for at in (199, 200))
    assert stamp(near, settled(100), Bounds(held_bytes_max=100))[0][FUTURE].to_list() == [False, True, False]
    assert stamp(far, settled(100), Bounds(held_bytes_max=100))[0][FUTURE].to_list() == [False, False, False]


def test_of_two_that_ask_for_unlike_leaps_the_lesser_is_believed():
    stamped, _ = stamp(said(f"A100 A40000 F{FORGED} B40001"), settled(100), Bounds())
    assert seconds(stamped) == [100, 100, 40_000, 40_001]


def test_while_there_is_one_app_two_of_its_events_are_enough():
    stamped, _ = stamp(said("A100 A40000 A40001 B40002 A90000 A90001 B40003"), settled(100, is_shared=False), Bounds())
    assert seconds(stamped) == [100, 100, 40_001, 40_002, 40_002, 40_002, 40_003]


def test_among_others_an_app_alone_is_believed_when_it_has_asked_often_in_a_row():
    alone = [40_000 + number for number in range(ALONE + 1)]
    stamped, _ = stamp(frame(*alone, apps=["B"] * len(alone)), settled(100), Bounds())
    assert seconds(stamped)[ALONE - 2 :] == [100, *alone[ALONE - 1 :]]


def test_once_believed_a_sparse_app_alone_is_followed_at_every_event():
    alone = [40_000 + 600 * number for number in range(ALONE + 3)]
    stamped, _ = stamp(frame(*alone, apps=["B"] * len(alone)), settled(100), Bounds())
    assert seconds(stamped)[ALONE - 1 :] == alone[ALONE - 2 : -1]


def test_the_clock_is_provisional_until_a_second_app_agrees():
    stamped, _ = stamp(said("A100 A105 A104 B103 A106"), ClockState(), Bounds())
    assert seconds(stamped) == [NOT_YET, NOT_YET, NOT_YET, 105, 106]
    assert seconds(stamped, ARRIVAL) == [100, 105, 105, 105, 106]


def test_an_app_alone_has_its_clock_settled_after_some_events():
    stamped, _ = stamp(frame(*range(PROVISIONAL_MAX + 1)), ClockState(), Bounds())
    assert seconds(stamped)[-3:] == [NOT_YET, PROVISIONAL_MAX - 1, PROVISIONAL_MAX]


def test_a_forged_first_line_is_not_believed_whether_it_is_ahead_or_behind():
    ahead, _ = stamp(said(f"F{FORGED} A100 B101"), ClockState(), Bounds())
    behind, _ = stamp(said("F0 A90000 B90001"), ClockState(), Bounds())
    assert seconds(ahead) == [NOT_YET, NOT_YET, 101]
    assert seconds(behind) == [NOT_YET, NOT_YET, 90_001]
    assert not ahead[FUTURE].any()
    assert not behind[FUTURE].any()


def test_who_speaks_at_every_turn_of_the_beginning_does_not_silence_the_others():
    stamped, _ = stamp(said("F0 A90000 F1 B90001 F2 A90002"), ClockState(), Bounds())
    assert seconds(stamped)[3:] == [90_001, 90_001, 90_002]


def test_before_the_clock_is_settled_no_event_is_late_and_the_watermark_stays():
    stamped, _ = stamp(said("A100 A90 A20"), ClockState(), Bounds())
    labelled, reached = label(stamped, BEGINNING, None, Bounds())
    assert labelled[LATE].to_list() == [False] * 3
    assert {*labelled[WATERMARK].to_list(), reached} == {BEGINNING}


def test_a_provisional_clock_tells_how_far_its_own_events_have_come():
    for words, reached in [("A100", 100), ("A100 A150", 150), (f"F{FORGED} A100", 100), (f"A100 F{FORGED}", 100)]:
        assert stamp(said(words), ClockState(), Bounds())[1].reached == reached * S


def test_of_a_stream_read_as_it_comes_no_timestamp_passes_the_present():
    stamped, state = stamp(frame(100, FORGED, FORGED + 1, 104), settled(100), Bounds(), now=105 * S)
    assert seconds(stamped) == [100, 105, 105, 105]
    assert stamped[FUTURE].to_list() == [False, True, True, False]
    after, _ = stamp(frame(106), state, Bounds(), now=107 * S)
    assert seconds(after) == [106]


def test_a_stream_read_as_it_comes_believes_times_up_to_the_present_without_waiting():
    stamped, _ = stamp(said(f"A100 B40000 F{FORGED} A101"), settled(100), Bounds(), now=50_000 * S)
    assert seconds(stamped, TIME) == [100, 40_000, 50_000, 101]
    assert seconds(stamped)[1] == 100
    assert stamped[FUTURE].to_list() == [False, False, True, False]
    assert not stamped[OPEN].any()


def test_at_the_beginning_of_a_stream_read_as_it_comes_a_time_ahead_is_clamped_to_the_present():
    stamped, _ = stamp(said(f"F{FORGED} A104"), ClockState(), Bounds(), now=105 * S)
    assert (seconds(stamped), seconds(stamped, TIME)) == ([NOT_YET, 105], [105, 104])


def test_what_the_collector_says_is_the_arrival_and_moves_the_clock_at_once():
    stamped, _ = stamp(frame(100, 39_000, 39_001, ingested=[100, 40_000, 39_999]), ClockState(), Bounds())
    assert seconds(stamped, ARRIVAL) == [100, 40_000, 39_999]
    assert seconds(stamped) == [100, 40_000, 40_000]
    assert not stamped[FUTURE].any()


def test_the_collectors_word_ends_the_beginning_also_where_it_is_behind_what_was_claimed():
    stamped, state = stamp(frame(FORGED, 100, ingested=[None, 100]), ClockState(), Bounds())
    assert (seconds(stamped), state.reached) == ([NOT_YET, 100], 100 * S)


def test_late_is_what_comes_at_or_behind_the_watermark_before_it():
    stamped, _ = stamp(frame(100, 110, 108, 109, 107), settled(100), Bounds(lateness_s_max=2))
    labelled, reached = label(stamped, -1, None, Bounds(lateness_s_max=2))
    assert labelled[LATE].to_list() == [False, False, True, False, True]
    assert (labelled[WATERMARK].to_list()[-1], reached) == (108 * S, 108 * S)


def test_a_state_stored_before_apps_were_remembered_goes_on():
    stored = msgspec.json.decode(b'{"clock":100000000,"ahead":1,"ahead_min":40000000000}', type=ClockState)
    stamped, _ = stamp(said("A101 A40000 B40001"), stored, Bounds())
    assert seconds(stamped) == [101, 101, 40_001]


def test_a_stream_of_nothing_but_leaps_takes_time_in_proportion_to_its_length():
    def taken_s(rows):
        times = np.arange(rows) * S + np.arange(rows) % 2 * FORGED * S
        apps = pl.Series(["A", "F"] * (rows // 2))
        given = pl.DataFrame({"@timestamp": times, "event.ingested": None, "miniprogram.app_id": apps})
        begun = time.process_time()
        stamp(given.cast(SCHEMA).with_row_index(POSITION), ClockState(), Bounds())
        return time.process_time() - begun

    taken_s(1000)
    assert taken_s(160_000) < 8 * taken_s(40_000)


CLOSE = Bounds(lateness_s_max=3, skew_s_max=20, step_s_max=10)

words = st.tuples(
    st.sampled_from(["A", "A", "B", "F", None]),
    st.one_of(st.integers(0, 60), st.integers(0, 500)),
    st.one_of(st.none(), st.none(), st.none(), st.integers(0, 500)),
)
"""App, time and arrival."""

runs = st.tuples(words, st.integers(1, 2 * ALONE), st.integers(0, 12)).map(
    lambda run: [(run[0][0], run[0][1] + number * run[2], run[0][2]) for number in range(run[1])]
)
"""An app that goes on alone."""


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(words.map(lambda word: [word]), runs), min_size=1, max_size=40)
    .map(chain.from_iterable)
    .map(list),
    st.lists(st.one_of(st.integers(1, 9), st.integers(100, 400)), min_size=1),
    st.one_of(st.none(), st.integers(50, 400)),
)
def test_cutting_the_stream_changes_no_label(events, cuts, now):
    whole = frame(*[t for _, t, _ in events], ingested=[i for _, _, i in events], apps=[app for app, _, _ in events])
    present = None if now is None else now * S
    stamped, state = stamp(whole, ClockState(), CLOSE, present)
    labelled, reached = label(stamped, BEGINNING, None, CLOSE)
    parts, begin, end, piece_state, mark = [], 0, 0, ClockState(), BEGINNING
    while begin < whole.height:
        end = min(end + cuts[len(parts) % len(cuts)], whole.height)
        piece, after = stamp(whole[begin:end], piece_state, CLOSE, present)
        if end < whole.height and piece[OPEN].any():  # what is open is read again with what follows
            firm = piece[OPEN].arg_max()
            piece, after = piece[:firm], stamp(whole[begin : begin + firm], piece_state, CLOSE, present)[1]
        piece, mark = label(piece, mark, None, CLOSE)
        piece_state = msgspec.json.decode(msgspec.json.encode(after), type=ClockState)  # as a restart does
        parts.append(piece)
        begin += piece.height
    assert pl.concat(parts).equals(labelled)
    assert (piece_state, mark) == (state, reached)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["A", "B", "C", None]), st.one_of(st.integers(0, 9), st.integers(0, 900))), min_size=1
    ),
    st.lists(st.integers(0, 3), min_size=1),
)
def test_no_time_of_a_log_that_is_in_order_is_changed_however_many_gaps_it_has(events, delays):
    """In order up to the lateness."""
    times, clock = [], 1000
    for number, (_, later) in enumerate(events):
        clock += later
        times.append(clock - delays[number % len(delays)])
    stamped, _ = stamp(frame(*times, apps=[app for app, _ in events]), ClockState(), CLOSE)
    assert seconds(stamped, TIME) == times
    assert not stamped[FUTURE].any()


honest = st.lists(
    st.tuples(st.sampled_from(["A", "B", "C"]), st.integers(0, 7), st.integers(0, 2)), min_size=2, max_size=60
)
"""App, how much later than the one before, and how long it was on its way: less than the lateness, both less than a step."""

forged_ahead = st.lists(st.integers(11, 10_000), min_size=1, max_size=ALONE - 1)
"""Times of a hostile app's events in a row, from the step beyond all that is honest on."""


def told(events, start=1000):
    """Honest events with their times."""
    clock, lines = start, []
    for app, later, delay in events:
        clock += later
        lines.append((app, clock - delay))
    return lines


def with_runs(lines, forgeries):
    """Honest lines with runs of forged ones before some of them; no run follows another directly."""
    mixed = []
    for number, line in enumerate(lines):
        mixed += [("F", time) for time in forgeries.get(number, ())]
        mixed.append(line)
    return mixed


def harmed(lines):
    """The honest lines that are late or future, and the greatest clock."""
    stamped, _ = stamp(frame(*[t for _, t in lines], apps=[app for app, _ in lines]), ClockState(), CLOSE)
    labelled, _ = label(stamped, BEGINNING, None, CLOSE)
    rows = zip(lines, labelled[LATE], labelled[FUTURE], strict=True)
    return [line for line, late, future in rows if line[0] != "F" and (late or future)], max(seconds(stamped))


@settings(max_examples=300, deadline=None)
@given(honest, st.dictionaries(st.integers(0, 20), forged_ahead, max_size=12))
def test_one_app_that_claims_to_be_far_ahead_harms_no_other_and_does_not_move_the_clock(events, forgeries):
    """However often, from the first line on, as long as fewer than `ALONE` of its events come in a row."""
    lines = told(events)
    furthest = max(time for _, time in lines)
    forgeries = {at: [furthest + ahead for ahead in run] for at, run in forgeries.items()}
    assume(len({app for app, _ in lines}) > 1)
    found, clock = harmed(with_runs(lines, forgeries))
    assert found == []
    assert clock <= furthest


@settings(max_examples=300, deadline=None)
@given(
    honest,
    st.lists(st.one_of(st.integers(0, 900), st.integers(3000, 9000)), min_size=1, max_size=ALONE - 1),
    st.integers(0, 3),
)
def test_a_run_of_whatever_times_at_the_beginning_harms_nobody_either(events, forged, at):
    lines = told(events)
    assume(len({app for app, _ in lines}) > 1)
    found, clock = harmed(with_runs(lines, {at: forged}))
    assert found == []
    assert clock <= max(time for _, time in lines)
