import os
import subprocess
import sys
import textwrap

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import INDEX, INTERNAL
from monitor import durable
from monitor.moments import DAY_US
from monitor.stores import StoreError
from monitor.stores.archive import Archive
from monitor.stores.segment import ROW, TURN, SegmentBroken, near_alike

DAY = 20_454  # 2026-01-01


def events(count, first=0, day=DAY, days=1, **more):
    """Events in processing order, as the pipeline has them: fields that the archive does not keep too."""
    numbers = range(first, first + count)
    given = {
        "_time": [day * DAY_US + n for n in numbers],
        "_arrival": [(day + n % days) * DAY_US + n for n in numbers],
        "_watermark": [n - 5 for n in numbers],
        "_hash": [n * 2**40 for n in numbers],
        "_line": [f'{{"n":{n},"text":"中文 line"}}' for n in numbers],
        "_partition": ["file:a"] * count,
        "_position": [n * 10 for n in numbers],
        "_late": [n % 7 == 0 for n in numbers],
        "_future": [False] * count,
        "_duplicate": [False] * count,
        "miniprogram.app_id": [f"wx{n * 7919 % 5}" for n in numbers],
        "user.id": [f"u{n * 31 % 11}" if n % 3 else None for n in numbers],
        "event.id": [f"e{n}" for n in numbers],
        "url.path": ["/not/kept"] * count,
        **more,
    }
    return pl.DataFrame(given, schema_overrides=INTERNAL)


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path / "archive")


def lines(frames):
    return [line for frame in frames for line in frame["_line"]]


def test_events_come_back_as_they_were_processed(archive):
    frame = events(500)
    segments = archive.write(7, frame)
    (again,) = archive.replay(segments)
    shared = [name for name in archive.columns if name in frame.columns]
    assert again.select(shared).equals(frame.select(shared))
    assert again[TURN].unique().to_list() == [7]
    assert again[ROW].to_list() == list(range(500))
    assert {name: again.schema[name] for name in archive.columns} == archive.columns


def test_a_segment_says_what_is_in_it(archive):
    (segment,) = archive.write(7, events(500))
    assert (segment.path, segment.day, segment.rows) == ("2026-01-01/000000000007.parquet", "2026-01-01", 500)
    assert (segment.time_min, segment.time_max) == (DAY * DAY_US, DAY * DAY_US + 499)
    assert segment.bytes == (archive.folder / segment.path).stat().st_size
    assert list(archive.check([segment])) == []


def test_files_are_for_their_owner_alone(archive):
    archive.write(1, events(3))
    assert {oct(path.stat().st_mode & 0o777) for path in archive.folder.rglob("*.*")} == {"0o600"}
    assert {oct(path.stat().st_mode & 0o777) for path in archive.folder.glob("*/")} == {"0o700"}


def test_a_turn_without_events_makes_no_file(archive):
    assert archive.write(1, events(0)) == []


def test_a_turn_over_midnight_is_a_file_for_each_day_and_one_turn_in_replay(archive):
    frame = events(90, days=3)
    segments = archive.write(1, frame)
    assert [segment.day for segment in segments] == ["2026-01-01", "2026-01-02", "2026-01-03"]
    (again,) = archive.replay(segments)
    assert again["_line"].to_list() == frame["_line"].to_list()


def test_a_turn_of_absurdly_many_days_makes_a_bounded_number_of_files(archive, monkeypatch):
    monkeypatch.setattr("monitor.stores.archive.DAYS_PER_TURN_MAX", 4)
    segments = archive.write(1, events(50, days=50))
    assert [segment.rows for segment in segments] == [47, 1, 1, 1]
    assert lines(archive.replay(segments)) == events(50)["_line"].to_list()


def test_arrival_before_1970_or_after_9999_has_a_day(archive):
    segments = archive.write(1, events(2, _arrival=[-5, 2**62]))
    assert [segment.day for segment in segments] == ["1970-01-01", "9999-12-31"]


@settings(max_examples=25, deadline=None)
@given(
    turns=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 3), st.integers(0, 2)), min_size=1, max_size=6),
    after=st.integers(0, 6),
)
def test_replay_is_the_suffix_of_what_was_written(tmp_path_factory, turns, after):
    archive, segments, written, first = Archive(tmp_path_factory.mktemp("archive")), [], [], 0
    for turn, (count, days, day) in enumerate(turns, start=1):
        frame = events(count, first, day=DAY + day, days=days)
        segments += archive.write(turn, frame)
        written += frame["_line"].to_list() if turn > after else []
        first += count
    assert lines(archive.replay(segments[::-1], after)) == written


