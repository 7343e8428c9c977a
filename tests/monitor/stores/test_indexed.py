import pytest

from monitor.sealing import Seal
from monitor.stores import Turn, indexed
from monitor.stores.indexed import Indexed, SetAside
from monitor.stores.sqlite import sqlite_store
from monitor.testing.stores import stored_finding


@pytest.fixture
def store(tmp_path):
    store = sqlite_store(tmp_path / "record.db", seal=Seal(bytes(32)))
    yield store
    store.close()


def _changes(store, after=0):
    return [(one.changed, one.finding.id, one.finding.evidence.count) for one in store.finding_changes(after, 100)]


def test_a_finding_that_grows_has_a_later_change_in_place_of_its_own(store):
    store.commit(Turn(number=1, findings=[stored_finding("a"), stored_finding("b", 200)]))
    assert _changes(store) == [(1, "a", 1), (2, "b", 1)]
    store.commit(Turn(number=2, findings=[stored_finding("a", count=2)]))
    assert _changes(store) == [(2, "b", 1), (3, "a", 3)]
    assert _changes(store, after=2) == [(3, "a", 3)]
    assert store.last_finding_change() == 3


def test_how_far_it_has_come_is_kept_for_each_kind_and_stream(store):
    store.put_indexed(Indexed(what="events", place=3, since=".ds-1", sent_until=9, time=5))
    store.put_indexed(Indexed(what="events", stream="kafka/0", place=7))
    store.put_indexed(Indexed(what="events", place=4, since=".ds-1", sent_until=9, time=6))
    assert [(one.stream, one.place) for one in store.indexed()] == [("", 4), ("kafka/0", 7)]


def test_of_what_was_set_aside_the_newest_are_kept(store, monkeypatch):
    monkeypatch.setattr(indexed, "SET_ASIDE_MAX", 3)
    for n in range(5):
        refused = SetAside(what="events", id=f"e{n}", reason="r", detail="d", time=n)
        store.put_indexed(Indexed(what="events", set_aside=n + 1), [refused, refused])
    assert [one.id for one in store.set_aside(10)] == ["e4", "e3", "e2"]
    assert store.indexed()[0].set_aside == 5
