"""The groups that remember very many events, each by itself, beside the others that are looked through together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors.finding import EVIDENCE_IDS_MAX
from detectors.sigma.crossings import Crossing
from detectors.sigma.long import Long
from detectors.sigma.reckoning import AlikeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from detectors.sigma.rule import Rule, Window

EVENTS_MIN: Final = 1_024
"""A group that remembers more events is set apart; with a quarter of that it goes back."""

Place = tuple[int, int]
"""Which window, and the hash of its group's key."""


class Longs:
    """All groups that are set apart. What one call of `begin` and the next changed can be undone."""

    def __init__(self, windows: Sequence[tuple[Rule, Window]]) -> None:
        self._windows = windows
        self._longs: dict[Place, Long] = {}
        self._before: dict[Place, tuple[pl.DataFrame, ...]] = {}  # what those that have changed were
        self._made: set[Place] = set()

    def __len__(self) -> int:
        return sum(map(len, self._longs.values()))

    @property
    def parts(self) -> list[pl.DataFrame]:
        """All that they remember, each group's events in order."""
        return [part for long in self._longs.values() for part in long.parts]

    def begin(self) -> None:
        self._before.clear()
        self._made.clear()

    def undo(self) -> list[pl.DataFrame]:
        """What is remembered elsewhere from now on: groups that have changed are apart no longer, and as they were."""
        for place in {*self._before, *self._made}:
            self._longs.pop(place, None)
        return [part for place, parts in self._before.items() if place not in self._made for part in parts]

    def set_apart(self, past: pl.DataFrame) -> pl.DataFrame:
        """Of groups and their events so far, which are too many to be looked through again and again.

        Raises `AlikeError`, with none set apart, where what differs looks alike.
        """
        if past.height <= EVENTS_MIN:
            return past.clear().select("code", "group")
        counts = past.group_by("code", "group").agg(pl.len().alias("rows"), pl.col("key").n_unique().alias("keys"))
        many = counts.filter((pl.col("rows") > EVENTS_MIN) & (pl.col("keys") == 1)).select("code", "group")
        apart = past.join(many, on=["code", "group"], how="semi", maintain_order="left")
        made: dict[Place, Long] = {}
        for rows in apart.partition_by("code", "group", maintain_order=True):
            place = int(rows["code"][0]), int(rows["group"][0])
            made[place] = Long(self._windows[place[0]][1], rows["key"][0], rows)
        self._longs |= made
        self._made |= made.keys()
        return many

    def take(self, ready: pl.DataFrame) -> tuple[pl.DataFrame, list[Crossing], list[pl.DataFrame]]:
        """Events of other groups than these, what windows of these fire, and what is to be remembered elsewhere from now on.

        Raises `AlikeError`, with nothing taken, where what differs looks alike.
        """
        groups = ready.get_column("group").to_numpy()
        is_here = np.isin(groups, np.array([group for _, group in self._longs], dtype=np.uint64))
        if not is_here.any():
            return ready, [], []
        code = ready.get_column("code").to_numpy()
        starts = np.flatnonzero((np.diff(code, prepend=-1) != 0) | (np.diff(groups, prepend=groups[:1] ^ 1) != 0))
        ends = np.append(starts[1:], len(code))
        found: list[tuple[Place, int, int]] = []
        for begin, end in zip(starts[is_here[starts]].tolist(), ends[is_here[starts]].tolist(), strict=True):
            place = int(code[begin]), int(groups[begin])
            if place in self._longs:
                found.append((place, begin, end))
        crossings: list[Crossing] = []
        rest = np.ones(len(code), dtype=np.bool_)
        before = {place: self._longs[place].parts for place, _, _ in found}
        try:
            for place, begin, end in found:
                crossings += self._crossings(place, ready[begin:end])
                rest[begin:end] = False
        except AlikeError:
            for place, parts in before.items():
                self._longs[place].parts = parts
            raise
        for place, parts in before.items():
            self._before.setdefault(place, parts)
        few = [place for place in before if len(self._longs[place]) * 4 < EVENTS_MIN]
        back = [part for place in few for part in self._longs.pop(place).parts]
        return ready.filter(pl.Series(rest)), crossings, back

    def forget_before(self, reach: Sequence[int]) -> None:
        """Drop groups of which no event is after the time that their window reaches back to."""
        for place, long in [*self._longs.items()]:
            if long.last_time <= reach[place[0]]:
                self._before.setdefault(place, long.parts)
                del self._longs[place]

    def dissolve(self) -> list[pl.DataFrame]:
        """What they remember, to be remembered elsewhere from now on."""
        parts = self.parts
        for place, long in self._longs.items():
            self._before.setdefault(place, long.parts)
        self._longs.clear()
        return parts

    def _crossings(self, place: Place, fresh: pl.DataFrame) -> Iterator[Crossing]:
        long = self._longs[place]
        if (fresh.get_column("key") != long.key).any():
            raise AlikeError
        rule = self._windows[place[0]][0]
        measured, sizes = long.take(fresh)
        held_before = np.append(long.held, measured.now[:-1])
        long.add(fresh.with_columns(held=pl.Series(measured.now)))
        for at in np.flatnonzero(measured.now & ~(held_before & measured.earlier)).tolist():
            inside = int(sizes[at])
            first = long.stretch(fresh.height - at - 1 + inside, min(inside, EVIDENCE_IDS_MAX))
            yield Crossing.at(rule, fresh.row(at, named=True), first, inside, float(measured.holds[at]))
        long.cut()