def test_scan_gives_the_events_of_a_time_and_a_filter(archive):
    segments = [*archive.write(1, events(50)), *archive.write(2, events(50, 50)), *archive.write(3, events(50, 100))]
    start = DAY * DAY_US
    found = archive.scan(segments, since=start + 40, until=start + 60, where=pl.col("miniprogram.app_id") == "wx3")
    expected = events(150).slice(40, 20).filter(pl.col("miniprogram.app_id") == "wx3")
    assert lines(found) == expected["_line"].to_list()
    assert lines(archive.scan(segments, turn_after=2)) == events(50, 100)["_line"].to_list()


def test_scan_newest_first_is_the_reverse(archive):
    segments = [*archive.write(1, events(50)), *archive.write(2, events(50, 50))]
    newest = lines(archive.scan(segments, newest_first=True))
    assert newest == lines(archive.scan(segments))[::-1] == events(100)["_line"].to_list()[::-1]


def test_scan_reads_only_the_columns_asked_for(archive):
    segments = archive.write(1, events(5))
    (frame,) = archive.scan(segments, columns=["event.id"], where=pl.col("_line").str.contains("3"))
    assert frame.to_dict(as_series=False) == {"event.id": ["e3"]}


def test_a_column_that_an_older_file_lacks_is_null(archive):
    segments = archive.write(1, events(5))
    wider = Archive(archive.folder, more=["miniprogram.scene"])
    (frame,) = wider.scan(segments, columns=["miniprogram.scene", *INDEX])
    assert frame["miniprogram.scene"].dtype == pl.Int64
    assert frame["miniprogram.scene"].null_count() == 5


def as_it_was_written(archive, segment):
    """The same rows in a file as they were written before: by Polars, rows alike side by side, all with statistics."""
    path = archive.folder / segment.path
    near_alike(pl.read_parquet(path)).write_parquet(path, compression="zstd", compression_level=1, row_group_size=1000)


def test_files_of_older_versions_are_read_like_new_ones(archive):
    segments = [*archive.write(1, events(200)), *archive.write(2, events(200, 200))]
    start, where = DAY * DAY_US, pl.col("miniprogram.app_id") == "wx3"
    asked = [
        {},
        {"newest_first": True},
        {"since": start + 150, "until": start + 250, "where": where},
        {"turn_after": 1, "columns": ["event.id", "_hash", "user.id"]},
    ]

    def answers():
        return [pl.concat(archive.scan(segments, **each)).rows() for each in asked] + [
            pl.concat(archive.replay(segments, after)).rows() for after in (0, 1)
        ]

    now = answers()
    as_it_was_written(archive, segments[0])
    assert answers() == now
    as_it_was_written(archive, segments[1])
    assert answers() == now


def test_any_reader_of_parquet_can_read_a_segment(archive):
    (segment,) = archive.write(1, events(5000))
    frame = pl.read_parquet(archive.folder / segment.path)
    assert frame["_line"].to_list() == events(5000)["_line"].to_list()
    assert dict(frame.schema) == archive.columns


def test_rows_of_many_texts_and_of_none_come_back(archive):
    long = ["x" * 300_000, None, "", "中" * 70_000] * 3
    many = events(12, **{"user.id": long, "event.id": [None] * 12, "source.ip": [f"{n}" * 9 for n in range(12)]})
    (again,) = archive.replay(archive.write(1, many))
    assert again["user.id"].to_list() == long
    assert again["event.id"].null_count() == 12
    assert again["source.ip"].to_list() == many["source.ip"].to_list()


@pytest.mark.parametrize("keep", [0, 4, 100, -1, -20])
def test_a_truncated_file_is_named(archive, keep):
    (whole, cut) = [*archive.write(1, events(50)), *archive.write(2, events(50, 50))]
    path = archive.folder / cut.path
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SegmentBroken, match=r"000000000002\.parquet: not a whole Parquet file"):
        list(archive.replay([whole, cut]))
    broken = []
    assert lines(archive.scan([whole, cut], broken=broken.append)) == events(50)["_line"].to_list()
    assert [error.path for error in broken] == [path]
    assert [error.path for error in archive.check([whole, cut])] == [path]


