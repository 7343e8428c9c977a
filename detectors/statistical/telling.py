"""How unusual numbers about apps are put: a frame of `UNUSUAL` from columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.finding import Scope
from detectors.statistical.statistic import SHOWN_MIN, UNUSUAL
from detectors.statistical.tails import Numbers
from detectors.statistical.windows import WINDOW_US, Window


def unusual(
    test: str,
    window: Window,
    windows: npt.ArrayLike,
    *,
    apps: pl.DataFrame,
    worth: Numbers,
    about: Sequence[str],
    measure: Sequence[str],
    behaviour: Sequence[int | None],
    value: npt.ArrayLike,
    usual: npt.ArrayLike,
    count: npt.ArrayLike,
    learned: npt.ArrayLike,
) -> pl.DataFrame | None:
    """Those worth showing. `apps` has a row each with ``app`` and ``owner``; numbers are about so many windows, this the last."""
    shown = np.flatnonzero(worth >= SHOWN_MIN)
    if not len(shown):
        return None
    rows = shown.tolist()

    def numbers(values: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        return np.broadcast_to(np.asarray(values), worth.shape)[shown].astype(dtype)

    values = {
        "scope": [Scope.APP.value] * len(rows),
        "entity": apps["app"].gather(shown),
        "owner": apps["owner"].gather(shown).cast(pl.String),
        "about": [about[row] for row in rows],
        "test": [test] * len(rows),
        "measure": [measure[row] for row in rows],
        "behaviour": [behaviour[row] for row in rows],
        "worth": worth[shown],
        "value": numbers(value, np.float64),
        "usual": numbers(usual, np.float64),
        "count": numbers(count, np.int64),
        "begins": window.end - numbers(windows, np.int64) * WINDOW_US,
        "learned": numbers(learned, np.int64),
    }
    return pl.DataFrame(values, schema=UNUSUAL)
