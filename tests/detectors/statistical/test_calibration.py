"""What scores are worth by how often there were such: conservative, and not to be moved by who is flagged."""

import numpy as np
import pytest

from detectors.statistical.calibration import LEARNED_MIN, Calibration
from detectors.statistical.statistic import FLAGGED, Suite


def learned(scores):
    calibration = Calibration()
    calibration.learn(np.asarray(scores, float))
    return calibration


def usual(count, seed=0, slope=1.0):
    """Scores as a good model has them: one in ten to the score comes as far."""
    return -np.log10(np.random.default_rng(seed).random(count)) / slope


def test_before_enough_is_known_nothing_is_worth_anything():
    assert learned(usual(LEARNED_MIN - 1)).worth(np.array([50.0])).tolist() == [0.0]


@pytest.mark.parametrize("score", [2.0, 3.0, 4.0, 6.0])
def test_where_the_model_is_right_a_score_is_worth_what_it_says(score):
    assert learned(usual(200_000)).worth(np.array([score]))[0] == pytest.approx(score, abs=0.5)


def test_where_the_model_boasts_a_score_is_worth_less():
    assert learned(usual(200_000, slope=0.25)).worth(np.array([20.0]))[0] == pytest.approx(5.0, abs=0.5)


def test_what_came_as_far_before_is_worth_no_more_than_that_it_did():
    scores = np.concatenate([usual(10_000), np.full(40, 2.9)])
    assert learned(scores).worth(np.array([2.8]))[0] < 2.5


def test_where_many_came_to_the_far_end_all_beyond_is_worth_less():
    calibration = learned(usual(50_000))
    before = calibration.worth(np.array([6.0]))[0]
    calibration.learn(np.full(500, 40.0), 0, np.arange(500))
    assert calibration.worth(np.array([6.0]))[0] < before - 0.5


def test_more_is_never_worth_less_within_the_tail():
    worth = learned(usual(50_000)).worth(np.linspace(3, 200, 300))
    assert (np.diff(worth) >= 0).all()


def test_who_is_flagged_again_and_again_does_not_make_it_usual():
    tests = Suite("some", {"one": 1})
    tests["one"].worth(usual(50_000))
    for _ in range(200):
        tests["one"].worth(np.array([30.0]))
    assert tests["one"].worth(np.array([30.0]))[0] > FLAGGED


def test_of_the_far_scores_of_one_in_a_day_the_farthest_counts():
    calibration = learned(usual(50_000))
    before = calibration.tests.sum()
    for score in (2.6, 2.9, 2.7):
        calibration.learn(np.array([score, score, 0.5]), 0, np.array([7, 8, 7]))
    assert calibration.tests.sum() == before + 3 + 2
    calibration.fade()
    faded = calibration.tests.sum()
    calibration.learn(np.array([2.6]), 0, np.array([7]))
    assert calibration.tests.sum() == faded + 1


def test_it_makes_no_difference_in_which_order_they_come():
    one, other = learned(usual(50_000)), learned(usual(50_000))
    scores, who = np.array([2.6, 2.9, 3.4, 2.7]), np.array([7, 7, 8, 8])
    one.learn(scores, 0, who)
    for place in (3, 1, 0, 2):
        other.learn(scores[[place]], 0, who[[place]])
    assert one.snapshot("it")["it"].equals(other.snapshot("it")["it"])


def test_who_was_counted_comes_back_from_a_snapshot():
    calibration, again = learned(usual(50_000)), Calibration()
    calibration.learn(np.array([2.6]), 0, np.array([7]))
    again.restore("one", calibration.snapshot("one"))
    again.learn(np.array([2.5]), 0, np.array([7]))
    assert again.tests.tolist() == calibration.tests.tolist()


def test_classes_are_calibrated_apart():
    calibration = Calibration(2)
    calibration.learn(usual(20_000), 0)
    calibration.learn(usual(20_000, slope=0.25), 1)
    worth = calibration.worth(np.array([6.0, 6.0]), np.array([0, 1]))
    assert worth[0] > worth[1] + 2


def test_what_is_known_fades_and_comes_back_from_a_snapshot():
    calibration, again = learned(usual(10_000)), Calibration()
    calibration.fade()
    assert 9_000 < calibration.tests[0] < 10_000
    again.restore("one", calibration.snapshot("one"))
    assert again.tests.tolist() == calibration.tests.tolist()


def test_a_class_of_which_too_little_is_known_goes_by_all_together():
    calibration = Calibration(2)
    calibration.learn(usual(20_000), 0)
    assert calibration.worth(np.array([6.0]), 1)[0] == pytest.approx(6.0, abs=0.5)
