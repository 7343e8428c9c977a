import io
import tarfile
import threading

import polars as pl
import pytest
import zstandard

from detectors.event import INTERNAL
from monitor.audit import verify
from monitor.sealing import Seal, key_at
from monitor.snapshots import SnapshotFolder
from monitor.stores import StoreError, backup, upkeep
from monitor.stores.archive import Archive
from monitor.stores.backup import BackupBroken
from monitor.stores.held_folder import AlreadyRunning, only_one
from monitor.stores.places import Places
from monitor.stores.sqlite import sqlite_store
from monitor.testing import store_state, whole_turn


def events(turn):
    given = {"_time": [turn], "_arrival": [turn], "_line": [f"line {turn}"]}
    frame = pl.DataFrame(given)
    return frame.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in INTERNAL.items() if name not in frame)


def commit(store, places, turn):
    store.commit(whole_turn(turn, segments=Archive(places.archive).write(turn, events(turn))))


@pytest.fixture
def places(tmp_path):
    places = Places(tmp_path / "data")
    store = sqlite_store(places.database, seal=Seal(key_at(places.seal_key)))
    for turn in range(1, 5):
        commit(store, places, turn)
    folder = SnapshotFolder(places.snapshots)
    folder.save(3, {"sigma": {"windows": events(3)}})
    folder.save(9, {"sigma": {"windows": events(9)}})
    store.close()
    return places


def opened(places):
    return sqlite_store(places.database, seal=Seal(key_at(places.seal_key)))


def test_a_restored_backup_is_the_same_installation(places, tmp_path):
    target, steps = tmp_path / "b.tar.zst", []
    made = backup.backup(places.root, target, now=5, keys=True, progress=lambda *step: steps.append(step))
    again = Places(tmp_path / "again")
    assert backup.restore(target, again.root, now=9, progress=lambda *step: steps.append(step)) == made
    assert (made.last_turn, made.keys) == (4, True)
    assert steps.count((made.bytes, made.bytes)) == 2
    before, after = opened(places), opened(again)
    *entries, restored = after.audit_entries()
    assert (restored.entry.action, restored.entry.time) == ("backup.restore", 9)
    assert verify(after.audit_entries()).breach is None
    assert {**store_state(after), "audit": entries} == store_state(before)
    assert Archive(again.archive).name == Archive(places.archive).name
    assert list(Archive(again.archive).check(after.segments())) == []
    assert SnapshotFolder(again.snapshots).load()[0].turn == 3, "a snapshot ahead of the database is left out"
    assert {oct(path.stat().st_mode & 0o777) for path in again.root.rglob("*") if path.is_file()} == {"0o600"}
    before.close()
    after.close()


def test_changes_after_a_restore_lie_behind_all_that_the_lost_record_may_have_had(places, tmp_path):
    target = tmp_path / "b.tar.zst"
    backup.backup(places.root, target, now=5, keys=True)
    again, later = Places(tmp_path / "again"), 1_772_500_000_000_000
    backup.restore(target, again.root, now=later)
    store = opened(again)
    assert (store.decision_floor(), store.last_decision_change()) == (later, later + 4)
    assert [one.changed - later for one in store.decision_changes(0, 100)] == [1, 2, 3, 4]
    store.commit(whole_turn(5))
    assert [one.changed - later for one in store.decision_changes(later + 4, 100)] == [5]
    store.close()


def test_nothing_but_the_backup_is_left_behind(places, tmp_path):
    before = sorted(places.root.iterdir())
    backup.backup(places.root, tmp_path / "b.tar.zst", now=5)
    assert sorted(places.root.iterdir()) == before
    assert oct((tmp_path / "b.tar.zst").stat().st_mode & 0o777) == "0o600"


def test_keys_stay_at_home_unless_asked_for(places, tmp_path):
    backup.backup(places.root, tmp_path / "b.tar.zst", now=5)
    assert not backup.restore(tmp_path / "b.tar.zst", tmp_path / "again", now=9).keys
    assert not Places(tmp_path / "again").keys.exists()


def test_a_backup_of_a_running_daemon_is_consistent(places, tmp_path):
    store, stop = opened(places), threading.Event()

    def run():
        turn = 5
        while not stop.is_set():
            commit(store, places, turn)
            upkeep.compact(Archive(places.archive), store, "1970-01-01", turn)
            turn += 1

    daemon = threading.Thread(target=run)
    daemon.start()
    try:
        for number in range(3):
            backup.backup(places.root, tmp_path / f"{number}.tar.zst", now=5, keys=True)
    finally:
        stop.set()
        daemon.join()
    store.close()
    for number in range(3):
        again = Places(tmp_path / str(number))
        last_turn = backup.restore(tmp_path / f"{number}.tar.zst", again.root, now=9).last_turn
        restored = opened(again)
        frames = Archive(again.archive).replay(restored.segments())
        assert [frame["_line"].item() for frame in frames] == [f"line {turn}" for turn in range(1, last_turn + 1)]
        restored.close()


