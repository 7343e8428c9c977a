"""Hosts that come up in several apps at once: each of them asks it for the first time, without a new version, and hardly any did before.

Apps that belong together share what they took from people, or are sent to one place by it, over a host that is new to all of them; in each
of them that is a handful of requests. How many apps come to a host within two days is compared with how many would by chance: those that
take up any host choose one by how many have it already (Simon, *On a class of skew distribution functions*, 1955), so a host of a provider
that everybody goes to is no surprise. A deploy explains what comes with it (`shown.py`).

What fools it: a host of its own for each app; one that many apps have; who brings it with versions; two days and more between apps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.detector import State
from detectors.finding import Scope
from detectors.statistical import tails
from detectors.statistical.shown import EXPLAINED, HOST, LEARNING, SETTLED, Hour, Shown
from detectors.statistical.statistic import SHOWN_MIN, UNUSUAL, Suite
from detectors.statistical.tails import Numbers
from detectors.statistical.windows import WINDOWS_PER_HOUR, Window

SPREAD: Final = 0.5
"""By how much the number of apps varies beyond a Poisson's variance, as a share of the squared mean."""

FIRST: Final = 0.5
"""A host that nobody has is chosen as if half an app had it."""

APPS_MIN: Final = 2

NAMED_MAX: Final = 3
"""Apps that are named; of more, how many others."""

COLLUSION: Final = 4

_TAKEN: Final = pl.Schema(
    {"host": pl.UInt64(), "app": pl.String(), "owner": pl.String(), "name": pl.String(), "first": pl.Int64()}
)


class SpreadingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is remembered."""

    taken_max: int = 100_000


class Spreading:
    """Looks at the hosts that apps have taken up of late."""

    name = "spreading"

    def __init__(self, shown: Shown, config: SpreadingConfig | None = None) -> None:
        self.config = config or SpreadingConfig()
        self._shown = shown
        self._taken = pl.DataFrame(schema=_TAKEN)
        self._pairs = 0  # of an app and a host, ever since
        self._left_out = 0
        self.tests = Suite(self.name, {"spreading": 1})

    @property
    def needs(self) -> frozenset[str]:
        return self._shown.needs

    @property
    def forgotten(self) -> int:
        return self._left_out

    def count(self, rows: pl.DataFrame) -> None:
        """`Shown` counts."""

    def close(self, window: Window) -> Sequence[pl.DataFrame]:
        found = []
        if self._shown.hour is not None:
            found = self._hour(self._shown.hour, window)
        if window.ends_day:
            self.tests.fade()
        return found

    def _hour(self, hour: Hour, window: Window) -> list[pl.DataFrame]:
        asked = hour.kind == HOST
        new = asked & hour.new
        self._pairs += int(new.sum())
        old = hour.known_for(window, LEARNING)[hour.app]
        explained = ((hour.flags & EXPLAINED) > 0) & (hour.declared != 0)
        at = np.flatnonzero(new & old & ~explained)
        self._take(hour, at, window)
        hosts = np.unique(hour.value[asked & old])
        if not len(hosts):
            return []
        others = np.zeros(len(hosts))
        np.maximum.at(others, np.searchsorted(hosts, hour.value[at]), self._shown.others(hour)[at] + 1.0)
        came = np.unique(hour.value[at])
        taken = np.sort(self._taken["host"].to_numpy())
        apps = np.zeros(len(hosts))
        apps[np.searchsorted(hosts, came)] = np.searchsorted(taken, came, side="right") - np.searchsorted(taken, came)
        usual = self._taken.height * (np.maximum(others - apps, 0.0) + FIRST) / max(self._pairs, 1)
        scores = tails.many(np.where(apps >= APPS_MIN, apps, 0.0), usual, SPREAD)
        worth = self.tests["spreading"].worth(scores, who=hosts)
        told = self._told(hosts, worth, apps, usual, hour, window)
        return [told] if told.height else []

    def _take(self, hour: Hour, at: npt.NDArray[np.int64], window: Window) -> None:
        """Remember who takes up a host in this hour; forget who did so long ago."""
        names = hour.names[hour.app[at]]
        fresh = pl.DataFrame(
            {
                "host": hour.value[at],
                "app": names["app"],
                "owner": names["owner"].cast(pl.String),
                "name": hour.counted["what"].gather(at),
                "first": np.full(len(at), window.index),
            },
            schema=_TAKEN,
        )
        recent = self._taken.filter(pl.col("first") > window.index - SETTLED)
        whole = pl.concat([recent, fresh])
        self._left_out += max(0, whole.height - self.config.taken_max)
        self._taken = whole.tail(self.config.taken_max)

    def _told(
        self,
        hosts: npt.NDArray[np.uint64],
        worth: Numbers,
        apps: Numbers,
        usual: Numbers,
        hour: Hour,
        window: Window,
    ) -> pl.DataFrame:
        shown = np.flatnonzero((worth >= SHOWN_MIN) & (apps >= APPS_MIN))
        rows = []
        for one in shown.tolist():
            mine = self._taken.filter(pl.col("host") == hosts[one]).sort("first", "app")
            names = mine["app"].head(NAMED_MAX).to_list()
            more = mine.height - len(names)
            owners = mine["owner"].unique()
            begins = Window(int(mine["first"][0]) - WINDOWS_PER_HOUR + 1).start
            rows.append(
                {
                    "scope": Scope.DOMAIN.value,
                    "entity": mine["name"][0],
                    "owner": owners[0] if len(owners) == 1 else None,
                    "about": ", ".join(names) + (f" and {more} more" if more else ""),
                    "test": "spreading",
                    "measure": "apps that ask it for the first time",
                    "behaviour": COLLUSION,
                    "worth": float(worth[one]),
                    "value": float(apps[one]),
                    "usual": float(usual[one]),
                    "count": int(hour.n[(hour.value == hosts[one]) & (hour.kind == HOST)].sum()),
                    "begins": begins,
                    "learned": (window.index - int(mine["first"][0])) // WINDOWS_PER_HOUR + 1,
                }
            )
        return pl.DataFrame(rows, schema=UNUSUAL, orient="row")

    def snapshot(self) -> State:
        counts = pl.DataFrame({"pairs": [self._pairs], "left_out": [self._left_out]})
        return {"spreading.taken": self._taken, "spreading.counts": counts} | self.tests.snapshot()

    def restore(self, state: State) -> None:
        if "spreading.taken" not in state or state["spreading.taken"].schema != _TAKEN:
            raise ValueError("there is no spreading.taken")
        if "spreading.counts" not in state:
            raise ValueError("there is no spreading.counts")
        self._taken = state["spreading.taken"]
        self._pairs, self._left_out = state["spreading.counts"].select("pairs", "left_out").row(0)
        self.tests.restore(state)
