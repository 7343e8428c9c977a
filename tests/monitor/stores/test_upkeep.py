import os
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import INTERNAL
from monitor import durable
from monitor.audit import verify
from monitor.moments import DAY_US
from monitor.stores import StoreError, Turn, upkeep
from monitor.stores.archive import Archive
from monitor.stores.folder_name import NAME_FILE
from monitor.stores.segment import TURN, SegmentBroken, SegmentFile
from monitor.testing import scratch_store

DAY = 20_454  # 2026-01-01


def events(turn, days=1, count=20):
    numbers = range(turn * 1000, turn * 1000 + count)
    frame = pl.DataFrame(
        {
            "_time": [DAY * DAY_US + n for n in numbers],
            "_arrival": [(DAY + n % days) * DAY_US + n for n in numbers],
            "_line": [f"line {n}" for n in numbers],
            "miniprogram.app_id": [f"wx{n * 7919 % 5}" for n in numbers],
        }
    )
    return frame.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in INTERNAL.items() if name not in frame)


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path / "archive")


def store_of(archive, turns, days=1):
    store = scratch_store(archive.folder.parent)
    for turn in range(1, turns + 1):
        store.commit(Turn(number=turn, segments=archive.write(turn, events(turn, days))))
    return store


def lines(frames):
    return [line for frame in frames for line in frame["_line"]]


def test_a_joined_day_replays_and_scans_as_before(archive, monkeypatch):
    monkeypatch.setattr(upkeep, "GROUP_ROWS", 50)
    store = store_of(archive, 12, days=2)
    before = lines(archive.replay(store.segments(), 4))
    (joined,) = upkeep.compact(archive, store, "2026-01-01", turn_max=9)
    assert joined in store.segments("2026-01-01")
    assert (joined.path, joined.rows) == ("2026-01-01/000000000001-000000000009.parquet", 90)
    assert len(store.segments("2026-01-01")) == 4
    assert lines(archive.replay(store.segments(), 4)) == before
    assert lines(archive.scan(store.segments("2026-01-01"), where=pl.col(TURN) == 3)) == lines(
        [events(3, 2).gather_every(2)]
    )
    assert list(archive.check(store.segments())) == []
    assert archive.sweep(store.segments(), 12) == []


def test_what_is_joined_in_memory_is_bounded_by_bytes_too(archive, monkeypatch):
    monkeypatch.setattr(upkeep, "GROUP_BYTES", 500)
    store = store_of(archive, 6)
    (joined,) = upkeep.compact(archive, store, "2026-01-01", turn_max=6)
    assert SegmentFile(archive.folder / joined.path).groups == 2
    assert lines(archive.replay([joined])) == lines(events(turn) for turn in range(1, 7))


def test_a_joined_day_can_be_joined_again(archive):
    store = store_of(archive, 4)
    upkeep.compact(archive, store, "2026-01-01", turn_max=2)
    upkeep.compact(archive, store, "2026-01-01", turn_max=4)
    assert [segment.path for segment in store.segments()] == ["2026-01-01/000000000001-000000000004.parquet"]
    assert lines(archive.replay(store.segments())) == lines(events(turn) for turn in range(1, 5))


def test_large_files_stay_as_they_are(archive, monkeypatch):
    monkeypatch.setattr(upkeep, "JOINED_ROWS", 50)
    store = store_of(archive, 5)
    names = ["000000000001-000000000003", "000000000004-000000000005"]
    assert [one.path for one in upkeep.compact(archive, store, "2026-01-01", 5)] == [
        f"2026-01-01/{n}.parquet" for n in names
    ]
    for turn in (6, 7):
        store.commit(Turn(number=turn, segments=archive.write(turn, events(turn))))
        upkeep.compact(archive, store, "2026-01-01", turn)
    names = ["000000000001-000000000003", "000000000004-000000000006", "000000000007"]
    assert [one.path for one in store.segments()] == [f"2026-01-01/{n}.parquet" for n in names]
    assert lines(archive.replay(store.segments())) == lines(events(turn) for turn in range(1, 8))


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 3), min_size=24, max_size=40), every=st.integers(1, 3))
def test_however_long_a_day_is_an_event_is_rewritten_a_few_times(tmp_path_factory, sizes, every):
    archive, store, rewritten = (
        Archive(tmp_path_factory.mktemp("archive")),
        scratch_store(tmp_path_factory.mktemp("record")),
        0,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "JOINED_ROWS", 6)
        for turn, count in enumerate(sizes, start=1):
            store.commit(Turn(number=turn, segments=archive.write(turn, events(turn, count=count))))
            if turn % every == 0:
                rewritten += sum(one.rows for one in upkeep.compact(archive, store, "2026-01-01", turn))
    assert rewritten <= 6 * sum(sizes)
    assert sum(segment.rows for segment in store.segments()) == sum(sizes)
    for first, second in pairwise(sorted(store.segments(), key=lambda one: one.turn_first)):
        assert first.turn_last < second.turn_first
    expected = lines(events(turn, count=count) for turn, count in enumerate(sizes, start=1))
    assert lines(archive.replay(store.segments())) == expected


