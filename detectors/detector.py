"""What every detector is: it says which fields it needs, looks at batches, and can be stopped and resumed anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import polars as pl

from detectors.event import Batch
from detectors.finding import Sighting

State = Mapping[str, pl.DataFrame]
"""A detector's memory as named frames: what a snapshot stores."""


class Detector(Protocol):
    """Code that watches.

    `observe` is called with every batch, in order, and must give the same sightings in all however the stream is cut.
    It never reads the clock: time is in the batch. It never keeps a reference to the batch. Its memory has a bound with
    a name; what it had to forget is counted in `forgotten`. `restore(snapshot())` anywhere equals never having stopped.
    """

    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> frozenset[str]:
        """Dotted names of the fields that must be columns of every batch."""
        ...

    @property
    def forgotten(self) -> int:
        """How many remembered things were given up because the bound was met."""
        ...

    def observe(self, batch: Batch) -> list[Sighting]:
        """What this batch shows. Rows labelled duplicate are not in the batch; late rows are, with ``_late`` true.

        One that raises has taken nothing of the batch: it remembers what it did before.
        """
        ...

    def snapshot(self) -> State: ...

    def restore(self, state: State) -> None:
        """Take up a snapshot's memory; raises `ValueError` when it is not one of this detector's."""
        ...


@runtime_checkable
class HoldsBack(Protocol):
    """A detector that does not tell all that it finds: no more than is afforded, and nothing where the world has changed."""

    @property
    def held_back(self) -> int:
        """How many findings were not told."""
        ...
