"""Sizes: what grows or shrinks beyond what an app's own hours differ by is told."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import polars as pl
import pytest
from crowds import HOUR, START, stored, stream
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import NO_SHRINKING, check_cut, check_replay, check_resume, told, with_only
from shops import bare, shops, since, visits

from detectors.detector import State
from detectors.event import TIME, WATERMARK, Batch
from detectors.finding import Finding
from detectors.statistical import calibration, levels

BEFORE = 60.0
AT = BEFORE + 1.0
LOOKING = partial(with_only, "levels")


def paid(seed: int, apps: int, hours: int) -> pl.DataFrame:
    """Some twenty amounts an app and hour."""
    rng = np.random.default_rng(seed)
    parts = [
        visits(f"wx{app}", 0, hours, 12 * hours, call="requestPayment", each=1, seed=1_000 + app) for app in range(apps)
    ]
    whole = pl.concat(parts)
    return whole.with_columns(
        pl.Series("payment.amount", np.exp(8 + rng.standard_normal(whole.height)).astype(np.int64))
    )


@cache
def learned() -> tuple[State, pl.DataFrame]:
    """What is remembered of sixty apps after two days and a half, and what they do in the four hours after."""
    hours = int(BEFORE) + 4
    few = visits("few", 0, hours, 2 * hours, call="requestPayment", each=1, seed=77)
    amounts = np.exp(8 + np.random.default_rng(77).standard_normal(few.height)).astype(np.int64)
    few = few.with_columns(pl.Series("payment.amount", amounts))
    whole = stream(shops(3, 60, hours, 8), paid(4, 60, hours), few)
    first = whole.filter(pl.col(TIME) < START + int(BEFORE * HOUR))
    detector = LOOKING()
    detector.observe(Batch(first, int(first[WATERMARK][-1])))
    return stored(detector.snapshot()), bare(since(whole, BEFORE))


def happens(*changes: pl.Expr) -> dict[tuple[str, str], Finding]:
    """What is told when sizes are others."""
    state, rest = learned()
    detector = LOOKING()
    detector.restore(state)
    return told(detector, stream(rest.with_columns(changes)))


def times(field: str, app: str, factor: float) -> pl.Expr:
    """So many times the size, of one app from a time on."""
    when = (pl.col("miniprogram.app_id") == app) & (pl.col(TIME) >= START + int(AT * HOUR))
    grown = (pl.col(field) * factor).cast(pl.Int64)
    return pl.when(when).then(grown).otherwise(field).alias(field)


def test_usual_sizes_are_left_alone():
    assert happens() == {}


@pytest.mark.parametrize(
    ("field", "factor", "test", "tag"),
    [
        ("http.request.bytes", 30, "level", "behaviour.3"),
        ("process.memory.bytes", 6, "level", "behaviour.21"),
        ("payment.amount", 0.02, "level_low", "behaviour.12"),
        ("payment.amount", 60, "level", "behaviour.12"),
    ],
)
def test_another_size_is_told_as_what_it_is(field, factor, test, tag):
    found = happens(times(field, "wx1", factor))
    assert {app for app, _ in found} == {"wx1"}
    assert tag in found["wx1", test].tags


def test_what_comes_twice_an_hour_is_gathered_until_it_says_something():
    found = happens(times("payment.amount", "few", 300))
    assert set(found) >= {("few", "level")}
    one = found["few", "level"]
    assert one.last_event - one.first_event > 1.5 * HOUR


def test_what_is_gathered_is_so_with_how_large_each_was():
    state, _ = learned()
    sums = pl.concat(
        [frame for name, frame in state.items() if name.startswith("levels.sums.") and "n" in frame.columns]
    )
    assert sums["gathered"].max() > 0
    assert state["levels.octaves"]["count"].sum() == sums["n"].sum()


def test_a_few_large_ones_among_many_are_told():
    few = (pl.col(TIME) >= START + int(AT * HOUR)) & (pl.int_range(pl.len()) % 5 == 0)
    grown = pl.when(few & (pl.col("miniprogram.app_id") == "wx1")).then(pl.col("process.memory.bytes") * 8)
    found = happens(grown.otherwise("process.memory.bytes").alias("process.memory.bytes"))
    assert {app for app, _ in found} == {"wx1"}
    assert "large" in {test for _, test in found}


def test_one_large_one_is_not():
    one = (pl.col("miniprogram.app_id") == "wx1") & (pl.col("http.request.bytes") > 0)
    first = one & (one.cum_sum() == 1)
    grown = pl.when(first).then(pl.col("http.request.bytes") * 100_000).otherwise("http.request.bytes")
    assert happens(grown.alias("http.request.bytes")) == {}


def test_smaller_bodies_are_not_told():
    assert happens(times("http.request.bytes", "wx1", 0.05)) == {}


def test_what_no_event_carries_is_not_asked_about():
    state, rest = learned()
    detector = LOOKING()
    detector.restore(state)
    names = [one.field for one in levels.MEASURES]
    assert told(detector, stream(rest.with_columns(pl.lit(None, pl.Int64).alias(name) for name in names))) == {}


# Laws


@pytest.fixture
def _soon_learned(monkeypatch):
    monkeypatch.setattr(levels, "WAITING_MAX", 300)
    monkeypatch.setattr(calibration, "LEARNED_MIN", 6)
    monkeypatch.setattr(levels, "KNOWN_H", 3)


def little() -> pl.DataFrame:
    frame = bare(stream(shops(1, 3, 8, 10), paid(2, 3, 8)))
    late = (pl.col("miniprogram.app_id") == "wx1") & (pl.col(TIME) >= START + 6 * HOUR)
    return stream(frame.with_columns(pl.when(late).then(pl.col("http.request.bytes") * 5_000).otherwise("http.request.bytes").alias("http.request.bytes")))  # fmt: skip


LITTLE = little()
cuts = st.lists(st.integers(1, LITTLE.height - 1), max_size=40, unique=True).map(sorted)


@pytest.mark.usefixtures("_soon_learned")
def test_the_little_stream_has_something_to_tell():
    assert ("wx1", "level") in told(LOOKING(), LITTLE)


@pytest.mark.usefixtures("_soon_learned")
@settings(max_examples=6, phases=NO_SHRINKING)
@given(cuts)
def test_cutting_the_stream_changes_neither_what_is_seen_nor_what_is_remembered(at):
    check_cut(LOOKING, LITTLE, at)


@pytest.mark.usefixtures("_soon_learned")
@settings(max_examples=5, phases=NO_SHRINKING)
@given(cuts)
def test_stopping_and_starting_anew_equals_never_having_stopped(at):
    check_resume(LOOKING, LITTLE, at)


@pytest.mark.usefixtures("_soon_learned")
def test_the_same_stream_says_the_same_again():
    check_replay(LOOKING, LITTLE)
