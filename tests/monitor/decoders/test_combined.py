"""Access logs in the combined format."""

import json
import re
from datetime import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.decoders import DeadLetterReason, combined, lines_of
from monitor.decoders.combined import CombinedDecoder
from monitor.decoders.combined_lines import MONTHS, PARTS, instants, read_by_pattern
from monitor.decoders.ndjson import NdjsonDecoder
from monitor.sources import Oversized, RawBatch
from monitor.testing import MemorySource

FIELDS = frozenset({*PARTS, "url.path", "url.query", "event.original", "event.outcome", "event.dataset", "event.action"}
                   | {"miniprogram.app_id", "miniprogram.version"}) - {"_row"}  # fmt: skip
USUAL = (
    '203.0.113.7 - - [10/Oct/2026:13:55:36 +0800] "GET /a/b?c=1&d=2 HTTP/1.1" 200 2326 '
    '"https://servicewechat.com/wx0123456789abcdef/42/page-frame.html" "Mozilla/5.0 MicroMessenger/8.0"'
)


def decode(data, fields=FIELDS, start=0):
    data = data.encode() if isinstance(data, str) else data
    return CombinedDecoder().decode(RawBatch("file:x", "combined", data, start, start + len(data)), fields)


def event(line):
    decoded = decode(line + "\n")
    assert decoded.dead_letters == []
    (row,) = decoded.frame.to_dicts()
    return row


def test_a_usual_line_becomes_an_event():
    row = event(USUAL)
    assert row.pop("_line").startswith('{"@timestamp":"2026-10-10T05:55:36Z","event":{"dataset":"miniprogram.gateway",')
    assert row == {
        "@timestamp": 1791611736000000,
        "event.ingested": None,
        "event.dataset": "miniprogram.gateway",
        "event.action": "access",
        "event.outcome": "success",
        "event.original": USUAL,
        "source.ip": "203.0.113.7",
        "user.name": None,
        "http.request.method": "GET",
        "url.original": "/a/b?c=1&d=2",
        "url.path": "/a/b",
        "url.query": "c=1&d=2",
        "http.version": "1.1",
        "http.response.status_code": 200,
        "http.response.bytes": 2326,
        "http.request.referrer": "https://servicewechat.com/wx0123456789abcdef/42/page-frame.html",
        "user_agent.original": "Mozilla/5.0 MicroMessenger/8.0",
        "miniprogram.app_id": "wx0123456789abcdef",
        "miniprogram.version": "42",
        "_position": 0,
    }


