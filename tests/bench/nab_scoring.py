"""The score of the Numenta Anomaly Benchmark, written anew from what was published of it: Lavin & Ahmad 2015, arXiv 1510.03336.

A detector gives every point a number; points at or above a threshold are its detections. The first weeks of a file do not count. Within
a window that people have marked only the best detection counts, more the earlier it is; outside of them each costs something, less
shortly after a window; a window without any costs one miss. Sums over all files are scaled: 0 for a detector that never says
anything, 100 for one that meets every window at its very beginning and says nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PROBATION = 0.15
PROBATION_POINTS_MAX = 750
STEEPNESS = 5.0
FAR_BEHIND = 3.0
"""Window widths behind a window from which on a false detection costs all of it."""


@dataclass(frozen=True)
class Profile:
    """What a hit earns, a false detection costs, and a miss costs."""

    hit: float
    false: float
    miss: float


PROFILES = {
    "standard": Profile(1.0, 0.11, 1.0),
    "reward_low_FP_rate": Profile(1.0, 0.22, 1.0),
    "reward_low_FN_rate": Profile(1.0, 0.11, 2.0),
}


@dataclass(frozen=True)
class Series:
    """One file: times in order, ``(points,)``, of any kind that can be compared; and its windows, first and last time of each."""

    name: str
    times: Sequence
    windows: Sequence[tuple]


@dataclass(frozen=True)
class Figure:
    """A scaled score, 0 to 100 and below; the threshold with which it was reached, infinite for saying nothing."""

    score: float
    threshold: float


def sigmoid(position):
    """What a detection is worth at a position in window widths: −1 at the left edge of a window, 0 at its right edge."""
    position = np.asarray(position, dtype=float)
    return np.where(
        position > FAR_BEHIND, -1.0, 2.0 / (1.0 + np.exp(STEEPNESS * np.minimum(position, FAR_BEHIND))) - 1.0
    )


def worths(series):
    """What a detection is worth at each point, before weights; in which window it lies, −1 for none. Both ``(points,)``."""
    times = list(series.times)
    worth, window = np.full(len(times), -1.0), np.full(len(times), -1)
    after, last, width = 0, None, 0
    spans = [_span(times, edges) for edges in series.windows]
    for number, (first, right, wide) in enumerate(spans):
        if last is not None:
            behind = np.arange(after, first)
            worth[behind] = sigmoid((behind - last) / max(width - 1, 1))
        inside = np.arange(first, right + 1)
        worth[inside] = sigmoid((inside - right - 1) / wide)
        window[inside] = number
        after, last, width = right + 1, right, wide
    if last is not None:
        behind = np.arange(after, len(times))
        worth[behind] = sigmoid((behind - last) / max(width - 1, 1))
    return worth, window


def _span(times, edges):
    """First and last place of a window, and its width in points."""
    first, right = times.index(edges[0]), times.index(edges[1])
    return first, right, right - first + 1


def probation(points):
    """How many points at the beginning of a file do not count."""
    return min(int(PROBATION * points), PROBATION_POINTS_MAX)


class Benchmark:
    """Files with their windows, ready to score what a detector gave for all of their points, one file after the other."""

    def __init__(self, files):
        self.files = list(files)
        worth, window, of_file, counts = [], [], [], []
        windows = 0
        for number, series in enumerate(self.files):
            here, inside = worths(series)
            worth.append(here)
            window.append(np.where(inside < 0, -1, inside + windows))
            of_file.append(np.full(len(here), number))
            counts.append(np.arange(len(here)) >= probation(len(here)))
            windows += len(series.windows)
        self._worth, self._window = np.concatenate(worth), np.concatenate(window)
        self._file, self._counts = np.concatenate(of_file), np.concatenate(counts)
        self._windows_of = np.array([len(series.windows) for series in self.files])

    def best(self, scores, profile, files=None):
        """The figure with the threshold that is best for these files (a mask; all by default), as the benchmark itself does."""
        levels, gains, of_file = self._gains(scores, profile)
        chosen = self._mask(files)
        curve = _curve(levels, np.where(chosen[of_file], gains, 0.0))
        place = int(np.argmax(curve))
        threshold = np.inf if place == 0 else float(levels[place - 1])
        return Figure(self._scaled(curve[place], profile, chosen), threshold)

    def at(self, scores, profile, threshold, files=None):
        """The scaled score with a given threshold."""
        levels, gains, of_file = self._gains(scores, profile)
        chosen = self._mask(files)
        reached = (levels >= threshold) & chosen[of_file]
        return self._scaled(gains[reached].sum(), profile, chosen)

    def crossed(self, scores, profile, files=None):
        """The scaled score where the threshold for each file is the one that is best for all others."""
        levels, gains, of_file = self._gains(scores, profile)
        chosen = self._mask(files)
        gains = np.where(chosen[of_file], gains, 0.0)
        curve = _curve(levels, gains)
        total = 0.0
        for file in np.flatnonzero(chosen):
            own = np.concatenate(([0.0], np.cumsum(np.where(of_file == file, gains, 0.0))))
            total += own[int(np.argmax(curve - own))]
        return self._scaled(total, profile, chosen)

    def _mask(self, files):
        return np.ones(len(self.files), dtype=bool) if files is None else np.asarray(files)

    def _scaled(self, gained, profile, chosen):
        """`gained` is what was won over saying nothing; windows that end within probation can only be missed."""
        countable = np.unique(self._window[self._counts & (self._window >= 0) & chosen[self._file]])
        windows = self._windows_of[chosen].sum()
        return float(100.0 * gained / (windows * profile.hit + len(countable) * profile.miss))

    def _gains(self, scores, profile):
        """Points that count, from the highest score down: score, what each adds to the sum when it becomes a detection, file."""
        scores = np.asarray(scores, dtype=float)
        if scores.shape != self._counts.shape:
            raise ValueError(f"{scores.shape} scores for {self._counts.shape} points")
        places = np.flatnonzero(self._counts)
        places = places[np.argsort(-scores[places], kind="stable")]
        worth, window = self._worth[places], self._window[places]
        gains = np.where(window < 0, worth * profile.false, 0.0)
        inside = np.flatnonzero(window >= 0)
        inside = inside[np.argsort(window[inside], kind="stable")]
        for group in np.split(inside, np.flatnonzero(np.diff(window[inside])) + 1):
            value = worth[group] / sigmoid(-1.0) * profile.hit
            gains[group] = np.diff(np.maximum.accumulate(np.concatenate(([-profile.miss], value))))
        return scores[places], gains, self._file[places]


def _curve(levels, gains):
    """What is won with no detection, then with all down to each point; −inf where points of the same score come after."""
    whole = np.append(levels[1:] != levels[:-1], True)
    return np.concatenate(([0.0], np.where(whole, np.cumsum(gains), -np.inf)))
