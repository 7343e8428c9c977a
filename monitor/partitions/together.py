"""Turns of several streams taken together: what is the same for all is done once, and all are committed in one transaction.

A turn has its price whatever it holds, and a worker that gave each of its partitions one after the other would come round to each
seldom. So the rules are asked once about the events of all, hits are waited for once, and so is the record; events are written down
while rules are asked. What each stream remembers, and its turn, are its own: they are what they would be alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import accumulate, pairwise
from typing import Final

import polars as pl

from detectors.event import Batch
from detectors.sigma import SigmaDetector
from detectors.sigma.found import Found
from monitor.containment import FAULTS
from monitor.partitions.pipeline import PartitionPipeline
from monitor.stores import Fenced, Segment
from monitor.stores.record import Record
from monitor.stream.own_refusals import without_refusals
from monitor.stream.seen import Labelled, Made, Seen
from monitor.stream.watching import TooManyOverlooked

ARCHIVED_AT_ONCE: Final = 4
"""Turns whose events are written down at the same time: the disk is waited for, for the most part."""


class Together:
    """Takes turns of a worker's streams in one thread. Raises what cannot be retried."""

    def __init__(self, store: Record) -> None:
        self._store = store
        self.sends = False
        """Whether the last turns have sent hits, or told those who count them how far they are."""
        self._archiving = ThreadPoolExecutor(ARCHIVED_AT_ONCE, thread_name_prefix="archive")

    def close(self) -> None:
        """No turn comes any more."""
        self._archiving.shutdown()

    def turn(self, begun: Mapping[PartitionPipeline, Labelled | Made]) -> Mapping[PartitionPipeline, Fenced]:
        """A turn of each of these, which have begun; those that are another's by now, of which nothing is in the record."""
        taken = {stream: what for stream, what in begun.items() if isinstance(what, Labelled)}
        written = {stream: self._archiving.submit(stream.archived, what) for stream, what in taken.items()}
        try:
            seen = _seen(taken)
            self.sends = _send(seen)
        finally:
            segments = {stream: _done(future) for stream, future in written.items()}
        made = {stream: what for stream, what in begun.items() if isinstance(what, Made)}
        made |= {stream: stream.made(what, seen[stream], segments[stream].result()) for stream, what in taken.items()}
        return self._commit(made)

    def _commit(self, made: dict[PartitionPipeline, Made]) -> Mapping[PartitionPipeline, Fenced]:
        lost: dict[PartitionPipeline, Fenced] = {}
        while made:
            turns = [one.turn for one in made.values()]
            try:
                next(iter(made)).retried(partial(self._store.commit_together, turns))
            except Fenced as error:
                stream = next(stream for stream in made if stream.fence == error.fence)
                lost[stream] = error
                del made[stream]
                continue
            break
        for stream, one in made.items():
            stream.committed(one)
        return lost


def _done(future: Future[Sequence[Segment]]) -> Future[Sequence[Segment]]:
    """Waited for, whatever came of it: nothing goes on behind the back of whoever is told of a failure."""
    future.exception()
    return future


def _seen(taken: Mapping[PartitionPipeline, Labelled]) -> dict[PartitionPipeline, Seen]:
    """What detectors see in the events of each, with the rules asked once about those of all that are under the same."""
    alike: dict[str, list[PartitionPipeline]] = {}
    for stream in taken:
        alike.setdefault(stream.lineup.digest, []).append(stream)
    seen: dict[PartitionPipeline, Seen] = {}
    for streams in alike.values():
        frames = _without_refusals({stream: taken[stream].watched for stream in streams})
        seen |= _looked({stream: frame for stream, frame in frames.items() if frame.height}, taken)
        for stream, frame in frames.items():
            if stream not in seen:
                seen[stream] = stream.look(taken[stream], stream.joined(frame), {})
    return {stream: seen[stream] for stream in taken}


def _without_refusals(frames: Mapping[PartitionPipeline, pl.DataFrame]) -> dict[PartitionPipeline, pl.DataFrame]:
    """The events of each that are not our own refusals, asked about once; what has no events has no columns either."""
    events = [frame for frame in frames.values() if frame.height]
    if not events or without_refusals(whole := pl.concat(events)).height == whole.height:
        return dict(frames)
    return {stream: without_refusals(frame) for stream, frame in frames.items()}


def _looked(
    frames: Mapping[PartitionPipeline, pl.DataFrame], taken: Mapping[PartitionPipeline, Labelled]
) -> dict[PartitionPipeline, Seen]:
    """The same of those that have events and are under the same rules; none where they are better looked at one by one."""
    if not frames:
        return {}
    first = next(iter(frames))
    try:
        joined = first.joined(pl.concat(frames.values()))
    except TooManyOverlooked:  # each may have so many
        return {}
    bounds = list(accumulate((frame.height for frame in frames.values()), initial=0))
    found = {name: each.parted(bounds) for name, each in _found(first, joined).items()}
    seen = {}
    for place, (stream, (begin, end)) in enumerate(zip(frames, pairwise(bounds), strict=True)):
        own = {name: parts[place] for name, parts in found.items()}
        seen[stream] = stream.look(taken[stream], joined[begin:end], own)
    return seen


def _found(stream: PartitionPipeline, joined: pl.DataFrame) -> dict[str, Found]:
    """What is found by the rules, by detector. Where asking about all brings out a fault, each stream asks for itself, and finds the event."""
    found: dict[str, Found] = {}
    for detector in stream.lineup.detectors:
        if isinstance(detector, SigmaDetector):
            try:
                found[detector.name] = detector.found(Batch(joined, stream.watermark))
            except MemoryError:
                raise
            except FAULTS:
                continue
    return found


def _send(seen: Mapping[PartitionPipeline, Seen]) -> bool:
    """Before turns are committed, their hits have arrived where they are counted. Whether there was anything to send."""
    hits = [(stream, write) for stream, one in seen.items() if (write := stream.hits(one)) is not None]
    if not hits:
        return False
    stream = hits[0][0]
    return bool(stream.retried(lambda: _written(stream, [write for _, write in hits])))


def _written(stream: PartitionPipeline, hits: Sequence[Callable[[], bool]]) -> bool:
    is_any = any([write() for write in hits])  # noqa: C419 - all are written
    if is_any and stream.sender is not None:
        stream.sender.writer.flush()
    return is_any