def test_a_damaged_page_is_named(archive):
    (segment,) = archive.write(1, events(5000))
    path = archive.folder / segment.path
    content = bytearray(path.read_bytes())
    content[40 : len(content) // 2] = bytes(len(content) // 2 - 40)
    path.write_bytes(content)
    with pytest.raises(SegmentBroken, match=r"000000000001\.parquet"):
        list(archive.scan([segment]))


def test_a_foreign_parquet_file_is_named(archive):
    (segment,) = archive.write(1, events(5))
    pl.DataFrame({"a": [1]}).write_parquet(archive.folder / segment.path)
    with pytest.raises(SegmentBroken, match="not a segment of ours"):
        list(archive.scan([segment]))


def test_a_missing_file_is_named(archive):
    (segment,) = archive.write(1, events(5))
    (archive.folder / segment.path).unlink()
    with pytest.raises(SegmentBroken, match="in the manifest but not on the disk"):
        list(archive.replay([segment]))


def test_the_sweep_deletes_what_no_manifest_names(archive):
    kept = archive.write(1, events(5))
    archive.write(2, events(5, day=DAY + 1))
    (archive.folder / "2026-01-01" / "000000000002.parquet.part").touch()
    (archive.folder / "2026-01-01" / "notes.txt").touch()
    swept = archive.sweep(kept, last_turn=1)
    assert swept == ["2026-01-01/000000000002.parquet.part", "2026-01-02/000000000002.parquet"]
    assert {path.name for path in archive.folder.glob("*/*")} == {"000000000001.parquet", "notes.txt"}


def test_the_sweep_does_not_delete_an_archive_whose_database_is_lost(archive):
    for turn in (1, 2, 3):
        archive.write(turn, events(5))
    with pytest.raises(StoreError, match="holds events of turn 3, but the database ends with turn 0") as refusal:
        archive.sweep([], last_turn=0)
    assert not refusal.value.retryable
    assert "out of the archive (" in str(refusal.value)
    assert len(list(archive.folder.rglob("*.parquet"))) == 3


@pytest.mark.parametrize("number", [28, 5])
@pytest.mark.parametrize("boundary", ["write:segment", "fsync:segment", "rename:segment", "rename:segment:done"])
def test_a_disk_that_refuses_is_tried_again(archive, monkeypatch, boundary, number):
    first = archive.write(1, events(5))

    def refuse(name):
        if name == boundary:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(durable, "observer", refuse)
    with pytest.raises(StoreError) as refusal:
        archive.write(2, events(5, 5))
    assert refusal.value.retryable
    monkeypatch.undo()
    second = archive.write(2, events(5, 5))
    assert archive.sweep([*first, *second], last_turn=2) in ([], ["2026-01-01/000000000002.parquet.part"])
    assert lines(archive.replay([*first, *second])) == events(10)["_line"].to_list()


CHILD = """
    import os, signal, sys
    from pathlib import Path
    import polars as pl
    from monitor import durable
    from monitor.stores.archive import Archive

    frame = pl.read_ipc(sys.argv[3])
    durable.observer = lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == sys.argv[2] else None
    Archive(Path(sys.argv[1])).write(2, frame)
"""


@pytest.mark.parametrize("boundary", ["write:segment", "fsync:segment", "rename:segment", "rename:segment:done"])
def test_a_write_that_was_killed_leaves_nothing_that_counts(archive, tmp_path, boundary):
    first = archive.write(1, events(5))
    events(5, 5).write_ipc(tmp_path / "frame.arrow")
    command = [sys.executable, "-c", textwrap.dedent(CHILD), archive.folder, boundary, tmp_path / "frame.arrow"]
    assert subprocess.run(command, check=False).returncode == -9
    archive.sweep(first, last_turn=1)
    assert [path.name for path in archive.folder.glob("*/*")] == ["000000000001.parquet"]
    assert lines(archive.replay([*first, *archive.write(2, events(5, 5))])) == events(10)["_line"].to_list()


def test_a_replay_of_what_lies_in_another_folder_is_refused(archive, tmp_path):
    segments = archive.write(1, events(3))
    with pytest.raises(StoreError, match="1 files of the archive lie in another archive folder"):
        list(Archive(tmp_path / "other").replay(segments))
