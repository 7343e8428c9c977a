"""The busiest apps of the newest events, counted from the archive beside whoever writes it."""

from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import INTERNAL
from monitor.moments import DAY_US
from monitor.overview import busiest
from monitor.overview.busiest import BusiestApps
from monitor.stores import Turn
from monitor.stores.archive import Archive
from monitor.stores.upkeep import compact
from monitor.testing import scratch_store

DAY_TEXT = "2026-01-01"
DAY = 20_454
STREAM = "kafka:calls/0"
APPS = st.sampled_from(["wx1", "wx2", "wx3", None])


class Kept:
    """An archive with its record, and somebody who looks at it."""

    def __init__(self, folder):
        self.archive = Archive(folder / "archive")
        self.store = scratch_store(folder)
        self.looker = BusiestApps(self.store, self.archive, 86_400, 5.0)
        self.turns = {"": 0, STREAM: 0}

    def commit(self, apps, stream=""):
        self.turns[stream] += 1
        turn = self.turns[stream]
        begin = DAY * DAY_US + turn * 1_000
        given = {
            "_time": [begin + place for place in range(len(apps))],
            "_arrival": [begin + place for place in range(len(apps))],
            "_line": ["{}"] * len(apps),
            "miniprogram.app_id": pl.Series(apps, dtype=pl.String),
        }
        frame = pl.DataFrame(given).with_columns(
            pl.lit(None, dtype).alias(name) for name, dtype in INTERNAL.items() if name not in given
        )
        segments = self.archive.of_stream(stream, 0).write(turn, frame)
        self.store.of_stream(stream).commit(Turn(number=turn, stream=stream, segments=segments))

    def join(self, stream=""):
        compact(self.archive.of_stream(stream, 0), self.store, DAY_TEXT, self.turns[stream])

    def look(self):
        found = self.looker.look(DAY * DAY_US, 10)
        return found.events, {app.app_id: app.events for app in found.apps}


@pytest.fixture
def kept(tmp_path):
    made = Kept(tmp_path)
    yield made
    made.store.close()


TURN = st.lists(APPS, min_size=1, max_size=8)
STEP = st.one_of(st.tuples(st.sampled_from(["", STREAM]), TURN), st.sampled_from(["look", "join"]))


@given(st.lists(STEP, max_size=12))
@settings(max_examples=60)
def test_every_event_is_counted_once_whenever_one_looks_and_whatever_is_joined(tmp_path_factory, steps):
    kept, came = Kept(tmp_path_factory.mktemp("kept")), []
    for step in steps:
        if step == "look":
            kept.look()
        elif step == "join":
            kept.join()
            kept.join(STREAM)
        else:
            stream, apps = step
            kept.commit(apps, stream)
            came += apps
    assert kept.look() == (len(came), dict(Counter(app for app in came if app is not None)))
    kept.store.close()


def test_only_the_newest_events_count_and_the_first_look_reads_no_more_than_these(kept, monkeypatch):
    monkeypatch.setattr(busiest, "EVENTS_MAX", 10)
    for _ in range(5):
        kept.commit(["wx1"] * 4)
    kept.commit(["wx2"] * 4)
    assert kept.look() == (12, {"wx1": 8, "wx2": 4})
    kept.commit(["wx3"] * 9)
    assert kept.look() == (13, {"wx2": 4, "wx3": 9})


def test_a_look_opens_a_bounded_number_of_files(kept, monkeypatch):
    monkeypatch.setattr(busiest, "FILES_MAX", 3)
    for _ in range(9):
        kept.commit(["wx1"])
    assert kept.look() == (3, {"wx1": 3})
    assert kept.look() == (3, {"wx1": 3})


def test_a_file_that_is_gone_is_passed_over(kept):
    kept.commit(["wx1"])
    kept.commit(["wx2"])
    next(path for path in sorted(kept.archive.folder.glob("*/*.parquet"))).unlink()
    assert kept.look() == (1, {"wx2": 1})


def test_an_archive_on_other_disks_is_called_so(tmp_path):
    looker = BusiestApps(scratch_store(tmp_path), Archive(tmp_path / "nobody-writes-here"), 86_400, 5.0)
    assert looker.look(0, 10).elsewhere
