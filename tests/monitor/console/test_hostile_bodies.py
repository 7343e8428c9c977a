"""Hostile bodies at every door: each gets an answer that is no 500, nothing of it is a fault of ours, and memory stays in bounds."""

import gzip
import socket
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.config import load_config

sys.path.insert(0, str(Path(__file__).parent))

from hostile import MIB, Server

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
GZIP = {"Content-Encoding": "gzip"}
DOORS = {
    "/v1/events": {},
    "/_bulk": {},
    "/logs/_bulk": {},
    "/logs/_doc": {},
    "/logs/_create/1": {},
    "/v1/logs": PROTOBUF,
    "/v1/logs#json": JSON,
    "/_index_template/x": {},
}
HTTP = load_config(None, {}).http
GROWTH_MAX = HTTP.in_flight_max * HTTP.body_bytes_max
"""As documented, and as configured by default."""

LOG_RECORD = b"\x09" + b"\x01" * 8 + b"\x2a\x03\x0a\x01x"
VALID = {
    "/v1/logs": b"\x0a\x17\x12\x15\x12\x0e" + LOG_RECORD + b"\x12\x03\x09\x01\x01",
    "/v1/logs#json": b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1","attributes":[{"key":"a"}]}]}]}]}',
    "/_bulk": b'{"create":{"_id":"1","_index":"a"}}\n{"@timestamp":1772500000000,"host":"x"}\n',
}
DEEP = st.integers(1, 5000).map(lambda depth: b"[" * depth) | st.integers(1, 3000).map(lambda depth: b'{"a":' * depth)
NUMBERS = st.sampled_from(
    [b"1e999", b"-0", b"9" * 5000, b"NaN", b"1" + b"0" * 400 + b".5", b'"\\ud800"', b"\xff\xfe", b"null"]
)
LINES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        DEEP,
        NUMBERS.map(lambda number: b'{"index":{"_id":' + number + b"}}"),
        NUMBERS.map(lambda number: b'{"@timestamp":' + number + b',"host":' + number + b"}"),
        st.sampled_from(
            [
                b'{"index":{}}',
                b'{"create":{"_id":""}}',
                b'{"update":{"_id":"1"}}',
                b'{"delete":{}}',
                b'{"index":[]}',
                b"{}",
                b"",
            ]
        ),
        NUMBERS.map(
            lambda number: (
                b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":%b,"body":{"intValue":%b}}]}]}]}'
                % (number, number)
            )
        ),
    ),
    max_size=6,
).map(b"\n".join)


@st.composite
def mutated(draw):
    """Something valid with some of its bytes changed, cut or repeated."""
    content = bytearray(draw(st.sampled_from(sorted(VALID.values()))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content) - 1))
        how = draw(st.sampled_from(["change", "cut", "insert"]))
        if how == "change":
            content[at] = draw(st.integers(0, 255))
        elif how == "cut":
            content = content[: at + 1]
        else:
            content[at:at] = draw(st.binary(max_size=6))
    return bytes(content)


BODIES = st.one_of(LINES, mutated(), st.binary(max_size=200))
PACKED = {
    "identity": lambda content: content,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "cut": lambda content: gzip.compress(content)[:-5],
    "deflate": zlib.compress,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("hostile"))
    yield server
    server.close()


def is_unharmed(server):
    log = server.log.read_text()
    return "page_failed" not in log and "Traceback" not in log


@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.sampled_from(sorted(DOORS)), BODIES, st.sampled_from(sorted(PACKED)))
def test_whatever_comes_is_answered_and_nothing_breaks(server, door, content, packing):
    encoding = {"identity": {}, "cut": GZIP, "deflate": GZIP}.get(packing, {"Content-Encoding": packing})
    path = door.partition("#")[0]
    status = server.post(
        path, PACKED[packing](content), {**DOORS[door], **encoding}, method="PUT" if "templ" in path else "POST"
    )
    assert status in {200, 201, 400, 409, 413, 415, 422}
    assert is_unharmed(server)


