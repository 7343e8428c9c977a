"""A record that was found damaged: who met it says so, and nobody begins on it again until it is another, or mended."""

import json
import random
import sqlite3
from contextlib import closing

import pytest

from monitor.stores.damage import Damaged, marked_when_damaged
from monitor.stores.places import Places

PAGE_BYTES = 4096


def unreadable_text(path):
    """Every app's permission is no UTF-8 any more: SQLite sees nothing wrong in that."""
    path.write_bytes(path.read_bytes().replace(b"scope.writePhotosAlbum", b"\xff\xfe\x00\n\x1b[2J" + b"e" * 14))


def torn_pages(path):
    """The pages of findings are noise."""
    with closing(sqlite3.connect(path)) as database:
        roots = database.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name = 'findings'").fetchall()
    content, noise = bytearray(path.read_bytes()), random.Random(1)
    for (root,) in roots:
        begin = (root - 1) * PAGE_BYTES + 8
        content[begin : begin + 3000] = noise.randbytes(3000)
    path.write_bytes(content)


@pytest.fixture
def backup(miniwatch, fresh):
    file = fresh.folder / "whole.backup"
    miniwatch.here("backup", str(file), "--keys")
    return file


@pytest.mark.parametrize("damage", [unreadable_text, torn_pages])
def test_damage_is_told_in_words_and_no_daemon_begins_on_it_again(miniwatch, fresh, backup, damage):
    places = Places(fresh.folder / "data")
    fresh.here("restore", str(backup))
    fresh.here("check")
    whole = places.database.read_bytes()
    damage(places.database)
    fresh.events.write_bytes(miniwatch.events.read_bytes() * 2)
    run = ("run", "--until-end", "--source", f"file:{fresh.events}")
    told = fresh.here(*run, code=3).stderr
    assert "the database is damaged: restore a backup (" in told
    assert told.isascii(), "what stands in the file is not told"
    assert "dev-0" not in told
    again = fresh.here(*run, code=3).stderr
    assert "the database was found damaged at 20" in again
    assert f"delete {places.damage}" in again.replace("\n", "")
    assert "found damaged at" in fresh.here("check", code=1).stdout
    signs = json.loads(fresh.here("doctor", "-o", "json", code=1).stdout)
    (row,) = (row for row in signs if row["state"] == "problem")
    assert (row["what"], row["found"][:17]) == ("database", "found damaged at ")
    places.database.write_bytes(whole)
    places.damage.unlink()
    fresh.here(*run)


def test_a_restored_folder_does_not_bear_the_mark_of_the_one_that_was_backed_up(fresh, backup):
    places = Places(fresh.folder / "data")
    fresh.here("restore", str(backup))
    places.damage.write_text("2026-03-02 10:00:00 UTC\n")
    fresh.here("backup", str(fresh.folder / "marked.backup"))
    again = fresh.folder / "again"
    fresh("restore", str(fresh.folder / "marked.backup"), "--data-dir", str(again))
    assert not Places(again).damage.exists()


def test_a_mark_that_somebody_has_written_is_told_short_and_cannot_drive_a_terminal(tmp_path):
    places = Places(tmp_path)
    places.damage.write_bytes(b"\x1b[2J\xff" * 1000)
    with pytest.raises(Damaged) as refused, marked_when_damaged(places, lambda: 0):
        pass
    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 400 + 2 * len(str(tmp_path))


def test_a_mark_is_left_by_damage_alone_and_where_it_cannot_be_written_the_damage_is_told(tmp_path):
    places = Places(tmp_path / "data")
    tmp_path.joinpath("data").mkdir()
    with pytest.raises(KeyError), marked_when_damaged(places, lambda: 0):
        raise KeyError
    assert not places.damage.exists()
    places.damage.with_name("record.damaged.part").mkdir()
    with pytest.raises(Damaged, match="met"), marked_when_damaged(places, lambda: 0):
        raise Damaged("met")
    assert not places.damage.exists()
