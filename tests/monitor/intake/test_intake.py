"""A partition on its way to columns: the same events with the same times, however it is read, taken and resumed."""

import msgspec
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import ARRIVAL, FUTURE, INDEX, PEOPLE, POSITION, TIME
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.door import Door, PeopleHash
from monitor.intake import Intake, _arrived
from monitor.intake.timeline import AHEAD, CLOCK, Bounds
from monitor.sources import RawBatch
from monitor.sources.messages import MESSAGE_BITS
from monitor.stores import Progress
from monitor.testing import MemorySource
from monitor.testing.kafka import MessageSource

FIELDS = frozenset({*INDEX, *PEOPLE, "@timestamp", "event.ingested"})
CLOSE = Bounds(lateness_s_max=3, skew_s_max=20, step_s_max=10, held_bytes_max=600)
PEOPLE_HASH = PeopleHash(b"k" * 32)
BROKEN = b"{broken\n"
LABELS = (POSITION, TIME, ARRIVAL, FUTURE, AHEAD, CLOCK)


def line(app, second, ingested=None):
    event = {} if ingested is None else {"event.ingested": ingested * 1000}
    return msgspec.json.encode({"@timestamp": second * 1000, "miniprogram.app_id": app, **event}) + b"\n"


def opened(content, stored=None, source_of=lambda content: MemorySource(content, line_bytes_max=200)):
    decoder = NdjsonDecoder()
    door = Door(PEOPLE_HASH, decoder)
    source = source_of(content)
    intake = Intake(source, decoder, door, CLOSE, Progress(partition=source.partition, end=0))
    intake.open(stored)
    return intake


def read(intake, bytes_max):
    """Read once; whether there was anything to read or to end."""
    raw = intake.source.read(bytes_max, 0)
    if raw is not None or intake.held is not None:
        intake.fill(raw, FIELDS)
    return not intake.exhausted


def gone_through(content, sizes, rows, stop_every=0, anew_every=0, **how):
    """All rows with their labels, all dead letters, and the last account.

    With `stop_every`, some takings are a process's last; with `anew_every`, after some the rest of the lot is decoded anew.
    """
    intake, frames, letters, taken = opened(content, **how), [], [], 0
    while read(intake, sizes[taken % len(sizes)]):
        while intake.lot is not None:
            piece = intake.take(rows[taken % len(rows)])
            frames.append(piece.frame.select(LABELS))
            letters += [letter.reason for letter in piece.letters for _ in range(letter.lines)]
            taken += 1
            assert taken < 1000
            if anew_every and taken % anew_every == 0:
                intake.lot = intake.decoded_anew(FIELDS | {"message"})
            if stop_every and taken % stop_every == 0:
                stored = msgspec.json.decode(msgspec.json.encode(intake.progress), type=Progress)
                intake = opened(content, stored, **how)
    return pl.concat(frames), letters, intake.progress


