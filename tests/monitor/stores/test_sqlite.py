import os
import sqlite3
import subprocess
import sys
import textwrap

import pytest
from sqlalchemy import event

from monitor import durable
from monitor.responding.lifting import revoke
from monitor.sealing import Seal, SealError
from monitor.stores import StoreError, Turn
from monitor.stores.sqlite import sqlite_store
from monitor.testing import store_state, stored_decision, stored_finding, whole_turn
from playbooks.decision import DecisionState

SEAL = Seal(bytes(32))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "miniwatch.db"


@pytest.fixture
def store(path):
    store = sqlite_store(path, seal=SEAL, busy_timeout_s=0.2)
    yield store
    store.close()


def test_files_are_for_their_owner_alone(store, path):
    store.commit(whole_turn(1))
    assert {oct(file.stat().st_mode & 0o777) for file in path.parent.iterdir()} == {"0o600"}
    assert oct(path.parent.stat().st_mode & 0o777) == "0o700"


def test_what_was_committed_is_there_after_reopening(store, path):
    store.commit(whole_turn(1))
    before = store_state(store)
    store.close()
    again = sqlite_store(path, seal=SEAL)
    assert store_state(again) == before
    again.close()


def test_dead_letters_are_not_readable_in_the_file(store, path):
    store.commit(whole_turn(1))
    store.close()
    assert whole_turn(1).dead_letters[0].raw not in path.read_bytes()


def test_a_dead_letter_does_not_open_with_another_key(store, path):
    store.commit(whole_turn(1))
    other = sqlite_store(path, seal=Seal(b"k" * 32))
    row = next(other.dead_letters())
    with pytest.raises(SealError, match="another key"):
        other.unseal(row)
    other.close()


def test_every_statement_of_a_turn_may_fail_and_nothing_is_left(store):
    store.commit(whole_turn(1))
    statements = count_statements(store, lambda: store.commit(whole_turn(2)))
    assert statements > 12
    before = store_state(store)
    for number in range(3, 3 + statements):
        with failing_statement(store, number - 3), pytest.raises(StoreError) as refusal:
            store.commit(whole_turn(number))
        assert refusal.value.retryable
    assert store_state(store) == before
    store.commit(whole_turn(99))


def count_statements(store, act):
    counted = []
    listener = lambda *_: counted.append(1)  # noqa: E731
    event.listen(store._database.engine, "before_cursor_execute", listener)
    act()
    event.remove(store._database.engine, "before_cursor_execute", listener)
    return len(counted)


class failing_statement:  # noqa: N801 - reads like a word in the tests
    """The disk is full at one statement of the next turn."""

    def __init__(self, store, number):
        self.engine, self.left = store._database.engine, number

    def _listen(self, *_):
        self.left -= 1
        if self.left < 0:
            raise OSError(28, "No space left on device")

    def __enter__(self):
        event.listen(self.engine, "before_cursor_execute", self._listen)

    def __exit__(self, *_):
        event.remove(self.engine, "before_cursor_execute", self._listen)


def test_a_full_disk_is_worth_another_try_and_loses_nothing(store):
    store.commit(whole_turn(1))
    with store._database.reading() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
        raw = connection.connection.dbapi_connection
    turn = Turn(number=2, findings=[stored_finding(f"f{n}", n, title="t" * 500) for n in range(1000)])
    with pytest.raises(StoreError, match="disk is full") as refusal:
        store.commit(turn)
    assert refusal.value.retryable
    assert store.last_turn() == 1
    raw.execute("PRAGMA max_page_count = 1000000")
    store.commit(turn)
    assert store.counts().tables["findings"] == 1001


def test_a_locked_database_is_worth_another_try(store, path):
    store.commit(whole_turn(1))
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked by another process") as refusal:
        store.commit(whole_turn(2))
    assert refusal.value.retryable
    assert store.last_turn() == 1, "readers do not wait for writers"
    other.rollback()
    store.commit(whole_turn(2))
    other.close()


def test_a_database_that_is_being_written_can_be_opened_and_read(store, path):
    store.commit(whole_turn(1))
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    reader = sqlite_store(path, seal=SEAL, busy_timeout_s=0.0)
    assert reader.last_turn() == 1
    reader.close()
    other.close()


