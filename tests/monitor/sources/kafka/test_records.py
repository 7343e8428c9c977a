"""Record batches as kafka-python writes them are read as it reads them, whatever their cut and compression; what is spoilt is told."""

import struct

import pytest
from crc32c import crc32c
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kafka.record import MemoryRecords
from kafka.record.memory_records import MemoryRecordsBuilder

from monitor.sources import UnreadReason
from monitor.sources.kafka.decompression import BadCompression, decompressed
from monitor.sources.kafka.records import Aborted, read_records

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
HEADER = 61
CRC_AT = 17


def batch(values, base=0, codec=NONE, producer=None, time=1_000):
    """A record batch as a producer sends and a broker keeps it."""
    transaction = (
        {}
        if producer is None
        else {"transactional": True, "producer_id": producer, "producer_epoch": 0, "base_sequence": 0}
    )
    builder = MemoryRecordsBuilder(2, codec, 1 << 24, offset=0, **transaction)
    for number, value in enumerate(values):
        builder.append(time + number, b"key" if number % 2 else None, value, [("h", b"v")] if number % 3 == 0 else [])
    builder.close()
    found = bytearray(builder.buffer())
    struct.pack_into(">q", found, 0, base)
    return bytes(found)


def signed(spoilt):
    """A batch that was changed, with the checksum that it has now."""
    found = bytearray(spoilt)
    struct.pack_into(">I", found, CRC_AT, crc32c(bytes(found[21:])))
    return bytes(found)


def marker(base, producer, kind):
    """The control batch that ends a transaction: kind 0 takes it back."""
    found = bytearray(batch([b""], base, producer=producer))
    body = b"\0\0\0" + b"\x08" + struct.pack(">hh", 0, kind) + b"\x01" + b"\0"
    found[HEADER:] = bytes([len(body) * 2]) + body
    struct.pack_into(">i", found, 8, len(found) - 12)
    struct.pack_into(">h", found, 21, 0x30)
    return signed(found)


def read(buffer, offset=0, aborted=()):
    return list(read_records(buffer, offset, Aborted(sorted(aborted))))


def lines_of(pieces):
    return b"".join(piece.data for piece in pieces)


