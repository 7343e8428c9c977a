"""How improbable a number is, as −log10 of the probability of one as far out or farther; arrays in, arrays out.

Probabilities below 1e-300 are told as 300. Counts are negative binomial: a Poisson whose rate itself varies, with the variance
mean + spread × mean² (Hilbe, *Negative Binomial Regression*, 2011); a spread of zero is Poisson.
"""

from __future__ import annotations

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


def many(count: npt.ArrayLike, mean: npt.ArrayLike, spread: npt.ArrayLike) -> Numbers:
    """Of a count or more, where so many are usual."""
    special = _special()
    counted, usual, size = _negative_binomial(count, mean, spread)
    with np.errstate(invalid="ignore", divide="ignore"):
        tail = special.betainc(np.maximum(counted, 1e-9), size, usual / (size + usual))
    return _score(np.where(counted <= 0, 1.0, tail))


def few(count: npt.ArrayLike, mean: npt.ArrayLike, spread: npt.ArrayLike) -> Numbers:
    """Of a count or fewer, where so many are usual."""
    special = _special()
    counted, usual, size = _negative_binomial(count, mean, spread)
    with np.errstate(invalid="ignore", divide="ignore"):
        tail = special.betainc(size, counted + 1.0, size / (size + usual))
    return _score(np.where(usual <= 0, 1.0, tail))


def _negative_binomial(count: npt.ArrayLike, mean: npt.ArrayLike, spread: npt.ArrayLike) -> tuple[Numbers, ...]:
    counted = np.asarray(count, np.float64)
    usual = np.maximum(np.asarray(mean, np.float64), 1e-9)
    return counted, usual, 1.0 / np.maximum(np.asarray(spread, np.float64), SPREAD_MIN)


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


def _special() -> Any:
    """SciPy's functions; a quarter of a second to import, for those who count alone."""
    import scipy.special  # type: ignore[import-untyped]  # noqa: PLC0415 - see above

    return scipy.special