def test_a_file_that_is_no_database_is_refused(path):
    path.parent.mkdir()
    path.write_bytes(b"no database at all, but some other file of a person\n" * 100)
    with pytest.raises(StoreError, match="not a database") as refusal:
        sqlite_store(path, seal=SEAL)
    assert not refusal.value.retryable
    assert path.read_bytes().startswith(b"no database")


def test_another_programs_database_is_refused(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StoreError, match="another program: it has the tables recipes"):
        sqlite_store(path, seal=SEAL)


def test_a_damaged_database_is_not_tried_again(store, path):
    store.commit(Turn(number=1, findings=[stored_finding(f"f{n}", n) for n in range(2000)]))
    store.close()
    with path.open("rb+") as file:
        file.seek(4096 * 3)
        file.write(b"\xde\xad" * 4096 * 30)
    with pytest.raises(StoreError) as refusal:
        store_state(sqlite_store(path, seal=SEAL))
    assert not refusal.value.retryable


def test_a_turn_of_ten_thousand_findings_is_one_transaction(store):
    letters = whole_turn(1).dead_letters * 1000
    findings = [stored_finding(f"f{n}", n) for n in range(10_000)]
    store.commit(Turn(number=1, findings=findings, dead_letters=letters))
    store.commit(Turn(number=2, findings=findings))
    counts = store.counts()
    assert (counts.tables["findings"], counts.tables["dead_letters"]) == (10_000, 1000)
    assert store.finding("f77").evidence.count == 2
    assert len(store.known_findings([one.id for one in findings])) == 10_000


def test_ended_decisions_beyond_the_bound_are_forgotten_but_none_in_force(store, monkeypatch):
    monkeypatch.setattr("monitor.stores.reading.DECISIONS_PER_ENTITY_MAX", 3)
    ended = [stored_decision(f"e{n}", 10 + n, state=DecisionState.EXPIRED) for n in range(9)]
    store.commit(Turn(number=1, decisions=[stored_decision("old", 1), *ended]))
    entity = ended[0].entity
    assert [one.id for one in store.decisions_of([entity])[entity]] == ["e8", "e7", "e6", "old"]


CHILD = """
    import os, signal, sys
    from pathlib import Path
    from monitor import durable
    from monitor.sealing import Seal
    from monitor.stores.sqlite import sqlite_store
    from monitor.testing import whole_turn

    store = sqlite_store(Path(sys.argv[1]), seal=Seal(bytes(32)))
    store.commit(whole_turn(1))
    durable.observer = lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == sys.argv[2] else None
    store.commit(whole_turn(2))
"""


@pytest.mark.parametrize(("boundary", "last_turn"), [("commit:turn", 1), ("commit:turn:done", 2)])
def test_a_killed_commit_has_happened_or_not(tmp_path, boundary, last_turn):
    path = tmp_path / "miniwatch.db"
    child = subprocess.run([sys.executable, "-c", textwrap.dedent(CHILD), str(path), boundary], check=False)
    assert child.returncode == -9
    undisturbed = sqlite_store(tmp_path / "other.db", seal=SEAL)
    for number in range(1, last_turn + 1):
        undisturbed.commit(whole_turn(number))
    killed = sqlite_store(path, seal=SEAL)
    assert store_state(killed) == store_state(undisturbed)
    killed.close()
    undisturbed.close()


@pytest.mark.parametrize("number", [28, 5])
@pytest.mark.parametrize("write", ["operator", "expiry", "outbox", "segments"])
def test_other_writes_are_whole_or_nothing_too(store, write, number):
    store.commit(whole_turn(1))
    acts = {
        "operator": lambda: revoke(store, "d1", actor="operator:ann", reason="a mistake", now=1),
        "expiry": lambda: store.expire_decisions(10_000),
        "outbox": lambda: store.message_sent("m1", "", 1),
        "segments": lambda: store.replace_segments(store.segments(), []),
    }
    before = store_state(store)

    def refuse(name):
        if name == f"commit:{write}":
            raise OSError(number, os.strerror(number))

    durable.observer, earlier = refuse, durable.observer
    try:
        with pytest.raises(StoreError) as refusal:
            acts[write]()
    finally:
        durable.observer = earlier
    assert refusal.value.retryable
    assert store_state(store) == before
