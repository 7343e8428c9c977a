"""The forest tells rows apart that are like no others, and is the same whenever it is made."""

import numpy as np
import pytest

from detectors.learned.forest import Trees, fitted, oddness


def test_a_row_like_no_other_is_odder_than_all_others():
    rows = np.random.default_rng(1).normal(size=(500, 4)).astype(np.float32)
    rows[7] = 12.0
    assert oddness(fitted(rows), rows).argmax() == 7


def test_the_same_rows_give_the_same_forest():
    rows = np.random.default_rng(2).normal(size=(300, 3)).astype(np.float32)
    assert (oddness(fitted(rows), rows) == oddness(fitted(rows), rows)).all()


@pytest.mark.parametrize("many", [1, 7, 256, 3_000])
def test_oddness_is_what_scikit_learn_scores(many):
    rng = np.random.default_rng(many)
    forest = fitted(rng.normal(size=(many, 5)).round(1).astype(np.float32))
    rows = rng.normal(size=(2_500, 5), scale=2.0).round(1).astype(np.float32)
    assert oddness(forest, rows) == pytest.approx(-forest.score_samples(rows), rel=1e-12)


def test_each_row_is_asked_of_its_own_forest():
    rng = np.random.default_rng(3)
    forests = [fitted((rng.normal(size=(many, 4)) + many).astype(np.float32)) for many in (2, 50, 900)]
    rows = rng.normal(size=(300, 4), loc=40.0, scale=30.0).astype(np.float32)
    which = rng.integers(0, 3, 300)
    alone = [oddness(forests[one], rows[[place]])[0] for place, one in enumerate(which)]
    assert Trees(forests).oddness(which, rows).tolist() == alone
