"""Even intervals are told, uneven ones are people's."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
import pytest
from crowds import (
    HOUR,
    SECOND,
    START,
    bot,
    counted,
    cut,
    events,
    named,
    of,
    only,
    remembers,
    seen,
    stored,
    stream,
    taps,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.detector import State
from detectors.event import Batch
from detectors.finding import Finding
from detectors.statistical import calibration, regularity
from detectors.statistical.regularity import Regularity, RegularityConfig
from detectors.statistical.windows import Window

BEFORE = START + 12 * HOUR


@cache
def learned() -> tuple[State, pl.DataFrame]:
    """What is remembered after half a day of people, and the rest of the day."""
    whole = stream(
        taps(np.random.default_rng(4), 6_000, 40, 20), bot(np.random.default_rng(4), "health check", 5_000, 0.0, 0.01)
    )
    detector = only("regularity")
    first = whole.filter(pl.col("_time") < BEFORE)
    seen(detector, iter([Batch(first, int(first["_watermark"][-1]))]))
    return stored(detector.snapshot()), whole.filter(pl.col("_time") >= BEFORE).drop("_watermark", "_late")


def told(*more: pl.DataFrame) -> dict[str, Finding]:
    """What is told of people and of who comes to them."""
    state, rest = learned()
    detector = only("regularity")
    detector.restore(state | dict(detector._series.snapshot()))
    return seen(detector, cut(stream(rest, *more)))


def test_people_and_health_checks_of_old_are_left_alone():
    assert of(told()) == set()


@pytest.mark.parametrize(("jitter", "gaps"), [(0.0, 60), (0.05, 60), (0.2, 60), (0.4, 60), (0.6, 300)])
def test_a_bot_is_told_in_spite_of_its_jitter(jitter, gaps):
    found = told(bot(np.random.default_rng(1), "bot", gaps, jitter, 13))
    assert of(found) == {"bot"}
    (one,) = found.values()
    assert (one.entity.scope, one.tags, one.rule.id) == ("OpenId", ("behaviour.22",), "statistical.regularity")


def test_a_slow_bot_is_told_within_the_day():
    assert of(told(bot(np.random.default_rng(1), "bot", 90, 0.1, 12.1, every_s=270))) == {"bot"}


def test_a_screen_on_a_wall_is_no_bot():
    assert of(told(bot(np.random.default_rng(1), "screen", 45, 0.1, 12.1, every_s=600))) == set()


def test_a_bot_of_many_actions_is_one_happening():
    rng = np.random.default_rng(1)
    parts = [bot(rng, "bot", 60, 0.1, 13, action=name) for name in ("request", "access", "showToast")]
    assert len(told(*parts)) == 1


def test_a_device_without_a_person_is_told_as_a_device():
    found = told(bot(np.random.default_rng(1), None, 60, 0.1, 13))
    assert {one.entity.scope for one in found.values()} == {"DeviceId"}


def in_new_app(begin_h: float, seed: int) -> pl.DataFrame:
    """Who keeps time in an app that was first seen an hour after noon."""
    mine = bot(np.random.default_rng(seed), f"panel{seed}", 60, 0.02, begin_h)
    return mine.with_columns(pl.lit("wx99").alias("miniprogram.app_id"))


def test_a_panel_that_came_with_its_app_is_usual_and_one_that_came_later_is_not():
    people = taps(np.random.default_rng(5), 30, 20, 1, apps=1, actions=1).with_columns(
        pl.lit("wx99").alias("miniprogram.app_id"), pl.col("_time") + 13 * HOUR
    )
    assert of(told(people, in_new_app(13.0, 1), in_new_app(16.0, 2))) == {"panel2"}


def test_days_leave_uneven_gaps_as_uneven_as_they_were():
    statistic = Regularity()
    rng = np.random.default_rng(3)
    gaps = np.exp(3 + 0.9 * rng.standard_normal(51))
    statistic.count(counted(events(np.cumsum(gaps) * SECOND, miniprogram__app_id="wx1", user__id="clerk", event__action="access")))  # fmt: skip
    for index in range(24):
        statistic.close(Window(START // 300_000_000 + index))

    def variance() -> float:
        n, total, squares = (float(statistic._rows[name][statistic._rows.places][0]) for name in ("n", "sum", "squares"))  # fmt: skip
        return squares / n - (total / n) ** 2

    before = variance()
    for day in range(3):
        statistic._day(Window(START // 300_000_000 + 24 + day))
    assert variance() == pytest.approx(before, rel=0.05)


def test_an_apps_own_timer_is_even_for_all_and_accuses_the_first_few_at_most():
    rng = np.random.default_rng(2)
    ticks = [bot(rng, f"viewer{number}", 60, 0.02, 13 + number / 10, action="heartbeat") for number in range(40)]
    assert len(of(told(*ticks))) <= 3


@pytest.fixture
def _soon_learned(monkeypatch):
    monkeypatch.setattr(calibration, "LEARNED_MIN", 40)
    monkeypatch.setattr(regularity, "LEARNED_MIN", 40)


LITTLE = stream(
    taps(np.random.default_rng(7), 120, 30, 2, 3),
    bot(np.random.default_rng(7), "bot", 60, 0.05, 2.3),
    bot(np.random.default_rng(8), None, 60, 0.05, 2.4, action="access"),
)
cuts = st.lists(st.integers(1, LITTLE.height - 1), max_size=25, unique=True).map(sorted)


@pytest.mark.usefixtures("_soon_learned")
def test_the_little_stream_has_something_to_tell():
    assert "bot" in of(seen(only("regularity"), cut(LITTLE)))


@pytest.mark.usefixtures("_soon_learned")
@settings(max_examples=10)
@given(cuts)
def test_cutting_the_stream_changes_neither_what_is_seen_nor_what_is_remembered(at):
    whole, parts = only("regularity"), only("regularity")
    assert seen(whole, cut(LITTLE, goes_on=False)) == seen(parts, cut(LITTLE, at, goes_on=False))
    remembers(whole, parts)


@pytest.mark.usefixtures("_soon_learned")
@settings(max_examples=8)
@given(cuts)
def test_stopping_and_starting_anew_equals_never_having_stopped(at):
    whole = only("regularity")
    expected = seen(whole, cut(LITTLE, goes_on=False))
    state: State | None = None
    found: dict[str, Finding] = {}
    for one in cut(LITTLE, at, goes_on=False):
        again = only("regularity")
        if state is not None:
            again.restore(state)
        found = seen(again, iter([one])) | found
        state = stored(again.snapshot()) | dict(again._series.snapshot())
    assert found == expected
    remembers(whole, again)


@pytest.mark.usefixtures("_soon_learned")
def test_the_same_stream_says_the_same_again():
    assert seen(only("regularity"), cut(LITTLE)) == seen(only("regularity"), cut(LITTLE))


@pytest.mark.usefixtures("_soon_learned")
@settings(max_examples=10)
@given(st.integers(0, 2**32), st.integers(50, 5_000))
def test_the_order_within_a_window_does_not_matter_even_where_rows_are_left_out(seed, rows_max):
    rows = counted(LITTLE)
    order = np.random.default_rng(seed).permutation(rows.height)
    left, right = Regularity(RegularityConfig(rows_max=rows_max)), Regularity(RegularityConfig(rows_max=rows_max))
    left.count(rows)
    for place in range(0, rows.height, 500):
        right.count(rows[order[place : place + 500]])
    for index in range(int(rows["window"].min()), int(rows["window"].max()) + 1):
        left.close(Window(index))
        right.close(Window(index))
    for name, frame in left.snapshot().items():
        assert frame.equals(right.snapshot()[name]), name


def test_a_flood_of_subjects_leaves_memory_bounded_and_is_counted():
    statistic = Regularity(RegularityConfig(rows_max=200_000, keys_max=10_000))
    for turn in range(4):
        numbers = np.repeat(np.arange(turn * 250_000, (turn + 1) * 250_000), 3)
        times = np.arange(len(numbers)) % 3 * SECOND
        flood = events(times, miniprogram__app_id="wx1", user__id=named("u", numbers), event__action="request", event__dataset="miniprogram.api")  # fmt: skip
        statistic.count(counted(flood))
    assert sum(statistic._sizes.values()) <= 200_000
    statistic.close(Window(START // 300_000_000))
    assert len(statistic._rows) <= 10_000
    assert statistic.forgotten > 2_800_000
    assert statistic.bytes < 10_000_000
