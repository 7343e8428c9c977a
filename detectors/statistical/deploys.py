"""When each app last came out in a new version, as its own events tell: what changes then was meant to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.statistical.rows import NOWHERE, Rows
from detectors.statistical.tallies import Keys, Visitors, distinct_of
from detectors.statistical.windows import WINDOWS_PER_DAY, WINDOWS_PER_HOUR

NEEDS: Final = frozenset({"miniprogram.app_id", "miniprogram.version"})

FRESH_H: Final = 48
"""Hours after a new version was first seen for which what is new is taken to come of it."""


class Deploys:
    """The versions of apps that were seen. An app's first versions, while it is new itself, are no deploys."""

    def __init__(self, versions_max: int = 1_000_000) -> None:
        self._versions = Rows({}, versions_max)
        self._apps = Rows({"deployed": (np.int32, 1)}, versions_max)
        self._pending: dict[int, list[Keys]] = {}

    def add(self, window: int, apps: Keys, versions: Keys) -> None:
        """Events by hashes of their app and version."""
        shift = np.uint64(28)
        keys = distinct_of((apps >> shift << shift) | (versions >> np.uint64(36)))
        parts = self._pending.setdefault(window, [])
        parts.append(keys)
        if len(parts) > 64:
            self._pending[window] = [distinct_of(np.concatenate(parts))]

    def close(self, window: int) -> None:
        """A window has ended."""
        parts = self._pending.pop(window, [])
        if not parts:
            return
        keys = distinct_of(np.concatenate(parts))
        apps = Visitors.visited(keys)
        self._apps.seen(distinct_of(apps), window)
        _, new = self._versions.seen(keys, window)
        of = self._apps.find(apps[new])
        of = of[of != NOWHERE]
        old = self._apps["first"][of] < window
        self._apps["deployed"][of[old]] = window

    def lately(self, apps: Keys, window: int) -> npt.NDArray[np.bool_]:
        """Which of these apps (numbers as `Visitors.visited` has them) have come out in a new version lately."""
        if not len(self._apps):
            return np.zeros(len(apps), np.bool_)
        of = self._apps.find(apps)
        since = self._apps["deployed"][of]
        found: npt.NDArray[np.bool_] = (of != NOWHERE) & (since > 0) & (window - since < FRESH_H * WINDOWS_PER_HOUR)
        return found

    def forget_unseen(self, window: int, days: int) -> None:
        """Give up versions that nobody runs any more."""
        self._versions.forget_unseen(window - days * WINDOWS_PER_DAY)
        self._apps.forget_unseen(window - days * WINDOWS_PER_DAY)

    def snapshot(self, name: str) -> dict[str, pl.DataFrame]:
        """Named frames for a detector's snapshot."""
        waiting = [pl.DataFrame(schema=_WAITING)]
        for window, parts in sorted(self._pending.items()):
            keys = distinct_of(np.concatenate(parts))
            waiting.append(pl.DataFrame({"window": np.full(len(keys), window), "key": keys}, schema=_WAITING))
        frames = {f"{name}.waiting": pl.concat(waiting)}
        return frames | self._versions.snapshot(f"{name}.versions") | self._apps.snapshot(f"{name}.apps")

    def restore(self, name: str, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up what `snapshot` gave; raises `ValueError` where it is not there."""
        if f"{name}.waiting" not in state:
            raise ValueError(f"there is no {name}.waiting")
        parts = state[f"{name}.waiting"].partition_by("window", maintain_order=True)
        self._pending = {int(part["window"][0]): [part["key"].to_numpy().copy()] for part in parts}
        self._versions.restore(f"{name}.versions", state)
        self._apps.restore(f"{name}.apps", state)


_WAITING: Final = pl.Schema({"window": pl.Int64(), "key": pl.UInt64()})
