"""A fault that nobody knows of costs the line that brings it out."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.event import INDEX, PEOPLE, POSITION
from monitor.containment import LINES_WATCHED, FaultWatch, TooManyFaults, contained
from monitor.decoders import DeadLetterReason as Reason
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.sources import Oversized, RawBatch

FIELDS = frozenset({*INDEX, *PEOPLE})
GOOD = b'{"@timestamp":"2026-03-02T08:00:00Z"}\n'
FAULTY = b'{"@timestamp":"2026-03-02T08:00:00Z","event":{"id":"trap"}}\n'
BAD = b"{\n"


def admit(raw):
    """A decoder that cannot take a trap."""
    if b"trap" in raw.data:
        raise IndexError(f"the trap of somebody@example.org: {raw.data!r}")
    return NdjsonDecoder().decode(raw, FIELDS)


def batch(lines, oversized=()):
    data = b"".join(lines)
    return RawBatch("memory:1", "ndjson", data, 100, 100 + len(data), oversized=oversized)


def take(raw):
    told = []
    return contained(admit, raw, FaultWatch(told.append), 40), told


def test_the_line_with_the_fault_is_a_dead_letter_and_the_others_are_events():
    decoded, told = take(batch([GOOD, FAULTY, BAD, GOOD]))
    assert decoded.frame.height == 2
    assert [letter.reason for letter in decoded.dead_letters] == [Reason.FAULT, Reason.BROKEN_JSON]
    assert decoded.dead_letters[0].raw == FAULTY[:40]
    assert decoded.dead_letters[0].length == len(FAULTY) - 1
    assert [fault.position for fault in told] == [100 + len(GOOD)]


def test_what_is_told_of_a_fault_does_not_hold_what_the_line_says():
    decoded, told = take(batch([FAULTY]))
    assert told[0].error == "IndexError"
    assert "somebody" not in decoded.dead_letters[0].detail + told[0].place


def test_a_fault_that_no_line_brings_out_is_raised():
    def broken(_raw):
        raise MemoryError

    with pytest.raises(MemoryError):
        contained(broken, batch([GOOD]), FaultWatch(), 40)


@given(st.lists(st.sampled_from([GOOD, FAULTY, BAD, "oversized"]), max_size=40))
def test_every_line_is_accounted_for_at_its_place(kinds):
    lines, oversized, expected, position = [], [], [], 100
    for kind in kinds:
        expected.append((position, kind))
        if kind == "oversized":
            oversized.append(Oversized(position, 5000, b"{"))
            position += 5001
        else:
            lines.append(kind)
            position += len(kind)
    decoded, _ = take(batch(lines, tuple(oversized)))
    reasons = {FAULTY: Reason.FAULT, BAD: Reason.BROKEN_JSON, "oversized": Reason.TOO_LONG}
    assert decoded.frame[POSITION].to_list() == [place for place, kind in expected if kind == GOOD]
    assert [(letter.position, letter.reason) for letter in decoded.dead_letters] == [
        (place, reasons[kind]) for place, kind in expected if kind != GOOD
    ]


def test_one_fault_among_many_lines_takes_few_further_calls():
    calls = []

    def counting(raw):
        calls.append(raw)
        return admit(raw)

    lines = [GOOD] * 4000
    lines.insert(int(np.random.default_rng(3).integers(4000)), FAULTY)
    assert contained(counting, batch(lines), FaultWatch(), 40).frame.height == 4000
    assert len(calls) <= 2 * 13 + 1


def raising(error):
    """A decoder that raises this for a trap."""

    def admitting(raw):
        if b"trap" in raw.data:
            raise error
        return NdjsonDecoder().decode(raw, FIELDS)

    return admitting


def test_a_panic_of_polars_costs_its_line_too():
    decoded = contained(
        raising(pl.exceptions.PanicException("index out of bounds")), batch([GOOD, FAULTY]), FaultWatch(), 40
    )
    assert decoded.frame.height == 1
    assert "PanicException" in decoded.dead_letters[0].detail


@pytest.mark.parametrize("word", [KeyboardInterrupt, SystemExit])
def test_who_asks_the_program_to_end_is_obeyed(word):
    with pytest.raises(word):
        contained(raising(word), batch([GOOD, FAULTY]), FaultWatch(), 40)


def test_where_most_lines_bring_out_a_fault_reading_stops():
    told = []
    with pytest.raises(TooManyFaults, match="IndexError at"):
        contained(admit, batch([FAULTY] * 4 * LINES_WATCHED), FaultWatch(told.append), 40)
    assert len(told) <= 3 * LINES_WATCHED


def test_faults_that_good_lines_outnumber_do_not_stop_it():
    watch = FaultWatch()
    for _ in range(4):
        decoded = contained(admit, batch([GOOD] * 1100 + [FAULTY] * 1000), watch, 40)
        assert (decoded.frame.height, len(decoded.dead_letters)) == (1100, 1000)


def test_there_is_a_word_between_two_faults():
    def stop():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        contained(admit, batch([GOOD, FAULTY, FAULTY]), FaultWatch(between=stop), 40)


def test_a_line_too_long_to_be_kept_whole_is_not_said_to_be_replayable():
    (letter,) = take(batch([FAULTY]))[0].dead_letters
    assert "send the line again: only its beginning was kept" in letter.detail
