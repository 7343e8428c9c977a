"""NDJSON to columns: what becomes an event, what a dead letter, and that the fast way means what the strict way means."""

import json
import time

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import INDEX, LINE, PEOPLE, POSITION
from monitor.decoders import DeadLetterReason as Reason
from monitor.decoders import ndjson
from monitor.decoders.ndjson import NdjsonDecoder, _Reading, _strict_frame, _triage
from monitor.decoders.shape import shape_of
from monitor.decoders.strict import DEPTH_MAX, Refused, read_line
from monitor.decoders.times import instant
from monitor.sources import Oversized, RawBatch

FIELDS = frozenset({*INDEX, *PEOPLE, "error.code", "http.response.status_code", "miniprogram.foreground", "url.full"})
FIELDS |= {"http.request.headers.x-y.z", "CommandLine", "message", "privacy.kinds"}
TIME = '"@timestamp":"2026-03-02T08:00:00.5Z"'
MICROS = 1_772_438_400_500_000


def decode(*lines: bytes | str, fields=FIELDS):
    data = b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines)
    return NdjsonDecoder(few_lines=0).decode(RawBatch("memory:1", "ndjson", data, 100, 100 + len(data)), fields)


def one(line, field):
    frame = decode(line).frame
    assert frame.height == 1, decode(line).dead_letters
    return frame[field][0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", Reason.EMPTY_LINE),
        ("   ", Reason.EMPTY_LINE),
        ('{"a"', Reason.BROKEN_JSON),
        ("{" + TIME + ',"a":NaN}', Reason.BROKEN_JSON),
        ("{" + TIME + "}{" + TIME + "}", Reason.BROKEN_JSON),
        ("[1]", Reason.NOT_AN_OBJECT),
        ("7", Reason.NOT_AN_OBJECT),
        ("{" + TIME + ',"user":"bob"}', Reason.WRONG_TYPE),
        ("{" + TIME + ',"user":{"id":{"a":1}}}', Reason.WRONG_TYPE),
        ("{" + TIME + ',"http":{"response":{"status_code":"four"}}}', Reason.WRONG_TYPE),
        ("{" + TIME + ',"http":{"response":{"status_code":1.5}}}', Reason.WRONG_TYPE),
        ("{" + TIME + ',"miniprogram":{"foreground":"yes"}}', Reason.WRONG_TYPE),
        (b"{" + TIME.encode() + b',"user":{"id":"\xff\xfe"}}', Reason.INVALID_UTF8),
        ("{" + TIME + ',"user":{"id":"\\ud800"}}', Reason.LONE_SURROGATE),
        ("{" + TIME + ',"user":{"id":"a","id":"b"}}', Reason.DUPLICATE_KEY),
        ("{" + TIME + ',"user":{"id":"a"},"user":{"id":"b"}}', Reason.DUPLICATE_KEY),
        ("{" + TIME + ',"user":{"id":"a"},"user.id":"b"}', Reason.DUPLICATE_KEY),
        ("{" + TIME + ',"user":{"id":"a","\\u0069d":"b"}}', Reason.DUPLICATE_KEY),
        ("{" + TIME + ',"a":' + "[" * (DEPTH_MAX + 1) + "]" * (DEPTH_MAX + 1) + "}", Reason.TOO_DEEP),
        ('{"user":{"id":"a"}}', Reason.MISSING_TIMESTAMP),
        ('{"@timestamp":null}', Reason.MISSING_TIMESTAMP),
        ('{"@timestamp":"yesterday"}', Reason.BAD_TIMESTAMP),
        ('{"@timestamp":"2026-03-02T08:00:00"}', Reason.BAD_TIMESTAMP),
        ('{"@timestamp":"2026-02-30T08:00:00Z"}', Reason.BAD_TIMESTAMP),
        ('{"@timestamp":-5}', Reason.BAD_TIMESTAMP),
    ],
)
def test_a_bad_line_costs_itself_and_says_why(line, reason):
    good = "{" + TIME + ',"event":{"id":"e1"}}'
    decoded = decode(good, line, good)
    assert decoded.frame["event.id"].to_list() == ["e1", "e1"]
    (letter,) = decoded.dead_letters
    assert (letter.reason, letter.position) == (reason, 100 + len(good) + 1)
    assert letter.raw == (line if isinstance(line, bytes) else line.encode())


