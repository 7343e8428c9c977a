"""Many slightly unusual numbers together: of one app within some hours, and of several apps of one owner in the same hour.

What content was switched to, a slow theft by many people, or a misdeed that is shared out over an owner's apps shows in no number by
itself. So the worth beyond what is passed on is added up: for each app of every test's most unusual number, and what is left of the sum
halves every six hours; for each owner, test and name, over the apps that show it in the same hour. Both sums are calibrated by all apps', and
all owners', sums. An app's is told as long as it grows.
A release explains what is unusual, so it is no reason here to look away: what it makes unusual is usual among releases, which are calibrated too.

What fools it: an app of which nothing is passed on; one whose numbers are all unusual always.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from detectors.detector import State
from detectors.statistical.statistic import SHOWN_MIN, UNUSUAL, Suite
from detectors.statistical.windows import WINDOW_US, WINDOWS_PER_HOUR, Window

HALF_LIFE_H: Final = 6
KEPT_MIN: Final = 0.05
"""A sum that has fallen below is forgotten."""

WORTH_MAX: Final = 6.0
"""No single number adds more: what is that unusual is told by itself."""

SUMMED: Final = (
    "rise",
    "fall",
    "drip",
    "novelty_slow",
    "exfiltration_slow",
    "refusals_slow",
    "repeats",
    "profile_day",
    "cohort_day",
)
"""Tests that look at what came together over hours are not added up over hours once more."""

OWNERS_APPS_MIN: Final = 2
"""Apps of one owner that do the same before they do it together."""


class Together:
    """Adds up what the other statistics find unusual."""

    name = "together"

    def __init__(self) -> None:
        self._sums = pl.DataFrame(schema=_SUMS)
        self._hour = pl.DataFrame(schema=UNUSUAL)
        self.tests = Suite(self.name, {"together": 1, "owner": 1})

    def close(self, window: Window, unusual: Sequence[pl.DataFrame], apps: int) -> list[pl.DataFrame]:
        """What is unusual together in what ends with this window; `apps` is how many were looked at."""
        if unusual:
            self._hour = pl.concat([self._hour, *unusual])
        found: list[pl.DataFrame] = []
        if window.ends_hour:
            whole, self._hour = self._hour, pl.DataFrame(schema=UNUSUAL)
            of_apps = whole.filter(pl.col("scope") == "AppId")
            found = [self._by_app(of_apps, window, apps), self._by_owner(of_apps, window, apps)]
        if window.ends_day:
            self.tests.fade()
        return [frame for frame in found if frame.height]

    def _by_app(self, whole: pl.DataFrame, window: Window, apps: int) -> pl.DataFrame:
        best = (  # the numbers of an app that one test finds have one cause, as a rule: they count once
            whole.filter(~pl.col("test").is_in(SUMMED))
            .group_by("entity", "test")
            .agg(
                pl.col("worth").max().clip(0, WORTH_MAX),
                pl.col("owner").max(),
                pl.col("count").max(),
                pl.col("learned").max(),
            )
            .sort("entity", "test")
        )
        new = best.group_by("entity", maintain_order=True).agg(
            ((pl.col("worth") - SHOWN_MIN) * 1000).round().cast(pl.Int64).sum().alias("sum"),
            pl.col("owner").max(),
            pl.col("count").sum(),
            pl.col("learned").max(),
        )
        left = self._sums.with_columns((pl.col("sum") * 0.5 ** (1 / HALF_LIFE_H)).floor().cast(pl.Int64)).filter(
            pl.col("sum") >= KEPT_MIN * 1000
        )
        both = (
            pl.concat([left, new])
            .group_by("entity")
            .agg(pl.col("sum").sum(), pl.col("owner").max(), pl.col("count").max(), pl.col("learned").max())
            .sort("entity")
        )
        scores = np.zeros(max(apps, both.height))
        scores[: both.height] = both["sum"].to_numpy() / 1000
        who = np.zeros(len(scores), np.uint64)
        who[: both.height] = both["entity"].hash().to_numpy()
        worth = self.tests["together"].worth(scores, who=who)[: both.height]
        before = both.select("entity").join(self._sums, on="entity", how="left", maintain_order="left")["sum"]
        grows = both["sum"] >= before.fill_null(0)
        self._sums = both
        touched = both.with_columns(worth=pl.Series(worth)).filter((pl.col("worth") >= SHOWN_MIN) & grows)
        return _rows(touched, "together", window, "AppId", "", "unusual numbers together")

    def _by_owner(self, whole: pl.DataFrame, window: Window, apps: int) -> pl.DataFrame:
        best = (
            whole.filter(pl.col("owner").is_not_null())
            .group_by("owner", "about", "measure", "entity")
            .agg(
                pl.col("worth").max().clip(0, WORTH_MAX),
                pl.col("count").max(),
                pl.col("learned").max(),
                pl.col("behaviour").max(),
            )
        )
        sums = (
            best.group_by("owner", "about", "measure")
            .agg(
                ((pl.col("worth") - SHOWN_MIN) * 1000).round().cast(pl.Int64).sum().alias("sum"),
                pl.len().alias("apps"),
                pl.col("count").sum(),
                pl.col("learned").max(),
                pl.col("behaviour").max(),
            )
            .filter(pl.col("apps") >= OWNERS_APPS_MIN)
            .sort("owner", "measure", "about")
        )
        scores = np.zeros(max(apps, sums.height))
        scores[: sums.height] = sums["sum"].to_numpy() / 1000
        who = np.zeros(len(scores), np.uint64)
        who[: sums.height] = sums["owner"].hash().to_numpy()
        worth = self.tests["owner"].worth(scores, who=who)[: sums.height]
        shown = sums.with_columns(worth=pl.Series(worth), entity=pl.col("owner")).filter(pl.col("worth") >= SHOWN_MIN)
        frame = _rows(shown, "owner", window, "DeveloperId", "about", "the same in several apps")
        return frame.with_columns(behaviour=pl.lit(4, pl.Int64)) if frame.height else frame

    def snapshot(self) -> State:
        frames = {"together.sums": self._sums, "together.hour": self._hour.sort(UNUSUAL.names(), nulls_last=True)}
        frames |= self.tests.snapshot()
        return frames

    def restore(self, state: State) -> None:
        if "together.sums" not in state or state["together.sums"].schema != _SUMS:
            raise ValueError("there is no together.sums")
        self._sums, self._hour = state["together.sums"], state["together.hour"]
        self.tests.restore(state)


_SUMS: Final = pl.Schema(
    {"entity": pl.String(), "sum": pl.Int64(), "owner": pl.String(), "count": pl.Int64(), "learned": pl.Int64()}
)


def _rows(shown: pl.DataFrame, test: str, window: Window, scope: str, about: str, measure: str) -> pl.DataFrame:
    """As `UNUSUAL` has them."""
    if not shown.height:
        return UNUSUAL.to_frame()
    return shown.select(
        pl.lit(scope).alias("scope"),
        "entity",
        pl.col("owner") if scope == "AppId" else pl.lit(None, pl.String).alias("owner"),
        (pl.col(about) if about else pl.lit("")).alias("about"),
        pl.lit(test).alias("test"),
        pl.lit(measure).alias("measure"),
        pl.lit(None, pl.Int64).alias("behaviour"),
        "worth",
        (pl.col("sum") / 1000).alias("value"),
        pl.lit(0.0).alias("usual"),
        "count",
        pl.lit(window.end - WINDOWS_PER_HOUR * WINDOW_US).alias("begins"),
        "learned",
    ).select(UNUSUAL.names())
