"""What is usual for each feature by itself: how rarely a number as high was seen. A second opinion, and the explanation.

A table a feature: from which value on lie a half, a third, … of all that were seen, down to `RAREST` of them (after Li, Zhao, Hu,
Botta, Ionescu, Chen, *ECOD*, 2022, with the upper tails alone: features are made so that what is high is to be wondered at). A
number's rarity is −log10 of the share that came as far, and no more than so many rows can tell; beyond the last value of a table it
goes on rising as it did before, by `BEYOND_MAX` at most. Together features count by the squares of how much each is rarer than one in
ten, so that many that are a little high do not outweigh one that never was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]

RAREST: Final = 4.0
"""−log10 of the smallest share that tables tell."""

STEPS: Final = 64
GRID: Final[Numbers] = np.linspace(0.0, RAREST, STEPS + 1)

BEYOND_MAX: Final = 4.0
REACH_STEP: Final = STEPS // 2
REACH_MIN: Final = 0.2
"""Beyond a table rarity rises as fast as from one in a hundred to its end; a fifth, of a share or of a logarithm, is no less than that."""

FLOOR: Final = 1.0


@dataclass(frozen=True, slots=True)
class Usual:
    """Tables of a category: `tables[feature, step]` is the value that a share of 10^-GRID[step] came as far as."""

    tables: Matrix
    middles: Matrix
    rows: int

    @staticmethod
    def of(matrix: Matrix) -> Usual:
        """What some rows show."""
        tables = np.quantile(matrix, 1.0 - 10.0**-GRID, axis=0, method="higher").T
        middles = np.median(matrix, axis=0)
        return Usual(np.ascontiguousarray(tables, np.float32), middles.astype(np.float32), len(matrix))

    def rarity(self, matrix: Matrix) -> Numbers:
        """Of each number −log10 of the share that came as far."""
        grid = np.minimum(GRID, np.log10(max(self.rows, 1)))
        rise = grid[-1] - grid[REACH_STEP]
        found = np.empty(matrix.shape, np.float64)
        for place, table in enumerate(self.tables):
            values = np.ascontiguousarray(matrix[:, place])
            below = np.searchsorted(table, values, side="left")  # steps whose value is smaller
            found[:, place] = grid[np.maximum(below - 1, 0)]
            if (far := below > STEPS).any():
                reach = max(float(table[-1] - table[REACH_STEP]), REACH_MIN)
                beyond = (values[far].astype(np.float64) - float(table[-1])) / reach * rise
                found[far, place] += np.minimum(beyond, BEYOND_MAX)
        return found


def strangeness(rarity: Numbers) -> Numbers:
    """What a row's features say together."""
    total: Numbers = (np.maximum(rarity - FLOOR, 0.0) ** 2).sum(axis=1)
    return total
