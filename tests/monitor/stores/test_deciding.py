"""Decisions have a number that stays, and their changes an order in which nothing can be missed."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.responding.lifting import revoke
from monitor.sealing import Seal
from monitor.stores import AppRecord, Message, Overtaken, Standing, StandingKind, StoreError, Turn
from monitor.stores.sqlite import sqlite_store
from monitor.testing import failing_at, scratch_store, stored_decision
from playbooks.decision import DecisionState, Mode

SEAL = Seal(bytes(32))
IDS = [f"d{number}" for number in range(8)]


def standing(key="s1"):
    return Standing(
        id=key, kind=StandingKind.EXEMPTION, scope="AppId", value="a", reason="ours", actor="bob", created=1, expires=9
    )


@pytest.fixture
def store(tmp_path):
    made = scratch_store(tmp_path)
    yield made
    made.close()


WRITES = st.one_of(
    st.tuples(st.just("turn"), st.lists(st.sampled_from(IDS), min_size=1, max_size=4, unique=True)),
    st.tuples(st.just("revoke"), st.sampled_from(IDS)),
    st.tuples(st.just("expire"), st.integers(1, 10)),
    st.tuples(st.just("fail"), st.sampled_from(IDS)),
)


@settings(max_examples=60, deadline=None)
@given(
    writes=st.lists(st.tuples(WRITES, st.booleans()), max_size=15),
    limit=st.integers(1, 5),
)
def test_who_asks_for_what_came_after_the_last_place_misses_nothing(tmp_path_factory, writes, limit):
    store = scratch_store(tmp_path_factory.mktemp("record"))
    seen, numbers, refused, place, turn = {}, {}, set(), 0, 0
    for (kind, what), looks in writes:
        try:
            if kind in {"turn", "fail"}:
                turn += 1
                keys = what if kind == "turn" else [what]
                made = [stored_decision(key, time=turn, expires=IDS.index(key) + 2) for key in keys]
                if kind == "turn":
                    store.commit(Turn(number=turn, decisions=made))
                else:
                    with failing_at("commit:turn"):
                        store.commit(Turn(number=turn, decisions=made))
            elif kind == "revoke":
                revoke(store, what, actor="operator:ann", reason="a mistake", now=0)
            else:
                store.expire_decisions(what)
        except StoreError:  # what is refused changes nothing
            refused.add(kind)
        changes = [None] * limit if looks else []
        while len(changes) == limit:
            changes = store.decision_changes(place, limit)
            for one in changes:
                assert numbers.setdefault(one.decision.id, one.number) == one.number
                assert one.changed > place
                seen[one.decision.id], place = one.decision, one.changed
    for one in store.decision_changes(place, 1000):
        seen[one.decision.id] = one.decision
        assert numbers.setdefault(one.decision.id, one.number) == one.number
    assert refused <= {"revoke", "fail"}
    assert seen == {one.id: one for one in store.decisions()}
    assert len(set(numbers.values())) == len(numbers)
    assert all(store.numbered_decision(number).decision == seen[key] for key, number in numbers.items())
    store.close()


def test_who_must_be_told_of_changes_is_told_in_the_same_transaction(tmp_path):
    def tell(decisions, _in_force):
        return [Message(key=f"{one.id}:{one.state}", channel="test", body=b"", created=0) for one in decisions]

    store = scratch_store(tmp_path, tell=tell)
    shadow = stored_decision("shadow", mode=Mode.SHADOW)
    store.commit(Turn(number=1, decisions=[stored_decision("a"), stored_decision("b"), shadow]))
    with failing_at("commit:operator"), pytest.raises(Exception, match="No space"):
        revoke(store, "a", actor="operator:ann", reason="a mistake", now=5)
    revoke(store, "b", actor="operator:ann", reason="a mistake", now=5)
    store.expire_decisions(2000)
    told = {one.message.key for one in store.due_messages(2**60, 100)}
    assert told == {"a:active", "b:active", "b:revoked", "a:expired"}


def test_a_turn_that_was_overtaken_changes_nothing(store):
    version = store.rulings_version()
    store.commit(Turn(number=1, decisions=[stored_decision("a")], rulings=version))
    for act in (
        lambda: store.add_standing(standing()),
        lambda: store.remove_standing("s1", "bob", "", 2),
        lambda: store.import_apps([AppRecord(app_id="a", as_of=1, document="{}")], "bob", 3),
        lambda: revoke(store, "a", actor="operator:ann", reason="a mistake", now=4),
        lambda: store.commit(Turn(number=2, decisions=[stored_decision("b")])),
        lambda: store.expire_decisions(5000),
    ):
        before = store.rulings_version()
        act()
        if store.last_turn() == 2 and store.decision("b").state is DecisionState.ACTIVE:
            assert store.rulings_version() == before, "a turn is no ruling"
            continue
        assert store.rulings_version() > before
        late = Turn(number=store.last_turn() + 1, decisions=[stored_decision("late")], rulings=before)
        with pytest.raises(Overtaken):
            store.commit(late)
        assert store.decision("late") is None
    turn = msgspec.structs.replace(late, rulings=store.rulings_version())
    store.commit(turn)
    assert store.decision("late") is not None


def test_nobody_who_writes_waits_for_an_expiry_with_nothing_due(tmp_path):
    store = sqlite_store(tmp_path / "miniwatch.db", seal=SEAL, busy_timeout_s=0)
    replayed = stored_decision("replayed", mode=Mode.REPLAY)
    store.commit(Turn(number=1, decisions=[stored_decision("a"), replayed]))
    other = sqlite_store(tmp_path / "miniwatch.db", seal=SEAL, busy_timeout_s=0)
    with other.acting():
        assert store.expire_decisions(stored_decision("a").expires - 1) == []
        with pytest.raises(StoreError, match="locked"):
            store.expire_decisions(stored_decision("a").expires)
    assert [one.id for one in store.expire_decisions(stored_decision("a").expires)] == ["a"]
    with other.acting():
        assert store.expire_decisions(stored_decision("a").expires) == []
    store.close()
    other.close()
