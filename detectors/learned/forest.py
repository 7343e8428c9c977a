"""The forest: how few random cuts part a row of features from all others (Liu, Ting, Zhou, *Isolation Forest*, 2008)."""

from __future__ import annotations

# ruff: noqa: PLC0415 - scikit-learn takes a second to load, and who has no model needs none of it
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest  # type: ignore[import-untyped]

TREES: Final = 100
ROWS_A_TREE: Final = 256

BLOCK: Final = 16_384
"""Rows that are looked at at a time: what bounds the memory of it."""


def fitted(features: npt.NDArray[np.float32], seed: int = 0) -> IsolationForest:
    """A forest of rows of features; the same for the same rows in the same order."""
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=TREES, max_samples=min(ROWS_A_TREE, len(features)), random_state=seed)
    return forest.fit(features)


def oddness(forest: IsolationForest, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Of each row 0 to 1: one half is usual, and what is parted at once from all others is near 1."""
    scores = np.empty(len(features), np.float64)
    for first in range(0, len(features), BLOCK):
        scores[first : first + BLOCK] = -forest.score_samples(features[first : first + BLOCK])
    return scores


def faults_of(forest: Any, features: int) -> Iterator[str]:
    """What makes a forest none that could be asked. Trees are arrays that scikit-learn follows without looking: a number out of its
    bounds, or a way that leads round, would end the process or never end.
    """
    from sklearn.ensemble import IsolationForest

    if type(forest) is not IsolationForest:
        yield "it is no forest"
        return
    trees = getattr(forest, "estimators_", None)
    if not isinstance(trees, list) or len(trees) != TREES:
        yield f"it does not have {TREES} trees"
        return
    if getattr(forest, "n_features_in_", None) != features:
        yield f"it was not fitted to {features} features"
    for number, tree in enumerate(trees):
        if (fault := _fault(getattr(tree, "tree_", None), features)) is not None:
            yield f"tree {number}: {fault}"
            return


def _fault(tree: Any, features: int) -> str | None:
    if tree is None or tree.n_features != features or tree.n_outputs != 1:
        return "it is none, or of other features"
    count, left, right = tree.node_count, tree.children_left, tree.children_right
    if not 1 <= count <= 2 * ROWS_A_TREE or len(left) != count:
        return f"it has {count} nodes"
    inner = left >= 0
    own = np.arange(count)
    if (left[~inner] != -1).any() or (right[~inner] != -1).any():
        return "a leaf has a branch"
    for branch in (left[inner], right[inner]):
        if (branch <= own[inner]).any() or (branch >= count).any():
            return "a branch leads outside, or back"
    if ((tree.feature[inner] < 0) | (tree.feature[inner] >= features)).any():
        return "it asks for a feature that there is not"
    if not np.isfinite(tree.threshold[inner]).all():
        return "it compares with what is no number"
    return None
