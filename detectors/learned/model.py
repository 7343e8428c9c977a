"""A model: for each category of apps that has enough of them a forest and what is usual, and for all others one of all apps.

Two opinions are asked of each app and hour, which go wrong on different things: how easily the forest parts its features from those of
others (`forest`), and how rare its features are each by itself (`tails`). Each is calibrated by what the same opinion said of apps that
the model was not trained on, and later of all apps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.learned.drift import Spread
from detectors.learned.forest import Trees, fitted
from detectors.learned.usual import Usual, strangeness

Matrix = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]

ALL: Final = "all"
"""The name of what is asked where a category has nothing of its own."""

ROWS_MIN: Final = 2_000
APPS_MIN: Final = 20
"""Fewer rows, or rows of fewer apps, make no forest of their own."""

CATEGORIES_MAX: Final = 16
"""Categories with something of their own: those with most rows. The names of others, and odd names, make no forest."""

_NAMED: Final = re.compile(r"\w[\w-]{0,39}", re.ASCII)

OPINIONS: Final = ("forest", "tails")

FOREST_SCALE: Final = 64.0
FOREST_FROM: Final = 0.3
"""The oddness of a forest, 0 to 1, is spread over the bins of a calibration."""


@dataclass(frozen=True, slots=True)
class Opinions:
    """What a category's parts say of rows, not yet calibrated."""

    forest: Numbers
    tails: Numbers
    rarity: Numbers  # a column a feature
    which: npt.NDArray[np.int64]  # who was asked, by place in `Model.names`


@dataclass(frozen=True, slots=True)
class Expert:
    """Who is asked about a category: a forest, and what is usual."""

    forest: Any
    usual: Usual
    rows: int
    apps: int

    @staticmethod
    def of(matrix: Matrix, apps: int) -> Expert:
        return Expert(fitted(matrix), Usual.of(matrix), len(matrix), apps)


@dataclass(frozen=True, slots=True)
class Model:
    """Experts by category, and what they said of what they had not seen (`held`: a column for each of `OPINIONS`)."""

    experts: Mapping[str, Expert]
    spread: Spread
    held: Matrix
    learned_h: int = 0
    digest: str = ""  # of its file
    names: tuple[str, ...] = field(init=False)
    trees: Trees = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(sorted(self.experts)))
        object.__setattr__(self, "trees", Trees([self.experts[name].forest for name in self.names]))

    def asked(self, categories: Iterable[str | None], matrix: Matrix) -> Opinions:
        """What each row's expert says of it."""
        places = {name: place for place, name in enumerate(self.names)}
        general = places[ALL]
        which = np.array([places.get(category or ALL, general) for category in categories], np.int64)
        forest = (self.trees.oddness(which, matrix) - FOREST_FROM) * FOREST_SCALE
        tails, rarity = np.empty(len(matrix)), np.empty(matrix.shape)
        for place in np.unique(which):
            mine = np.flatnonzero(which == place)
            rarity[mine] = self.experts[self.names[place]].usual.rarity(matrix[mine])
            tails[mine] = strangeness(rarity[mine])
        return Opinions(np.maximum(forest, 0.0), tails, rarity, which)


def trained(
    categories: npt.NDArray[np.str_],
    apps: npt.NDArray[np.str_],
    matrix: Matrix,
    held: npt.NDArray[np.bool_],
    learned_h: int,
) -> Model:
    """A model of rows; those that are `held` back are only asked about. The same rows in the same order give the same model."""
    experts = {ALL: Expert.of(matrix[~held], len(np.unique(apps[~held])))}
    names, counts = np.unique(categories[~held], return_counts=True)
    for place in np.lexsort((names, -counts)).tolist():
        category, mine = str(names[place]), ~held & (categories == names[place])
        count = len(np.unique(apps[mine]))
        is_enough = counts[place] >= ROWS_MIN and count >= APPS_MIN
        if is_enough and category != ALL and _NAMED.fullmatch(category) and len(experts) <= CATEGORIES_MAX:
            experts[category] = Expert.of(matrix[mine], count)
    model = Model(experts, Spread.of(matrix[~held]), np.empty((0, len(OPINIONS)), np.float32), learned_h)
    said = model.asked(categories[held].tolist(), matrix[held])
    return Model(experts, model.spread, np.stack([said.forest, said.tails], axis=1).astype(np.float32), learned_h)