HEADS = {
    "it says more than comes": (b"Content-Length: 500", b'{"index":{}}\n{}\n'),
    "it says less than comes": (b"Content-Length: 3", b"{}\nGET / HTTP/1.1\r\n\r\n" * 3),
    "it says two lengths": (b"Content-Length: 3\r\nContent-Length: 4", b"{}\n"),
    "it says a length and pieces": (b"Content-Length: 3\r\nTransfer-Encoding: chunked", b"3\r\n{}\n\r\n0\r\n\r\n"),
    "its length is no number": (b"Content-Length: -1", b"{}\n"),
    "its length is endless": (b"Content-Length: " + b"9" * 30, b"{}\n"),
    "its pieces are none": (b"Transfer-Encoding: chunked", b"zz\r\n{}\n\r\n"),
    "its pieces do not end": (b"Transfer-Encoding: chunked", b"3\r\n{}\n\r\n"),
    "its piece says more than may be": (b"Transfer-Encoding: chunked", b"ffffffff\r\n{}\n\r\n"),
}


@pytest.mark.parametrize("path", sorted({door.partition("#")[0] for door in DOORS}))
@pytest.mark.parametrize("how", sorted(HEADS))
def test_heads_that_lie_are_answered_or_left(server, path, how):
    head, content = HEADS[how]
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=5) as connection:
        first = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\n"
        connection.sendall(first.encode() + b"Content-Type: application/json\r\n" + head + b"\r\n\r\n" + content)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(4096)
    assert not answer.startswith(b"HTTP/1.1 5")
    assert is_unharmed(server)


def framed(content, *tags):
    for tag in tags:
        size, length = len(content), b""
        while size > 127:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        content = bytes([tag << 3 | 2]) + length + bytes([size]) + content
    return content


def salted(size, line):
    """Lines up to a size, with something in each that does not pack well; `%b` in a line is such a text."""
    random, lines, left = Random(5), [], size
    while left > 0:
        lines.append(line % (b"%024x" % random.getrandbits(96)))
        left -= len(lines[-1])
    return b"".join(lines[:-1])


def packed(content):
    return gzip.compress(content, 1)