values = st.lists(st.none() | st.binary(max_size=300), max_size=12)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(values, st.sampled_from([NONE, GZIP, SNAPPY, LZ4, ZSTD])), max_size=5), st.integers(0, 20))
def test_what_is_read_is_what_was_written(batches, fetch_offset):
    buffer, base, expected = b"", 0, []
    for written, codec in batches:
        if not written:
            continue
        buffer += batch(written, base, codec)
        expected += [(base + number, value, 1_000 + number) for number, value in enumerate(written)]
        base += len(written)
    expected = [(offset, value, time) for offset, value, time in expected if offset >= fetch_offset and value]
    pieces = read(buffer, fetch_offset)
    found = []
    for piece in pieces:
        ends = [*piece.begins.tolist()[1:], len(piece.data)][: len(piece.begins)]
        for offset, begin, end, time in zip(piece.offsets, piece.begins, ends, piece.arrivals, strict=True):
            found.append((offset, piece.data[begin:end], time // 1000))
    assert found == [(offset, value.removesuffix(b"\n") + b"\n", time) for offset, value, time in expected]
    if base > fetch_offset:
        assert pieces[-1].next_offset == base


def test_it_reads_what_kafka_python_reads():
    buffer = batch([b"a" * 200, None, b"b\n"], 7, LZ4)
    theirs = [record.value for one in MemoryRecords(buffer) for record in one]
    assert theirs == [b"a" * 200, None, b"b\n"]
    (ours,) = read(buffer, 7)
    assert ours.data == b"a" * 200 + b"\nb\n"
    assert (ours.offsets.tolist(), ours.next_offset) == ([7, 9], 10)


def test_a_message_over_the_bound_is_set_apart():
    (found,) = read_records(batch([b"a", b"b" * 5000, b"c"]), 0, Aborted([]), message_bytes_max=4096)
    assert found.data == b"a\nc\n"
    assert [(one.position >> 20, one.length) for one in found.oversized] == [(1, 5000)]


@pytest.mark.parametrize("at", [HEADER + 3, 22, 40, CRC_AT])
def test_a_batch_with_a_wrong_checksum_is_told_and_passed_and_then_reading_begins_anew(at):
    good, bad = batch([b"a", b"b"]), bytearray(batch([b"c", b"d", b"e"], 2))
    bad[at] ^= 0x55
    pieces = read(good + bytes(bad) + batch([b"f"], 5))
    assert lines_of(pieces) == b"a\nb\n"
    (unread,) = pieces[-1].unread
    assert (unread.position >> 20, unread.messages, unread.reason) == (2, 3, UnreadReason.CORRUPT)
    assert pieces[-1].next_offset == 5


def test_a_checksum_over_what_cannot_be_decompressed_is_told_too():
    spoilt = bytearray(batch([b"a" * 500] * 9, 3, ZSTD))
    spoilt[HEADER:] = b"\x77" * (len(spoilt) - HEADER)
    (found,) = read(signed(spoilt), 5)
    assert [(one.position >> 20, one.messages) for one in found.unread] == [(5, 7)]
    assert "zstd" in found.unread[0].detail
    assert found.next_offset == 12


def of_broker(batches, offset, cut=1 << 20):
    """What a broker gives from an offset on: the batches that have it and what follows, the first whole, as the log has them."""
    log = [data for data, last in batches if last >= offset]
    return b"".join(log)[: max(cut, len(log[0]))] if log else b""


LENGTH_AT = 8


@settings(max_examples=400, deadline=None)
@given(
    st.integers(-(1 << 31), (1 << 31) - 1) | st.integers(-200, 600),
    st.integers(0, 2),
    st.sampled_from([NONE, ZSTD]),
    st.integers(0, 500),
)
@example(1 << 30, 0, NONE, 0)
@example(-12, 0, NONE, 0)
@example(0, 1, NONE, 0)
@example(1 << 30, 2, NONE, 0)
def test_a_batch_whose_length_is_spoilt_costs_itself_and_reading_comes_to_the_end(length, which, codec, cut):
    whole = [batch([b"%d-%d" % (number, each) for each in range(3)], 3 * number, codec) for number in range(3)]
    spoilt = bytearray(whole[which])
    is_same = struct.unpack_from(">i", spoilt, LENGTH_AT)[0] == length
    struct.pack_into(">i", spoilt, LENGTH_AT, length)
    log = [(bytes(spoilt) if number == which else data, 3 * number + 2) for number, data in enumerate(whole)]
    offset, text, lost = 0, b"", []
    for _ in range(8):
        for piece in read(of_broker(log, offset, cut), offset):
            assert piece.next_offset > offset
            offset, text = piece.next_offset, text + piece.data
            lost += [one.messages for one in piece.unread]
    expected = [number for number in range(3) if number != which or is_same]
    assert offset == 9
    assert text == b"".join(b"%d-%d\n" % (number, each) for number in expected for each in range(3))
    assert lost == ([] if is_same else [3])


@settings(max_examples=400, deadline=None)
@given(st.binary(min_size=1, max_size=40), st.integers(HEADER, 400))
def test_records_that_lie_cost_their_batch_and_never_more(noise, at):
    good, bad, after = batch([b"a"]), bytearray(batch([b"b" * 100] * 3, 1)), batch([b"z"], 4)
    at = min(at, len(bad) - 1)
    bad[at : at + len(noise)] = noise[: len(bad) - at]
    offset, given_lines, unread = 0, b"", 0
    buffer = good + signed(bad) + after
    for _ in range(5):
        for piece in read(buffer, offset):
            assert piece.next_offset > offset
            offset, given_lines, unread = piece.next_offset, given_lines + piece.data, unread + len(piece.unread)
        if offset >= 5:
            break
        buffer = buffer[len(good) :] if offset == 1 else after
    assert given_lines.startswith(b"a\n")
    assert given_lines.endswith(b"z\n")
    assert unread <= 1


@settings(max_examples=400, deadline=None)
@given(st.binary(min_size=1, max_size=300), st.integers(0, 1 << 40))
def test_noise_is_passed_by_one_offset_at_least(noise, offset):
    pieces = read(noise, offset)
    assert pieces
    for piece in pieces:
        assert piece.next_offset > offset
        assert piece.unread


def test_transactions_that_were_taken_back_are_not_seen_and_markers_are_passed():
    log = (
        batch([b"kept"], 0, producer=1)
        + batch([b"not"], 1, producer=2)
        + marker(2, 2, 0)
        + batch([b"again"], 3, producer=2)
        + marker(4, 2, 1)
        + marker(5, 1, 1)
    )
    pieces = read(log, 0, [(1, 2)])
    assert lines_of(pieces) == b"kept\nagain\n"
    assert pieces[-1].next_offset == 6
    assert not any(piece.unread for piece in pieces)


def test_offsets_that_compaction_took_out_are_passed():
    spoilt = bytearray(batch([b"a", b"b", b"c"], 10))
    struct.pack_into(">i", spoilt, 23, 9)  # its last offset is 19
    (found,) = read(signed(spoilt), 10)
    assert (found.offsets.tolist(), found.next_offset) == ([10, 11, 12], 20)


def test_a_batch_that_is_there_only_in_part_waits_for_the_next_fetch():
    first, second = batch([b"a"]), batch([b"b"], 1)
    pieces = read(first + second[:-3])
    assert (lines_of(pieces), pieces[-1].next_offset) == (b"a\n", 1)


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_what_is_too_much_when_decompressed_is_refused(codec):
    payload = batch([b"\0" * 900_000], codec=codec)[HEADER:]
    assert len(decompressed(codec, payload)) > 900_000
    with pytest.raises(BadCompression):
        decompressed(codec, payload, 100_000)
    with pytest.raises(BadCompression):
        decompressed(codec, payload[: len(payload) // 2])
