"""Training: what is learned from, what is held back, and which models are refused."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from app_hours import DAY_ONE, HOUR_MS, batches, honest_rows, hour_of, named
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import END_OF_TIME, Batch
from detectors.learned.features import NAMES, Rows
from detectors.learned.gathering import Gatherer
from detectors.learned.hours import HOUR_US, SLOTS
from detectors.learned.telling import TellingConfig
from detectors.learned.training import (
    NAME_MAX,
    PLANTED,
    Figures,
    Gathered,
    NotEnough,
    Reservoir,
    attempt,
    faults,
    judged,
    parts_of,
    planted,
)
from detectors.testing import batch

BOUND = TellingConfig().bound


def gathered(seed=1, apps=130):
    categories, names, matrix = honest_rows(seed, apps)
    return Gathered(categories, names, np.arange(len(matrix)) // apps * SLOTS, matrix)


def rows(hour, apps):
    frame = pl.DataFrame(
        {"key": pl.Series(apps, dtype=pl.UInt64), "app": [f"wx{app}" for app in apps], "category": ["shop"] * len(apps)}
    )
    return Rows(SLOTS * hour, frame, np.full((len(apps), len(NAMES)), hour, np.float32))


def figures(**said):
    return Figures(**({"rows": 1_000, "told": 0.0, "told_apps": 0.0, "found": 0.8, "found_of": {}} | said))


def test_what_something_was_found_about_is_not_learned_from():
    reservoir = Reservoir(spoiled=lambda app, begin, end: (app, begin, end) == ("wx1", 5 * HOUR_US, 6 * HOUR_US))
    reservoir.take(rows(5, [0, 1, 2]))
    reservoir.take(rows(6, [1]))
    found = reservoir.gathered()
    assert list(zip(found.apps.tolist(), found.hours.tolist(), strict=True)) == [("wx0", 60), ("wx2", 60), ("wx1", 72)]
    assert (found.left_out, reservoir.seen) == (1, 4)


def test_names_that_are_too_long_take_no_room():
    reservoir = Reservoir()
    frame = rows(1, [0, 1]).frame.with_columns(
        app=pl.Series(["wx0", "w" * (NAME_MAX + 1)]), category=pl.Series(["x" * 100_000, "shop"])
    )
    reservoir.take(Rows(1, frame, np.zeros((2, len(NAMES)), np.float32)))
    found = reservoir.gathered()
    assert (found.apps.tolist(), found.categories.tolist(), found.left_out) == (["wx0"], ["unknown"], 1)
    assert found.categories.dtype.itemsize <= 4 * NAME_MAX


@settings(max_examples=30)
@given(st.permutations(range(12)), st.integers(1, 60))
def test_of_too_many_rows_always_the_same_are_kept(order, most):
    found = []
    for hours in (range(12), order):
        reservoir = Reservoir(rows_max=most)
        for hour in hours:
            reservoir.take(rows(hour, range(5)))
        found.append(reservoir.gathered())
    assert len(found[0]) == min(most, 60)
    assert (found[0].matrix == found[1].matrix).all()
    assert (found[0].apps == found[1].apps).all()


def test_a_reservoir_never_holds_more_than_twice_its_rows():
    reservoir = Reservoir(rows_max=50)
    for hour in range(200):
        reservoir.take(rows(hour, range(5)))
        assert reservoir._rows <= 100
    assert len(reservoir.gathered()) == 50


def test_apps_are_parted_the_same_always_and_evenly():
    apps = np.array([f"wx{one % 1_000}" for one in range(3_000)])
    parts = parts_of(apps)
    assert (parts[:1_000] == parts[1_000:2_000]).all()
    assert (parts == parts_of(apps[::-1])[::-1]).all()
    assert np.bincount(parts).min() > 450


def test_a_model_is_trained_and_judged():
    found = attempt(gathered(), BOUND)
    assert found.refused == ""
    assert found.figures.found > 0.7
    assert found.figures.told_apps <= 0.02
    assert found.figures.found_of.keys() == PLANTED.keys()
    assert set(found.model.experts) >= {"all"}
    assert found.before is None


def test_the_apps_that_judge_were_never_learned_from():
    whole = gathered()
    judging = parts_of(whole.apps) == 1
    bent = replace(whole, matrix=np.where(judging[:, None], 50.0, whole.matrix).astype(np.float32))
    assert attempt(bent, BOUND).model.experts["all"].usual.tables.max() < 50


def test_a_model_as_good_as_the_one_in_force_is_not_refused():
    whole = gathered()
    first = attempt(whole, BOUND)
    again = attempt(whole, BOUND, first.model)
    assert again.before == again.figures
    assert again.refused == ""


def test_a_model_that_learned_from_misbehaviour_is_refused():
    whole = gathered()
    good = attempt(whole, BOUND)
    judging = parts_of(whole.apps) == 1
    matrix = whole.matrix.copy()
    for number, how in enumerate(PLANTED):
        mine = ~judging & (np.arange(len(whole)) % (2 * len(PLANTED)) == number)
        matrix[mine] = planted(matrix[mine], how)
    spoiled = attempt(replace(whole, matrix=matrix), BOUND, good.model)
    assert "planted misbehaviour" in spoiled.refused


def test_too_few_rows_are_told():
    whole = gathered()
    with pytest.raises(NotEnough, match="it takes 2,000"):
        attempt(whole.only(np.arange(len(whole)) < 1_500), BOUND)


@pytest.mark.parametrize(
    ("after", "before", "refused"),
    [
        (figures(), None, False),
        (figures(found=0.2), None, True),
        (figures(told_apps=0.03), None, True),
        (figures(found=0.79), figures(), False),
        (figures(found=0.7), figures(), True),
        (figures(told_apps=0.03), figures(told_apps=0.02), False),
        (figures(told_apps=0.05), figures(told_apps=0.02), True),
    ],
)
def test_a_new_model_must_not_be_worse(after, before, refused):
    assert bool(faults(after, before)) is refused


def test_rows_of_a_stream_can_be_learned_from():
    reservoir = Reservoir()
    gatherer = Gatherer(reservoir.take)
    for one in [*batches([one for hour in (1, 2) for one in hour_of(hour)]), Batch(batch().frame, END_OF_TIME)]:
        gatherer.observe(one)
    found = reservoir.gathered()
    assert sorted(set(found.apps.tolist())) == sorted(named(app) for app in range(6))
    assert found.begin == (DAY_ONE + HOUR_MS) * 1_000
    assert found.end == (DAY_ONE + 3 * HOUR_MS) * 1_000


def test_figures_are_of_the_rows_that_are_given():
    model = attempt(gathered(), BOUND).model
    some = gathered().only(np.arange(1_000))
    assert judged(model, some, BOUND).rows == 1_000
    assert judged(model, some, 0.0).told == 1.0