@pytest.mark.parametrize("line", ['{"user":"bob"}', '{"user":{"id":{"bob":1}}}', '{"@timestamp":"bob"}'])
def test_a_dead_letters_detail_holds_no_value(line):
    text = line.replace("{", "{" + TIME + ",", 1) if "@timestamp" not in line else line
    (letter,) = decode(text).dead_letters
    assert "bob" not in letter.detail


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ('"user":{"id":"a"}', "user.id", "a"),
        ('"user.id":"a"', "user.id", "a"),
        ('"user.id" : "a"', "user.id", "a"),
        ('"user":{"id":null}', "user.id", None),
        ('"error":{"code":40029}', "error.code", "40029"),
        ('"error":{"code":"40029"}', "error.code", "40029"),
        ('"error":{"code":1.50}', "error.code", "1.5"),
        ('"error":{"code":true}', "error.code", "true"),
        ('"url":{"full":["a","b"]}', "url.full", '["a","b"]'),
        ('"http":{"response":{"status_code":404}}', "http.response.status_code", 404),
        ('"http":{"response":{"status_code":"404"}}', "http.response.status_code", 404),
        ('"http.response":{"status_code":404}', "http.response.status_code", 404),
        ('"http":{"response.status_code":404.0}', "http.response.status_code", 404),
        ('"miniprogram":{"foreground":false}', "miniprogram.foreground", False),
        ('"http":{"request":{"headers":{"x-y.z":"v"}}}', "http.request.headers.x-y.z", "v"),
        ('"CommandLine":"cmd /c"', "CommandLine", "cmd /c"),
        ('"message":"a\\u0000b"', "message", "a\x00b"),
        ('"message":"\\ud83d\\ude00"', "message", "😀"),
        ('"message":"\\u0061bc"', "message", "abc"),
        ('"privacy":{"kinds":["phone"]}', "privacy.kinds", '["phone"]'),
        ('"z":1,"z":2,"user":{"id":"a"}', "user.id", "a"),
    ],
)
def test_a_field_is_read_however_it_is_spelt(line, field, value):
    assert one("{" + TIME + "," + line + "}", field) == value


@pytest.mark.parametrize(
    ("written", "micros"),
    [
        ('"2026-03-02T08:00:00.5Z"', MICROS),
        ('"2026-03-02T16:00:00.5+08:00"', MICROS),
        ('"2026-03-02t08:00:00.500000999z"', MICROS),
        ("1772438400500", MICROS),
        ("1772438400500.0", MICROS),
        ('"2026-12-31T23:59:60Z"', instant("2027-01-01T00:00:00Z")),
    ],
)
def test_a_time_is_rfc_3339_with_a_zone_or_milliseconds(written, micros):
    assert one('{"@timestamp":' + written + "}", "@timestamp") == micros


