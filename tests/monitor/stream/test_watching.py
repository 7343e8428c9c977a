"""Behind the door a fault costs the event that brings it out, and no other."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.event import DUPLICATE, HASH, PARTITION, POSITION, WATERMARK, Batch
from detectors.finding import Entity, Evidence, Finding, RuleRef, Scope, Severity, Sighting
from monitor.stream.duplicates import Duplicates
from monitor.stream.watching import OVERLOOKED_MAX, TooManyOverlooked, Watching


def events(ids):
    """Events of these ids, each a second after the other."""
    rows = len(ids)
    return pl.DataFrame(
        {
            "event.id": pl.Series(ids, dtype=pl.String),
            "miniprogram.app_id": pl.Series(["wx1"] * rows, dtype=pl.String),
            HASH: pl.Series(range(rows), dtype=pl.UInt64),
            PARTITION: pl.Series(["file:a"] * rows, dtype=pl.String),
            POSITION: pl.Series([100 + row for row in range(rows)], dtype=pl.Int64),
            WATERMARK: pl.Series(range(rows), dtype=pl.Int64),
        }
    )


class Trapped:
    """Counts what it sees; it cannot look at a trap."""

    name = "trapped"

    def __init__(self):
        self.seen, self.marks = [], []

    def observe(self, batch):
        ids = batch.frame["event.id"].to_list()
        if "trap" in ids:
            raise pl.exceptions.PanicException
        self.seen += ids
        self.marks.append(batch.watermark)
        return [Sighting(row, found(one)) for row, one in enumerate(ids)]

    def snapshot(self):
        return list(self.seen), list(self.marks)

    def restore(self, state):
        self.seen, self.marks = state


def found(key):
    return Finding(
        id=key, time=0, first_event=0, last_event=0, detector="trapped", kind="rule", rule=RuleRef("r", "1"),
        entity=Entity(Scope.APP, "wx1"), severity=Severity.LOW, title="", evidence=Evidence(count=1, event_ids=()),
    )  # fmt: skip


class Told:
    """Telemetry that only notes."""

    def __init__(self, told):
        self.emit = told.append


IDS = st.lists(st.sampled_from(["good", "trap"]), max_size=40).map(
    lambda words: [word if word == "trap" else f"good{place}" for place, word in enumerate(words)]
)


@given(IDS)
def test_all_but_the_traps_are_seen_in_their_order_and_time_comes_all_the_way(ids):
    told, detector = [], Trapped()
    sightings = Watching(Told(told)).seen(detector, Batch(events(ids), 1000))
    good = [(row, one) for row, one in enumerate(ids) if one != "trap"]
    assert [(one.row, one.finding.id) for one in sightings] == good
    assert detector.seen == [one for _, one in good]
    assert detector.marks == sorted(detector.marks)
    assert detector.marks[-1] == 1000
    assert all(mark < 1000 for mark in detector.marks[:-1]), "time came before its events did"
    assert [(one.position, one.error) for one in told] == [
        (100 + row, "PanicException") for row, one in enumerate(ids) if one == "trap"
    ]


def test_of_too_many_nothing_is_taken():
    detector = Trapped()
    detector.seen = ["before"]
    with pytest.raises(TooManyOverlooked, match="PanicException at") as caught:
        Watching(Told([])).seen(detector, Batch(events(["good0", *["trap"] * (OVERLOOKED_MAX + 1)]), 9))
    assert detector.seen == ["before"]
    assert caught.value.event["event.id"].to_list() == ["trap"]


def test_a_fault_that_no_event_brings_out_is_raised():
    class Broken(Trapped):
        def observe(self, _batch):
            raise IndexError

    with pytest.raises(IndexError):
        Watching(Told([])).seen(Broken(), Batch(events(["good0"]), 9))


class TrappedRegistry:
    def join(self, frame, needed):
        if frame["event.id"].str.contains("trap").any():
            raise IndexError
        return frame.with_columns(pl.lit("games").alias(name) for name in sorted(needed))


def test_an_event_that_the_registry_cannot_take_is_of_an_app_that_nobody_knows():
    told = []
    joined = Watching(Told(told)).joined(
        TrappedRegistry(), _timed(["good0", "trap", "good2"]), frozenset({"app.category"})
    )
    assert joined["app.category"].to_list() == ["games", "unknown", "games"]
    assert [one.by for one in told] == ["registry"]


def _timed(ids):
    return events(ids).with_columns(_time=pl.lit(0, dtype=pl.Int64), **{"miniprogram.api": pl.lit("getLocation")})


def test_an_event_that_the_memory_of_duplicates_cannot_take_was_never_seen(monkeypatch):
    mark = Duplicates.mark

    def failing(self, frame):
        if frame["event.id"].str.contains("trap").any():
            raise IndexError
        return mark(self, frame)

    monkeypatch.setattr(Duplicates, "mark", failing)
    duplicates = Duplicates(100)
    frame = events(["a", "trap", "a", "b"]).with_columns(pl.lit(7, dtype=pl.UInt64).alias(HASH))
    assert Watching(Told([])).marked(duplicates, frame)[DUPLICATE].to_list() == [False, False, True, False]
