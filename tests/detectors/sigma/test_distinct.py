"""Distinct values: each once and in the order in which they come, the same with the kernel as without it."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import kernel
from detectors.sigma.distinct import distinct

TEXTS = st.sampled_from(
    ["", "a", "twelve bytes", "thirteen byte", "thirteen byty", "x" * 40, "x" * 41, "姓名" * 9, None]
)


NEEDS_KERNEL = pytest.mark.skipif(kernel.module is None, reason="the kernel is not installed: make native")


@pytest.fixture(params=["0", pytest.param("1", marks=NEEDS_KERNEL)], ids=["arrow", "kernel"])
def way(request, monkeypatch):
    monkeypatch.setenv("MINIWATCH_NATIVE", request.param)


def plainly(values):
    found = list(dict.fromkeys(value for value in values if value is not None))
    return found, [len(found) if value is None else found.index(value) for value in values]


def told(series):
    values, places = distinct(series)
    assert places.dtype == np.intp
    return values.to_list(), places.tolist()


@pytest.mark.usefixtures("way")
@given(values=st.lists(TEXTS | st.text(max_size=20), max_size=40), start=st.integers(0, 12), step=st.integers(1, 3))
@settings(max_examples=200, deadline=None)
def test_values_and_places_are_those_of_the_plain_way(values, start, step):
    series = pl.Series("a", values, dtype=pl.String)
    assert told(series.slice(start)) == plainly(values[start:])
    assert told(series.gather_every(step)) == plainly(values[::step])


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("length", [3, 30])
def test_many_distinct_values_find_their_places(length):
    values = [f"{number:0{length}x}" for number in range(3_000)] * 2
    assert told(pl.Series("a", values)) == (values[:3_000], [*range(3_000)] * 2)


@pytest.mark.usefixtures("way")
def test_a_column_in_parts_is_one_column():
    series = pl.concat([pl.Series("a", ["x", None]), pl.Series("a", ["y", "x"])], rechunk=False)
    assert told(series) == (["x", "y"], [0, 2, 1, 0])


@pytest.mark.usefixtures("way")
def test_numbers_have_places_too():
    assert told(pl.Series("a", [7, None, 7, 8])) == ([7, 8], [0, 2, 0, 1])


@NEEDS_KERNEL
@pytest.mark.parametrize(
    ("views", "buffers", "valid", "first", "rows"),
    [
        (b"", [], None, 0, 1),
        (bytes(16), [], None, 1, 1),
        (bytes(16), [], None, 2**63, 2**63),
        (bytes(16), [], b"", 0, 1),
        ((20).to_bytes(4, "little") + bytes(12), [], None, 0, 1),
        ((20).to_bytes(4, "little") + bytes(12), [bytes(19)], None, 0, 1),
        ((20).to_bytes(4, "little") + bytes(8) + b"\xff" * 4, [bytes(20)], None, 0, 1),
    ],
)
def test_a_column_beyond_its_buffers_is_refused(views, buffers, valid, first, rows):
    with pytest.raises((ValueError, OverflowError)):
        kernel.module.distinct_texts(views, buffers, valid, first, rows)
