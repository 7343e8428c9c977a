"""Surroundings of many streams, put together from what these tell: at every moment those that one process would have which saw all."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec
import polars as pl

from monitor.surroundings import Surroundings
from monitor.surroundings.activity import WAITING as ACTIVITY_WAITING
from monitor.surroundings.activity import Activity
from monitor.surroundings.neighbours import WAITING as NEIGHBOURS_WAITING
from monitor.surroundings.neighbours import Neighbours
from monitor.surroundings.news import unpacked
from monitor.surroundings.telling import Told, in_bytes, in_frames

WAITING: Final = {ACTIVITY_WAITING, NEIGHBOURS_WAITING}

WAITING_MAX: Final = 1 << 25
"""Marks that wait for a stream that is far behind the others; beyond that all are taken up, and who came later may count for what was earlier."""


class Kept(msgspec.Struct, frozen=True):
    """What is put together, for whoever takes over, and up to which turn of each stream it is."""

    turns: Mapping[str, int]
    frames: Mapping[str, bytes]


_encoder: Final = msgspec.msgpack.Encoder()
_told: Final = msgspec.msgpack.Decoder(Told)
_kept: Final = msgspec.msgpack.Decoder(Kept)


@dataclass(slots=True)
class _Heard:
    """Of one stream: the last turn that was heard of, and those of which something waits, with the last moment in each."""

    turn: int
    open: deque[tuple[int, int]] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class Gathered(Surroundings):
    """Hears what streams tell, a turn at a time, and takes it up as moments pass in all of them."""

    streams: dict[str, _Heard] = field(default_factory=dict)

    @property
    def heard(self) -> dict[str, int]:
        """The last turn of each stream that was heard of."""
        return {name: one.turn for name, one in self.streams.items()}

    def hear(self, stream: str, turn: int, body: bytes) -> None:
        """What a turn has told. Raises `ValueError` where that is nothing of the kind."""
        told = _told.decode(body)
        neighbours, activity = unpacked(told.neighbours), unpacked(told.activity)
        if told.whole:
            self._merge(in_frames(told.whole))
        self.neighbours.hear(neighbours)
        self.activity.hear(activity)
        self.reach(stream, turn)
        moments = [int(part.moments[-1]) for part in (neighbours, activity) if part is not None]
        if moments:
            self.streams[stream].open.append((turn, max(moments)))
        if self.neighbours.waiting.marks + self.activity.waiting.marks > WAITING_MAX:
            self.settle(None)

    def reach(self, stream: str, turn: int) -> None:
        """There is nothing of a stream up to a turn that was not heard."""
        one = self.streams.setdefault(stream, _Heard(turn))
        one.turn = max(one.turn, turn)

    def _merge(self, state: Mapping[str, pl.DataFrame]) -> None:
        activity, neighbours = Activity(self.activity.reach_s), Neighbours()
        activity.restore(state)
        neighbours.restore(state)
        self.activity.merge(activity)
        self.neighbours.merge(neighbours)

    def all_have_told(self, moment: int) -> None:
        """All streams have told what came before a moment: who was active is known up to there. Who stood behind an address is still asked of
        earlier moments.
        """
        self.activity.settle(moment)

    def settle(self, moment: int | None) -> None:
        """Nothing is asked any more of what was before a moment, and all have told that; None: take up all, whoever else may still tell."""
        self.neighbours.settle(moment)
        self.activity.settle(moment)
        for one in self.streams.values():
            while one.open and (moment is None or one.open[0][1] < moment):
                one.open.popleft()

    def kept(self) -> tuple[bytes, dict[str, int]]:
        """What was taken up, for whoever takes over, and the turn up to which it holds all that a stream has told."""
        turns = {name: one.open[0][0] - 1 if one.open else one.turn for name, one in self.streams.items()}
        state = {**self.activity.snapshot(), **self.neighbours.snapshot()}
        frames = in_bytes({name: frame for name, frame in state.items() if name not in WAITING})
        return _encoder.encode(Kept(turns, frames)), turns

    def begin(self, kept: bytes | None) -> None:
        """Take up what another has kept in place of all; where there is nothing, begin with nothing. Raises `ValueError` where it is spoilt."""
        found = Kept({}, {}) if kept is None else _kept.decode(kept)
        self.restore(in_frames(found.frames))
        self.streams.clear()
        self.streams.update({name: _Heard(turn) for name, turn in found.turns.items()})
