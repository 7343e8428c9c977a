"""Whole numbers counted for keys, apart for each window of event time, until it has ended: the same however the stream is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

KEY: Final = "key"
"""UInt64: what is counted apart; well mixed, so that the smallest of many are a sample of them."""

GROUP: Final = "group"
"""UInt64: to whom keys belong, an app as a rule; none takes the room of others."""

WINDOW: Final = "window"
"""Int64: which window of event time, counted from 1970."""

SLACK: Final = 4
"""While a window is under way so many times more keys are kept, for what is known by its end takes no room."""

Merging = Literal["sum", "min", "max", "first"]

LOOSE: Final = 65_536
"""Rows that wait beyond twice what there was after the last merging before they are merged again."""

Known = Callable[[npt.NDArray[np.uint64]], npt.NDArray[np.bool_]]


def nothing_known(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """No key has a place already."""
    return np.zeros(len(keys), np.bool_)


@dataclass(frozen=True, slots=True)
class Taken:
    """What was counted in a window, in the order of keys. New keys are left out from `reach` on, a share of all possible keys."""

    frame: pl.DataFrame
    reach: float = 1.0


class Pending:
    """What was counted in windows that have not ended.

    Frames that are added have a row a key and window: `WINDOW`, `KEY`, `GROUP` and the columns of `merging`. In a window
    a group has at most `group_keys_max` keys beside those that are known, and all have `keys_max`; of more, those with the
    smallest keys stay, which does not depend on the order in which they came. What was left out is counted.
    """

    def __init__(
        self,
        merging: Mapping[str, Merging],
        *,
        group_keys_max: int,
        keys_max: int,
        known: Known = nothing_known,
        slack: int = SLACK,
    ) -> None:
        self._merging = dict(merging)
        self._group_keys_max = group_keys_max
        self._keys_max = keys_max
        self._known = known
        self._slack = slack
        self._frames: dict[int, list[pl.DataFrame]] = {}
        self._loose: dict[int, int] = {}
        self.forgotten = 0
        self._left_out: dict[int, int] = {}
        self._nothing = pl.DataFrame(
            schema={KEY: pl.UInt64(), GROUP: pl.UInt64(), **dict.fromkeys(merging, pl.Int64())}
        )

    def add(self, counted: pl.DataFrame) -> None:
        """Take counts of a batch; of windows that have not ended."""
        if not counted.height:
            return
        windows = counted[WINDOW].to_numpy()
        first, last = int(windows.min()), int(windows.max())
        parts = [counted] if first == last else counted.partition_by(WINDOW)
        for part in parts:
            self.park(int(part[WINDOW][0]), part.drop(WINDOW))

    def park(self, window: int, part: pl.DataFrame) -> None:
        """Take counts of one window."""
        frames = self._frames.setdefault(window, [])
        frames.append(part)
        self._loose[window] = self._loose.get(window, 0) + part.height
        if len(frames) > 1 and self._loose[window] > LOOSE + 2 * frames[0].height:
            self._frames[window] = [self._bounded(window, self._merged(frames), self._slack).frame]
            self._loose[window] = 0

    def windows(self, before: int) -> list[int]:
        """Those before one in which something was counted, in order."""
        return sorted(window for window in self._frames if window < before)

    def take(self, window: int) -> pl.DataFrame:
        """What was counted in a window that has ended, in the order of keys; it is forgotten here."""
        return self.taken(window).frame

    def taken(self, window: int) -> Taken:
        """The same, and how far keys were kept."""
        frames = self._frames.pop(window, [])
        self._loose.pop(window, None)
        whole = self._bounded(window, self._merged(frames)) if frames else Taken(self._nothing)
        self.forgotten += self._left_out.pop(window, 0)
        return whole

    def _merged(self, frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
        parts = list(frames)
        if len(parts) == 1:  # of one batch, in which each key stands once
            return parts[0].select(KEY, GROUP, *self._merging).sort(KEY)
        whole = pl.concat(parts)
        return whole.group_by(KEY).agg(pl.col(GROUP).first(), *merged_as(self._merging)).sort(KEY)

    def forget_known(self) -> None:
        """Without the keys that are known by now: for those whose frames only say what is new."""
        for window, frames in list(self._frames.items()):
            left = [frame.filter(~pl.Series(self._known(frame[KEY].to_numpy()))) for frame in frames]
            self._frames[window] = [frame for frame in left if frame.height]
            if not self._frames[window]:
                del self._frames[window], self._loose[window]

    def _bounded(self, window: int, whole: pl.DataFrame, slack: int = 1) -> Taken:
        """Without those for which there is no room. The order of keys is kept."""
        group_keys_max, keys_max = self._group_keys_max * slack, self._keys_max * slack
        if whole.height <= min(group_keys_max, keys_max):
            return Taken(whole)
        keys = whole[KEY].to_numpy()
        if whole.height <= keys_max and whole.group_by(GROUP).len()["len"].to_numpy().max() <= group_keys_max:
            return Taken(whole)
        known = self._known(keys)
        new = whole.select(new=pl.Series(~known), group=pl.col(GROUP))
        place = new.select(place=(pl.col("new").cum_sum() - 1).over("group"))["place"].to_numpy()
        stays = known | (place < group_keys_max)
        room = max(0, keys_max - int(known.sum()))
        newcomers = np.flatnonzero(stays & ~known)
        beyond = newcomers[room:]
        stays[beyond] = False
        left_out = int(len(keys) - stays.sum())
        self._left_out[window] = self._left_out.get(window, 0) + left_out
        reach = float(keys[beyond[0]]) / 2.0**64 if len(beyond) else 1.0
        return Taken(whole.filter(pl.Series(stays)) if left_out else whole, reach)

    def snapshot(self, name: str) -> dict[str, pl.DataFrame]:
        """Named frames for a detector's snapshot."""
        frames = {}
        for window, parts in self._frames.items():
            frames[f"{name}.{window}"] = self._merged(parts)
        counts = {"forgotten": [self.forgotten], "left_out": [sum(self._left_out.values())]}
        return {**frames, f"{name}.counts": pl.DataFrame(counts, schema={key: pl.Int64() for key in counts})}

    def restore(self, name: str, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up what `snapshot` gave under this name; raises `ValueError` where it is not there."""
        if f"{name}.counts" not in state:
            raise ValueError(f"there is no {name}.counts")
        self._frames, self._loose = {}, {}
        for key, frame in state.items():
            own, dot, window = key.rpartition(".")
            if dot and own == name and window.lstrip("-").isdecimal():
                self._frames[int(window)] = [frame]
                self._loose[int(window)] = 0
        self.forgotten = int(state[f"{name}.counts"]["forgotten"][0]) + int(state[f"{name}.counts"]["left_out"][0])
        self._left_out = {}


def merged_as(merging: Mapping[str, Merging]) -> list[pl.Expr]:
    """Columns of several rows of one key as one."""
    return [getattr(pl.col(name), how)() for name, how in merging.items()]
