"""What every statistic is: it counts in batches, looks at a window when that has ended, and says what it finds unusual there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.detector import State
from detectors.statistical.calibration import Calibration
from detectors.statistical.rows import Rows
from detectors.statistical.windows import Window

UNUSUAL: Final = pl.Schema(
    {
        "scope": pl.String(),  # of the entity, as `detectors.finding.Scope` spells it
        "entity": pl.String(),
        "owner": pl.String(),  # the app's developer, where events said so
        "about": pl.String(),  # what was counted: an API, a host, a page …
        "test": pl.String(),  # by which test it is unusual: the name of what it is calibrated with
        "measure": pl.String(),  # what the number counts: "calls", "hosts" …
        "behaviour": pl.Int64(),  # of the taxonomy; null where a number alone does not say
        "worth": pl.Float64(),  # calibrated: −log10 of the share that came as far
        "value": pl.Float64(),
        "usual": pl.Float64(),
        "count": pl.Int64(),  # events behind it
        "begins": pl.Int64(),  # microseconds: when the stretch of time began that was looked at
        "learned": pl.Int64(),  # hours for which what is usual was learned
    }
)
"""One unusual number about one entity a row."""

FLAGGED: Final = 4.0
"""From this worth on a number is not learned from: one in ten thousand."""

SHOWN_MIN: Final = 2.0
"""Less unusual numbers are not passed on."""


class Statistic(Protocol):
    """One way of looking at counts (`detectors/statistical/`, one a file).

    `count` is given every batch's rows (those that are not late) with the columns of `needs` and a ``window``; `close` every
    window that has ended, in order, those without events included. What `close` gives depends on the windows' events alone,
    not on how they were cut into batches: counts are whole numbers, and rows are in the order of their keys.
    """

    name: str
    tests: Suite
    """By which numbers are judged."""

    @property
    def needs(self) -> frozenset[str]: ...

    @property
    def forgotten(self) -> int: ...

    def count(self, rows: pl.DataFrame) -> None: ...

    def close(self, window: Window) -> Sequence[pl.DataFrame]:
        """What is unusual (`UNUSUAL`) in what ends with this window."""
        ...

    def snapshot(self) -> State: ...
    def restore(self, state: State) -> None: ...


@dataclass(slots=True)
class Test:
    """A family of numbers that are calibrated together: scores in, worth out, and learned from."""

    name: str
    calibration: Calibration
    made: int = 0

    def worth(
        self,
        scores: npt.NDArray[np.float64],
        classes: npt.NDArray[np.int64] | int = 0,
        who: npt.NDArray[Any] | None = None,
    ) -> npt.NDArray[np.float64]:
        """What these are worth by all windows before; they are learned now. See `Calibration.learn`."""
        worth = self.calibration.worth(scores, classes)
        self.learn(scores, classes, who)
        return worth

    def learn(
        self,
        scores: npt.NDArray[np.float64],
        classes: npt.NDArray[np.int64] | int = 0,
        who: npt.NDArray[Any] | None = None,
    ) -> None:
        """Count so many numbers as looked at, and what they came to as usual."""
        self.made += len(scores)
        self.calibration.learn(scores, classes, who)


class Suite:
    """The tests of one statistic, by name; each has so many classes of numbers that are calibrated apart."""

    def __init__(self, statistic: str, classes: Mapping[str, int]) -> None:
        self._statistic = statistic
        self._tests = {name: Test(name, Calibration(count)) for name, count in classes.items()}

    def __getitem__(self, name: str) -> Test:
        return self._tests[name]

    def made(self) -> dict[str, int]:
        """How many numbers each has looked at since this was asked last."""
        made = {name: test.made for name, test in self._tests.items()}
        for test in self._tests.values():
            test.made = 0
        return made

    def fade(self) -> None:
        """A day has gone by."""
        for test in self._tests.values():
            test.calibration.fade()

    def snapshot(self) -> dict[str, pl.DataFrame]:
        """Named frames for a detector's snapshot."""
        frames: dict[str, pl.DataFrame] = {}
        for name, test in self._tests.items():
            frames |= test.calibration.snapshot(f"{self._statistic}.{name}")
        return frames

    def restore(self, state: State) -> None:
        """Take up what `snapshot` gave; raises `ValueError` where it is not there."""
        for name, test in self._tests.items():
            test.calibration.restore(f"{self._statistic}.{name}", state)


STREAK: Final[dict[str, tuple[npt.DTypeLike, int]]] = {"streak": (np.int16, 1)}
"""The array of `Rows` that `not_flagged` needs."""


def not_flagged(
    rows: Rows, places: npt.NDArray[np.int64], flagged: npt.NDArray[np.bool_], hours_max: int
) -> npt.NDArray[np.bool_]:
    """What is learned of an hour's numbers: all that are not flagged, and those that were flagged for more than so many hours on end.

    They are the new usual then.
    """
    streak = np.where(flagged, rows["streak"][places].astype(np.int64) + 1, 0)
    rows["streak"][places] = np.minimum(streak, np.iinfo(np.int16).max)
    learned: npt.NDArray[np.bool_] = ~flagged | (streak > hours_max)
    return learned
