import os
import shutil
import subprocess
import sys
import textwrap

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from monitor import durable, snapshots
from monitor.snapshots import SnapshotFolder
from monitor.stores import StoreError


def states(turn):
    frame = pl.DataFrame({"key": ["a", "b"], "count": [turn, turn + 1], "seen": [[1, 2], []]})
    return {"sigma": {"windows": frame, "empty": frame.clear()}, "none": {}}


EXTRA = {"duplicates": pl.DataFrame({"hash": pl.Series([1, 2**64 - 1], dtype=pl.UInt64)})}


@pytest.fixture
def folder(tmp_path):
    return SnapshotFolder(tmp_path / "snapshots")


def turn_of(folder, turn_max=None):
    snapshot, refused = folder.load(turn_max)
    return (snapshot and snapshot.turn), [refusal.reason for refusal in refused]


def test_memory_comes_back_as_it_was(folder):
    folder.save(7, states(7), EXTRA)
    snapshot, refused = folder.load()
    assert (snapshot.turn, refused, snapshot.states.keys()) == (7, (), {"sigma", "none"})
    assert snapshot.states["none"] == {}
    for name, frame in states(7)["sigma"].items():
        assert_frame_equal(snapshot.states["sigma"][name], frame)
    assert_frame_equal(snapshot.extra["duplicates"], EXTRA["duplicates"])


def test_names_of_detectors_are_only_names(folder):
    folder.save(1, {"../../etc": {"a/b": EXTRA["duplicates"]}})
    assert folder.load()[0].states["../../etc"].keys() == {"a/b"}
    assert {path.name for path in folder.folder.rglob("*")} == {"000000000001", "0000.arrow", "manifest.json"}


def test_without_any_snapshot_there_is_none(folder):
    assert folder.load() == (None, ())


def test_the_last_two_are_kept_for_their_owner_alone(folder):
    for turn in range(1, 5):
        folder.save(turn, states(turn))
    assert sorted(path.name for path in folder.folder.iterdir()) == ["000000000003", "000000000004"]
    assert {oct(path.stat().st_mode & 0o777) for path in folder.folder.rglob("*.*")} == {"0o600"}
    assert {oct(path.stat().st_mode & 0o777) for path in folder.folder.iterdir()} == {"0o700"}


def test_a_snapshot_ahead_of_the_record_is_not_taken_now_or_when_the_record_gets_there(folder):
    folder.save(3, states(3))
    folder.save(9, states(9))
    assert turn_of(folder, 8) == (3, ["of turn 9, but the record ends with turn 8"])
    assert turn_of(folder, 9) == (3, [])


def test_saving_a_turn_again_changes_nothing(folder):
    first = folder.save(3, states(3))
    assert folder.save(3, states(3)) == first


def test_a_damaged_snapshot_of_the_same_turn_is_replaced(folder):
    folder.save(3, states(3))
    (folder.folder / "000000000003" / "0000.arrow").write_bytes(b"")
    folder.save(3, states(3))
    assert turn_of(folder) == (3, [])


def truncate(path):
    path.write_bytes(path.read_bytes()[:-10])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["0000.arrow", "0001.arrow", "manifest.json"])
@pytest.mark.parametrize("harm", [truncate, flip, os.unlink, lambda path: path.write_text("{}")])
def test_a_damaged_snapshot_is_refused_with_a_reason_and_the_one_before_taken(folder, name, harm):
    folder.save(1, states(1))
    folder.save(2, states(2))
    harm(folder.folder / "000000000002" / name)
    turn, (reason,) = turn_of(folder)
    assert turn == 1
    assert name in reason


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_single_changed_byte_goes_unnoticed(tmp_path_factory, data):
    folder = SnapshotFolder(tmp_path_factory.mktemp("snapshots"))
    folder.save(1, states(1))
    path = data.draw(st.sampled_from(sorted((folder.folder / "000000000001").iterdir())))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert folder.load()[0] is None


def test_another_turns_snapshot_under_this_name_is_refused(folder):
    folder.save(1, states(1))
    shutil.copytree(folder.folder / "000000000001", folder.folder / "000000000002")
    assert turn_of(folder) == (1, ["manifest.json is of turn 1"])


def test_a_later_format_is_refused(folder, monkeypatch):
    folder.save(1, states(1))
    later = snapshots.FORMAT + 1
    monkeypatch.setattr(snapshots, "FORMAT", later)
    assert turn_of(folder) == (None, [f"of format {later - 1}; this version reads format {later}"])


def test_hashes_of_another_polars_are_refused(folder, monkeypatch):
    folder.save(1, states(1))
    here = snapshots.hashing()
    as_now = pl.Series.hash
    monkeypatch.setattr(pl.Series, "hash", lambda series: as_now(series, seed=7))
    other = snapshots.hashing()
    assert turn_of(folder) == (
        None,
        [f"it has hashes ({here}) that this version of Polars computes otherwise ({other})"],
    )


BOUNDARIES = ["write:snapshot", "fsync:snapshot", "rename:snapshot", "rename:snapshot:done"]


@pytest.mark.parametrize("number", [28, 5])
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_disk_that_refuses_leaves_the_earlier_snapshot(folder, monkeypatch, boundary, number):
    folder.save(1, states(1))

    def refuse(name):
        if name == boundary:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(durable, "observer", refuse)
    with pytest.raises(StoreError) as refusal:
        folder.save(2, states(2))
    assert refusal.value.retryable
    assert turn_of(folder) == (2 if boundary.endswith("done") else 1, [])
    monkeypatch.undo()
    folder.save(3, states(3))
    assert turn_of(folder) == (3, [])
    assert not list(folder.folder.glob("*.part"))


CHILD = """
    import os, signal, sys
    from pathlib import Path
    import polars as pl
    from monitor import durable
    from monitor.snapshots import SnapshotFolder

    folder, left = SnapshotFolder(Path(sys.argv[1])), [int(sys.argv[2])]
    folder.save(1, {"a": {"b": pl.DataFrame({"c": [1]})}})

    def die(name):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    durable.observer = die
    folder.save(2, {"a": {"b": pl.DataFrame({"c": [2]})}})
"""


@pytest.mark.parametrize("boundary", range(8))
def test_a_save_that_was_killed_has_happened_or_not(folder, boundary):
    command = [sys.executable, "-c", textwrap.dedent(CHILD), folder.folder, str(boundary)]
    assert subprocess.run(command, check=False).returncode == -9
    turn, refused = turn_of(folder)
    assert (turn, refused) == (2 if boundary >= 6 else 1, [])  # 5 is the renaming
    folder.save(3, states(3))
    assert turn_of(folder) == (3, [])
    assert not list(folder.folder.glob("*.part"))
