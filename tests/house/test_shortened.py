"""Short runs try laws with a part of their examples; which, `tests/conftest.py` says."""

import importlib.util
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

PLACE = Path(__file__).parent.parent / "conftest.py"


@pytest.fixture
def conftest():
    spec = importlib.util.spec_from_file_location("conftest_under_test", PLACE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("asked", "share", "tried"), [(100, 0.4, 40), (100, 1.0, 100), (20, 0.1, 3), (2, 0.1, 2)])
def test_a_law_is_tried_with_a_part_of_its_examples(conftest, asked, share, tried):
    seen = []

    @settings(max_examples=asked, database=None)
    @given(st.integers())
    def law(number):
        seen.append(number)

    conftest.shorten({law}, share)
    law()
    assert len(seen) == tried


def test_what_is_no_law_is_left_alone(conftest):
    conftest.shorten({test_what_is_no_law_is_left_alone}, 0.5)
    assert not hasattr(test_what_is_no_law_is_left_alone, "_hypothesis_internal_use_settings")


def test_files_whose_tests_wait_are_spread_among_the_others_and_done_before_the_end(conftest):
    waiting = [conftest.TESTS / "live" / f"test_{number}.py" for number in range(7)]
    others = [conftest.TESTS / "monitor" / f"test_{number}.py" for number in range(100)]
    turns = conftest.mixed([*others, *waiting])
    order = sorted(turns, key=turns.get)
    assert [file for file in order if file in waiting] == waiting
    assert [file for file in order if file in others] == others
    assert [order.index(file) for file in waiting] == [0, 10, 20, 29, 39, 48, 58]
    assert conftest.mixed(others[:3]) == dict(zip(others, (0, 1 / 3, 2 / 3), strict=False))


class Case:
    """As much of a collected test as counts here."""

    def __init__(self, name, number, drawn=None, *, slow=False):
        self.nodeid = f"{name}[{number}]"
        self._markers = {"slow": pytest.mark.slow.mark} if slow else {}
        if drawn is not None:
            self._markers["drawn"] = pytest.mark.drawn(drawn).mark

    def get_closest_marker(self, name):
        return self._markers.get(name)


def test_of_cases_that_are_alike_short_runs_try_some_and_others_each_time(conftest):
    alike = [Case("t.py::test_drawn", number, drawn=3, slow=number == 8) for number in range(9)]
    few = [Case("t.py::test_few", number, drawn=3) for number in range(2)]
    others = [Case("t.py::test_all", number) for number in range(4)]
    items = [*alike, *few, *others]
    assert conftest.not_drawn(items, 1.0, "a") == set()
    one, again, other = (conftest.not_drawn(items, 0.5, run) for run in "aab")
    assert one == again != other
    assert len(one) == len(other) == 8 - 3
    assert one | other <= set(alike[:8])  # whether the slow one is tried is said elsewhere
