"""Text columns made out of integers: ids, openids and instants, for whole columns at a time."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Integers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]

ALPHABET: Final = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", dtype=np.uint8)
HEX: Final = np.array([list(f"{byte:02x}".encode()) for byte in range(256)], dtype=np.uint8)
CLOCK: Final = np.array(
    [list(f"{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}".encode()) for n in range(86_400)], dtype=np.uint8
)
MILLIS: Final = np.array([list(f"{n:03}".encode()) for n in range(1_000)], dtype=np.uint8)
LETTERS_PER_WORD: Final = 10  # six bits each, of sixty-four


def scramble(values: npt.NDArray[np.integer], salt: int = 0) -> Words:
    """Spread integers over all 64-bit words; no two integers meet (the finaliser of SplitMix64 is a bijection)."""
    word = values.astype(np.uint64) + np.uint64((0x9E3779B97F4A7C15 * (salt + 1)) % 2**64)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def chance(values: npt.NDArray[np.integer], salt: int) -> npt.NDArray[np.float64]:
    """A number in [0, 1) that always belongs to the same integer: traits of people and apps without a table of them."""
    return (scramble(values, salt) >> np.uint64(11)).astype(np.float64) / 2.0**53


def texts(matrix: Bytes) -> pl.Series:
    """One text a row from a matrix of characters, without touching them one by one."""
    rows, width = matrix.shape
    offsets = np.arange(rows + 1, dtype=np.int64) * width
    array = pa.LargeStringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(matrix)))
    return pl.Series(values=pl.from_arrow(array), dtype=pl.String)


def hexadecimal(words: Words) -> Bytes:
    """Sixteen hexadecimal digits a word."""
    return HEX[words.astype(">u8").view(np.uint8).reshape(-1, 8)].reshape(-1, 16)


def letters(words: Words, count: int) -> Bytes:
    """`count` url-safe characters that belong to each word."""
    columns = []
    word = words
    for index in range(count):
        if index % LETTERS_PER_WORD == 0:
            word = scramble(words, 101 + index)
        columns.append(ALPHABET[(word & np.uint64(63)).astype(np.intp)])
        word = word >> np.uint64(6)
    return np.column_stack(columns)


def constant(text: bytes, rows: int) -> Bytes:
    """The same characters in every row."""
    return np.broadcast_to(np.frombuffer(text, dtype=np.uint8), (rows, len(text)))


def instants(micros: Integers) -> pl.Series:
    """RFC 3339 texts in UTC, to the millisecond."""
    days, rest = np.divmod(micros // 1_000, 86_400_000)
    seconds, millis = np.divmod(rest, 1_000)
    known, which = np.unique(days, return_inverse=True)
    dates = np.array([list(f"{np.datetime64(int(day), 'D')}T".encode()) for day in known], dtype=np.uint8).reshape(
        -1, 11
    )
    dot, end = constant(b".", len(micros)), constant(b"Z", len(micros))
    return texts(np.hstack([dates[which], CLOCK[seconds], dot, MILLIS[millis], end]))