HEAD = "2001:db8::1 - ann [01/Jan/2026:00:00:00 +0000] "


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (HEAD + '"GET / HTTP/1.1" 404 -', {"source.ip": "2001:db8::1", "user.name": "ann", "event.outcome": "failure"}),
        (HEAD + '"GET / HTTP/1.1" 404 - "-" "-"', {"http.response.bytes": None, "user_agent.original": None}),
        (HEAD + '"GET / HTTP/1.1" 399 1', {"event.outcome": "success", "user_agent.original": None}),
        (HEAD + '"-" 408 0 "-" "-"', {"url.original": None, "http.request.method": None}),
        (HEAD + '"\\x16\\x03\\x01" 400 0 "-" "-"', {"url.original": "\\x16\\x03\\x01", "http.request.method": None}),
        (HEAD + '"quit" 400 0 "-" "-"', {"url.original": "quit", "url.path": None, "http.request.method": None}),
        (HEAD + '"GET /old" 200 1 "-" "-"', {"http.request.method": "GET", "url.path": "/old", "http.version": None}),
        (HEAD + '"GET /a b HTTP/2" 200 1 "-" "-"', {"url.original": "/a b", "http.version": "2"}),
        (HEAD + '"GET /a? HTTP/2.0" 200 1 "-" "-"', {"url.path": "/a", "url.query": "", "http.version": "2.0"}),
        (HEAD + '"GET http://h:1/p?q=/ HTTP/1.1" 200 1 "-" "-"', {"url.path": "/p", "url.query": "q=/"}),
        (HEAD + '"GET http://h HTTP/1.1" 200 1 "-" "-"', {"url.path": "/", "url.query": None}),
        (HEAD + '"CONNECT h:443 HTTP/1.1" 200 1 "-" "-"', {"url.original": "h:443", "url.path": None}),
        (HEAD + '"GET /?x=\\"a\\" HTTP/1.1" 200 1 "-" "-"', {"url.query": 'x="a"'}),
        (HEAD + '"GET /?x=\\x22\\x5Cn HTTP/1.1" 200 1 "-" "-"', {"url.query": 'x="\\n'}),
        (HEAD + '"GET / HTTP/1.1" 200 1 "-" "a \\"b\\" \\\\x22"', {"user_agent.original": 'a "b" \\x22'}),
        (HEAD + '"GET / HTTP/1.1" 200 1 "-" "浏览器"', {"user_agent.original": "浏览器"}),
        (HEAD + '"GET / HTTP/1.1" 200 1 "-" "x" "1.2.3.4" 0.05', {"user_agent.original": "x"}),
        (HEAD + '"GET / HTTP/1.1" 200 1 "-" "cut o', {"user_agent.original": None}),
        (HEAD + '"GET / HTTP/1.1" 200 99999999999999999999 "-" "x"', {"http.response.bytes": None}),
        ("h - a b c [01/Jan/2026:00:00:00 -0130] " + '"GET / HTTP/1.1" 200 1', {"user.name": "a b c", "@timestamp": 1767231000000000}),
        ('h - a [b [01/Jan/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "-"', {"user.name": "a [b"}),
        (HEAD + '"GET / HTTP/1.1" 200 1 "https://servicewechat.com/wxa/devtools/page-frame.html" "x"', {"miniprogram.version": "devtools"}),
        (HEAD + '"GET / HTTP/1.1" 200 1 "https://servicewechat.com.evil/wxa/1/page-frame.html" "x"', {"miniprogram.app_id": None}),
        (HEAD + '"GET / HTTP/1.1" 200 1 "https://servicewechat.com/wxa/1/other" "x"', {"miniprogram.app_id": None}),
    ],
)  # fmt: skip
def test_unusual_lines_keep_what_they_say(line, expected):
    row = event(line)
    parts, _ = read_by_pattern(pl.Series("line", [line]), np.zeros(1, np.int64))
    assert parts.drop("_row").to_dicts() == [{name: row[name] for name in PARTS if name != "_row"}]
    assert {name: row[name] for name in expected} == expected
    assert row["event.original"] == line


def test_the_mini_program_is_the_same_whether_its_page_is_named_often_or_once():
    referrers = [
        "-",
        "https://servicewechat.com/wxa/1/page-frame.html",
        "https://servicewechat.com/wxb/2/page-frame.html",
        "https://x/",
    ]
    lines = [HEAD + f'"GET /{at} HTTP/1.1" 200 1 "{referrers[at % 4]}" "x"' for at in range(40)]
    names = ["url.path", "miniprogram.app_id", "miniprogram.version", "_line"]
    together = decode("".join(line + "\n" for line in lines)).frame.select(names)
    assert together.rows() == [tuple(event(line)[name] for name in names) for line in lines]


def test_a_line_may_end_in_carriage_return():
    assert event(USUAL + "\r") == event(USUAL)


@pytest.mark.parametrize(
    ("line", "reason", "detail"),
    [
        (b"", "empty-line", "the line is empty"),
        (b" \t ", "empty-line", "the line is empty"),
        (USUAL.encode()[:-3] + b'\xff"', "invalid-utf8", "byte 0xff at"),
        (b'{"json": true}', "not-combined", "an address and a name expected at byte 0"),
        (b"word", "not-combined", "an address and a name expected at byte 0, found 'word'"),
        (b"h - - [x] GET / 200", "not-combined", "a request in quotes expected at byte 10, found 'GET / 200'"),
        (b'h - - [10/Oct/2026:13:55:36 +0800] "GET /', "not-combined", "a request in quotes expected at byte 35"),
        (b'h - - [10/Oct/2026:13:55:36 +0800] "GET /" abc', "not-combined", "a status and a size expected at byte 43"),
        (b'h - - [31/Feb/2026:13:55:36 +0800] "GET /" 200 1', "bad-timestamp", "'31/Feb/2026:13:55:36 +0800' is not a time"),
        (b'h - - [2026-10-10T13:55:36+08:00] "GET /" 200 1', "bad-timestamp", "'2026-10-10T13:55:36+08:00' is not a time"),
        (USUAL.replace("Oct", "Okt").encode(), "bad-timestamp", "10/Okt/2026"),
    ],
)  # fmt: skip
def test_a_line_that_is_none_becomes_a_dead_letter_and_harms_no_other(line, reason, detail):
    data = (USUAL + "\n").encode()
    decoded = decode(data + line + b"\n" + data, start=1000)
    assert decoded.frame["_position"].to_list() == [1000, 1000 + len(data) + len(line) + 1]
    (letter,) = decoded.dead_letters
    assert (letter.reason, letter.position, letter.raw) == (reason, 1000 + len(data), line)
    assert letter.length == len(line)
    assert detail in letter.detail


