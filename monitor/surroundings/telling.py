"""Surroundings of one of several streams: what is new in them is told, so that whoever answers for all streams knows those of all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Final

import msgspec
import polars as pl

from monitor.surroundings import Surroundings
from monitor.surroundings.activity import WAITING as ACTIVITY_WAITING
from monitor.surroundings.activity import Activity
from monitor.surroundings.neighbours import WAITING as NEIGHBOURS_WAITING
from monitor.surroundings.neighbours import Neighbours
from monitor.surroundings.news import Marks, moment_of, packed
from monitor.surroundings.passers import passers

UNTOLD_MAX: Final = 1 << 20
"""Marks that wait to be told, each of four bytes; where a log is read again from long ago there are more, and the memory is told whole."""


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a turn tells of its stream's surroundings. With `whole` (frames of a snapshot) that is all that was known then, whenever it came."""

    neighbours: Marks = Marks()
    activity: Marks = Marks()
    whole: Mapping[str, bytes] = {}


_encoder: Final = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class Telling(Surroundings):
    """Remembers who comes by until it is told. `is_whole` holds something while the whole memory has to be told."""

    is_whole: list[bool] = field(default_factory=list)

    def observe(self, frame: pl.DataFrame) -> None:
        """Remember who comes by in these events, each for the first time."""
        if not frame.height:
            return
        seen = passers(frame)
        self.activity.observe(seen)
        self.neighbours.observe(seen)
        if self.neighbours.waiting.marks + self.activity.waiting.marks > UNTOLD_MAX:
            self._drop()
            self.is_whole.append(True)

    @property
    def has_news(self) -> bool:
        """Whether something was not told yet."""
        return bool(self.is_whole) or self.neighbours.waiting.has() or self.activity.waiting.has()

    def news(self, watermark: int, *, all_of_it: bool) -> bytes:
        """What is to be told with a turn that comes so far: all that is new once a moment has passed in which something was.

        Whoever asks later asks of earlier moments only. With `all_of_it` nothing is left.
        """
        moment = None if all_of_it else moment_of(watermark)
        waiting = self.neighbours.waiting, self.activity.waiting
        if self.is_whole:
            self._drop()
            state = {**self.activity.snapshot(), **self.neighbours.snapshot()}
            return _encoder.encode(Told(whole=in_bytes(state)))
        if not any(one.has(moment) for one in waiting):
            return b""
        told = [packed(one.all()) for one in waiting]
        return _encoder.encode(Told(neighbours=told[0], activity=told[1]))

    def was_told(self) -> None:
        """What was given as news has been written down."""
        self.is_whole.clear()
        self._drop()

    def _drop(self) -> None:
        """Take up what waits; it waits no more to be told."""
        self.neighbours.settle()
        self.activity.waiting.take()

    def restore(self, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up a snapshot; one of a version of the program that told nothing has still to be told."""
        Surroundings.restore(self, state)
        self.is_whole.clear()
        if "neighbours" in state and not {NEIGHBOURS_WAITING, ACTIVITY_WAITING} <= state.keys():
            self.is_whole.append(True)


def telling(around: Surroundings) -> Telling:
    """Surroundings like these that tell; both have one condition."""
    return Telling(Activity(around.activity.reach_s, tells=True), Neighbours(), around.condition, around.lateness)


def in_bytes(state: Mapping[str, pl.DataFrame]) -> dict[str, bytes]:
    """Frames of a snapshot, packed."""
    found = {}
    for name, frame in state.items():
        buffer = BytesIO()
        frame.write_ipc(buffer, compression="zstd")
        found[name] = buffer.getvalue()
    return found


def in_frames(packed: Mapping[str, bytes]) -> dict[str, pl.DataFrame]:
    """What was packed. Raises what Polars does where it is no such thing."""
    return {name: pl.read_ipc(BytesIO(body)) for name, body in packed.items()}
