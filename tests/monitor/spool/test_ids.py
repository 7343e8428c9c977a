"""Ids of documents: each brings one event, however its writer ends, and so does what is remembered of them on disk."""

import errno
import shutil
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import durable
from monitor.sealing import Seal
from monitor.sources.spooled import SpoolSource
from monitor.spool import given as given_module
from monitor.spool import ids, kept_ids
from monitor.spool import spool as spool_module
from monitor.spool.frames import UNKEYED, heads
from monitor.spool.given import Given, Outcome
from monitor.spool.ids import ID_US_MAX, NO_ID, IdWindow, id_digest, id_prefix
from monitor.spool.spool import Spool
from monitor.spool.window import request_digest

SEAL = Seal(bytes(32))
PREFIX = id_prefix("t", "logs")


class Stopped(BaseException):
    """The process ends here."""


def opened(folder, *, floor=0, clock=lambda: 7, bytes_max=1 << 26, **more):
    return Spool(folder, SEAL, bytes_max=bytes_max, floor=floor, clock=clock, **more)


def named(*names, creates=True, suffix=b""):
    """A request of a document for each name; None is one without."""
    lines = [b"%d%b" % (name or 0, suffix) for name in names]
    digests = [
        NO_ID if name is None else id_digest(PREFIX, str(name), line) for name, line in zip(names, lines, strict=True)
    ]
    return Given(b"".join(line + b"\n" for line in lines), ids=b"".join(digests), creates=[creates] * len(names))


def lines_of(spool):
    source = SpoolSource(spool, follow=False)
    source.open(None)
    found = []
    while (batch := source.read(1 << 20, 0.0)) is not None:
        found += batch.data.splitlines()
    return found


def repeated(spool, *requests):
    return [sorted(taken.repeated) for taken in spool.take(requests)]


def test_an_id_is_taken_once_within_a_request_beside_others_and_later(tmp_path):
    spool = opened(tmp_path)
    assert repeated(spool, named(1, 2, 1, None, None), named(2, 3)) == [[2], [0]]
    assert repeated(spool, named(3, None, 4)) == [[0]]
    assert repeated(opened(tmp_path), named(1, 2, 3, 4, 5)) == [[0, 1, 2, 3]]
    assert lines_of(opened(tmp_path)) == [b"1", b"2", b"0", b"0", b"3", b"0", b"4", b"5"]


def test_of_what_is_indexed_only_the_same_document_is_a_repeat(tmp_path):
    spool = opened(tmp_path)
    assert repeated(spool, named(1, 1, creates=False)) == [[1]]
    assert repeated(spool, named(1, creates=False, suffix=b"x")) == [[]]
    assert repeated(opened(tmp_path), named(1, creates=False, suffix=b"x"), named(1, creates=False)) == [[0], []]


def test_a_few_repeated_lines_need_no_memory_that_the_system_may_refuse(tmp_path, monkeypatch):
    def refused(_bytes_max):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(given_module, "Aside", refused)
    spool = opened(tmp_path)
    assert repeated(spool, named(1, 2), named(2, 3)) == [[], [0]]
    assert lines_of(spool) == [b"1", b"2", b"3"]


def test_what_was_not_taken_is_not_remembered(tmp_path):
    spool = opened(tmp_path, bytes_max=300)
    full = named(*range(1, 200))
    assert [taken.outcome for taken in spool.take([full])] == [Outcome.FULL]
    assert repeated(spool, named(1)) == [[]]


@pytest.mark.parametrize("segment_bytes", [1, 2000, 1 << 20])
def test_bounds_hold_in_number_and_age(tmp_path, monkeypatch, segment_bytes):
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", segment_bytes)
    monkeypatch.setattr(ids, "RUN_IDS", 10)
    monkeypatch.setattr(ids, "IDS_MAX", 40)
    now = [0]
    spool = opened(tmp_path, clock=lambda: now[0])
    for number in range(1, 101):
        spool.take([named(number)])
        spool.forget(spool.end)
    for known in (spool, opened(tmp_path, clock=lambda: now[0], floor=spool.end)):
        assert len(known._ids._window) <= 50
        assert repeated(known, named(*range(70, 101))) == [list(range(31))]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == spool.disk_bytes
    now[0] = ID_US_MAX
    assert spool._ids._window.find(named(70).ids, now[0]) == [None]


def test_a_file_of_ids_that_is_damaged_is_told_and_costs_its_own_ids_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 1)
    spool = opened(tmp_path)
    for number in range(1, 5):
        spool.take([named(number)])
    path = min(tmp_path.glob(f"*{kept_ids.SUFFIX}"))
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    told = []
    again = opened(tmp_path, damaged=lambda _position, what: told.append(what))
    assert len(told) == 1
    assert repeated(again, named(1, 2, 3, 4)) == [[1, 2, 3]]


REQUESTS = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=5), min_size=1, max_size=10)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_stopped_anywhere_each_id_is_there_once_and_all_that_was_acknowledged(tmp_path_factory, data):
    """Requests are given again until they are answered; the writer is stopped between any two steps, or its disk refuses."""
    folder = tmp_path_factory.mktemp("spool")
    requests = data.draw(REQUESTS)
    size = data.draw(st.sampled_from([1, 400, 100_000]))
    passed, stops = count(), data.draw(st.sets(st.integers(0, 60), max_size=6))
    refusals = data.draw(st.sets(st.integers(0, 60), max_size=6))

    def observe(_name):
        step = next(passed)
        if step in stops:
            raise Stopped
        if step in refusals:
            raise OSError(errno.ENOSPC, "full")

    original, spool_module.SEGMENT_BYTES = spool_module.SEGMENT_BYTES, size
    durable.observer = observe
    spool = None
    try:
        for names in requests:
            for _ in range(130):
                try:
                    spool = spool or opened(folder)
                    spool.take([named(*names)])
                except Stopped:
                    spool = None
                except OSError:
                    continue
                else:
                    break
    finally:
        durable.observer = durable._unobserved
        spool_module.SEGMENT_BYTES = original
    found = lines_of(opened(folder))
    shutil.rmtree(folder)
    assert sorted(found) == sorted({b"%d" % name for names in requests for name in names})


def test_requests_of_the_last_seconds_may_not_have_been_answered(tmp_path):
    now = [0]
    spool = opened(tmp_path, clock=lambda: now[0])
    digests = [request_digest("t", "/x", b"%d" % number) for number in range(4)]
    for number, digest in enumerate(digests):
        now[0] = number * 6_000_000
        spool.take([Given(b"x\n", request=digest)])
    assert [digest for digest, _ in opened(tmp_path).unsure] == digests[2:]
    with next(tmp_path.iterdir()).open("rb") as file:
        assert [head.kind for _, head in heads(file, spool.disk_bytes, 0)][1:] == [UNKEYED] * 4
    assert lines_of(opened(tmp_path)) == [b"x"] * 4


def test_a_window_of_no_ids_knows_none():
    assert IdWindow().find(NO_ID * 2, 0) == [None, None]