@pytest.mark.parametrize("few_lines", [0, 1000])
@pytest.mark.parametrize(
    ("number", "found"),
    [
        ("1772438400", "looks like seconds"),
        ("1772438400.5", "looks like seconds"),
        ("9999999999", "looks like seconds"),
        ("1772438400500000", "looks like microseconds"),
        ("1772438400500000000", "looks like nanoseconds"),
        ("-1", "is no time"),
        ("1e300", "is no time"),
        ("17724384005000", None),
        ("10000000000", None),
        ("999999999", None),
    ],
)
@pytest.mark.parametrize("field", ["@timestamp", "event.ingested"])
def test_a_number_of_another_unit_than_milliseconds_is_no_time_and_the_letter_names_the_unit(
    field, number, found, few_lines
):
    good, line = "{" + TIME + "}", "{" + (TIME + "," if field != "@timestamp" else "") + f'"{field}":{number}' + "}"
    data = f"{good}\n{line}\n".encode()
    decoded = NdjsonDecoder(few_lines=few_lines).decode(RawBatch("p", "ndjson", data, 0, len(data)), FIELDS | {field})
    assert [letter.reason for letter in decoded.dead_letters] == ([Reason.BAD_TIMESTAMP] if found else [])
    for letter in decoded.dead_letters:
        expected = "RFC 3339 with a zone, or milliseconds since 1970, is expected"
        assert letter.detail == f"{field} is a number that {found}; {expected}"


def test_oversized_lines_are_dead_letters_with_their_beginning():
    raw = RawBatch("memory:1", "ndjson", b"", 0, 9_000_001, b"", (Oversized(0, 9_000_000, b"{" * 10),))
    (letter,) = NdjsonDecoder(few_lines=0).decode(raw, FIELDS).dead_letters
    assert (letter.reason, letter.length, letter.raw) == (Reason.TOO_LONG, 9_000_000, b"{" * 10)


def test_one_line_that_writes_a_text_as_a_number_does_not_slow_the_next_batch():
    decoder = NdjsonDecoder(few_lines=0)
    lines = ["{" + TIME + ',"user":{"id":12345678}}', *["{" + TIME + ',"user":{"id":"o1"}}'] * 50]
    data = ("\n".join(lines) + "\n").encode()
    decoder.decode(RawBatch("p", "ndjson", data, 0, len(data)), FIELDS)
    assert decoder._numeric == frozenset()


keys = st.sampled_from(
    [
        "user",
        "user.id",
        "id",
        "error",
        "code",
        "@timestamp",
        "event",
        "http",
        "response",
        "status_code",
        "x",
        "foreground",
    ]
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(allow_nan=True),
    st.text(max_size=6),
    st.sampled_from(["2026-03-02T08:00:00Z", "404", "null", "[1]", "\ud800", "a\x00"]),
)
trees = st.recursive(
    scalars,
    lambda below: st.one_of(st.lists(below, max_size=3), st.lists(st.tuples(keys, below), max_size=4)),
    max_leaves=8,
)


def dumped(tree, escape):
    """JSON text of a tree in which objects are lists of pairs, so that keys may repeat."""
    if isinstance(tree, list) and tree and all(isinstance(item, tuple) for item in tree):
        return (
            "{"
            + ",".join(json.dumps(key, ensure_ascii=escape) + ":" + dumped(value, escape) for key, value in tree)
            + "}"
        )
    if isinstance(tree, list):
        return "[" + ",".join(dumped(item, escape) for item in tree) + "]"
    return json.dumps(tree, ensure_ascii=escape)


@st.composite
def lines(draw):
    pairs = draw(st.lists(st.tuples(keys, trees), max_size=5))
    text = dumped(
        [("@timestamp", "2026-03-02T08:00:00Z"), *pairs] if draw(st.booleans()) else pairs or [("x", 1)],
        draw(st.booleans()),
    )
    raw = text.encode("utf-8", "surrogatepass").replace(b"\n", b" ")
    cut = draw(st.integers(0, 30))
    return raw[:-cut] if cut and cut < 4 else raw


@settings(max_examples=60, deadline=None)
@given(st.lists(lines(), min_size=1, max_size=12))
def test_a_line_means_the_same_alone_among_others_and_read_strictly(batch):
    whole = decode(*batch)
    alone = [decode(line) for line in batch]
    assert whole.frame.drop(POSITION).equals(pl.concat([part.frame for part in alone]).drop(POSITION))
    assert [letter.reason for letter in whole.dead_letters] == [
        part.dead_letters[0].reason for part in alone if part.dead_letters
    ]
    for line, part in zip(batch, alone, strict=True):
        assert strictly(line) == (part.frame.drop(LINE, POSITION).rows(named=True) or [part.dead_letters[0].reason])


