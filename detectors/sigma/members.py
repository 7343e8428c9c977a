"""The values inside of a column of arguments: by the kernel where they are plain, otherwise by Python; both find the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from detectors import kernel
from detectors.sigma.arguments import Arguments
from detectors.sigma.distinct import texts_of, views_of

if TYPE_CHECKING:
    from collections.abc import Iterable


class Members:
    """Texts of arguments as columns of what stands inside of them (`detectors.sigma.arguments`)."""

    def __init__(self, texts: pl.Series, keys: Iterable[str]) -> None:
        """`keys` are those that will be asked for."""
        self._texts = texts
        self._keys = frozenset(keys)
        self._plain: dict[str, Any] = {}
        self._odd = pl.Series(dtype=pl.UInt32)
        self._of_odd: Arguments | None = None
        self._of_all: Arguments | None = None
        views = views_of(texts) if kernel.available() else None
        if views is not None:
            names = sorted(self._keys - _outer(self._keys))
            found, odd = kernel.module.Members([name.encode() for name in names]).read(*views)
            self._plain = dict(zip(names, found, strict=True))
            self._odd = pl.Series(np.frombuffer(odd, np.uint32))

    def at(self, path: str) -> pl.Series:
        """What stands at a dotted path in each text, as text (`Arguments.at`)."""
        if path not in self._plain:
            if self._of_all is None:
                self._of_all = Arguments(self._texts.to_list(), self._keys)
            return pl.Series(path, self._of_all.at(path), dtype=pl.String)
        column, rows = self._plain[path], len(self._texts)
        plain = (
            texts_of(column, rows) if column is not None else pl.Series([None], dtype=pl.String).new_from_index(0, rows)
        )
        if len(self._odd):
            if self._of_odd is None:
                self._of_odd = Arguments(self._texts[self._odd].to_list(), self._keys)
            plain = plain.scatter(self._odd, pl.Series(self._of_odd.at(path), dtype=pl.String))
        return plain.alias(path)


def _outer(keys: frozenset[str]) -> frozenset[str]:
    """Keys that some path goes through, and such paths: what stands at the former is read whole, so Python does it."""
    dotted = {key for key in keys if "." in key}
    return frozenset(dotted | {key.partition(".")[0] for key in dotted})