def test_the_last_event_before_a_read_ends_waits_for_what_follows_and_keeps_its_place():
    lines = [line("A", 100), line("B", 101), line("A", 4000), line("B", 4001)]
    intake = opened(b"".join(lines))
    read(intake, len(b"".join(lines[:3])))
    piece = intake.take(10)
    assert (piece.frame.height, piece.progress.received, piece.bytes) == (2, 2, len(b"".join(lines[:2])))
    read(intake, 1000)
    assert [time // 1_000_000 for time in intake.take(10).frame[TIME]] == [4000, 4001]
    assert intake.progress.end == len(b"".join(lines))


def test_what_waits_at_the_end_is_given_as_it_stands():
    intake = opened(line("A", 100) + line("B", 101) + line("A", 4000))
    read(intake, 1000)
    assert intake.take(10).frame.height == 2
    assert not intake.exhausted
    read(intake, 1000)
    piece = intake.take(10)
    assert (piece.frame[TIME][0], piece.frame[FUTURE][0], intake.place.claimed) == (4_000_000_000, False, 4_000_000_000)
    assert intake.exhausted


def test_a_read_that_is_all_doubt_gives_nothing_yet():
    content = line("A", 100) + line("B", 101)
    intake = opened(content + line("A", 4000) + line("A", 4030) + line("B", 4001))
    read(intake, len(content))
    intake.take(10)
    for _ in range(2):
        assert read(intake, len(line("A", 4000)))
        assert intake.lot is None
    read(intake, 1000)
    assert [time // 1_000_000 for time in intake.take(10).frame[TIME]] == [4000, 101, 4001]


def test_what_was_held_back_and_is_taken_does_not_come_again_when_the_rest_is_decoded_anew():
    lines = [line("A", 100), line("B", 101), line("A", 4000), line("B", 4001), line("B", 4002)]
    intake = opened(b"".join(lines))
    for size in (len(b"".join(lines[:3])), 1000):
        read(intake, size)
        intake.take(2 if size < 1000 else 1)
    intake.lot = intake.decoded_anew(FIELDS | {"message"})
    assert [time // 1_000_000 for time in intake.take(10).frame[TIME]] == [4001, 4002]


words = st.one_of(
    st.builds(line, st.sampled_from("ABF"), st.one_of(st.integers(0, 60), st.integers(0, 500))),
    st.builds(line, st.sampled_from("ABF"), st.integers(0, 60), st.integers(0, 500)),
    st.sampled_from([BROKEN, b"\n", b"x" * 300 + b"\n"]),
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(words, min_size=1, max_size=60),
    st.lists(st.sampled_from([1, 90, 250, 5000]), min_size=1, max_size=5),
    st.lists(st.integers(1, 7), min_size=1, max_size=4),
    st.integers(0, 4),
    st.integers(0, 3),
)
def test_reading_taking_resuming_and_decoding_anew_changes_nothing(lines, sizes, rows, stop_every, anew_every):
    content = b"".join(lines)
    whole, letters, account = gone_through(content, [1 << 20], [1000])
    found, found_letters, found_account = gone_through(content, sizes, rows, stop_every, anew_every)
    assert found.equals(whole)
    assert sorted(found_letters) == sorted(letters)
    assert found_account == account
    assert whole.height + len(letters) == account.received == len(lines)


def as_messages(messages):
    return MessageSource(messages, line_bytes_max=200)


def as_told_messages(messages):
    return MessageSource(messages, line_bytes_max=200, arrivals=[1000 * number for number in range(len(messages))])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.none() | st.lists(words, max_size=5).map(b"".join), min_size=1, max_size=20),
    st.lists(st.sampled_from([1, 90, 250, 5000]), min_size=1, max_size=5),
    st.lists(st.integers(1, 7), min_size=1, max_size=4),
    st.integers(0, 4),
    st.integers(0, 3),
    st.sampled_from([as_messages, as_told_messages]),
)
def test_nor_does_it_where_lines_come_as_messages(messages, sizes, rows, stop_every, anew_every, source_of):
    count = sum((message or b"").count(b"\n") for message in messages)
    if not count:
        return
    whole, letters, account = gone_through(messages, [1 << 20], [1000], source_of=source_of)
    found, found_letters, found_account = gone_through(
        messages, sizes, rows, stop_every, anew_every, source_of=source_of
    )
    assert found.equals(whole)
    assert sorted(found_letters) == sorted(letters)
    assert found_account == account
    assert whole.height + len(letters) == account.received == count
    assert account.end == len(messages) << MESSAGE_BITS


def test_lines_arrived_when_their_source_says_unless_they_say_it_themselves():
    told = {POSITION: [0, 5, 9, 20], "event.ingested": [None, 7, None, None]}
    raw = RawBatch("http:", "ndjson", b"", 0, 30, arrivals=((0, 100), (9, 200)))
    frame = pl.DataFrame(told, schema=dict.fromkeys(told, pl.Int64))
    assert _arrived(frame, raw)["event.ingested"].to_list() == [100, 7, 200, 200]
    assert _arrived(frame, msgspec.structs.replace(raw, arrivals=())) is frame
