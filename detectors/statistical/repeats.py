"""Calls that several people of an app come to make again and again: how many of them make one `AGAIN` times within five minutes.

What one person repeats is that person's haste; a storm of logins, a page that is flooded, a place that is followed is the app's code, and
befalls whoever comes. So counted are visitors of five minutes who do the same `AGAIN` times, of all who do it, and summed with a half-life
of hours, for a quiet one takes its time. Usual is the share of the app's own visitors before, and where few are known, of all apps' who
do the same.

What fools it: who repeats less often, or to fewer than `SEVERAL` within half a day; what most visitors always repeated.
Source: beta-binomial shares, by their negative binomial tail (`tails.py`).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.statistical import lately, tails
from detectors.statistical.rows import Rows
from detectors.statistical.tails import Numbers
from detectors.statistical.windows import Window

Places = npt.NDArray[np.int64]

AGAIN: Final = 3
"""So often within five minutes is again and again."""

SEVERAL: Final = 2.5
"""Fewer who do so of late are not told."""

OTHERS: Final = 30.0
"""What visitors of other apps do counts for as much as so many visitors of one's own."""

SHARE_LEAST: Final = 1e-3
"""Of what nobody repeated before."""

SPREAD: Final = 0.5
"""By how much what is summed varies beyond a Poisson's variance, as a share of the squared mean."""

VISITORS_MEAN: Final = 2_000.0
"""Of more visitors than so many those before count half."""

FIELDS: Final[dict[str, tuple[npt.DTypeLike, int]]] = {
    "did": (np.int32, 1),  # visitors of the five minutes of the hour under way …
    "again": (np.int32, 1),  # … and those who did it again and again
    "did_before": (np.float32, 1),
    "again_before": (np.float32, 1),
    **lately.summed(2),  # those who did it again and again, and how many were to be expected
}
"""Arrays of `Rows`."""


class Repeats:
    """Of the rows of an hour in which somebody repeated something: how many of late, how many are usual, and how improbable that is."""

    def __init__(self, rows: Rows, places: Places, share: Numbers, window: Window) -> None:
        """`share` is of visitors of all apps, a value for each of `places`."""
        here = np.flatnonzero(rows["did"][places] > 0)
        did, again = (rows[name][places[here]].astype(np.float64) for name in ("did", "again"))
        places = places[here]
        hits = rows["again_before"][places] + OTHERS * np.maximum(share[here], SHARE_LEAST)
        usual = did * hits / (rows["did_before"][places] + OTHERS)
        sums = lately.sum_up(rows, places, np.stack([again, usual], axis=1), window)
        some = np.flatnonzero(again > 0)
        self.at = here[some]
        self.value: Numbers = sums[some, 0]
        self.usual: Numbers = sums[some, 1]
        several = np.where(self.value >= SEVERAL, self.value, 0.0)
        self.scores = tails.many(several, self.usual, SPREAD + 1.0 / (hits[some] + 0.5))


def learn(rows: Rows, places: Places, flagged: npt.NDArray[np.bool_]) -> None:
    """Take an hour in, but for what is flagged; then the next begins."""
    here = np.flatnonzero(rows["did"][places] > 0)
    kept = places[here[~flagged[here]]]
    for name in ("did", "again"):
        rows[f"{name}_before"][kept] += rows[name][kept]
        rows[name][places[here]] = 0
    many = kept[rows["did_before"][kept] > VISITORS_MEAN]
    for name in ("did_before", "again_before"):
        rows[name][many] *= np.float32(0.5)


def shares(rows: Rows, what: npt.NDArray[Any], names: int) -> Numbers:
    """By the number of its name, what share of all visitors who do something does it again and again; `what` of each row that has a place."""
    places = rows.places
    again = np.bincount(what, weights=rows["again_before"][places], minlength=names)
    did = np.bincount(what, weights=rows["did_before"][places], minlength=names)
    found: Numbers = (again + 0.5 * SHARE_LEAST) / (did + 0.5)
    return found
