"""The scorer of the number benchmark, on cases small enough to be counted by hand."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from nab_scoring import PROFILES, Benchmark, Profile, Series, probation, sigmoid, worths

STANDARD = PROFILES["standard"]
PLAIN = Profile(hit=1.0, false=0.1, miss=1.0)


def value(position):
    return 2 / (1 + math.exp(5 * position)) - 1


def scores(points, **said):
    given = np.zeros(points)
    for place, score in said.items():
        given[int(place[1:])] = score
    return given


def file(name="a", points=20, windows=((10, 13),)):
    return Series(name, list(range(points)), list(windows))


def test_a_detection_is_worth_most_at_the_left_edge_and_least_far_behind():
    assert sigmoid(-1.0) == pytest.approx(0.98661, abs=1e-5)
    assert sigmoid(-0.5) == pytest.approx(0.84828, abs=1e-5)
    assert sigmoid(0.0) == 0
    assert sigmoid(3.0) == pytest.approx(-1, abs=1e-6)
    assert sigmoid(3.1) == -1


def test_each_point_is_worth_what_its_place_says():
    worth, window = worths(file())
    assert window.tolist() == [-1] * 10 + [0] * 4 + [-1] * 6
    assert worth[:10].tolist() == [-1.0] * 10
    assert worth[10:14] == pytest.approx([value(-1), value(-3 / 4), value(-2 / 4), value(-1 / 4)])
    assert worth[14:] == pytest.approx([value(k / 3) for k in range(1, 7)])


def test_the_first_seventh_or_so_does_not_count():
    assert [probation(points) for points in (10, 100, 4_032, 22_695)] == [1, 15, 604, 750]
    bench = Benchmark([file()])
    assert bench.at(scores(20, p0=1, p1=1, p2=1), PLAIN, 0.5) == 0
    assert bench.at(scores(20, p3=1), PLAIN, 0.5) == pytest.approx(100 * -0.1 / 2)


def test_only_the_best_detection_in_a_window_counts():
    bench = Benchmark([file()])
    assert bench.at(scores(20, p10=1), PLAIN, 1.0) == pytest.approx(100)
    assert bench.at(scores(20, p10=1, p12=1, p13=2), PLAIN, 0.5) == pytest.approx(100)
    assert bench.at(scores(20, p12=1), PLAIN, 0.5) == pytest.approx(100 * (1 + value(-0.5) / value(-1)) / 2)


def test_a_false_detection_costs_less_just_behind_a_window():
    bench = Benchmark([file()])
    assert bench.at(scores(20, p10=1, p5=1), PLAIN, 0.5) == pytest.approx(95)
    assert bench.at(scores(20, p10=1, p14=1), PLAIN, 0.5) == pytest.approx(100 + 5 * value(1 / 3))


def test_saying_nothing_is_nought_and_the_threshold_then_is_beyond_all():
    bench = Benchmark([file()])
    best = bench.best(scores(20, p5=1), Profile(hit=1.0, false=1.0, miss=1.0))
    assert (best.score, best.threshold) == (0.0, math.inf)


def test_the_best_threshold_is_found_and_ties_count_together():
    bench = Benchmark([file()])
    assert bench.best(scores(20, p10=0.7, p5=0.3), PLAIN).threshold == 0.7
    tied = bench.best(scores(20, p10=0.7, p5=0.7), PLAIN)
    assert (tied.score, tied.threshold) == (pytest.approx(95), 0.7)


def test_crossed_takes_the_threshold_of_the_others():
    bench = Benchmark([file("a"), file("b")])
    said = np.concatenate((scores(20, p10=0.9, p5=0.6), scores(20, p10=0.6)))
    # Alone, a wants 0.9 and b wants 0.6: crossed, a pays for its false detection and b is not met.
    assert bench.crossed(said, PLAIN) == pytest.approx(100 * (2 - 0.1) / 4)
    assert bench.best(said, PLAIN).score == pytest.approx(100 * (4 - 0.1) / 4)


def test_a_part_of_the_files_is_scored_by_itself():
    bench = Benchmark([file("a"), file("b", windows=()), file("c")])
    said = np.concatenate((scores(20, p10=1), scores(20, p5=1), scores(20, p5=1)))
    assert bench.best(said, PLAIN, [True, False, False]).score == pytest.approx(100)
    assert bench.at(said, PLAIN, 0.5, [True, True, False]) == pytest.approx(95)
    assert bench.at(said, PLAIN, 0.5) == pytest.approx(100 * (2 - 0.2) / 4)


def test_scores_of_other_files_are_refused():
    with pytest.raises(ValueError, match="19"):
        Benchmark([file()]).best(np.zeros(19), STANDARD)
