"""What a score is worth: how often the same statistic came to as much before, over all who were tested.

A tail probability that a model gives is only as good as the model. So the scores of every statistic are counted in a histogram, apart
for each class of volume, and a score is told as −log10 of the share that came as far. Beyond what was seen the tail is taken to go
on as exponentially as the upper half of it does, but never to fall faster than the model says. What happens to one app shows in several of
its numbers, for hours: of its far scores of a day one counts, and so a score is worth what as many happenings are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

Scores = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Who = npt.NDArray[np.uint64]

PER_UNIT: Final = 8
"""Bins in a decade of probability."""

LINEAR_TO: Final = 32.0
BINS: Final = 480

LEARNED_MIN: Final = 2_000
"""Scores before which nothing is said: a statistic that was never seen at rest cannot call anything unusual."""

TAIL_SHARE: Final = 0.005
TAIL_MIN: Final = 50
"""The tail is where so small a share, and at least so many, of all scores lie."""

OFTEN: Final = 3
"""A score that was reached so often without being told is usual, whatever the tail says."""

ONCE_A_DAY: Final = 2.0
"""Of scores that are worth so much one of each app and day counts: what happens to an app shows in several of its numbers, for hours."""

COUNTED_MOST: Final = 3.0
"""Scores are counted as if they were worth so much at most. Who misbehaves does so for hours, and few who do would be what is usual at the
far end of a tail; so that is not measured, but taken to begin with the share that came as far as this, and to fall as the tail does before."""

FADING: Final = 16
"""Of what is known a sixteenth is forgotten each day: about a fortnight is remembered."""


def _bins(scores: Scores) -> npt.NDArray[np.int64]:
    far = LINEAR_TO + PER_UNIT * np.log2(np.maximum(scores, LINEAR_TO) / LINEAR_TO)
    stretched = np.where(scores <= LINEAR_TO, np.maximum(scores, 0.0), far)
    return np.minimum((stretched * PER_UNIT).astype(np.int64), BINS - 1)


def _least(bins: npt.NDArray[np.int64] | int) -> Scores:
    """The smallest score of a bin."""
    stretched = np.asarray(bins, np.float64) / PER_UNIT
    return np.where(stretched <= LINEAR_TO, stretched, LINEAR_TO * 2.0 ** ((stretched - LINEAR_TO) / PER_UNIT))


class Calibration:
    """The histograms of one statistic: a row a class."""

    def __init__(self, classes: int = 1) -> None:
        self._counts: Counts = np.zeros((classes, BINS), np.int64)
        self._whose: Who = np.empty(0, np.uint64)  # whose far scores of this day were counted, in order …
        self._far: Counts = np.empty(0, np.int64)  # … and where

    @property
    def tests(self) -> Counts:
        """How many scores of each class are remembered."""
        total: Counts = self._counts.sum(axis=1)
        return total

    def worth(self, scores: Scores, classes: npt.NDArray[np.int64] | int = 0) -> Scores:
        """−log10 of the share of earlier scores that came as far; 0 where too little is known."""
        which = np.broadcast_to(np.asarray(classes, np.int64), scores.shape)
        found = np.zeros(len(scores))
        for one in np.unique(which):
            mine = which == one
            tail = self._tail_of(int(one))
            if tail is not None:
                found[mine] = tail.worth(scores[mine])
        return found

    def _tail_of(self, one: int) -> _Tail | None:
        """Of a class; of all together where too little is known of it."""
        return _tail(self._counts[one]) or _tail(self._counts.sum(axis=0))

    def learn(
        self, scores: Scores, classes: npt.NDArray[np.int64] | int = 0, who: npt.NDArray[Any] | None = None
    ) -> None:
        """Count scores, those that are worth more than `COUNTED_MOST` as what is worth as much.

        `who` are numbers of those whose scores they are: of each one's far scores of a day the farthest counts.
        """
        which = np.broadcast_to(np.asarray(classes, np.int64), scores.shape)
        just, far = scores.copy(), np.zeros(len(scores), np.bool_)
        for one in np.unique(which):
            mine = which == one
            tail = self._tail_of(int(one))
            if tail is not None:
                just[mine] = np.minimum(scores[mine], tail.score_at(COUNTED_MOST))
                far[mine] = scores[mine] >= tail.score_at(ONCE_A_DAY)
        flat = which * BINS + _bins(just)
        if who is not None and far.any():
            self._learn_far(flat[far], np.asarray(who)[far].astype(np.uint64))
            flat = flat[~far]
        self._add(flat, 1)

    def _learn_far(self, flat: npt.NDArray[np.int64], who: Who) -> None:
        """Count those farther out than what was counted of the same ones in this day, instead of it."""
        both = np.concatenate([self._far, flat])
        whose = np.concatenate([self._whose, who])
        order = np.lexsort((both % BINS, whose))
        last = np.flatnonzero(np.append(whose[order][1:] != whose[order][:-1], True))
        self._add(self._far, -1)
        self._whose, self._far = whose[order][last], both[order][last]
        self._add(self._far, 1)

    def _add(self, flat: npt.NDArray[np.int64], times: int) -> None:
        self._counts += times * np.bincount(flat, minlength=self._counts.size).reshape(self._counts.shape)

    def fade(self) -> None:
        """A day has gone by."""
        self._counts -= self._counts // FADING
        self._whose, self._far = self._whose[:0], self._far[:0]

    def snapshot(self, name: str) -> dict[str, pl.DataFrame]:
        """Named frames for a detector's snapshot."""
        classes, bins = np.nonzero(self._counts)
        return {
            name: pl.DataFrame({"class": classes, "bin": bins, "count": self._counts[classes, bins]}),
            f"{name}.far": pl.DataFrame({"who": self._whose, "at": self._far}),
        }

    def restore(self, name: str, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up what `snapshot` gave; raises `ValueError` where it is not of this kind."""
        far = f"{name}.far"
        if name not in state or far not in state or set(state[name].columns) != {"class", "bin", "count"}:
            raise ValueError(f"there is no {name}")
        self._counts[:] = 0
        frame = state[name]
        self._counts[frame["class"].to_numpy(), frame["bin"].to_numpy()] = frame["count"].to_numpy()
        self._whose, self._far = (state[far][column].to_numpy().copy() for column in ("who", "at"))


@dataclass(frozen=True, slots=True)
class _Tail:
    """What is known of one class: how many came as far as each bin, where the tail begins, and how fast it falls."""

    above: Counts
    begins: int
    share: float  # −log10 of the part of all that is in the tail
    slope: float

    def worth(self, scores: Scores) -> Scores:
        at = _bins(scores)
        seen = self._seen(at)
        told = self.share + (scores - float(_least(self.begins))) * self.slope
        worth = np.where(at <= self.begins, seen, told)
        worth = np.where(self.above[at] >= OFTEN, np.minimum(worth, seen), worth)
        last = self.score_at(COUNTED_MOST)
        beyond = min(COUNTED_MOST, float(self._seen(_bins(np.array([last])))[0])) + (scores - last) * self.slope
        return np.maximum(np.where(scores > last, beyond, worth), 0.0)

    def _seen(self, at: npt.NDArray[np.int64]) -> Scores:
        found: Scores = -np.log10((self.above[at] + 1) / (int(self.above[0]) + 1))
        return found

    def score_at(self, worth: float) -> float:
        """The score from which on one is worth so much."""
        return float(_least(self.begins)) + max(worth - self.share, 0.0) / self.slope


def _tail(counts: Counts) -> _Tail | None:
    """None where too little is known."""
    total = int(counts.sum())
    if total < LEARNED_MIN:
        return None
    above = np.cumsum(counts[::-1])[::-1]  # in this bin or a later one
    wanted = max(TAIL_MIN, int(total * TAIL_SHARE))
    begins = max(int(np.searchsorted(-above, -wanted, side="right")) - 1, 0)  # the last bin with as many
    in_tail = int(above[begins])
    reach = max(_reached(above, in_tail / 2) - float(_least(begins)), 1.0 / PER_UNIT)
    share = -float(np.log10(in_tail / (total + 1)))
    return _Tail(above, begins, share, min(float(np.log10(2.0)) / reach, 1.0))


def _reached(above: Counts, count: float) -> float:
    """The score that so many came as far as, between the edges of a bin by how steeply counts fall there."""
    after = min(int(np.searchsorted(-above, -count, side="right")), BINS - 1)
    before, behind = float(above[after - 1]), max(float(above[after]), 0.5)
    part = np.log(before / count) / np.log(before / behind) if before > behind else 1.0
    lower, upper = _least(after - 1), _least(after)
    return float(lower + part * (upper - lower))
