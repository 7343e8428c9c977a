"""Lines with nothing in them: a run of them is one dead letter, which says how many they were.

Such a line can never be an event, and there is nothing of it to keep. It is also the cheapest to send: a megabyte holds a
million of them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from monitor.decoders import DeadLetter, DeadLetterReason
from monitor.sources import Offsets, RawBatch

BLANK_BYTES_MAX: Final = 64
"""Longer lines of blanks are no cheaper to send than others, and are looked at as others are."""

_BLANKS: Final = b" \t\r\n"


def blank_runs(raw: RawBatch, starts: Offsets, ends: Offsets) -> tuple[npt.NDArray[np.bool_], list[DeadLetter]]:
    """Which of these lines are blank, and a dead letter for every run of such lines that follow one another in the stream.

    Lines are given by where they start in the batch's data and where the next one does, in their order.
    """
    lengths = ends - starts
    short = np.flatnonzero(lengths <= BLANK_BYTES_MAX)
    spans = zip(starts[short].tolist(), ends[short].tolist(), strict=True)
    rows = short[[not raw.data[start:end].strip(_BLANKS) for start, end in spans]]
    is_blank = np.zeros(len(starts), dtype=bool)
    is_blank[rows] = True
    positions = raw.positions(starts[rows])
    # Nothing stands between two of them: neither in the data nor of what is left out of it.
    left_out = np.searchsorted(raw.set_apart, positions)
    follows = (starts[rows][1:] == ends[rows][:-1]) & (left_out[1:] == left_out[:-1])
    first = np.flatnonzero(np.concatenate([[True], ~follows])[: len(rows)])
    counts = np.diff(np.append(first, len(rows))).tolist()
    letters = [
        _letter(raw, position, raw.data[start:end].removesuffix(b"\n"), lines)
        for position, start, end, lines in zip(
            positions[first].tolist(), starts[rows[first]].tolist(), ends[rows[first]].tolist(), counts, strict=True
        )
    ]
    return is_blank, letters


def _letter(raw: RawBatch, position: int, line: bytes, lines: int) -> DeadLetter:
    detail = "the line is empty" if lines == 1 else f"{lines:,} empty lines in a row"
    return DeadLetter(raw.partition, position, DeadLetterReason.EMPTY_LINE, detail, line, len(line), lines)