def test_an_oversized_line_is_a_dead_letter_too():
    raw = RawBatch("p", "combined", b"", 5, 5_000_006, oversized=(Oversized(5, 5_000_000, b"GET"),))
    (letter,) = CombinedDecoder().decode(raw, FIELDS).dead_letters
    assert (letter.reason, letter.position, letter.length, letter.raw) == (
        DeadLetterReason.TOO_LONG,
        5,
        5_000_000,
        b"GET",
    )


def test_a_dead_letter_is_bounded():
    raw = RawBatch("p", "combined", b"x" * 100 + b"\n", 0, 101)
    (letter,) = CombinedDecoder(dead_letter_bytes_max=10).decode(raw, FIELDS).dead_letters
    assert (letter.raw, letter.length) == (b"x" * 10, 100)


def test_only_what_is_asked_for_becomes_columns():
    frame = decode(USUAL + "\n", frozenset({"user.id", "http.response.bytes", "miniprogram.foreground"})).frame
    assert dict(frame.schema) == {
        "@timestamp": pl.Int64(),
        "event.ingested": pl.Int64(),
        "http.response.bytes": pl.Int64(),
        "miniprogram.foreground": pl.Boolean(),
        "user.id": pl.String(),
        "_line": pl.String(),
        "_position": pl.Int64(),
    }


def test_nothing_at_all_is_no_rows():
    assert decode(b"").frame.height == 0


WORDS = st.text(st.characters(codec="utf-8", exclude_characters='\n"\\ '), max_size=8)
QUOTED = st.one_of(
    st.just("-"),
    WORDS,
    st.lists(st.sampled_from(["a", " ", "/", "?", '\\"', "\\x22", "\\\\", "\t", "\x00", "\x1f", "é", "中", "{}", "\u2028"])).map("".join),
)  # fmt: skip
REQUESTS = st.one_of(
    QUOTED, st.builds("{} {}{}".format, st.sampled_from(["GET", "POST", "get", "M-SEARCH", ""]), QUOTED, st.sampled_from([" HTTP/1.1", " HTTP/2", ""]))
)  # fmt: skip
TIMES = st.sampled_from(
    [
        "10/Oct/2026:13:55:36 +0800",
        "29/Feb/2028:23:59:60 -1130",
        "29/Feb/2026:00:00:00 +0000",
        "01/Jan/1970:00:00:00 +0001",
        "x",
    ]
)
LINES = st.one_of(
    st.builds(
        '{} {} {} [{}] "{}" {} {} "{}" "{}"{}'.format,
        st.sampled_from(["10.0.0.1", "::1", "a" * 60, '"', "é"]),
        st.sampled_from(["-", "ident", '"', "long-" * 9]),
        st.sampled_from(["-", "bob", "a b", '"', "[x", "x] [y", ""]),
        TIMES,
        REQUESTS,
        st.sampled_from(["200", "404", "20", "2000"]),
        st.sampled_from(["0", "-", "123456789", "9" * 18, "9" * 19, "9" * 30, "1a"]),
        st.one_of(QUOTED, st.just("https://servicewechat.com/wxa/1/page-frame.html")),
        QUOTED,
        st.sampled_from(["", " ", ' "x"', "x", "\r"]),
    ).map(str.encode),
    st.binary(max_size=80).map(lambda junk: junk.replace(b"\n", b" ")),
    st.tuples(st.just(USUAL.encode()), st.integers(0, len(USUAL)), st.binary(max_size=3)).map(
        lambda mix: mix[0][: mix[1]] + mix[2].replace(b"\n", b"") + mix[0][mix[1] + 1 :]
    ),
)
BATCHES = st.lists(LINES, max_size=12)


