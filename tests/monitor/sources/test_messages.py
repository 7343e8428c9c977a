"""Positions of lines that came as messages: the same whatever the batch is cut, joined or decoded as."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import INDEX, PEOPLE, POSITION
from detectors.kernel import available
from monitor.containment import FaultWatch, contained
from monitor.decoders.combined import CombinedDecoder
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.door import Door, PeopleHash
from monitor.native import NativeNdjson
from monitor.sources import RawBatch
from monitor.sources.messages import MESSAGE_BITS, Messages, position_told
from monitor.testing.kafka import MessageSource

FIELDS = frozenset({*INDEX, *PEOPLE})
PEOPLE_HASH = PeopleHash(b"k" * 32)
LINES = (
    b'{"@timestamp":"2026-03-02T08:00:00Z"}\n',
    b'{"@timestamp":"2026-03-02T08:00:01Z","message":"' + b"m" * 90 + b'"}\n',
    b'{"@timestamp":"2026-03-02T08:00:02Z","event":{"id":"trap"}}\n',
    b"{broken\n",
    b"\xff\n",
    b"\n",
    b"x" * 200 + b"\n",
)
contents = st.lists(st.none() | st.lists(st.sampled_from(LINES), max_size=5).map(b"".join), min_size=1, max_size=15)


def batch_of(messages):
    source = MessageSource(messages, line_bytes_max=150)
    source.open(None)
    return source.read(1 << 20, 0)


def places(messages):
    """Where every line stands, with it."""
    found = {}
    for offset, message in enumerate(messages):
        at = offset << MESSAGE_BITS
        for line in (message or b"").splitlines(keepends=True):
            found[at] = line
            at += len(line)
    return found


def by_python(raw):
    decoder = NdjsonDecoder(few_lines=0)
    return Door(PEOPLE_HASH, decoder).admit(decoder.decode(raw, FIELDS), FIELDS)


def by_kernel(raw):
    return NativeNdjson(PEOPLE_HASH).admit(raw, FIELDS)


def trapped(raw):
    if b"trap" in raw.data:
        raise IndexError
    return by_python(raw)


def contained_by_halves(raw):
    return contained(trapped, raw, FaultWatch(), 60)


def as_access_log(raw):
    return CombinedDecoder().decode(raw, FIELDS)


WAYS = [by_python, contained_by_halves, as_access_log]
if available():
    WAYS.append(by_kernel)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=150, deadline=None)
@given(contents)
def test_every_way_of_decoding_gives_lines_their_places(way, messages):
    expected = places(messages)
    decoded = way(batch_of(messages))
    for position in decoded.frame[POSITION]:
        assert expected.pop(position).startswith(b'{"@timestamp"')
    blanks = 0
    for letter in decoded.dead_letters:
        assert expected.pop(letter.position).startswith(letter.raw[:20])
        blanks += letter.lines - 1
    assert list(expected.values()) == [b"\n"] * blanks


@settings(max_examples=300, deadline=None)
@given(contents, st.data())
def test_a_batch_cut_at_a_line_and_joined_is_what_it_was(messages, data):
    raw = batch_of(messages)
    position = data.draw(st.sampled_from(sorted(places(messages)) or [raw.end]))
    before, after = raw.cut(position)
    assert (before.end, after.start) == (position, position)
    whole = before.joined(after)
    assert (whole.data, whole.start, whole.end, whole.oversized) == (raw.data, raw.start, raw.end, raw.oversized)
    starts = np.flatnonzero(np.frombuffer(b"\n" + raw.data, np.uint8) == 10)[:-1].astype(np.int64)
    assert whole.positions(starts).tolist() == raw.positions(starts).tolist()
    assert raw.bytes_between(raw.start, position) + raw.bytes_between(position, raw.end) == sum(
        map(len, places(messages).values())
    )


def test_lines_that_arrived_at_no_known_time_have_none():
    messages = Messages(np.array([0, 4]), np.array([1 << 20, 5 << 20]), np.array([-1, 700]))
    raw = RawBatch("kafka:a/0", "ndjson", b"abc\nd\n", 1 << 20, 6 << 20, messages=messages)
    assert raw.messages.arrived(np.array([1 << 20, 5 << 20])).tolist() == [-1, 700]


def test_people_are_told_of_a_message_by_its_offset_and_of_a_file_by_its_byte():
    assert position_told("kafka:calls/1", 2560 << MESSAGE_BITS) == "offset 2,560"
    assert position_told("kafka:calls/1", (2560 << MESSAGE_BITS) + 1024) == "offset 2,560, byte 1,024 of the message"
    assert position_told("file:a", 2560 << MESSAGE_BITS) == "byte 2,684,354,560"