def records(content):
    return b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[' + content.rstrip(b",") + b"]}]}]}"


LINE = b'{"@timestamp":"2026-03-02T10:00:00Z","m":"' + b"x" * 100 + b'"}\n'
SALTED = b'{"@timestamp":"2026-03-02T10:00:00Z","m":"%b' + b"x" * 100 + b'"}\n'
WIDE = "\N{GRINNING FACE}".encode()
MOST = 31 * MIB
LARGE = {
    "lines": lambda: ("/v1/events", LINE * (8 * MIB // len(LINE) - 1), {}),
    "packed lines": lambda: ("/v1/events", packed(salted(MOST, SALTED)[:-1]), GZIP),
    "gzip bomb": lambda: ("/v1/events", gzip.compress(bytes(200 * MIB)), GZIP),
    "zstd bomb": lambda: (
        "/_bulk",
        zstandard.ZstdCompressor().compress(bytes(200 * MIB)),
        {"Content-Encoding": "zstd"},
    ),
    "newlines": lambda: ("/_bulk", b"\n" * (8 * MIB), {}),
    "empty records": lambda: ("/v1/logs", framed(b"\x12\x00" * (4 * MIB - 10), 2, 1), PROTOBUF),
    "empty objects": lambda: ("/v1/logs", b'{"resourceLogs":[' + b"{}," * (2 * MIB) + b"{}]}", JSON),
    "one resource many times": lambda: (
        "/v1/logs",
        framed(
            framed(framed(b"\x0a\x01a" + framed(framed(b"y" * MIB, 1), 2), 1), 1) + framed(LOG_RECORD, 2, 2) * 1000,
            1,
        ),
        PROTOBUF,
    ),
    "little that says much": lambda: (
        "/v1/logs",
        framed(
            framed(framed(b"\x0a\x01a" + framed(framed(b"y" * 30_000, 1), 2), 1), 1)
            + framed(LOG_RECORD, 2, 2) * 1000,
            1,
        ),
        PROTOBUF,
    ),
    "templates": lambda: ("/_index_template/x", b"x" * (8 * MIB), {}),
    "items": lambda: ("/_bulk", gzip.compress((b'{"index":{}}\n' + LINE * 5) * 40_000, 1), GZIP),
    "packed documents": lambda: (
        "/_bulk",
        packed(salted(MOST, b'{"index":{"_id":"%b"}}\n{"@timestamp":1772500000000,"host":"x","m":"' + b"x" * 600 + b'"}\n')),
        GZIP,
    ),
    "names of wide characters": lambda: (
        "/_bulk",
        packed(salted(MOST, b'{"index":{"_index":"%b' + b"x" * 7900 + WIDE + b'"}}\n{"time":1772500000000}\n')),
        GZIP,
    ),
    "long answers": lambda: (
        "/" + "%01" * 60 + "/_bulk",
        packed(salted(34 * 24_000, b'{"index":{}}\n{"a":"%b"}\n')),
        GZIP,
    ),
    "one document": lambda: (
        "/logs/_doc",
        packed(b'{"a":[\n' + salted(MOST, b'"%b' + b"x" * 80 + b'",\n') + b'""]}'),
        GZIP,
    ),
    "records": lambda: ("/v1/logs", records(b'{"timeUnixNano":1,"body":{"stringValue":"aaaaaaa"}},' * 130_000), JSON),
    "packed records": lambda: (
        "/v1/logs",
        packed(records(salted(MOST, b'{"timeUnixNano":1,"attributes":[{"key":"%b","value":{"stringValue":"x"}}],"body":{"stringValue":"' + b"x" * 300 + b'"}},'))),
        JSON | GZIP,
    ),
    "texts of wide characters": lambda: (
        "/v1/logs",
        packed(records((b'{"timeUnixNano":1,"body":{"stringValue":"' + WIDE + salted(950_000, b"%b" + b"x" * 200) + b'"}},') * 32)),
        JSON | GZIP,
    ),
}  # fmt: skip
"""Bodies that are meant to take much memory, and where they go."""
LONG = (
    "lines",
    "packed lines",
    "items",
    "packed documents",
    "names of wide characters",
    "long answers",
    "one document",
    "records",
    "packed records",
    "texts of wide characters",
)
"""Those that take long."""


@pytest.mark.drawn(4)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in sorted(LARGE)]
)
def test_memory_does_not_grow_beyond_its_bounds(tmp_path, name):
    """As many such bodies at once as may be under way."""
    server = Server(tmp_path)
    try:
        before = server.most_bytes()
        statuses = server.posted_at_once([LARGE[name]()] * HTTP.in_flight_max)
        assert statuses <= {200, 201, 400, 413}
        assert server.most_bytes() - before < GROWTH_MAX
        assert is_unharmed(server)
    finally:
        server.close()


@pytest.mark.slow
def test_of_all_kinds_more_than_may_be_under_way_are_all_answered_within_the_same_bounds(tmp_path):
    server = Server(tmp_path)
    try:
        before = server.most_bytes()
        requests = [LARGE[name]() for name in sorted(LARGE)] * 3
        assert len(requests) > HTTP.in_flight_max
        assert server.posted_at_once(requests) <= {200, 201, 400, 413}
        assert server.most_bytes() - before < GROWTH_MAX
        assert is_unharmed(server)
    finally:
        server.close()


@pytest.mark.slow
def test_who_sends_little_is_answered_while_others_send_what_takes_long(tmp_path):
    server = Server(tmp_path)
    took = []
    try:
        with ThreadPoolExecutor(24) as threads:
            hostile = [threads.submit(server.post, *LARGE["packed documents"]()) for _ in range(24)]
            while not all(one.done() for one in hostile):
                begun = time.monotonic()
                assert server.post("/_bulk", b'{"index":{}}\n' + LINE, {}, tries=1) == 200
                took.append(time.monotonic() - begun)
                time.sleep(0.2)
        assert len(took) > 3
        assert max(took) < 5
    finally:
        server.close()


def test_few_bytes_that_unpack_to_millions_of_records_cost_no_more_than_any_others(tmp_path):
    server = Server(tmp_path)
    records = (b"\x12\x09\x09" + b"\x01" * 8) * (31 * MIB // 11)
    try:
        before = server.most_bytes()
        assert server.post("/v1/logs", gzip.compress(framed(records, 2, 1), 1), {**PROTOBUF, **GZIP}) == 413
        assert server.most_bytes() - before < GROWTH_MAX  # 131 MiB are taken; parsed at once they took 499
        assert is_unharmed(server)
    finally:
        server.close()


@pytest.mark.slow
def test_bodies_whose_records_are_all_rejected_are_let_go_as_they_are_answered(tmp_path):
    server = Server(tmp_path)
    rejected = b"\x12\x12\x32\x10\x0a\x01a\x12\x0b\x0a\x09" + b"x" * 9
    try:
        before = server.most_bytes()
        body = framed(rejected * (7 * MIB // len(rejected)), 2, 1)
        assert server.posted_at_once([("/v1/logs", body, PROTOBUF)] * 32) <= {200}
        assert server.most_bytes() - before < GROWTH_MAX
    finally:
        server.close()
