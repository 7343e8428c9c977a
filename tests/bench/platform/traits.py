"""Traits out of numbers: the same number always has the same chance, size and name, so that no table of them is kept."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

HEX = np.array([list(f"{byte:02x}".encode()) for byte in range(256)], dtype=np.uint8)
US = 1_000_000
HOUR_US = 3_600 * US
DAY_US = 24 * HOUR_US
LOCAL_US = 8 * HOUR_US
"""The platform's people live eight hours ahead of UTC."""


def scramble(values, salt=0):
    """Spread integers over all 64-bit words (the finaliser of SplitMix64)."""
    word = np.asarray(values).astype(np.uint64) + np.uint64((0x9E3779B97F4A7C15 * (salt + 1)) % 2**64)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def number(values, salt, below):
    """An integer from 0 to `below` - 1 that belongs to each value."""
    return (scramble(values, salt) % np.asarray(below).astype(np.uint64)).astype(np.int64)


def chance(values, salt):
    """A share in [0, 1) that belongs to each value."""
    return (scramble(values, salt) >> np.uint64(11)).astype(np.float64) / 2.0**53


def normal(values, salt):
    """A standard normal number that belongs to each value."""
    far = np.sqrt(-2 * np.log1p(-chance(values, salt)))
    return far * np.cos(2 * np.pi * chance(values, salt + 1_000))


def size(values, salt, median, sigma):
    """A log-normal size, as an integer, that belongs to each value."""
    return (np.asarray(median) * np.exp(sigma * normal(values, salt))).astype(np.int64)


def names(values, salt):
    """Thirty-two hexadecimal digits for each value, as people have them behind the door."""
    words = np.column_stack([scramble(values, salt), scramble(values, salt + 1)])
    return _texts(HEX[words.astype(">u8").view(np.uint8).reshape(-1, 16)].reshape(-1, 32))


def _texts(matrix):
    """One text a row from a matrix of characters, without touching them one by one."""
    rows, width = matrix.shape
    offsets = np.arange(rows + 1, dtype=np.int64) * width
    array = pa.LargeStringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(matrix)))
    return pl.Series(values=pl.from_arrow(array), dtype=pl.String)


def weekday(micros):
    """0 for Monday to 6 for Sunday, by the clock of the people."""
    return ((np.asarray(micros) + LOCAL_US) // DAY_US + 3) % 7


def hour_of_day(micros):
    """Hours since the people's midnight, with their fraction."""
    return ((np.asarray(micros) + LOCAL_US) % DAY_US) / HOUR_US


def drawn(cumulated, rows, draws):
    """For each draw in [0, 1) the column of its row in a table of cumulated shares."""
    width = cumulated.shape[1]
    flat = (cumulated + np.arange(len(cumulated))[:, None]).ravel()
    place = np.searchsorted(flat, rows + draws * (1 - 1e-9), side="right")
    return np.minimum(place - rows * width, width - 1)
