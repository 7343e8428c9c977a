import pytest

from monitor.stores import Fence, Fenced, Lease, Turn
from monitor.testing import failing_at, scratch_store

S = 1_000_000


@pytest.fixture
def store(tmp_path):
    store = scratch_store(tmp_path)
    yield store
    store.close()


def test_a_lease_lasts_until_its_time_and_then_anybody_may_take_it(store):
    assert store.take("respond", "ann", 10 * S, 5) == Fence("respond", 1)
    assert store.take("respond", "bob", 15 * S - 1, 5) is None
    assert store.leases() == [Lease(name="respond", holder="ann", epoch=1, until=15 * S)]
    assert store.take("respond", "bob", 15 * S, 5) == Fence("respond", 2)


def test_a_lease_that_is_renewed_in_time_keeps_its_epoch_and_one_that_lapsed_does_not(store):
    fence = store.take("respond", "ann", 0, 5)
    assert store.renew(fence, 5 * S - 1, 5)
    assert store.take("respond", "ann", 9 * S, 5) == fence
    assert not store.renew(fence, 14 * S, 5)
    assert store.take("respond", "ann", 14 * S, 5) == Fence("respond", 2)


def test_a_turn_whose_commit_was_not_acknowledged_is_not_taken_for_another_owners(store):
    ann = store.take("events/0", "ann", 0, 5)
    mine = Turn(number=1, fence=ann)
    with failing_at("commit:turn"), pytest.raises(Exception, match="No space"):
        store.commit(mine)
    store.commit(Turn(number=1, fence=store.seize("events/0", "bob", 1, 5)))
    with pytest.raises(Fenced, match="events/0 has been given to another: epoch 2 is the newest, this is 1"):
        store.commit(mine)