def strictly(line):
    """What the strict reader alone makes of a line."""
    shape = shape_of(FIELDS | {"@timestamp", "event.ingested"})
    try:
        row, _ = read_line(line, shape)
    except Refused as refused:
        return [refused.reason]
    for name in ("@timestamp", "event.ingested"):
        if row.get(name) is not None:
            row[name] = instant(row[name])
            if row[name] is None:
                return [Reason.BAD_TIMESTAMP]
    if row.get("@timestamp") is None:
        return [Reason.MISSING_TIMESTAMP]
    return _strict_frame([row], [0], shape).drop(LINE, "_row").rows(named=True)


def test_ordinary_lines_take_the_fast_way():
    batch = pl.Series(LINE, ["{" + TIME + ',"user":{"id":"o1"},"error":{"code":"0"}}'] * 100)
    shape = shape_of(FIELDS | {"@timestamp", "event.ingested"})
    odd, is_dotted = _triage(batch, shape)
    reading = _Reading(shape, batch, frozenset(), is_dotted=is_dotted)
    assert not odd.any()
    assert reading.fast(np.arange(100))[0].height == 100
    assert reading.refused == []


def test_few_lines_are_read_strictly_with_the_same_result():
    lines = [b'{"@timestamp":1767225600000,"message":"a"}', b"{", b'{"@timestamp":"x"}', b"\xff", b'{"message":1}']
    data = b"".join(line + b"\n" for line in lines)
    raw = RawBatch("memory:1", "ndjson", data, 100, 100 + len(data))
    strict, fast = (NdjsonDecoder(few_lines=few).decode(raw, FIELDS) for few in (512, 0))
    assert strict.frame.equals(fast.frame)
    assert strict.dead_letters == fast.dead_letters


def test_minus_zero_as_text_is_the_same_whichever_reader_reads_it():
    line = b'{"@timestamp":"2026-03-02T08:00:00Z","source":{"ip":-0}}'
    data = b"".join([line + b"\n"] * 20)
    raw = RawBatch("memory:1", "ndjson", data, 0, len(data))
    fast, strict = (NdjsonDecoder(few_lines=few).decode(raw, frozenset({"source.ip"})).frame for few in (0, 100))
    assert fast["source.ip"].to_list() == strict["source.ip"].to_list()


def test_lines_that_are_not_of_the_shape_are_set_aside_in_linear_time():
    lines = pl.Series(LINE, ['{"}'] * 300_000 + ["{" + TIME + "}"] * 300_000)
    reading = _Reading(shape_of(frozenset({"@timestamp"})), lines, frozenset(), is_dotted=False)
    begun = time.process_time()
    rows, fit = reading._of_shape(np.arange(len(lines)))
    assert (len(rows), len(fit), len(reading.refused)) == (300_000, 300_000, 300_000)
    assert time.process_time() - begun < 3  # many seconds, were each taken out of the list by itself


def test_lines_that_only_arrow_refuses_are_cut_out_up_to_a_number_in_a_block(monkeypatch):
    reads = []
    read = _Reading._read

    def counted(self, rows, lines=None):
        reads.append(len(rows))
        read(self, rows, lines)

    monkeypatch.setattr(_Reading, "_read", counted)
    line = b'{"@timestamp":"2026-03-02T08:00:00Z","event":{"id":"a","id":"b"}}\n'
    raw = RawBatch("memory:1", "ndjson", line * 5000, 0, len(line) * 5000)
    assert len(NdjsonDecoder(few_lines=0).decode(raw, frozenset({"event.id"})).dead_letters) == 5000
    assert len(reads) <= 1 + 5000 // ndjson.RETRY_LINES + 1 + 2 * ndjson.CUTS_MAX
