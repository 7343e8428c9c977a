"""How far features have moved since a model was trained: the population stability index of each.

Values are parted at the tenths of what was seen in training; the index is the sum over the parts of (now − then) × ln(now / then), of
shares. By custom less than 0.1 is no change, and more than 0.25 one that asks for a new model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]

PARTS: Final = 10
LEAST: Final = 1e-3
"""A share that is smaller, or none, counts as this."""

CHANGED: Final = 0.25


@dataclass(frozen=True, slots=True)
class Spread:
    """How features were spread: `edges[feature]` part the values, `shares[feature]` say how many lay in each part."""

    edges: Matrix
    shares: Matrix

    @staticmethod
    def of(matrix: Matrix) -> Spread:
        edges = np.quantile(matrix, np.arange(1, PARTS) / PARTS, axis=0, method="higher").T.astype(np.float32)
        return Spread(edges, _shares(edges, matrix))

    def drift(self, matrix: Matrix) -> Numbers:
        """Of each feature the index of some rows against those of training; nothing has moved where there are no rows."""
        if not len(matrix):
            return np.zeros(len(self.edges))
        then = np.maximum(self.shares.astype(np.float64), LEAST)
        now = np.maximum(_shares(self.edges, matrix).astype(np.float64), LEAST)
        index: Numbers = ((now - then) * np.log(now / then)).sum(axis=1)
        return index


def _shares(edges: Matrix, matrix: Matrix) -> Matrix:
    parts = [
        np.bincount(np.searchsorted(edge, matrix[:, place], side="left"), minlength=PARTS)
        for place, edge in enumerate(edges)
    ]
    return (np.stack(parts) / max(len(matrix), 1)).astype(np.float32)
