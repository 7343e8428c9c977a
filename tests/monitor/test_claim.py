"""A claim: one process has a name at a time, and the next gets it when that one is gone."""

import time

import pytest

from monitor.claim import Claim
from monitor.clock import now_us
from monitor.stores import StoreError
from monitor.testing.stores import scratch_store


@pytest.fixture
def store(tmp_path):
    store = scratch_store(tmp_path)
    yield store
    store.close()


def _claim(store, holder, **more):
    return Claim(store, "search:a", holder, now_us, **{"lease_s": 0.4, "renew_s": 0.1, **more})


def _until(condition, seconds=5.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "too late"
        time.sleep(0.01)


def test_of_two_one_has_it_and_the_other_when_it_is_given_up(store):
    first, second = _claim(store, "one:1"), _claim(store, "two:2")
    first.look()
    second.look()
    assert first.fence is not None
    assert second.fence is None
    first.stop()
    second.look()
    assert second.fence.epoch == 2


def test_it_is_held_for_as_long_as_its_thread_runs_and_lapses_without(store):
    first, second = _claim(store, "one:1"), _claim(store, "two:2")
    first.start()
    _until(lambda: first.fence is not None)
    second.start()
    held = first.fence
    time.sleep(0.8)
    assert (first.fence, second.fence) == (held, None)
    first._stopping.set()  # it is killed: nothing is given up
    _until(lambda: second.fence is not None)
    assert first.fence is None
    second.stop()


def test_it_lapses_where_the_record_does_not_answer_and_comes_back(store, monkeypatch):
    claim = _claim(store, "one:1")
    claim.start()
    _until(lambda: claim.fence is not None)

    def away(*_, **__):
        raise StoreError("the database does not answer", retryable=True)

    monkeypatch.setattr(store, "renew", away)
    _until(lambda: claim.fence is None)
    monkeypatch.undo()
    _until(lambda: claim.fence is not None)
    assert claim.fence.epoch == 2
    claim.stop()


def test_who_is_alone_waits_for_nobody_that_is_gone(store):
    _claim(store, "one:1", lease_s=3600.0).look()
    waiting, alone = _claim(store, "one:2"), _claim(store, "one:3", alone=True)
    waiting.look()
    alone.look()
    assert waiting.fence is None
    assert alone.fence.epoch == 2
