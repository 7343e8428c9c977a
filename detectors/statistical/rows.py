"""Where keys have their rows in arrays: found by searching, given to newcomers, taken back from those that nobody has seen for long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

Keys = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Array = npt.NDArray[Any]

NOWHERE: Final = -1
"""The row of a key that has none."""

ROWS_FIRST: Final = 1_024

SPARED: Final = 288
"""Windows (a day) for which a key that was seen is not given up for a newcomer, if it has been there for as long."""

FAR: Final = 65_536
"""Among more keys than so many others are looked for in their order."""

AT_ONCE: Final = 16
"""A sixteenth of the rows is freed at once where room is wanted."""


class Rows:
    """Arrays with a row a key. All arrays grow together, in powers of two, up to `rows_max`.

    `fields` are their types and, for those that have several values a row, how many. ``first`` and ``last`` (Int32: the windows in
    which a key was first and last seen) are always there.
    """

    def __init__(self, fields: Mapping[str, tuple[npt.DTypeLike, int]], rows_max: int) -> None:
        self._fields = {**fields, "first": (np.int32, 1), "last": (np.int32, 1)}
        self.rows_max = rows_max
        self._keys = np.empty(0, np.uint64)  # in order
        self._places = np.empty(0, np.int32)  # of those
        self._free = np.empty(0, np.int64)
        self._size = 0
        self.forgotten = 0
        self.refused = 0
        self._arrays = {name: self._array(name, 0) for name in self._fields}

    def _array(self, name: str, rows: int) -> Array:
        dtype, width = self._fields[name]
        return np.zeros(rows if width == 1 else (rows, width), dtype)

    def __getitem__(self, name: str) -> Array:
        """One of the arrays, as it is: changed in place."""
        return self._arrays[name]

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def bytes(self) -> int:
        """What the arrays and the index take."""
        return sum(array.nbytes for array in self._arrays.values()) + self._keys.nbytes + self._places.nbytes

    @property
    def places(self) -> Places:
        """The rows in use, in the order of their keys."""
        return self._places.astype(np.int64)

    @property
    def keys(self) -> Keys:
        """The keys that have rows, in order."""
        return self._keys

    def find(self, keys: Keys) -> Places:
        """The rows of keys; `NOWHERE` for those that have none."""
        if not len(self._keys):
            return np.full(len(keys), NOWHERE, np.int64)
        if len(self._keys) > FAR and not (keys[1:] >= keys[:-1]).all():
            order = np.argsort(keys)  # far apart in memory: going along them is several times as fast
            at = np.empty(len(keys), np.int64)
            at[order] = np.searchsorted(self._keys, keys[order])
        else:
            at = np.searchsorted(self._keys, keys)
        at[at == len(self._keys)] = 0
        return np.where(self._keys[at] == keys, self._places[at], np.int64(NOWHERE))

    def knows(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Which keys have rows."""
        known: npt.NDArray[np.bool_] = self.find(keys) != NOWHERE
        return known

    def seen(self, keys: Keys, window: int) -> tuple[Places, npt.NDArray[np.bool_]]:
        """The rows of keys, each once, that were seen in a window, newcomers' included; and which are newcomers'.

        Where no row is to be had a key stays `NOWHERE`, and is counted in `refused`.
        """
        places = self.find(keys)
        new = places == NOWHERE
        at = np.flatnonzero(new)
        if len(at):
            at = at[np.argsort(keys[at])]
            room = self.rows_max - len(self._keys) >= len(at)
            given = self._given(len(at), window)
            self.refused += len(at) - len(given)
            wanted = keys[at[: len(given)]]
            for name in self._fields:
                self._arrays[name][given] = 0
            self["first"][given] = window
            among = np.searchsorted(self._keys, wanted)
            self._keys = np.insert(self._keys, among, wanted)
            self._places = np.insert(self._places, among, given)
            if room:
                places[at] = given
            else:  # some that were known may have been given up
                places = self.find(keys)
                new &= places != NOWHERE
        self["last"][places[places != NOWHERE]] = window
        return places, new

    def _given(self, count: int, window: int) -> Places:
        """So many free rows, or as many as there can be."""
        room = self.rows_max - len(self._keys)
        if count > room:
            self._make_room(count - room, window)
            count = min(count, self.rows_max - len(self._keys))
        missing = count - len(self._free)
        if missing > 0:
            self._grow(self._size + missing)
        given, self._free = self._free[:count], self._free[count:]
        return given

    def _grow(self, rows: int) -> None:
        size = max(ROWS_FIRST, self._size)
        while size < rows:
            size *= 2
        size = min(size, max(rows, self.rows_max))
        for name, array in self._arrays.items():
            grown = self._array(name, size)
            grown[: len(array)] = array
            self._arrays[name] = grown
        self._free = np.concatenate([self._free, np.arange(self._size, size)])
        self._size = size

    def _make_room(self, count: int, window: int) -> None:
        """Give up those that have not been there for a day, then those not seen for one; the longest unseen first."""
        last, first = self["last"][self._places], self["first"][self._places]
        young = last - first < SPARED
        fit = young | (window - last >= SPARED)
        fit &= last < window  # those of this very window are as new as who wants the room
        fit_at = np.flatnonzero(fit)
        turn = ~young[fit_at] * np.int64(2**32) + last[fit_at]
        order = fit_at[np.argsort(turn, kind="stable")]  # then by their keys
        self._give_up(np.sort(order[: max(count, self.rows_max // AT_ONCE)]))

    def forget_unseen(self, before: int) -> None:
        """Give up the rows of keys that were last seen before a window."""
        self._give_up(np.flatnonzero(self["last"][self._places] < before))

    def _give_up(self, at: Places) -> None:
        if len(at):
            self._free = np.sort(np.concatenate([self._free, self._places[at]]))
            self._keys, self._places = np.delete(self._keys, at), np.delete(self._places, at)
            self.forgotten += len(at)

    def snapshot(self, name: str) -> dict[str, pl.DataFrame]:
        """Named frames for a detector's snapshot: a row a key, in the order of keys."""
        columns = {"key": pl.Series(self._keys, dtype=pl.UInt64), "place": pl.Series(self.places)}
        for field, array in self._arrays.items():
            values = array[self._places]
            columns[field] = pl.Series(values) if values.ndim == 1 else pl.Series(values, dtype=pl.Array(pl.Series(values[:0].ravel()).dtype, values.shape[1]))  # fmt: skip
        counts = {"forgotten": [self.forgotten], "refused": [self.refused], "size": [self._size]}
        return {name: pl.DataFrame(columns), f"{name}.kept": pl.DataFrame(counts)}

    def restore(self, name: str, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up what `snapshot` gave under this name; raises `ValueError` where it is not of this kind."""
        if name not in state or f"{name}.kept" not in state:
            raise ValueError(f"there is no {name}")
        frame, kept = state[name], state[f"{name}.kept"]
        if set(frame.columns) != {"key", "place", *self._fields}:
            raise ValueError(f"{name} has columns {', '.join(frame.columns)}")
        self._keys = frame["key"].to_numpy().copy()
        self._places = frame["place"].to_numpy().astype(np.int32)
        self._size = int(kept["size"][0])
        self.forgotten, self.refused = int(kept["forgotten"][0]), int(kept["refused"][0])
        used = np.zeros(self._size, np.bool_)
        used[self._places] = True
        self._free = np.flatnonzero(~used)
        for field in self._fields:
            array = self._array(field, self._size)
            if len(self._places):
                array[self._places] = frame[field].to_numpy()
            self._arrays[field] = array
