"""A fault of ours in decoding or at the door costs the line that brings it out, and no other.

Nobody knows such a fault, or it would be mended. A batch that brings one out is halved until the line is found; that line
becomes a dead letter, which can be replayed once the fault is mended. Where most lines bring one out it is no matter of lines:
then reading stops, and they stay where they are.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from monitor.decoders import DeadLetter, DeadLetterReason, Decoded, left_out
from monitor.sources import RawBatch

_HOME: Final = Path(__file__).parent.parent
_OURS: Final = ("monitor", "detectors")

FAULTS: Final = (Exception, pl.exceptions.PanicException)
"""What a fault may raise: Polars panics with what is no `Exception`."""

LINES_WATCHED: Final = 1_000
"""About so many of the latest lines tell whether faults are a matter of lines: a hostile app's are outnumbered in them."""

SHARE_MAX: Final = 0.75
"""Of these lines, above which it is the program that must be mended before anything else is read."""

Admit = Callable[[RawBatch], Decoded]


@dataclass(frozen=True, slots=True)
class Fault:
    """What went wrong and where in the program. Never the message: it may hold what the line says."""

    error: str
    place: str
    position: int


class TooManyFaults(Exception):
    """Most of the latest lines bring out a fault: the program must be mended, and nothing of the batch is taken."""


class FaultWatch:
    """Hears of every line that is taken and of every fault, and says when there are too many: `TooManyFaults`.

    `told` hears of every fault. `between` is called after each: finding one takes milliseconds, and there may be many; it may raise.
    """

    def __init__(
        self, told: Callable[[Fault], None] = lambda _fault: None, between: Callable[[], None] = lambda: None
    ) -> None:
        self.between = between
        self._told = told
        self._lines, self._faults = float(LINES_WATCHED), 0.0

    def passed(self, lines: int) -> None:
        """So many lines were taken."""
        self._lines += lines
        if self._lines > 2 * LINES_WATCHED:
            self._faults *= LINES_WATCHED / self._lines
            self._lines = float(LINES_WATCHED)

    def failed(self, fault: Fault) -> None:
        """A line brought out a fault."""
        self._told(fault)
        self.between()
        self._faults += 1
        self.passed(1)
        if self._faults > SHARE_MAX * self._lines:
            raise TooManyFaults(
                f"most lines bring out a fault of the program ({fault.error} at {fault.place}). Reading stops before them and "
                "nothing is lost: report it, and install the version in which it is mended"
            )


def contained(admit: Admit, raw: RawBatch, watch: FaultWatch, bytes_max: int) -> Decoded:
    """What `admit` gives; where it raises, lines that it cannot take are dead letters, each of which `watch` hears of.

    A line costs at most 2 log2(lines) further calls. What `admit` raises for no line at all is raised, and `TooManyFaults`.
    `bytes_max` as for every dead letter.
    """
    try:
        decoded = admit(raw)
    except FAULTS as error:  # whatever it is, it is a fault of ours, and a stranger may know it
        fault = error
    else:
        watch.passed(decoded.frame.height + len(decoded.dead_letters))
        return decoded
    starts = np.concatenate([[0], np.flatnonzero(np.frombuffer(raw.data, np.uint8)[:-1] == ord("\n")) + 1])
    if not raw.data:
        raise fault
    if len(starts) > 1:
        middle = int(raw.positions(starts[len(starts) // 2 :][:1])[0])
        parts = [contained(admit, half, watch, bytes_max) for half in raw.cut(middle)]
        frames = [part.frame for part in parts if part.frame.height] or [parts[0].frame]
        letters = [letter for part in parts for letter in part.dead_letters]
        return Decoded(pl.concat(frames, rechunk=True), sorted(letters, key=lambda letter: letter.position))
    nothing = admit(raw.bare(b""))
    letter = _letter(raw, fault, bytes_max)
    watch.failed(Fault(type(fault).__name__, place_of(fault), letter.position))
    letters = sorted([letter, *left_out(raw, bytes_max)], key=lambda letter: letter.position)
    return Decoded(nothing.frame, letters)


def _letter(raw: RawBatch, fault: BaseException, bytes_max: int) -> DeadLetter:
    position = int(raw.positions(np.zeros(1, dtype=np.int64))[0])
    line = raw.data.rstrip(b"\n")
    what = f"{type(fault).__name__} at {place_of(fault)}"
    then = "replay the line" if len(line) <= bytes_max else "send the line again: only its beginning was kept"
    detail = f"a fault of the program ({what}): report it, and once it is mended {then}"
    return DeadLetter(raw.partition, position, DeadLetterReason.FAULT, detail, line[:bytes_max], len(line))


def place_of(fault: BaseException) -> str:
    """The last line of ours that the fault went through."""
    for frame in reversed(traceback.extract_tb(fault.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(_HOME) and path.relative_to(_HOME).parts[0] in _OURS:
            return f"{path.relative_to(_HOME)}:{frame.lineno}"
    return "an unknown place"
