"""``POST /v1/events``: what is acknowledged is on disk, and hostile bodies cost no more than the bounds."""

import errno
import gzip
import socket
import threading
import time
import zlib
from concurrent.futures import Future

import pytest
import zstandard

from monitor.console import bodies, bounds
from monitor.spool.given import Outcome, Taken
from monitor.tokens import Role

PATH = "/v1/events"


@pytest.fixture
def door(make_door):
    return make_door(PATH)


def test_events_are_kept_as_they_came(door):
    assert door.post(b'{"a":1}\n{"b":2}').json() == {"taken": 2}
    assert door.post(b"\xff\n").json() == {"taken": 1}
    assert door.kept == b'{"a":1}\n{"b":2}\n\xff\n'


def test_packed_events_are_unpacked(door):
    whole = b'{"a":1}\n' * 1000
    assert door.post(gzip.compress(whole), Content_Encoding="gzip").json() == {"taken": 1000}
    assert door.post(gzip.compress(whole) + gzip.compress(whole), Content_Encoding="GZIP").json() == {"taken": 2000}
    packed = zstandard.ZstdCompressor().compress(whole)
    assert door.post(packed + packed, Content_Encoding="zstd").json() == {"taken": 2000}
    assert door.kept == whole * 5


def test_only_who_may_send_is_heard(door):
    viewer = door.site.token(Role.VIEWER)
    assert door.site.get(PATH, method="POST", content=b"{}\n").status_code == 401
    assert door.site.get(PATH, viewer, method="POST", content=b"{}\n").status_code == 403
    assert door.site.get(PATH, door.token).status_code == 405
    assert door.kept == b""


def test_where_there_is_no_http_source_nothing_is_taken(site):
    assert site.get(PATH, site.token(Role.INGEST), method="POST", content=b"{}\n").status_code in {404, 413}


def test_a_repeated_key_is_told_and_brings_no_second_event(door):
    assert door.post(b"1\n", Idempotency_Key="k").status_code == 200
    again = door.post(b"1\n", Idempotency_Key="k")
    assert (again.status_code, again.json()["message"]) == (
        409,
        "a request with this Idempotency-Key has been taken already",
    )
    other = door.post(b"other\n", Idempotency_Key="k")
    assert (other.status_code, other.json()["message"]) == (
        422,
        "a request with this Idempotency-Key and other events has been taken; these were not: a new request needs a new key",
    )
    assert door.post(gzip.compress(b"1"), Idempotency_Key="k", Content_Encoding="gzip").status_code == 409
    door.token = door.site.token(Role.INGEST)
    assert door.post(b"2\n", Idempotency_Key="k").status_code == 200
    assert door.post(b"3\n", Idempotency_Key="k" * 256).status_code == 400
    assert door.kept == b"1\n2\n"


@pytest.mark.parametrize(
    ("content", "encoding", "status"),
    [
        (b"", "identity", 400),
        (b"\n \r\n", "identity", 400),
        (b"{}", "br", 415),
        (b"{}", "gzip", 400),
        (b"{}", "zstd", 400),
        (gzip.compress(b"{}\n" * 100, mtime=0)[:-9], "gzip", 400),
        (gzip.compress(bytes(4 << 20), mtime=0), "gzip", 413),
        (zstandard.ZstdCompressor().compress(bytes(4 << 20)), "zstd", 413),
        (b"x" * 70_000, "identity", 413),
        (zlib.compress(b"{}"), "gzip", 400),
    ],
)
def test_hostile_bodies_get_an_answer_and_leave_nothing(make_door, content, encoding, status):
    door = make_door(PATH, body_bytes_max=65_536, unpacked_bytes_max=1 << 20)
    answer = door.post(content, Content_Encoding=encoding)
    assert (answer.status_code, list(answer.json())) == (status, ["message"])
    assert door.kept == b""


def test_a_small_body_that_unpacks_to_very_much_is_refused_by_its_ratio():
    packed = gzip.compress(bytes(8 << 20))
    with pytest.raises(bodies.Refused) as refused:
        bodies.unpacked(packed, "gzip", bounds.RequestBounds())
    assert refused.value.status == 413
    assert len(packed) * bodies.RATIO_MAX < 8 << 20


def test_a_body_of_unknown_length_is_bounded_too(make_door):
    door = make_door(PATH, body_bytes_max=1024)
    assert door.post(iter([b"{}\n" * 10] * 5)).json() == {"taken": 50}
    assert door.post(iter([b"x" * 500] * 5)).status_code == 413


def test_a_full_spool_lets_senders_wait(door):
    answers = [door.post(b"x" * 300_000 + b"\n") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].headers["Retry-After"] == "5"
    assert door.post(b"{}\n").status_code == 200


def test_a_disk_that_refuses_lets_senders_wait(make_site):
    refused: Future[Taken] = Future()
    refused.set_exception(OSError(errno.ENOSPC, "No space left"))
    site = make_site(take=lambda _given: refused)
    answer = site.get(PATH, site.token(Role.INGEST), method="POST", content=b"{}\n")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "No space" not in answer.text
    assert "No space" in site.log.getvalue()


def test_more_than_may_be_under_way_are_told_to_wait_and_pages_answer_all_the_same(make_site):
    waiting: Future[Taken] = Future()
    came = []
    site = make_site(take=lambda given: came.append(given) or waiting, in_flight_max=2)
    token = site.token(Role.INGEST)
    statuses = []

    def post():
        statuses.append(site.get(PATH, token, method="POST", content=b"{}\n", timeout=20).status_code)

    held = [threading.Thread(target=post) for _ in range(2)]
    for one in held:
        one.start()
    while len(came) < 2:
        time.sleep(0.01)
    busy = site.get(PATH, token, method="POST", content=b"{}\n")
    assert (busy.status_code, busy.headers["Retry-After"]) == (429, "1")
    assert site.get("/healthz").status_code == 200
    waiting.set_result(Taken(Outcome.TAKEN))
    for one in held:
        one.join()
    assert statuses == [200, 200]


def test_a_body_that_does_not_come_ends_the_request(make_door, monkeypatch):
    monkeypatch.setattr(bounds, "REQUEST_S_MAX", 0.3)
    door = make_door(PATH)
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.token}\r\nContent-Length: 100\r\n\r\nhalf"
    with socket.create_connection(("127.0.0.1", door.site.front.server.port), timeout=5) as slow:
        slow.sendall(head.encode())
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")
    assert door.kept == b""


def test_who_goes_away_in_the_middle_leaves_nothing(door):
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.token}\r\nContent-Length: 100\r\n\r\nhalf"
    with socket.create_connection(("127.0.0.1", door.site.front.server.port), timeout=5) as gone:
        gone.sendall(head.encode())
    assert door.post(b"{}\n").status_code == 200
    assert door.kept == b"{}\n"
    assert "page_failed" not in door.site.log.getvalue()


def test_many_empty_members_cost_what_they_are_long(monkeypatch):
    handed = []

    class Counting:
        def __init__(self, bits):
            self._member = original(bits)

        def decompress(self, data, most):
            handed.append(len(data))
            return self._member.decompress(data, most)

        def __getattr__(self, name):
            return getattr(self._member, name)

    original = zlib.decompressobj
    monkeypatch.setattr(bodies.zlib, "decompressobj", Counting)
    packed = gzip.compress(b"") * 5000 + gzip.compress(b"{}\n")
    assert bodies.unpacked(packed, "gzip", bounds.RequestBounds()) == b"{}\n"
    assert len(handed) == 5001
    assert sum(handed) <= 5001 * 4096
