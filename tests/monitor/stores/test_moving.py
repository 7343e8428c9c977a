"""A record that is moved is the record: every row of every table, with one word more in the audit, or nothing at all."""

import pytest
from filled import contents, fill

from monitor.audit import AuditEntry
from monitor.stores import moving
from monitor.stores.moving import NotEmpty, move_record
from monitor.stores.schema import upgrade
from monitor.stores.sqlite import SqliteDatabase

ENTRY = AuditEntry(time=1, actor="operator:someone", action=moving.ACTION, subject="there", reason="it grows")


@pytest.fixture
def databases(tmp_path):
    made = [SqliteDatabase(tmp_path / name, 1.0) for name in ("from.db", "to.db")]
    upgrade(made[0])
    yield made
    for one in made:
        one.close()


def _as_copied(before):
    """What should be there: everything, but leases are nobody's."""
    return {**before, "leases": [(name, "", epoch, 0) for name, _, epoch, _ in before["leases"]]}


def test_every_row_of_every_table_comes_over(databases):
    fill(databases[0])
    told = []
    moved = move_record(*databases, ENTRY, lambda done, total: told.append((done, total)))
    there = contents(databases[1])
    assert moved.rows == sum(map(len, there.values()))
    assert told[-1] == (moved.rows - 1, moved.rows - 1)
    (entry,) = (row for row in there["audit"] if moving.ACTION in row)
    there["audit"].remove(entry)
    assert there == _as_copied(contents(databases[0]))


def test_a_database_that_has_a_record_is_left_as_it_is(databases):
    fill(databases[0])
    upgrade(databases[1])
    fill(databases[1])
    before = contents(databases[1])
    with pytest.raises(NotEmpty):
        move_record(*databases, ENTRY, lambda *_: None)
    assert contents(databases[1]) == before


def test_what_breaks_off_leaves_nothing(databases):
    fill(databases[0])

    def broken(done, total):
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move_record(*databases, ENTRY, broken)
    assert contents(databases[1])["decisions"] == []
    assert move_record(*databases, ENTRY, lambda *_: None).rows > 0


def test_a_move_that_was_whole_can_be_asked_for_again(databases):
    fill(databases[0])
    once = move_record(*databases, ENTRY, lambda *_: None)
    there = contents(databases[1])
    assert move_record(*databases, ENTRY, lambda *_: None) == once
    assert contents(databases[1]) == there
    with databases[1].writing("later") as connection:
        connection.exec_driver_sql("UPDATE audit SET action = 'later' WHERE seq = (SELECT max(seq) FROM audit)")
    with pytest.raises(NotEmpty):
        move_record(*databases, ENTRY, lambda *_: None)