def test_an_archive_with_a_lost_file_is_not_backed_up_as_if_it_were_whole(places, tmp_path):
    next(places.archive.rglob("*.parquet")).unlink()
    with pytest.raises(StoreError, match="has lost files that the database names"):
        backup.backup(places.root, tmp_path / "b.tar.zst", now=5)
    assert not (tmp_path / "b.tar.zst").exists()


def test_a_folder_without_a_database_has_nothing_to_back_up(tmp_path):
    with pytest.raises(StoreError, match="nothing to back up"):
        backup.backup(tmp_path, tmp_path / "b.tar.zst", now=5)


def test_a_backup_is_not_restored_over_anything(places, tmp_path):
    backup.backup(places.root, tmp_path / "b.tar.zst", now=5)
    with pytest.raises(StoreError, match="not empty"):
        backup.restore(tmp_path / "b.tar.zst", places.root, now=9)


def test_no_daemon_begins_on_a_folder_that_is_being_restored(places, tmp_path):
    target, again, refused = tmp_path / "b.tar.zst", Places(tmp_path / "again"), []
    backup.backup(places.root, target, now=5)

    def begin(_done, _total):
        with pytest.raises(AlreadyRunning), only_one(again.lock):
            pass
        refused.append(again.database.exists())

    backup.restore(target, again.root, now=9, progress=begin)
    assert refused
    assert not any(refused)
    with only_one(again.lock):
        assert again.database.exists()


def test_nothing_is_restored_into_a_folder_that_a_daemon_has_just_taken(places, tmp_path):
    backup.backup(places.root, tmp_path / "b.tar.zst", now=5)
    again = Places(tmp_path / "again")
    with only_one(again.lock), pytest.raises(AlreadyRunning):
        backup.restore(tmp_path / "b.tar.zst", again.root, now=9)
    assert backup.restore(tmp_path / "b.tar.zst", again.root, now=9).last_turn == 4


def test_of_a_folder_that_a_daemon_works_on_that_is_said(places, tmp_path):
    backup.backup(places.root, tmp_path / "b.tar.zst", now=5)
    with only_one(places.lock), pytest.raises(AlreadyRunning, match="stop it"):
        backup.restore(tmp_path / "b.tar.zst", places.root, now=9)


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
def test_a_backup_cut_short_is_refused_and_leaves_nothing(places, tmp_path, part):
    target = tmp_path / "b.tar.zst"
    backup.backup(places.root, target, now=5)
    content = target.read_bytes()
    target.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(BackupBroken, match=r"b\.tar\.zst: not a whole backup \(it is cut short\)"):
        backup.restore(target, tmp_path / "again", now=9)
    assert not (tmp_path / "again").exists()
    (tmp_path / "there").mkdir()
    with pytest.raises(BackupBroken):
        backup.restore(target, tmp_path / "there", now=9)
    assert list((tmp_path / "there").iterdir()) == []


def repacked(target, change):
    """The backup with one of its members changed, and the rest as it was."""
    whole = zstandard.ZstdDecompressor().stream_reader(target.open("rb")).read()
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(whole)) as old, tarfile.open(fileobj=out, mode="w") as new:
        for info in old:
            change(info, old.extractfile(info).read(), new)
    target.write_bytes(zstandard.ZstdCompressor().compress(out.getvalue()))


def altered(info, content, new):
    if info.name.endswith(".db"):
        content = content[:-1] + b"!"
    new.addfile(info, io.BytesIO(content))


def left_out(info, content, new):
    if not info.name.endswith(".parquet"):
        new.addfile(info, io.BytesIO(content))


def added(info, content, new):
    new.addfile(info, io.BytesIO(content))
    if info.name == "manifest.json":
        more = tarfile.TarInfo("keys/people.key")
        new.addfile(more, io.BytesIO())


def outside(info, content, new):
    if info.name == "manifest.json":
        content = content.replace(b"archive/1970-01-01", b"../../../../out-of-it")
        info.size = len(content)
    info.name = info.name.replace("archive/1970-01-01", "../../../../out-of-it")
    new.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize("change", [altered, left_out, added, outside])
def test_an_altered_backup_is_refused_and_leaves_nothing(places, tmp_path, change):
    target = tmp_path / "b.tar.zst"
    backup.backup(places.root, target, now=5)
    repacked(target, change)
    with pytest.raises(BackupBroken):
        backup.restore(target, tmp_path / "again", now=9)
    assert not (tmp_path / "again").exists()
    assert not list(tmp_path.parent.rglob("out-of-it*"))


def test_what_a_killed_backup_left_is_cleared_a_day_later(places, tmp_path):
    left = places.root / "backup.killed.part"
    left.mkdir()
    born = int(left.stat().st_mtime * 1_000_000)
    backup.backup(places.root, tmp_path / "b.tar.zst", now=born)
    assert left.exists()
    backup.backup(places.root, tmp_path / "b.tar.zst", now=born + (backup.STALE_S + 60) * 1_000_000)
    assert not left.exists()
