"""Which unusual numbers are told, and that one happening is told once."""

import polars as pl
import pytest

from detectors.statistical.choosing import Chooser, ChoosingConfig
from detectors.statistical.statistic import UNUSUAL
from detectors.statistical.windows import WINDOWS_PER_DAY, WINDOWS_PER_HOUR, Window

FIRST = 20_000 * WINDOWS_PER_DAY


def row(**values):
    usual = {
        "scope": "AppId",
        "entity": "wx1",
        "owner": "dev-1",
        "about": "login",
        "test": "rate",
        "measure": "calls",
        "behaviour": 8,
        "worth": 9.0,
        "value": 90.0,
        "usual": 9.0,
        "count": 90,
        "begins": 0,
        "learned": 100,
    }
    return pl.DataFrame([usual | values], schema=UNUSUAL)


def told(chooser, index, *rows, made=1_000):
    return chooser.choose(Window(FIRST + index), list(rows), {"rate": made}, 100)


def test_more_tests_a_day_ask_for_more():
    few, many = Chooser(), Chooser()
    told(few, 0, made=1_000)
    told(many, 0, made=100_000)
    assert many.bound("rate") == pytest.approx(few.bound("rate") + 2)


def test_what_is_worth_less_than_is_afforded_is_not_told():
    chooser = Chooser()
    told(chooser, 0, made=1_000_000)
    assert told(chooser, 1, row(worth=chooser.bound("rate") - 0.5)) == []


def test_one_happening_is_one_finding_that_grows():
    chooser = Chooser()
    (first,) = told(chooser, 0, row())
    (more,) = told(chooser, 3, row(about="code2Session", worth=12.0))
    assert (first[1], more[1]) == (False, True)
    assert first[0].id == more[0].id


def test_the_sign_of_another_behaviour_is_another_finding():
    chooser = Chooser()
    (first,) = told(chooser, 0, row())
    (other,) = told(chooser, 3, row(about="getLocation", behaviour=2))
    assert other[1] is False
    assert first[0].id != other[0].id


@pytest.mark.parametrize("behaviour", [8, None])
def test_after_a_quiet_time_the_same_is_told_again(behaviour):
    chooser = Chooser(ChoosingConfig(quiet_h=12))
    (first,) = told(chooser, 0, row(behaviour=behaviour))
    (later,) = told(chooser, 12 * WINDOWS_PER_HOUR + 1, row(behaviour=behaviour))
    assert later[1] is False
    assert first[0].id != later[0].id


def test_what_many_apps_show_at_once_is_one_finding_about_what_they_share():
    apps = [row(entity=f"wx{number}") for number in range(10)]
    (found,) = told(Chooser(), 0, *apps)
    assert (found[0].entity.scope, found[0].entity.value) == ("Api", "login")
    assert len(found[0].related) == 10


def test_no_more_are_told_in_an_hour_than_the_bound_and_what_is_beyond_is_counted():
    chooser = Chooser(ChoosingConfig(per_hour_max=3, shared_apps_min=100))
    apps = [row(entity=f"wx{number}") for number in range(5)]
    assert len(told(chooser, 0, *apps)) == 3
    assert chooser.overflown == 2
    assert len(told(chooser, WINDOWS_PER_HOUR, row(entity="wx9"))) == 1


def test_what_was_told_is_remembered_over_a_restart():
    chooser, again = Chooser(), Chooser()
    told(chooser, 0, row())
    again.restore(chooser.snapshot())
    ((_, is_part),) = told(again, 1, row())
    assert is_part


def test_the_bound_of_an_hour_holds_over_a_restart():
    config = ChoosingConfig(per_hour_max=1)
    chooser, again = Chooser(config), Chooser(config)
    told(chooser, 0, row())
    again.restore(chooser.snapshot())
    assert told(again, 1, row(entity="wx2")) == []


def test_another_number_is_told_by_itself_where_it_is_far_less_probable_than_all_before():
    chooser = Chooser()
    told(chooser, 0, row(behaviour=None))
    ((_, is_part),) = told(chooser, 3, row(behaviour=None, about="getLocation", worth=11.5))
    assert is_part
    ((other, is_part),) = told(chooser, 6, row(behaviour=None, about="getLocation", worth=16.0))
    assert not is_part
    assert other.title.startswith("calls of getLocation")


def test_what_was_told_is_not_told_by_itself_again_however_far_it_goes():
    chooser = Chooser()
    told(chooser, 0, row(behaviour=None))
    ((_, is_part),) = told(chooser, 3, row(behaviour=None, worth=90.0))
    assert is_part


def test_a_sum_over_days_is_told_again_only_where_it_has_grown_or_was_not_seen_for_days():
    quiet = 12 * WINDOWS_PER_HOUR + 1
    chooser = Chooser()
    assert len(told(chooser, 0, row(test="rise"))) == 1
    assert told(chooser, quiet, row(test="rise", worth=9.5)) == []
    again = Chooser()
    again.restore(chooser.snapshot())
    assert told(again, 2 * quiet, row(test="rise", worth=9.5)) == []
    assert len(told(again, 2 * quiet, row(test="rise", worth=10.5))) == 1
    assert len(told(chooser, quiet + 73 * WINDOWS_PER_HOUR, row(test="rise"))) == 1
