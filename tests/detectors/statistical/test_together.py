"""Many slightly unusual numbers of one app, and of one owner's apps."""

import polars as pl
import pytest

from detectors.statistical import calibration
from detectors.statistical.statistic import UNUSUAL
from detectors.statistical.together import Together
from detectors.statistical.windows import WINDOWS_PER_HOUR, Window

FIRST = 20_000 * WINDOWS_PER_HOUR


@pytest.fixture(autouse=True)
def _soon_learned(monkeypatch):
    monkeypatch.setattr(calibration, "LEARNED_MIN", 100)


def numbers(app, owner, worth, *about, tests=("rate",)):
    rows = [
        {"scope": "AppId", "entity": app, "owner": owner, "about": one, "test": test, "measure": "calls",
         "behaviour": None, "worth": worth, "value": 1.0, "usual": 1.0, "count": 3, "begins": 0, "learned": 100}
        for one in about for test in tests
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=UNUSUAL)


SEVERAL = ("rate", "burst", "novelty", "refusals", "profile", "level")


def hour(together, number, *unusual):
    last = FIRST + number * WINDOWS_PER_HOUR + WINDOWS_PER_HOUR - 1
    found = together.close(Window(last), list(unusual), 200)
    return {
        (row["test"], row["entity"], row["about"]): row["worth"]
        for frame in found
        for row in frame.iter_rows(named=True)
    }


def quiet(hours):
    together = Together()
    for number in range(hours):
        found = hour(together, number, numbers(f"wx{number % 50}", f"dev{number % 50}", 2.3, "login"))
        assert all(worth < 3 for worth in found.values()) or number < 5
    return together


def test_many_little_things_of_one_app_add_up():
    found = hour(quiet(30), 30, numbers("bad", "dev", 3.5, "a", tests=SEVERAL))
    assert found["together", "bad", ""] > 3


def test_what_one_test_shows_of_several_numbers_counts_once():
    one = hour(quiet(30), 30, numbers("bad", "dev", 3.5, "a", "b", "c", "d", "e", "f"))
    several = hour(quiet(30), 30, numbers("bad", "dev", 3.5, "a", tests=SEVERAL))
    assert one.get(("together", "bad", ""), 0.0) < several["together", "bad", ""]


def test_what_is_summed_over_hours_is_not_summed_once_more():
    assert hour(quiet(30), 30, numbers("bad", "dev", 5.0, "a", tests=("rise", "fall", "drip", "novelty_slow"))) == {}


def test_a_sum_is_told_only_as_long_as_it_grows():
    together = quiet(30)
    assert hour(together, 30, numbers("bad", "dev", 3.5, "a", tests=SEVERAL)) != {}
    assert hour(together, 31, numbers("bad", "dev", 2.1, "a")) == {}


def test_the_same_in_several_apps_of_one_owner_is_told_of_the_owner():
    found = hour(quiet(30), 30, *(numbers(f"mine{number}", "one", 2.8, "getWifi") for number in range(4)))
    assert found["owner", "one", "getWifi"] > 3


def test_the_same_in_apps_of_many_owners_is_not():
    found = hour(quiet(30), 30, *(numbers(f"mine{number}", f"other{number}", 2.8, "getWifi") for number in range(4)))
    assert not [key for key in found if key[0] == "owner"]


def test_what_adds_up_is_remembered_over_a_restart():
    together, again = quiet(30), Together()
    hour(together, 30, numbers("bad", "dev", 3.5, "a", tests=SEVERAL[:3]))
    again.restore(together.snapshot())
    more = numbers("bad", "dev", 3.5, "a", tests=SEVERAL[3:])
    assert hour(together, 31, more) == hour(again, 31, more) != {}
