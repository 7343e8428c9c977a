"""The distinct values of a column, and where each row's value is among them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from detectors import kernel

Rows = npt.NDArray[np.intp]

SAMPLE_ROWS: Final = 1_000
"""Rows looked at to guess whether a column repeats itself."""

SAMPLE_STEP_MIN: Final = 4
"""A column not so many times longer than the sample is taken to repeat itself without looking."""

BUFFER_BYTES_MAX: Final = 64 << 20
"""The kernel copies the buffers in which a column's texts stand; it is not asked where they are larger than this."""


def is_mostly_distinct(series: pl.Series) -> bool:
    """Whether a sample shows little repetition."""
    step = len(series) // SAMPLE_ROWS
    if step < SAMPLE_STEP_MIN:
        return False
    sample = series[pl.Series(np.arange(0, len(series), step), dtype=pl.UInt32)]
    return sample.n_unique() * 2 > len(sample)


def distinct(series: pl.Series) -> tuple[pl.Series, Rows]:
    """Distinct values and the place of each row's value among them; missing values come after the last.

    Places are as wide as NumPy's own, which takes fewer instructions to look up than any narrower number.
    """
    if series.dtype == pl.Boolean:
        codes = series.cast(pl.UInt8).fill_null(2).to_numpy()
        return pl.Series(series.name, [False, True]), codes.astype(np.intp)
    found = _by_kernel(series) if series.dtype == pl.String and kernel.available() else None
    return found if found is not None else _by_arrow(series)


def _by_kernel(series: pl.Series) -> tuple[pl.Series, Rows] | None:
    """None for a column that the kernel cannot be shown."""
    views = views_of(series)
    if views is None:
        return None
    places, firsts = kernel.module.distinct_texts(*views)
    return series[pl.Series(np.frombuffer(firsts, np.uint32))], np.frombuffer(places, np.intp)


Views = tuple[memoryview, list[memoryview], memoryview | None, int, int]


def views_of(series: pl.Series) -> Views | None:
    """A column of texts as the kernel takes it: views, texts, bits, the first row, the number of rows.

    None for a column that is in parts, or whose texts stand in buffers far larger than they are.
    """
    array = series.to_arrow(compat_level=pl.CompatLevel.newest())
    if not isinstance(array, pa.StringViewArray):
        return None
    valid, views, *texts = array.buffers()
    if sum(text.size for text in texts) > BUFFER_BYTES_MAX:
        return None
    bits = _bytes(valid) if array.null_count else None
    return _bytes(views), [_bytes(text) for text in texts], bits, array.offset, len(array)


def texts_of(column: tuple[int, bytes, bytes, bytes | None], rows: int) -> pl.Series:
    """A column of texts as the kernel gives it: how many there are, the bits that say where, views, and long texts."""
    count, valid, views, texts = column
    buffers = [
        None if count == rows else pa.py_buffer(valid),
        pa.py_buffer(views),
        *([pa.py_buffer(texts)] if texts else []),
    ]
    return pl.Series(pa.Array.from_buffers(pa.string_view(), rows, buffers, null_count=rows - count))


def _bytes(buffer: pa.Buffer) -> memoryview:
    return memoryview(buffer).cast("B")


def _by_arrow(series: pl.Series) -> tuple[pl.Series, Rows]:
    array = series.to_arrow()
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    encoded = array.dictionary_encode()
    values = pl.Series(series.name, pl.from_arrow(encoded.dictionary), dtype=series.dtype)
    indices = encoded.indices
    if indices.null_count:
        indices = indices.fill_null(len(values))
    return values, indices.to_numpy().astype(np.intp)