def test_one_file_is_not_joined(archive):
    assert upkeep.compact(archive, store_of(archive, 1), "2026-01-01", turn_max=1) == []


@pytest.mark.parametrize(
    "boundary",
    [
        "write:segment",
        "fsync:segment",
        "rename:segment",
        "rename:segment:done",
        "commit:segments",
        "commit:segments:done",
    ],
)
def test_a_join_that_stops_anywhere_loses_and_doubles_nothing(archive, monkeypatch, boundary):
    store = store_of(archive, 5)

    def refuse(name):
        if name == boundary:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "observer", refuse)
    with pytest.raises(StoreError):
        upkeep.compact(archive, store, "2026-01-01", turn_max=5)
    monkeypatch.undo()
    archive.sweep(store.segments(), 5)
    assert lines(archive.replay(store.segments())) == lines(events(turn) for turn in range(1, 6))
    assert upkeep.compact(archive, store, "2026-01-01", turn_max=5) or boundary == "commit:segments:done"


def test_a_broken_file_is_named_and_stays_as_it_is(archive):
    store = store_of(archive, 3)
    (archive.folder / "2026-01-01" / "000000000002.parquet").write_bytes(b"PAR1")
    with pytest.raises(SegmentBroken, match="000000000002"):
        upkeep.compact(archive, store, "2026-01-01", turn_max=3)
    assert len(store.segments()) == 3
    assert [path.suffix for path in sorted((archive.folder / "2026-01-01").iterdir())] == [".parquet"] * 3


def test_retention_deletes_whole_days_and_says_so_in_the_audit(archive):
    store = store_of(archive, 2, days=3)
    day_181 = (DAY + 182) * DAY_US
    deleted = upkeep.retain(archive, store, days=180, now=day_181)
    assert (deleted.days, deleted.events) == (("2026-01-01", "2026-01-02"), 26)
    assert {segment.day for segment in store.segments()} == {"2026-01-03"}
    assert sorted(path.name for path in archive.folder.iterdir()) == ["2026-01-03", NAME_FILE]
    (link,) = store.audit_entries()
    assert (link.entry.action, link.entry.subject) == ("archive.delete", "2026-01-01 to 2026-01-02")
    assert link.entry.before == "26 events in 4 files"
    assert verify(store.audit_entries()).broken is None


def test_the_day_that_is_180_days_old_is_kept(archive):
    store = store_of(archive, 1)
    assert upkeep.retain(archive, store, days=180, now=(DAY + 180) * DAY_US + DAY_US - 1) == upkeep.Deleted()
    assert upkeep.retain(archive, store, days=180, now=(DAY + 181) * DAY_US).events == 20


def test_what_recovery_needs_is_kept(archive):
    store = store_of(archive, 3)
    upkeep.retain(archive, store, days=180, now=(DAY + 400) * DAY_US, turn_max=2)
    assert [segment.turn_last for segment in store.segments()] == [3]


def test_what_retention_let_go_elsewhere_goes_from_this_disk_too_but_nothing_that_may_still_be_named(archive):
    store = store_of(archive, 2, days=4)
    now = (DAY + 182) * DAY_US
    files = sorted(archive.folder.glob("????-??-??/*"))
    for path in files:
        os.utime(path, (0, 0))
    store.replace_segments([one for one in store.segments() if one.day in {"2026-01-01", "2026-01-03"}], [])
    fresh = archive.folder / "2026-01-01" / "000000000009.parquet"
    fresh.write_bytes(b"PAR1")
    os.utime(fresh, (now / 1_000_000 - 3600,) * 2)
    gone = upkeep.sweep_days(archive, store, days=180, now=now)
    left = {path.relative_to(archive.folder).as_posix() for path in archive.folder.glob("????-??-??/*")}
    assert gone.days == ("2026-01-01",)
    named = {one.path for one in store.segments()}
    assert left == {
        path.relative_to(archive.folder).as_posix() for path in files if path.parent.name >= "2026-01-03"
    } | named | {"2026-01-01/000000000009.parquet"}
    assert gone.bytes > 0


@pytest.mark.parametrize("days", [179, 0, -1])
def test_less_than_half_a_year_is_refused(archive, days):
    store = store_of(archive, 1)
    with pytest.raises(upkeep.RetentionTooShort, match="at least 180 days"):
        upkeep.retain(archive, store, days=days, now=(DAY + 4000) * DAY_US)
    assert len(store.segments()) == 1
