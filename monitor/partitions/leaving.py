"""Commits a turn whose findings others answer: what is new is left in the record, each finding with its place in the order of all streams.

That order is (arrival clock at the event with which the finding became known, id): it depends on what the logs hold, not on who reads
them when, nor on how they are cut into turns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import polars as pl

from detectors.finding import Finding, Sighting
from monitor.intake.timeline import BEGINNING
from monitor.stores import Fence, Store, Turn
from monitor.surroundings import SHARED
from monitor.surroundings.telling import Telling
from playbooks.surroundings import Active, Behind

LEFT_BYTES_MAX: Final = 64 << 20
"""Of what one turn leaves, as it is read again."""

CLOCKS_US: Final = 50_000
"""By how much the clock of the log may be behind the record's, so that an event appears which arrived before its log was read out."""

KNOWN_MAX: Final = 200_000
"""Findings of a stream that are remembered as left already, the latest; one that comes again after more is left again, and
whoever answers knows it.
"""


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """A finding that waits to be answered: its place in the order, and who was about when it was made, as far as its stream alone knew.

    Where the stream `tells` who comes by, whoever answers knows that better from all of them.
    """

    order: int
    finding: Finding
    active: Active
    behind: Behind | None = None
    tells: bool = False

    @property
    def key(self) -> tuple[int, str]:
        return self.order, self.finding.id


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(tuple[Left, ...])


def left_in(body: bytes) -> Sequence[Left]:
    """What a turn has left."""
    return _decoder.decode(body)


class TurnLeaver:
    """Stands where `TurnCommitter` does, for a stream whose findings others answer. `fence` is the stream's.

    `is_read_out` says whether nothing more is there to be read: then nothing is left untold. `read_out` is a moment of the record's clock
    such that all that was in the log then has been taken: nothing of before is left untold.
    """

    def __init__(
        self,
        store: Store,
        stream: str,
        fence: Fence,
        retried: Callable[[Callable[[], Any]], Any],
        around: Telling,
        is_read_out: Callable[[], bool],
        read_out: Callable[[], int] = lambda: 0,
    ) -> None:
        self._store = store
        self._stream = stream
        self._fence = fence
        self._retried = retried
        self._around = around
        self._is_read_out = is_read_out
        self._read_out = read_out
        self._known: dict[str, None] = {}

    def told(self, sightings: Sequence[Sighting]) -> tuple[list[Finding], list[Finding]]:
        """What is written down of all that was seen; and which of it this stream has not left before.

        What it has left is in the record; of the rest the record is asked, for it may have come before this stream was another's.
        """
        whole = {one.finding.id for one in sightings if not one.is_part}
        stored = whole & self._known.keys()
        if others := whole - stored:
            stored |= self._retried(lambda: self._store.known_findings(others))
        findings = [one.finding for one in sightings if one.is_part or one.finding.id not in stored]
        return findings, self.remember(sightings)

    def remember(self, sightings: Sequence[Sighting]) -> list[Finding]:
        """Take note of findings; those that are new."""
        fresh = []
        for sighting in sightings:
            key = sighting.finding.id
            if key not in self._known:
                fresh.append(sighting.finding)
            self._known.pop(key, None)
            self._known[key] = None
        while len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]
        return fresh

    def commit(self, turn: Turn, fresh: Sequence[Finding], orders: Mapping[str, int]) -> Turn:
        """Commit the turn with what it leaves and tells; `orders` are places by the finding's id."""
        whole = self.whole(turn, fresh, orders)
        self._retried(lambda: self._store.commit(whole))
        self.committed(whole)
        return whole

    def whole(self, turn: Turn, fresh: Sequence[Finding], orders: Mapping[str, int]) -> Turn:
        """The turn with what it leaves and tells, for somebody else to commit and say so (`committed`)."""
        left = tuple(self._left(finding, orders[finding.id]) for finding in fresh)
        body = _encoder.encode(left) if left else b""
        watermark = turn.mark.watermark if turn.mark is not None else BEGINNING
        read_out = self._read_out()
        passed = max(watermark, read_out - CLOCKS_US - self._around.lateness)
        news = self._around.news(passed, all_of_it=self._is_read_out())
        return msgspec.structs.replace(
            turn, stream=self._stream, fence=self._fence, read_out=read_out, detected=body, told=news
        )

    def committed(self, turn: Turn) -> None:
        """A turn that was made whole here is in the record."""
        if turn.told:
            self._around.was_told()

    def _left(self, finding: Finding, order: int) -> Left:
        shared = self._around.neighbours.behind(finding.entity) if finding.entity.scope in SHARED else None
        active = self._around.activity.at(finding.time)
        return Left(order=order, finding=finding, active=active, behind=shared, tells=True)

    def snapshot(self) -> dict[str, pl.DataFrame]:
        return {"left": pl.DataFrame({"finding": list(self._known)}, schema={"finding": pl.String()})}

    def restore(self, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up a snapshot."""
        if "left" in state:
            self._known = dict.fromkeys(state["left"]["finding"].to_list())
