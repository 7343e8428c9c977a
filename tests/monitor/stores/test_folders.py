"""Archive folders: each has a name that goes with it, and the record knows what lies in which."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from monitor.kept import Kept
from monitor.sealing import Seal
from monitor.stores import Segment, StoreError, Turn
from monitor.stores.archive import Archive
from monitor.stores.folder_name import NAME_FILE, folder_name, name_there
from monitor.stores.folders import ArchiveFolder
from monitor.stores.indexed import Indexed, folder_lease
from monitor.stores.sqlite import sqlite_store

MINUTE_US = 60_000_000
HERE = ArchiveFolder(name="a", host="one", path="/archive", time=10)


@pytest.fixture
def store(tmp_path):
    store = sqlite_store(tmp_path / "record.db", seal=Seal(bytes(32)))
    yield store
    store.close()


def _segment(turn, folder="", stream="", rows=10):
    path, day = f"2026-01-01/{folder}{stream}{turn}.parquet", "2026-01-01"
    times = {"time_min": 0, "time_max": 1}
    return Segment(
        path=path, day=day, turn_first=turn, turn_last=turn, rows=rows, bytes=1, sha256="", stream=stream,
        folder=folder, **times,
    )  # fmt: skip


def test_all_who_ask_for_the_name_of_a_new_folder_at_once_are_told_the_same(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(lambda _: folder_name(tmp_path), range(32)))
    assert names == {name_there(tmp_path)}


def test_the_name_goes_with_the_folder_and_differs_from_those_of_others(tmp_path):
    first = Archive(tmp_path / "first").name
    (tmp_path / "first").rename(tmp_path / "moved")
    assert Archive(tmp_path / "moved").name == first
    assert Archive(tmp_path / "first").name != first


def test_a_name_that_is_not_ours_is_refused(tmp_path):
    (tmp_path / NAME_FILE).write_text("something else\n")
    with pytest.raises(StoreError, match="does not hold the name of an archive folder"):
        folder_name(tmp_path)


def test_asking_which_files_are_here_gives_a_folder_no_name(tmp_path):
    archive = Archive(tmp_path)
    assert archive.here([_segment(1), _segment(2, "other")]) == [_segment(1)]
    assert name_there(tmp_path) == ""


def test_what_nobody_had_claimed_is_claimed_once_with_how_far_the_search_had_come(store):
    store.commit(Turn(number=1, segments=[_segment(1), _segment(2)]))
    store.put_indexed(Indexed(what="events", place=1, set_aside=3))
    store.put_folder(HERE, [_segment(1).path, _segment(2).path])
    store.put_folder(ArchiveFolder(name="b", host="two", path="/archive", time=10), [_segment(1).path])
    assert {one.folder for one in store.segments()} == {"a"}
    assert [(one.folder, one.place, one.set_aside) for one in store.indexed()] == [("a", 1, 3)]
    assert store.unclaimed() == []


def test_what_is_behind_is_told_by_folder(store):
    segments = [_segment(1, "a"), _segment(2, "b"), _segment(3, "b"), _segment(4, "a", "events/0"), _segment(5)]
    store.commit(Turn(number=1, segments=segments))
    store.put_indexed(Indexed(what="events", folder="a", place=1))
    store.put_indexed(Indexed(what="events", folder="b", place=2))
    assert store.unindexed_events() == {"": 10, "a": 10, "b": 10}
    assert store.archived_streams("a") == {"": 1, "events/0": 4}


def test_a_folder_that_nobody_brings_to_the_search_is_told_until_somebody_does(store):
    store.put_folder(HERE)
    store.commit(Turn(number=1, segments=[_segment(1, "a"), _segment(2)]))
    now = 10 * MINUTE_US
    (unknown, known) = store.unattended(now)
    assert (unknown.folder, unknown.host, unknown.since_us) == ("", "", now)
    assert (known.folder, known.host, known.events, known.since_us) == ("a", "one", 10, now - 10)
    store.take(folder_lease("a"), "one:1", now, 15.0)
    assert [one.folder for one in store.unattended(now)] == [""]
    lapsed = store.unattended(now + MINUTE_US)
    assert [(one.folder, one.since_us) for one in lapsed] == [("", now + MINUTE_US), ("a", MINUTE_US - 15_000_000)]


def test_a_process_claims_the_old_files_that_are_on_its_disk(tmp_path):
    kept = Kept.open(tmp_path)
    kept.store.commit(Turn(number=1, segments=[_segment(1), _segment(2)]))
    (kept.archive.folder / _segment(1).path).parent.mkdir()
    (kept.archive.folder / _segment(1).path).touch()
    kept.note_folder(5)
    segments = kept.store.segments()
    assert [(one.turn_first, one.folder) for one in segments] == [(1, kept.archive.name), (2, "")]
    assert kept.store.archived() == (sum(one.bytes for one in segments), sum(one.rows for one in segments))
    (folder,) = kept.store.folders()
    assert (folder.name, folder.path) == (kept.archive.name, str(tmp_path / "archive"))
    kept.note_folder(6)
    assert kept.store.folders() == [folder]
    kept.store.close()
