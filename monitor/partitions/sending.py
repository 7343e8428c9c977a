"""Hits on their way from the partitions where they are seen to those where they are counted: what stands in a message, and who sends it.

A turn's hits are sent before the turn is committed. Where it is done again after a crash, by whomever, they come again at the same positions,
and whoever counts drops them: nothing is counted twice, and nothing is lost. Every message tells how far its partition has come,
so that windows close.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol

import msgspec
import numpy as np
import polars as pl

from detectors.sigma.parting import SENT
from monitor.intake.timeline import BEGINNING

MESSAGE_BYTES_MAX: Final = 900_000
"""Of a message; below what brokers take by default."""

ROWS_MAX: Final = 5_000
"""Hits in a message."""

QUIET_S: Final = 0.2
"""How often a partition in which nothing happens tells how far it has come."""

TOLD_S: Final = 0.05
"""How often one whose turns have no hits does."""


class Hits(msgspec.Struct, frozen=True, kw_only=True):
    """Hits of one partition that a detector sends, as a message; of another installation they are not counted. All that are before `end` are in it or came before it; times are microseconds.

    `watermark` is how far event time has come there; all that was in the partition at `as_of`, of the record's clock, had been taken (0: nobody knows).
    """

    installation: str
    origin: str
    origins: int  # partitions that there are
    end: int
    watermark: int
    as_of: int
    detector: str = ""
    rows: bytes = b""  # `SENT`, as a stream in Arrow's format; nothing where there is none


class Writer(Protocol):
    """Writes to the topic of hits."""

    @property
    def partitions(self) -> int: ...

    def write(self, partition: int, message: bytes) -> None: ...

    def flush(self) -> None:
        """Wait until all is taken; raises `SourceError` that can be retried."""
        ...


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Hits)


def decoded(line: bytes) -> Hits:
    """A message; raises `msgspec.MsgspecError`, or `ValueError` where no partition can have sent it."""
    told = _decoder.decode(line)
    number_of(told.origin)
    return told


def number_of(origin: str) -> int:
    """Of a partition among those of its topic; raises `ValueError`."""
    return int(origin.rpartition("/")[2])


def rows_of(hits: Hits) -> pl.DataFrame:
    """What a message holds, as `SENT`; raises `ValueError` where it is something else."""
    if not hits.rows:
        return SENT.to_frame()
    try:
        frame = pl.read_ipc_stream(io.BytesIO(hits.rows))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise ValueError(f"its hits cannot be read ({error})") from error
    if frame.schema != SENT:
        raise ValueError(f"its hits have the columns {', '.join(frame.columns)}")
    return frame


class Sender:
    """Sends what one partition's stream has seen. `origins` says how many partitions there are by now; `retried` does again what
    fails for a while.
    """

    def __init__(
        self,
        writer: Writer,
        installation: str,
        origin: str,
        origins: Callable[[], int],
        retried: Callable[[Callable[[], Any]], Any],
    ) -> None:
        self._installation = installation
        self.writer: Final = writer
        self._origin = origin
        self._origins = origins
        self._retried = retried
        self._told_at: dict[int, float] = {}
        self.too_large = 0
        """Hits that no message could hold; they are not counted by windows."""

    def send(self, sent: Mapping[str, pl.DataFrame], end: int, watermark: int, as_of: int) -> None:
        """Send a turn's hits, by detector, and tell how far it comes; everything is taken when it returns."""
        self._retried(lambda: self._send(sent, end, watermark, as_of))

    def _send(self, sent: Mapping[str, pl.DataFrame], end: int, watermark: int, as_of: int) -> None:
        if self.write(sent, end, watermark, as_of):
            self.writer.flush()

    def write(self, sent: Mapping[str, pl.DataFrame], end: int, watermark: int, as_of: int) -> bool:
        """Have it on its way, for others to wait until it is taken (`writer.flush`), and all of it to be written again where that fails;
        whether anything is.
        """
        now = time.monotonic()
        wrote = False
        apart = {detector: self._apart(hits) for detector, hits in sent.items() if hits.height}
        for partition in range(self.writer.partitions):
            told = [
                message
                for detector, parts in apart.items()
                if partition in parts
                for message in self._messages(detector, parts[partition])
            ]
            if not told and now - self._told_at.get(partition, 0.0) < TOLD_S:
                continue
            last = Hits(
                installation=self._installation,
                origin=self._origin,
                origins=self._origins(),
                end=end,
                watermark=watermark,
                as_of=as_of,
            )
            for message in (*told, last):
                self.writer.write(partition, _encoder.encode(message) + b"\n")
            self._told_at[partition] = now
            wrote = True
        return wrote

    def _apart(self, hits: pl.DataFrame) -> dict[int, pl.DataFrame]:
        """Hits by the partition in which they are counted."""
        places = hits.get_column("route").to_numpy() % self.writer.partitions
        return {int(place): hits[np.flatnonzero(places == place)] for place in np.unique(places)}

    def _messages(self, detector: str, hits: pl.DataFrame) -> Iterator[Hits]:
        """Hits in messages of a bounded size; those of one position stay together, for that is how they are known again.

        Where those of one position are more than a message holds they are not sent, and counted.
        """
        if not hits.height:
            return
        positions = hits.get_column("position").to_numpy()
        message = self._message(detector, hits, int(positions[-1]) + 1)
        if hits.height <= ROWS_MAX and len(message.rows) * 4 // 3 <= MESSAGE_BYTES_MAX:
            yield message
            return
        middle = int(np.searchsorted(positions, positions[len(positions) // 2]))
        middle = middle or int(np.searchsorted(positions, positions[0], side="right"))
        if middle < hits.height:
            yield from self._messages(detector, hits[:middle])
            yield from self._messages(detector, hits[middle:])
        else:
            self.too_large += hits.height

    def _message(self, detector: str, part: pl.DataFrame, end: int) -> Hits:
        raw = io.BytesIO()
        part.write_ipc_stream(raw, compression="lz4")
        return Hits(
            installation=self._installation,
            origin=self._origin,
            origins=self._origins(),
            end=end,
            watermark=BEGINNING,
            as_of=0,
            detector=detector,
            rows=raw.getvalue(),
        )
