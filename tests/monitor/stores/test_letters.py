"""Dead letters take no more room than they may, and every line of them stays counted."""

import sqlite3

import pytest
from earlier import record_of_schema
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.decoders import DeadLetter, DeadLetterReason
from monitor.sealing import Seal
from monitor.stores import LetterBounds, Turn
from monitor.stores.letters import ROW_BYTES, excess
from monitor.stores.record import Query
from monitor.stores.sqlite import sqlite_store
from monitor.testing import scratch_store

BROKEN, EMPTY, FAULT = DeadLetterReason.BROKEN_JSON, DeadLetterReason.EMPTY_LINE, DeadLetterReason.FAULT
FEW = LetterBounds(rows_max=10, source_bytes_max=1 << 30)


def letters(reason, count, *, partition="file:a", raw=b"{", lines=1):
    return [DeadLetter(partition, place, reason, "why", raw, len(raw), lines) for place in range(count)]


@pytest.fixture
def make(tmp_path):
    return lambda bounds=FEW: scratch_store(tmp_path, letter_bounds=bounds)


def kept(store, **query):
    return [row.id for row in store.dead_letters(Query(**query))]


def test_the_newest_of_a_source_stay_and_all_are_counted(make):
    store = make()
    for number in (1, 2, 3):
        store.commit(Turn(number=number, dead_letters=letters(BROKEN, 7)))
    assert kept(store) == [f"{turn:09d}-{place:05d}" for turn, count in ((3, 7), (2, 3)) for place in _last(count)]
    assert store.counts().dead_letters_by_reason == {"broken-json": 21}
    (account,) = store.dead_letter_accounts()
    assert (account.lines, account.rows, account.dropped) == (21, 10, 11)


def _last(count):
    return range(6, 6 - count, -1)


def test_a_flood_of_one_reason_takes_the_place_of_no_other(make):
    store = make()
    store.commit(Turn(number=1, dead_letters=letters(FAULT, 3)))
    store.commit(Turn(number=2, dead_letters=letters(BROKEN, 500)))
    assert len(kept(store, reason="fault")) == 3
    assert len(kept(store, reason="broken-json")) == 7


def test_one_source_takes_the_place_of_no_other(make):
    store = make()
    store.commit(Turn(number=1, dead_letters=letters(BROKEN, 9, partition="file:b")))
    store.commit(Turn(number=2, dead_letters=letters(BROKEN, 500)))
    assert len(kept(store, partition="file:b")) == 9


def test_long_letters_are_bounded_by_their_bytes(make):
    store = make(LetterBounds(rows_max=1000, source_bytes_max=100_000))
    store.commit(Turn(number=1, dead_letters=letters(BROKEN, 20, raw=b"x" * 10_000)))
    (account,) = store.dead_letter_accounts()
    assert account.rows == 9
    assert account.bytes <= 100_000


def test_a_run_of_empty_lines_counts_as_its_lines(make):
    store = make()
    store.commit(Turn(number=1, dead_letters=letters(EMPTY, 12, raw=b"", lines=1000)))
    (account,) = store.dead_letter_accounts()
    assert (account.lines, account.rows, account.kept, account.dropped) == (12_000, 10, 10_000, 2000)


def test_what_goes_with_age_is_not_told_as_dropped(make):
    store = make()
    store.commit(Turn(number=1, time=100, dead_letters=letters(BROKEN, 3)))
    store.commit(Turn(number=2, time=200, dead_letters=letters(BROKEN, 2)))
    assert store.forget_dead_letters(200, 300) == 3
    (account,) = store.dead_letter_accounts()
    assert (account.lines, account.rows, account.kept, account.dropped) == (5, 2, 2, 0)


TURNS = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from([BROKEN, FAULT, EMPTY]), st.sampled_from("ab"), st.integers(0, 400), st.integers(1, 9)
        ),
        max_size=25,
    ),
    max_size=5,
)


@settings(max_examples=40, deadline=None)
@given(turns=TURNS, rows_max=st.integers(1, 30), size=st.integers(1, 9000))
def test_the_account_is_that_of_the_rows(tmp_path_factory, turns, rows_max, size):
    bounds = LetterBounds(rows_max=rows_max, source_bytes_max=size)
    store = scratch_store(tmp_path_factory.mktemp("record"), letter_bounds=bounds)
    came = {}
    for number, turn in enumerate(turns, 1):
        made = [DeadLetter(name, 0, reason, "", b"x" * length, length, n) for reason, name, length, n in turn]
        for letter in made:
            came[letter.partition, letter.reason] = came.get((letter.partition, letter.reason), 0) + letter.lines
        store.commit(Turn(number=number, dead_letters=made))
    more = len(Seal(bytes(32)).seal(b"", "x")) + ROW_BYTES
    rows = list(store.dead_letters())
    assert {(one.partition, one.reason): one.lines for one in store.dead_letter_accounts()} == came
    for account in store.dead_letter_accounts():
        own = [row for row in rows if (row.partition, row.reason) == (account.partition, account.reason)]
        taken = sum(row.length + more for row in own)
        assert (account.rows, account.kept, account.bytes) == (len(own), sum(row.lines for row in own), taken)
        assert account.lines == account.kept + account.dropped
    for name in "ab":
        own = [row for row in rows if row.partition == name]
        assert len(own) <= rows_max
        assert sum(row.length + more for row in own) <= size
    store.close()


@given(st.dictionaries(st.text(max_size=2), st.integers(0, 50), max_size=6), st.integers(0, 100))
def test_the_largest_go_first_and_only_as_much_as_must(sizes, most):
    gone = excess(sizes, most)
    left = {name: size - gone.get(name, 0) for name, size in sizes.items()}
    assert sum(left.values()) <= most
    if sum(sizes.values()) <= most:
        assert gone == {}
    elif gone:
        assert sum(left.values()) > most - len(gone), "more went than must"
        assert max(left.values()) == left[min(gone, key=lambda name: left[name])], "one that is smaller went"


def test_a_record_of_the_first_schema_is_taken_along(tmp_path):
    path = tmp_path / "miniwatch.db"
    record_of_schema(path, "0001")
    with sqlite3.connect(path) as connection:
        connection.executemany(
            "INSERT INTO dead_letters VALUES (?, 1, 5, 'file:a', 0, ?, 'why', ?, 1, NULL)",
            [("000000001-00000", "broken-json", b"x" * 50), ("000000001-00001", "not-combined", b"y" * 60)],
        )
    store = sqlite_store(path, seal=Seal(bytes(32)))
    assert [(row.lines, row.format) for row in store.dead_letters()] == [(1, "combined"), (1, "ndjson")]
    assert [(one.reason, one.rows, one.bytes) for one in store.dead_letter_accounts()] == [
        ("broken-json", 1, 250),
        ("not-combined", 1, 260),
    ]
