import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.finding import Entity, Scope
from playbooks.risk import MICROSECONDS, Risk, RiskConfig, decay, raise_by
from playbooks.testing import finding

APP = Entity(Scope.APP, "wx01")
DAY_S = 86_400
WEIGHTS = st.floats(0, 100)
TIMES = st.integers(0, 10 * DAY_S * MICROSECONDS)
HAPPENINGS = st.lists(st.tuples(TIMES, WEIGHTS), max_size=8)


def after(happenings, shift=0):
    risk = Risk(entity=APP, score=0.0, at=shift)
    for at, weight in happenings:
        risk = raise_by(risk, weight, at + shift, DAY_S)
    return risk


def test_a_half_is_left_after_a_half_life():
    risk = decay(Risk(entity=APP, score=80.0, at=0), DAY_S * MICROSECONDS, DAY_S)
    assert risk.score == pytest.approx(40)


def test_looking_back_does_not_make_a_score_grow():
    risk = Risk(entity=APP, score=80.0, at=1_000)
    assert decay(risk, 0, DAY_S) == risk


@given(HAPPENINGS)
def test_a_score_stays_between_0_and_100(happenings):
    assert 0 <= after(happenings).score <= 100


@given(HAPPENINGS, TIMES, WEIGHTS, st.integers(0, 8))
def test_one_more_finding_never_lowers_the_score(happenings, at, weight, place):
    more = [*happenings[:place], (at, weight), *happenings[place:]]
    end = 20 * DAY_S * MICROSECONDS
    assert decay(after(more), end, DAY_S).score >= decay(after(happenings), end, DAY_S).score - 1e-9


@given(HAPPENINGS, st.integers(0, 10**15))
def test_only_differences_of_time_count(happenings, shift):
    moved = after(happenings, shift)
    assert (moved.score, moved.at - shift) == (after(happenings).score, after(happenings).at)


@given(st.floats(0, 100), WEIGHTS, TIMES, TIMES)
def test_what_is_late_raises_no_more_than_what_is_fresh(score, weight, at, late):
    risk = Risk(entity=APP, score=score, at=at)
    assert raise_by(risk, weight, at - late, DAY_S).score <= raise_by(risk, weight, at, DAY_S).score
    assert raise_by(risk, weight, at - late, DAY_S).at == at


def test_a_finding_weighs_its_severity_times_its_confidence():
    assert RiskConfig().weight(finding(severity="high", confidence=0.5)) == 25


def test_weights_that_fall_as_severity_rises_are_refused():
    with pytest.raises(ValueError, match="not fall"):
        RiskConfig(high=90.0)
