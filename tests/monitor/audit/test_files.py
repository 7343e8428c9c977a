"""A record's file and an exported chain are verified without a daemon, and whatever was altered in them is named."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from monitor.audit import AuditEntry, Difference, chain
from monitor.audit.files import chain_in, exported, installation_in, verify_file
from monitor.sealing import Seal
from monitor.stores.sqlite import sqlite_store
from monitor.testing import whole_turn


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "miniwatch.db"
    store = sqlite_store(path, seal=Seal(bytes(32)))
    for number in range(1, 4):
        store.commit(whole_turn(number))
    for number in range(5):
        store.audit(AuditEntry(time=number, actor="operator:a", action="b", subject="c", reason="d"))
    store.installation()
    store.close()
    return path


@pytest.fixture
def export(record: Path, tmp_path: Path) -> Path:
    path = tmp_path / "audit.ndjson"
    with chain_in(record) as entries:
        path.write_bytes(b"".join(exported(chained) for chained in entries))
    return path


def test_both_files_hold_the_same_unbroken_chain(record, export):
    assert verify_file(record).breach is None
    assert verify_file(record) == verify_file(export)
    assert verify_file(export).entries >= 8


def test_only_a_record_says_whose_it_is(record, export):
    assert len(installation_in(record)) == 16
    assert installation_in(export) is None


COLUMNS = ["time", "actor", "action", "subject", "reason", "before", "after", "previous", "hash"]


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("to", ["'another'", "x'ff00'", "NULL", "1.5"])
def test_a_flip_in_any_column_of_any_kind_is_found(record, column, to):
    with sqlite3.connect(record) as connection:
        text = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'audit'").fetchone()[0]
        connection.execute("ALTER TABLE audit RENAME TO old")
        connection.execute(
            text.replace(" NOT NULL", "").replace("PRIMARY KEY", "UNIQUE").replace("pk_audit", "uq_audit")
        )
        connection.execute("INSERT INTO audit SELECT * FROM old")
        connection.execute(f"UPDATE audit SET {column} = {to} WHERE seq = 3")  # noqa: S608 - our own words
    expected = {"previous": Difference.PREVIOUS, "hash": Difference.HASH}.get(column, Difference.CONTENT)
    verdict = verify_file(record)
    assert verdict.broken == 3
    assert verdict.breach.difference in {expected, Difference.CONTENT}


def test_bytes_that_are_no_text_are_a_flip_too(record):
    with sqlite3.connect(record) as connection:
        connection.execute("UPDATE audit SET reason = CAST(x'ff' AS TEXT) WHERE seq = 2")
    assert verify_file(record).broken == 2


@pytest.mark.parametrize(("statement", "difference"), [
    ("DELETE FROM audit WHERE seq = 3", Difference.MISSING),
    ("UPDATE audit SET seq = 'three' WHERE seq = 3", Difference.MISSING),
    ("UPDATE audit SET seq = -3 WHERE seq = 3", Difference.ORDER),
])  # fmt: skip
def test_numbers_that_were_taken_out_or_changed_are_found(record, statement, difference):
    with sqlite3.connect(record) as connection:
        connection.execute(statement)
    assert verify_file(record).breach.difference == difference


@pytest.mark.parametrize(("alter", "seq", "difference"), [
    (lambda lines: lines[:2] + lines[3:], 3, Difference.MISSING),
    (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], 3, Difference.ORDER),
    (lambda lines: [*lines[:3], *lines[2:]], 4, Difference.ORDER),
    (lambda lines: [*lines[:2], lines[2].replace(b'"reason":"', b'"reason":"x'), *lines[3:]], 3, Difference.CONTENT),
    (lambda lines: [*lines[:2], b"[]\n", *lines[3:]], 3, Difference.UNREADABLE),
    (lambda lines: [*lines[:2], lines[2][:-9], *lines[3:]], 3, Difference.UNREADABLE),
    (lambda lines: [*lines[:2], lines[2].replace(b"}", b',"more":1}'), *lines[3:]], 3, Difference.UNREADABLE),
])  # fmt: skip
def test_an_exported_chain_that_was_altered_is_told_by_its_first_bad_line(export, alter, seq, difference):
    lines = export.read_bytes().splitlines(keepends=True)
    export.write_bytes(b"".join(alter(lines)))
    breach = verify_file(export).breach
    assert (breach.seq, breach.difference) == (seq, difference)


@pytest.mark.parametrize("content", [b"nothing of the kind" * 100, b"SQLite format 3\0and then nothing" * 100, b"\xff"])
def test_a_file_of_something_else_is_refused_by_name(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"notes\.txt has no audit chain"):
        verify_file(path)


def test_a_database_without_an_audit_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE notes (text)")
    with pytest.raises(ValueError, match="no such table"):
        verify_file(tmp_path / "other.db")


def test_every_entry_comes_back_from_its_line_as_it_was(tmp_path):
    entries = [AuditEntry(time=1, actor="operator:Zoë\n", action='"', subject="\u2028", reason="\\", before="b")]
    path = tmp_path / "a.ndjson"
    path.write_bytes(b"".join(map(exported, chain(entries))))
    with chain_in(path) as read:
        assert list(read) == list(chain(entries))
