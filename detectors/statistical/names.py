"""Names that rows of arrays refer to by number: an app, an API, a host, each kept once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

OTHERS: Final = "(others)"
UNNAMED: Final = 0
"""The number of names for which there was no room; their rows say "(others)"."""


class Names:
    """Numbers names from 1 on, in the order in which they are first asked about, at most `names_max` of them."""

    def __init__(self, names_max: int) -> None:
        self._names_max = names_max
        self._numbers: dict[str, int] = {OTHERS: UNNAMED}
        self._names = [OTHERS]
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._names) - 1

    def numbers(self, names: Iterable[str]) -> npt.NDArray[np.int32]:
        """Of each name its number."""
        found = []
        for name in names:
            number = self._numbers.get(name)
            if number is None:
                if len(self._names) > self._names_max:
                    self.forgotten += 1
                    number = UNNAMED
                else:
                    number = self._numbers[name] = len(self._names)
                    self._names.append(name)
            found.append(number)
        return np.array(found, np.int32)

    def known(self, names: Iterable[str]) -> npt.NDArray[np.int32]:
        """The numbers of those names that have one."""
        found = (self._numbers.get(name) for name in names)
        return np.array(sorted(number for number in found if number is not None), np.int32)

    def told(self, numbers: npt.NDArray[np.int32]) -> Sequence[str]:
        """Of each number its name."""
        return [self._names[number] for number in numbers.tolist()]

    def keep(self, used: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Forget names that are not used any more; the new number of each old one."""
        alive = np.zeros(len(self._names), np.bool_)
        alive[used] = True
        alive[UNNAMED] = True
        renumbered = np.where(alive, np.cumsum(alive) - 1, UNNAMED).astype(np.int32)
        self._names = [name for name, stays in zip(self._names, alive.tolist(), strict=True) if stays]
        self._numbers = {name: number for number, name in enumerate(self._names)}
        return renumbered

    def snapshot(self, name: str) -> dict[str, pl.DataFrame]:
        """Named frames for a detector's snapshot."""
        counts = pl.DataFrame({"forgotten": [self.forgotten]})
        return {name: pl.DataFrame({"name": self._names}), f"{name}.counts": counts}

    def restore(self, name: str, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up what `snapshot` gave; raises `ValueError` where it is not there."""
        if name not in state or f"{name}.counts" not in state:
            raise ValueError(f"there is no {name}")
        self._names = state[name]["name"].to_list()
        self._numbers = {each: number for number, each in enumerate(self._names)}
        self.forgotten = int(state[f"{name}.counts"]["forgotten"][0])