def outcome(lines, cuts=()):
    """Rows, dead letters and the number of empty lines, decoded in batches of these numbers of lines."""
    rows, letters, empty, at, position = [], [], 0, 0, 0
    for count in [*cuts, len(lines)]:
        data = b"".join(line + b"\n" for line in lines[at : at + count])
        decoded = decode(data, start=position)
        rows += decoded.frame.to_dicts()
        letters += [letter for letter in decoded.dead_letters if letter.reason != "empty-line"]
        empty += lines_of(letter for letter in decoded.dead_letters if letter.reason == "empty-line")
        at, position = at + count, position + len(data)
    return rows, letters, empty


@settings(max_examples=100, deadline=None)
@given(BATCHES, st.lists(st.integers(0, 3), max_size=5))
def test_every_line_is_a_row_or_a_dead_letter_the_same_in_any_batch(lines, cuts):
    rows, letters, empty = outcome(lines)
    positions = [row["_position"] for row in rows] + [letter.position for letter in letters]
    assert len({*positions}) + empty == len(lines)
    assert {*positions} <= {*np.cumsum([0, *(len(line) + 1 for line in lines)])[:-1].tolist()}
    assert outcome(lines, cuts) == (rows, letters, empty)


@settings(max_examples=100, deadline=None)
@given(BATCHES)
def test_reading_by_position_and_by_pattern_say_the_same(lines):
    rows, *_ = outcome(lines)
    texts = [row["event.original"] for row in rows]
    parts, bad = read_by_pattern(pl.Series("line", texts, dtype=pl.String), np.arange(len(texts)))
    assert not len(bad)
    assert parts.drop("_row").to_dicts() == [{name: row[name] for name in PARTS if name != "_row"} for row in rows]


@settings(max_examples=100, deadline=None)
@given(BATCHES)
def test_the_line_for_the_archive_is_json_that_reads_back_as_the_same_event(lines):
    rows, *_ = outcome(lines)
    for row in rows:
        assert "null" not in re.sub(r'"(?:[^"\\]|\\.)*"', "", row["_line"])
        json.loads(row["_line"])
    data = "".join(row["_line"] + "\n" for row in rows).encode()
    again = NdjsonDecoder().decode(RawBatch("p", "ndjson", data, 0, len(data)), FIELDS)
    assert again.dead_letters == []
    strip = lambda some: [{name: row[name] for name in {*FIELDS, "@timestamp"}} for row in some]  # noqa: E731
    assert strip(again.frame.to_dicts()) == strip(rows)


@settings(deadline=None)
@given(st.binary(max_size=500))
def test_no_bytes_whatsoever_are_an_accident(data):
    source = MemorySource(data, format="combined")
    source.open(None)
    batch = source.read(1000, 0)
    if batch:
        decoded = CombinedDecoder().decode(batch, FIELDS)
        assert len(decoded.frame) + lines_of(decoded.dead_letters) == batch.data.count(b"\n")


YEARS = datetime.fromisoformat("1971-01-01"), datetime.fromisoformat("9998-01-01")


@given(st.datetimes(*YEARS), st.integers(-23, 23), st.integers(0, 59))
def test_times_are_what_the_calendar_says(moment, hours, minutes):
    sign = "-" if hours < 0 else "+"
    text = f"{moment:%d}/{MONTHS[moment.month - 1]}/{moment:%Y:%H:%M:%S} {sign}{abs(hours):02d}{minutes:02d}"
    expected = datetime.fromisoformat(f"{moment:%Y-%m-%dT%H:%M:%S}{sign}{abs(hours):02d}:{minutes:02d}")
    micros, good = instants(np.frombuffer(text.encode(), np.uint8).reshape(1, -1))
    assert good.all()
    assert micros[0] == round(expected.timestamp()) * 1_000_000


def test_plain_rows_are_written_as_the_encoder_would(monkeypatch):
    lines = "".join(
        USUAL.replace("42/page", f"{number}/page").replace("2326", "-" if number % 3 else "1") + "\n"
        for number in range(9)
    )
    plain = decode(lines).frame["_line"].to_list()
    monkeypatch.setattr(combined, "_without_controls", lambda _data, starts, _ends: np.zeros(len(starts), dtype=bool))
    assert decode(lines).frame["_line"].to_list() == plain
