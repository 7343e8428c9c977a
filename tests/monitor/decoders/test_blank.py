"""A run of empty lines is one dead letter, and every line of it is counted."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import kernel
from detectors.event import INDEX, PEOPLE
from monitor import native
from monitor.decoders import lines_of
from monitor.decoders.combined import CombinedDecoder
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.door import Door, PeopleHash
from monitor.sources import Oversized, RawBatch

FIELDS = frozenset({*INDEX, *PEOPLE})
GOOD = b'{"@timestamp":"2026-03-02T08:00:00Z"}'
HASH = PeopleHash(b"k" * 32)


def by_python(raw, few_lines):
    decoder = NdjsonDecoder(few_lines=few_lines)
    return Door(HASH, decoder).admit(decoder.decode(raw, FIELDS), FIELDS)


WAYS = [
    lambda raw: by_python(raw, 0),
    lambda raw: by_python(raw, 10**6),
    lambda raw: CombinedDecoder().decode(raw, FIELDS),
]
if kernel.available():
    WAYS.append(lambda raw: native.NativeNdjson(HASH).admit(raw, FIELDS))


def batch(lines):
    """A batch of these lines; of None, an oversized one."""
    data, oversized, position = b"", [], 100
    for line in lines:
        if line is None:
            oversized.append(Oversized(position, 5000, b"{"))
            position += 5001
        else:
            data += line + b"\n"
            position += len(line) + 1
    return RawBatch("memory:1", "ndjson", data, 100, position, oversized=tuple(oversized))


@pytest.mark.parametrize("way", WAYS)
def test_lines_between_two_others_are_a_run_and_those_beyond_are_another(way):
    letters = way(batch([b"", b" \t", b"", GOOD, b"\r", None, b""])).dead_letters
    empty = [letter for letter in letters if letter.reason == "empty-line"]
    second = 105 + len(GOOD) + 1
    assert [(letter.position, letter.lines) for letter in empty] == [(100, 3), (second, 1), (second + 2 + 5001, 1)]
    assert empty[0].detail == "3 empty lines in a row"


@pytest.mark.parametrize("way", WAYS)
@given(lines=st.lists(st.sampled_from([b"", b" ", b"\r", b" " * 70, b"{", GOOD, None]), max_size=40))
def test_every_line_is_an_event_or_stands_in_a_letter_whatever_is_empty(way, lines):
    decoded = way(batch(lines))
    assert decoded.frame.height + lines_of(decoded.dead_letters) == len(lines)
    is_empty = [line is not None and not line.strip() for line in lines]
    empty = [one for one in decoded.dead_letters if one.reason == "empty-line"]
    assert lines_of(empty) == sum(is_empty)
    runs = sum(1 for key, _ in itertools.groupby(is_empty) if key)
    long = sum(line is not None and len(line) == 70 for line in lines)
    assert len(empty) <= runs + 2 * long


def test_a_million_empty_lines_are_one_letter():
    (letter,) = by_python(batch([b""] * 1_000_000), 0).dead_letters
    assert (letter.lines, letter.raw, letter.length) == (1_000_000, b"", 0)
