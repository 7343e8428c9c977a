"""The forest tells rows apart that are like no others, and is the same whenever it is made."""

import numpy as np

from detectors.learned.forest import fitted, oddness


def test_a_row_like_no_other_is_odder_than_all_others():
    rows = np.random.default_rng(1).normal(size=(500, 4)).astype(np.float32)
    rows[7] = 12.0
    assert oddness(fitted(rows), rows).argmax() == 7


def test_the_same_rows_give_the_same_forest():
    rows = np.random.default_rng(2).normal(size=(300, 3)).astype(np.float32)
    assert (oddness(fitted(rows), rows) == oddness(fitted(rows), rows)).all()
