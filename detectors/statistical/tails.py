"""How improbable a number is, as −log10 of the probability of one as far out or farther; arrays in, arrays out.

Probabilities below 1e-300 are told as 300. Counts are negative binomial: a Poisson whose rate itself varies, with the variance
mean + spread × mean² (Hilbe, *Negative Binomial Regression*, 2011); a spread of zero is Poisson.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

SCORE_MAX: Final = 300.0
SPREAD_MIN: Final = 1e-6
"""Below this a count is as good as Poisson."""


def _score(probability: Numbers) -> Numbers:
    with np.errstate(divide="ignore"):
        score: Numbers = np.minimum(-np.log10(np.clip(probability, 0.0, 1.0)), SCORE_MAX)
    return score + 0.0  # never -0.0


NEAR: Final = 1.5
"""Standard deviations within which a tail is told roughly, by the deviation alone: nobody asks which of the usual is more so."""


def many(count: npt.ArrayLike, mean: npt.ArrayLike, spread: npt.ArrayLike) -> Numbers:
    """Of a count or more, where so many are usual."""
    counted, usual, size = _negative_binomial(count, mean, spread)
    return _far(counted - usual, usual, size, lambda at: _special().betainc(np.maximum(counted[at], 1e-9), size[at], usual[at] / (size[at] + usual[at])))  # fmt: skip


def few(count: npt.ArrayLike, mean: npt.ArrayLike, spread: npt.ArrayLike) -> Numbers:
    """Of a count or fewer, where so many are usual."""
    counted, usual, size = _negative_binomial(count, mean, spread)
    return _far(usual - counted, usual, size, lambda at: _special().betainc(size[at], counted[at] + 1.0, size[at] / (size[at] + usual[at])))  # fmt: skip


def _far(off: Numbers, usual: Numbers, size: Numbers, tail: Callable[[npt.NDArray[np.int64]], Numbers]) -> Numbers:
    """Scores by the deviation, and by the tail itself where that is far out."""
    deviation = off / np.sqrt(usual + usual * usual / size)
    score: Numbers = 0.5 * np.clip(deviation, 0.0, NEAR)
    far = np.flatnonzero(deviation > NEAR)
    if len(far):
        score[far] = np.maximum(_score(tail(far)), 0.5 * NEAR)
    return score


def _negative_binomial(count: npt.ArrayLike, mean: npt.ArrayLike, spread: npt.ArrayLike) -> tuple[Numbers, ...]:
    counted, _ = np.broadcast_arrays(np.asarray(count, np.float64), np.asarray(mean, np.float64))
    usual = np.maximum(np.broadcast_to(np.asarray(mean, np.float64), counted.shape), 1e-9)
    size = 1.0 / np.maximum(np.broadcast_to(np.asarray(spread, np.float64), counted.shape), SPREAD_MIN)
    return np.atleast_1d(counted), np.atleast_1d(usual), np.atleast_1d(size)


def share_above(hits: npt.ArrayLike, of: npt.ArrayLike, usual_hits: npt.ArrayLike, usual_of: npt.ArrayLike) -> Numbers:
    """Of so many hits or more among so many, where the usual share is known from others: beta-binomial, by its mean and variance.

    The usual share has the uncertainty of `usual_of` trials. The tail is that of the negative binomial with the same mean and
    variance, which is the heavier one.
    """
    trials = np.asarray(of, np.float64)
    hit, base = np.asarray(usual_hits, np.float64), np.asarray(usual_of, np.float64)
    share = (hit + 0.5) / (base + 1.0)
    return many(hits, trials * share, 1.0 / np.maximum(hit + 0.5, 0.5))


def normal(deviation: npt.ArrayLike) -> Numbers:
    """Of a deviation or more above the middle of a normal distribution, in standard deviations."""
    value: Numbers = np.asarray(_special().log_ndtr(-np.asarray(deviation, np.float64)))
    score: Numbers = np.minimum(-value / np.log(10.0), SCORE_MAX) + 0.0
    return score


def variance_below(squares: npt.ArrayLike, usual: npt.ArrayLike, freedom: npt.ArrayLike) -> Numbers:
    """Of a sum of squares as small or smaller, where the variance `usual` is known: chi-square with so many degrees of freedom."""
    ratio = np.asarray(squares, np.float64) / np.maximum(np.asarray(usual, np.float64), 1e-12)
    return _score(np.asarray(_special().gammainc(np.asarray(freedom, np.float64) / 2.0, ratio / 2.0)))


def squares_above(squares: npt.ArrayLike, freedom: npt.ArrayLike) -> Numbers:
    """Of a sum of squares (of unit variance) as large or larger: chi-square with so many degrees of freedom.

    Where the tail is too small for a number, by the first term of its expansion.
    """
    half, at = np.asarray(freedom, np.float64) / 2.0, np.maximum(np.asarray(squares, np.float64), 0.0) / 2.0
    special = _special()
    score = _score(np.asarray(special.gammaincc(half, at)))
    with np.errstate(divide="ignore", invalid="ignore"):
        far = (at - (half - 1.0) * np.log(at) + special.gammaln(half)) / np.log(10.0)
    return np.where(score >= SCORE_MAX, np.maximum(far, SCORE_MAX), score)


def _special() -> Any:
    """SciPy's functions; a quarter of a second to import, for those who count alone."""
    import scipy.special  # type: ignore[import-untyped]  # noqa: PLC0415 - see above

    return scipy.special
