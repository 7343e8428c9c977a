"""One process that does all has its record for itself: others are refused while it lives, and take over when it is gone."""

import threading
import time

import pytest

from monitor.alone import alone, refuse_beside_one
from monitor.clock import now_us
from monitor.kept import Kept
from monitor.partitions.answering import LEASE
from monitor.stores import Fenced, StoreError, Turn
from monitor.stores.archive import Archive
from monitor.stores.held_folder import AlreadyRunning

SHORT = {"lease_s": 0.8, "renew_s": 0.2}


@pytest.fixture
def machines(tmp_path):
    """Two machines, each with a disk of its own, on one record."""
    one = Kept.open(tmp_path / "one")
    yield one, Kept(one.places, one.seal, one.store, Archive(tmp_path / "two" / "archive"))
    one.store.close()


def test_a_second_is_refused_while_the_first_lives(machines):
    one, two = machines
    first = alone(one, now_us, lease_s=30.0, renew_s=0.2)
    begun = time.monotonic()
    with pytest.raises(
        AlreadyRunning, match=r"the process \S+:\d+ \(host and number\) does all on this record; stop it"
    ):
        alone(two, now_us, lease_s=30.0, renew_s=0.2)
    assert time.monotonic() - begun < 10.0, "that it is renewed was not seen"
    one.store.commit(Turn(number=1, fence=first.taken))
    first.stop()
    alone(two, now_us, **SHORT).stop()


def test_a_second_takes_over_when_the_first_is_gone_and_the_first_writes_nothing_more(machines):
    one, two = machines
    first = alone(one, now_us, **SHORT)
    fence = first.taken
    first._stopping.set()  # it stands still: nothing is renewed
    begun = time.monotonic()
    second = alone(two, now_us, **SHORT)
    assert time.monotonic() - begun < 2.0
    with pytest.raises(Fenced):
        one.store.commit(Turn(number=1, fence=fence))
    first.look()
    assert first.is_lost
    assert first.taken is None
    two.store.commit(Turn(number=1, fence=second.taken))
    second.stop()


def test_who_had_the_record_from_the_same_folder_is_waited_for_by_nobody(machines):
    one, _ = machines
    first = alone(one, now_us, lease_s=3600.0)
    epoch = first.taken.epoch
    first._stopping.set()  # it is killed
    second = alone(one, now_us, lease_s=3600.0)
    assert second.taken.epoch == epoch + 1
    second.stop()


def test_it_is_held_on_to_when_the_record_was_away_for_longer_than_the_lease(machines, monkeypatch):
    one, _ = machines
    claim = alone(one, now_us, **SHORT)
    held, renew = claim.taken, one.store.renew

    def away(*_, **__):
        raise StoreError("the database does not answer", retryable=True)

    monkeypatch.setattr(one.store, "renew", away)
    time.sleep(1.2)
    assert (claim.fence, claim.taken) == (None, held)
    monkeypatch.setattr(one.store, "renew", renew)
    time.sleep(0.5)
    assert (claim.fence, claim.is_lost) == (held, False)
    claim.stop()


def test_it_is_refused_beside_one_that_answers_workers(machines):
    one, two = machines
    one.store.take(LEASE, "host:7", now_us(), 3600.0)
    with pytest.raises(AlreadyRunning, match=r"the process host:7 .* answers workers on this record"):
        alone(two, now_us, lease_s=0.3, renew_s=0.1)


def test_it_is_refused_beside_workers_and_workers_beside_it(machines):
    one, two = machines
    one.store.of_stream("events/0").commit(Turn(number=1, stream="events/0"))
    stopping = threading.Event()

    def work():
        while not stopping.wait(0.1):
            one.store.read_out({"events/0": now_us()})

    worker = threading.Thread(target=work)
    worker.start()
    with pytest.raises(AlreadyRunning, match=r"workers .* are at work on this record"):
        alone(two, now_us, **SHORT)
    stopping.set()
    worker.join()
    refuse_beside_one(one.store, now_us)
    claim = alone(two, now_us, **SHORT)
    with pytest.raises(AlreadyRunning, match="does all on this record"):
        refuse_beside_one(one.store, now_us)
    claim.stop()
    refuse_beside_one(one.store, now_us)


def test_it_is_renewed_while_a_turn_takes_long(machines):
    one, two = machines
    claim = alone(one, now_us, **SHORT)
    time.sleep(1.5)
    with pytest.raises(AlreadyRunning):
        alone(two, now_us, **SHORT)
    claim.stop()
