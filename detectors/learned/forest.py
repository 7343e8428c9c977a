"""The forest: how few random cuts part a row of features from all others (Liu, Ting, Zhou, *Isolation Forest*, 2008)."""

from __future__ import annotations

# ruff: noqa: PLC0415 - scikit-learn takes a second to load, and who has no model needs none of it
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest  # type: ignore[import-untyped]

TREES: Final = 100
ROWS_A_TREE: Final = 256

BLOCK: Final = 1_024
"""Rows that are looked at at a time, so that what is looked up stays near the processor."""

TREE: Final = "sklearn.tree._tree.Tree"

EULER: Final = 0.577_215_664_901_532_9

Numbers = npt.NDArray[np.float64]


def fitted(features: npt.NDArray[np.float32], seed: int = 0) -> IsolationForest:
    """A forest of rows of features; the same for the same rows in the same order."""
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=TREES, max_samples=min(ROWS_A_TREE, len(features)), random_state=seed)
    return forest.fit(features)


class Trees:
    """Some forests as arrays of nodes, all rows of all of them followed at once.

    `score_samples` asks a hundred trees one after the other, which takes 10 ms for a single row; rows come in small lots of many
    categories here. The numbers are those of scikit-learn to the last bits.
    """

    def __init__(self, forests: Sequence[IsolationForest]) -> None:
        trees = [tree.tree_ for forest in forests for tree in forest.estimators_]
        begins = np.cumsum([0, *(tree.node_count for tree in trees)])
        self._roots = np.ascontiguousarray(begins[:-1].reshape(len(forests), -1).T)  # a row a tree, a column a forest
        branches = [_branches(tree) + begin for tree, begin in zip(trees, begins, strict=False)]
        self._branches = np.concatenate(branches)
        self._feature = np.concatenate([np.maximum(tree.feature, 0) for tree in trees])
        self._threshold = np.concatenate([tree.threshold for tree in trees])
        depths = [_depths(tree) for tree in trees]
        self._steps = int(max(depth.max() for depth in depths))
        parted = [depth + _cuts(tree.n_node_samples) for tree, depth in zip(trees, depths, strict=True)]
        self._parted = np.concatenate(parted)
        self._usual = len(self._roots) * _cuts(np.array([forest.max_samples_ for forest in forests]))

    def oddness(self, which: npt.NDArray[np.int64], features: npt.NDArray[np.float32]) -> Numbers:
        """Of each row 0 to 1, by the forest that `which` says: one half is usual, and what is parted at once from all others is near 1."""
        found = np.empty(len(features), np.float64)
        for first in range(0, len(features), BLOCK):
            block = slice(first, first + BLOCK)
            usual = self._usual[which[block]]
            cuts = self._cuts_of(which[block], features[block])
            found[block] = np.exp2(-np.divide(cuts, usual, out=np.ones(len(cuts)), where=usual > 0.0))
        return found

    def _cuts_of(self, which: npt.NDArray[np.int64], features: npt.NDArray[np.float32]) -> Numbers:
        """After how many cuts each row stands alone, summed over the trees."""
        rows = np.arange(len(features)) * features.shape[1]
        values = np.ravel(features)
        at = self._roots[:, which]
        for _ in range(self._steps):
            is_right = values[rows + self._feature[at]] > self._threshold[at]
            at = self._branches[2 * at + is_right]
        cuts: Numbers = self._parted[at].sum(axis=0)
        return cuts


def _branches(tree: Any) -> npt.NDArray[np.int64]:
    """Where each node leads, two a node; a leaf leads to itself."""
    own = np.arange(tree.node_count)
    both = [np.where(branch < 0, own, branch) for branch in (tree.children_left, tree.children_right)]
    return np.stack(both, axis=1).ravel()


def _depths(tree: Any) -> npt.NDArray[np.int64]:
    """How many cuts each node is from the root."""
    depths = np.zeros(tree.node_count, np.int64)
    for node, (left, right) in enumerate(zip(tree.children_left.tolist(), tree.children_right.tolist(), strict=True)):
        if left >= 0:  # branches stand after what they branch from
            depths[left] = depths[right] = depths[node] + 1
    return depths


def _cuts(samples: npt.NDArray[np.int64]) -> Numbers:
    """How many cuts part one of so many from the others, on average (`c(n)` of the paper)."""
    many = np.maximum(samples, 3).astype(np.float64)
    average = 2.0 * (np.log(many - 1.0) + EULER) - 2.0 * (many - 1.0) / many
    return np.where(samples > 2, average, np.where(samples == 2, 1.0, 0.0))


def oddness(forest: IsolationForest, features: npt.NDArray[np.float32]) -> Numbers:
    """Of each row 0 to 1 by one forest."""
    return Trees([forest]).oddness(np.zeros(len(features), np.int64), features)


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
    if (
        f"{type(tree).__module__}.{type(tree).__qualname__}" != TREE
        or tree.n_features != features
        or tree.n_outputs != 1
    ):
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
