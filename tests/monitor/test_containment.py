"""A fault that nobody knows of costs the line that brings it out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.event import INDEX, PEOPLE, POSITION
from monitor.containment import contained
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
    return contained(admit, raw, told.append, 40), told


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
        contained(broken, batch([GOOD]), lambda _: None, 40)


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
    assert contained(counting, batch(lines), lambda _: None, 40).frame.height == 4000
    assert len(calls) <= 2 * 13 + 1
