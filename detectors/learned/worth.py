"""What a model's opinions are worth together: each by itself, and then the greater of them, is held against all that it ever said.

The greater is calibrated like each of them, for it is no probability by itself: who asks two and believes the one that wonders more is
wrong up to twice as often. Their mean was tried and told of half as much, for a forest sees little of what one number alone shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.learned.model import OPINIONS, Model, Opinions
from detectors.statistical.calibration import Calibration
from detectors.statistical.statistic import Test

Numbers = npt.NDArray[np.float64]

TOGETHER: Final = "together"


@dataclass(frozen=True, slots=True)
class Worth:
    """The calibrations of one model: they begin with what it said of rows that were held back from its training."""

    tests: Mapping[str, Test]

    @staticmethod
    def of(model: Model) -> Worth:
        tests = {name: Test(name, Calibration()) for name in (*OPINIONS, TOGETHER)}
        held = model.held.astype(np.float64)
        for place, name in enumerate(OPINIONS):
            tests[name].calibration.learn(held[:, place])
        worth = [tests[name].calibration.worth(held[:, place]) for place, name in enumerate(OPINIONS)]
        tests[TOGETHER].calibration.learn(together(*worth))
        return Worth(tests)

    def of_rows(self, opinions: Opinions) -> Numbers:
        """What is strange about rows, as −log10 of the share that came as far; they are learned now."""
        forest, tails = (self.tests[name].worth(getattr(opinions, name)) for name in OPINIONS)
        return self.tests[TOGETHER].worth(together(forest, tails))

    def judged(self, opinions: Opinions) -> Numbers:
        """The same, and nothing is learned."""
        forest, tails = (self.tests[name].calibration.worth(getattr(opinions, name)) for name in OPINIONS)
        return self.tests[TOGETHER].calibration.worth(together(forest, tails))

    def fade(self, days: int) -> None:
        """Days have gone by."""
        for test in self.tests.values():
            for _ in range(min(days, DAYS_MAX)):
                test.calibration.fade()

    def snapshot(self, name: str) -> dict[str, pl.DataFrame]:
        """Named frames for a detector's snapshot."""
        frames: dict[str, pl.DataFrame] = {}
        for key, test in self.tests.items():
            frames |= test.calibration.snapshot(f"{name}.{key}")
        return frames

    def restore(self, name: str, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up what `snapshot` gave; raises `ValueError` where it is not there."""
        for key, test in self.tests.items():
            test.calibration.restore(f"{name}.{key}", state)


DAYS_MAX: Final = 400
"""After so many days nothing is left to fade."""


def together(forest: Numbers, tails: Numbers) -> Numbers:
    """Two opinions as one."""
    return np.maximum(forest, tails)
