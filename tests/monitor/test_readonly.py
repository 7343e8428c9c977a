"""A SQLite file that is only looked at."""

import os
from contextlib import closing

import pytest

from monitor.readonly import reading_uri
from monitor.sealing import Seal
from monitor.stores import StoreError, Turn
from monitor.stores.sqlite import sqlite_store


def _store(path, *, read_only=False):
    return sqlite_store(path, seal=Seal(b"k" * 32), read_only=read_only)


def test_a_record_that_is_only_looked_at_is_read_and_takes_no_write(tmp_path):
    path = tmp_path / "miniwatch.db"
    with closing(_store(path)) as store:
        store.commit(Turn(number=7))
    with closing(_store(path, read_only=True)) as store:
        assert store.last_turn() == 7
        with pytest.raises(StoreError, match="cannot be written"):
            store.commit(Turn(number=8))


def test_looking_at_a_record_that_is_not_there_makes_none(tmp_path):
    with pytest.raises(StoreError, match="cannot be opened"):
        _store(tmp_path / "miniwatch.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_a_file_without_a_log_is_the_whole_database(tmp_path, monkeypatch):
    path = tmp_path / "miniwatch.db"
    assert reading_uri(path).endswith("?mode=ro")
    monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)
    assert reading_uri(path).endswith("?mode=ro&immutable=1")
    path.with_name("miniwatch.db-wal").touch()
    assert reading_uri(path).endswith("?mode=ro")
