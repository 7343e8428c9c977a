"""The forest: how few random cuts part a row of features from all others (Liu, Ting, Zhou, *Isolation Forest*, 2008)."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import IsolationForest  # type: ignore[import-untyped]

TREES: Final = 100
ROWS_A_TREE: Final = 256


def fitted(features: npt.NDArray[np.float32], seed: int = 0) -> IsolationForest:
    """A forest of rows of features; the same for the same rows in the same order."""
    forest = IsolationForest(n_estimators=TREES, max_samples=min(ROWS_A_TREE, len(features)), random_state=seed)
    return forest.fit(features)


def oddness(forest: IsolationForest, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Of each row 0 to 1: one half is usual, and what is parted at once from all others is near 1."""
    scores: npt.NDArray[np.float64] = -forest.score_samples(features)
    return scores
