"""How far one mix of events is from another: a likelihood ratio, with how many bins it is over.

Mixes are counts in `BINS` bins, a row each. The ratio is Sokal and Rohlf's G (*Biometry*, 1981): twice the sum of what came times the
logarithm of what came over what was to be expected. Events come in sessions, so G is larger than chi-square by a factor, which is learned
for each (the overdispersion of McCullagh and Nelder, *Generalized Linear Models*, 1989); with few events the bins that they can fill are
few, so that little is said by little.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.statistical import tails
from detectors.statistical.rows import Rows
from detectors.statistical.statistic import Test
from detectors.statistical.tails import Numbers
from detectors.statistical.telling import unusual
from detectors.statistical.windows import Window

Array = npt.NDArray[Any]

SHARE_LEAST: Final = 0.002
"""Of each bin, also where nothing ever came: what is new is looked at elsewhere (`novelty.py`)."""

OVER_USUAL: Final = 3.0
OVER_HOURS: Final = 12.0
"""The overdispersion of whom little is known, and for how many hours it counts."""

OVER_MAX: Final = 4.0
"""So many times what is usual is learned at most."""

OVER_MEAN: Final = 96.0
"""The overdispersion is a mean over about so many looks."""


def apart(came: Array, share: Numbers, sure: Numbers) -> tuple[Numbers, Numbers]:
    """G of what came by expected shares, and its degrees of freedom; a row each. `sure` is of how many events the shares are known."""
    total = came.sum(axis=1)
    expected = share * total[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(came > 0, came * np.log(came / expected), 0.0)
    ratio = np.maximum(2.0 * terms.sum(axis=1), 0.0) * sure / np.maximum(sure + total, 1.0)
    freedom = np.maximum(np.minimum(2.0 * expected, 1.0).sum(axis=1) - 1.0, 1.0)
    return ratio, freedom


def counts_for(came: Array, mix: Numbers, hours: Array) -> Numbers:
    """For what part of its events an hour counts, where `mix` was learned in so many hours: of a crowd most are newcomers, who do other
    things. They are one surprise, and each small difference of theirs would be seen as one.
    """
    usual = mix.sum(axis=1) / np.clip(hours.astype(np.float64), 1.0, MEAN_H)
    most = CUT * np.maximum(usual, 10.0)
    return np.where(hours >= 24, np.minimum(1.0, most / np.maximum(came.sum(axis=1), 1.0)), 1.0)


def score(ratio: Numbers, freedom: Numbers, over: Numbers, looks: Numbers) -> Numbers:
    """How improbable such a ratio is, where it is usually `over` times as large, as was learned in so many looks."""
    return tails.squares_above(ratio / overdispersion(over, looks), freedom)


def overdispersion(over: Numbers, looks: Numbers) -> Numbers:
    """By what factor ratios are larger than chi-square says."""
    known = np.minimum(looks, OVER_MEAN)
    found: Numbers = np.maximum((over * known + OVER_USUAL * OVER_HOURS) / (known + OVER_HOURS), 1.0)
    return found


def learned(ratio: Numbers, freedom: Numbers, over: Numbers, looks: Numbers) -> Numbers:
    """The overdispersion with one more look."""
    cut = np.minimum(ratio / freedom, OVER_MAX * overdispersion(over, looks))
    found: Numbers = over + (cut - over) / np.minimum(looks + 1.0, OVER_MEAN)
    return found


def shares(mix: Array) -> Numbers:
    """The shares of a mix, of what seldom or never came a little."""
    found = np.maximum(mix / np.maximum(mix.sum(axis=1, keepdims=True), 1.0), SHARE_LEAST)
    whole: Numbers = found / found.sum(axis=1, keepdims=True)
    return whole


CUT: Final = 4.0
"""An hour counts for so many usual ones at most."""

MEAN_H: Final = 336.0
KEPT: Final = 1.0 - 1.0 / MEAN_H
"""Of a mix of the long run so much is left after an hour."""

VOLUMES: Final = 3
"""Classes of how many events there are: below a few hundred, below a few thousand, more."""

CONTENT_SWITCH: Final = 6

HOUR, DAY = 0, 1
"""Which of the two values of `LEARNED` is meant."""

LEARNED: Final[dict[str, tuple[npt.DTypeLike, int]]] = {"over": (np.float32, 2), "looks": (np.int32, 2)}
"""Arrays of `Rows`: by what factor ratios are larger than chi-square says, and in how many looks that was learned; of hours and of days."""


def worth_of(
    rows: Rows,
    test: Test,
    stretch: int,
    places: Array,
    who: Array,
    ratio: Numbers,
    freedom: Numbers,
    total: Numbers,
    judged: Array,
) -> Numbers:
    """What ratios are worth; 0 of those that are not judged. `who` are the apps, `total` is how many events there were."""
    at = np.flatnonzero(judged)
    worth = np.zeros(len(places))
    if len(at):
        over, looks = (rows[name][places[at], stretch].astype(np.float64) for name in LEARNED)
        worth[at] = test.worth(score(ratio[at], freedom[at], over, looks), _volume(total[at]), who[at])
    return worth


def learn_over(rows: Rows, stretch: int, places: Array, ratio: Numbers, freedom: Numbers, kept: Array) -> None:
    """Learn from those that are kept by what factor ratios are larger."""
    over, looks = (rows[name][places[kept], stretch].astype(np.float64) for name in LEARNED)
    rows["over"][places[kept], stretch] = learned(ratio[kept], freedom[kept], over, looks).astype(np.float32)
    rows["looks"][places[kept], stretch] += 1


def _volume(total: Numbers) -> npt.NDArray[np.int64]:
    return np.clip(np.log2(np.maximum(total, 1.0)) / 3.0 - 2.0, 0, VOLUMES - 1).astype(np.int64)


def largest(came: Array, expected: Numbers) -> Array:
    """Of each mix the bin that says most."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(came > expected, came * np.log(came / expected), 0.0)
    found: Array = np.argmax(terms, axis=1)
    return found


def told(
    test: str,
    window: Window,
    windows: int,
    *,
    apps: pl.DataFrame,
    worth: Numbers,
    about: Sequence[str],
    which: Array,
    came: Array,
    expected: Numbers,
    learned_h: Array,
) -> pl.DataFrame | None:
    """The shares of one bin of each mix as unusual numbers, those worth showing."""
    rows = np.arange(len(which))
    total = np.maximum(came.sum(axis=1), 1.0)
    return unusual(
        test,
        window,
        windows,
        apps=apps,
        worth=worth,
        about=about,
        measure=["share"] * len(which),
        behaviour=[CONTENT_SWITCH] * len(which),
        value=came[rows, which] / total,
        usual=expected[rows, which] / total,
        count=total,
        learned=learned_h,
    )
