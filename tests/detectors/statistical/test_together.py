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


def numbers(app, owner, worth, *about):
    rows = [
        {"scope": "AppId", "entity": app, "owner": owner, "about": one, "test": "rate", "measure": "calls",
         "behaviour": None, "worth": worth, "value": 1.0, "usual": 1.0, "count": 3, "begins": 0, "learned": 100}
        for one in about
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=UNUSUAL)


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
        assert (
            hour(together, number, numbers(f"wx{number % 50}", f"dev{number % 50}", 2.3, "login")) == {} or number < 5
        )
    return together


def test_many_little_things_of_one_app_add_up():
    found = hour(quiet(30), 30, numbers("bad", "dev", 3.5, "a", "b", "c", "d", "e", "f"))
    assert found["together", "bad", ""] > 3


def test_one_number_that_several_tests_show_counts_once():
    twice = pl.concat([numbers("bad", "dev", 3.5, "a")] * 6)
    assert (
        hour(quiet(30), 30, twice).get(("together", "bad", ""), 0.0)
        < hour(quiet(30), 30, numbers("bad", "dev", 3.5, "a", "b", "c", "d", "e", "f"))["together", "bad", ""]
    )


def test_the_same_in_several_apps_of_one_owner_is_told_of_the_owner():
    found = hour(quiet(30), 30, *(numbers(f"mine{number}", "one", 2.8, "getWifi") for number in range(4)))
    assert found["owner", "one", "getWifi"] > 3


def test_the_same_in_apps_of_many_owners_is_not():
    found = hour(quiet(30), 30, *(numbers(f"mine{number}", f"other{number}", 2.8, "getWifi") for number in range(4)))
    assert not [key for key in found if key[0] == "owner"]


def test_what_adds_up_is_remembered_over_a_restart():
    together, again = quiet(30), Together()
    hour(together, 30, numbers("bad", "dev", 3.5, "a", "b", "c"))
    again.restore(together.snapshot())
    more = numbers("bad", "dev", 3.5, "d", "e", "f")
    assert hour(together, 31, more) == hour(again, 31, more) != {}
