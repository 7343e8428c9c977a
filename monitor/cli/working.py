"""What ``miniwatch doctor`` says of workers: which partitions are at work and by whom, what holds answers up, who gives them."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from monitor.cli.moments import MICROSECONDS, short, span
from monitor.cli.signs import Sign
from monitor.counting import counted

if TYPE_CHECKING:
    from monitor.cli.opening import Opened
    from monitor.config import Config
    from monitor.stores import Lease, StreamState

SILENT_S_MAX: Final = 60
"""Who works on a partition has a turn, or says that nothing is there to be read, many times within this."""

ANSWER_S_MAX: Final = 60
"""How long findings may wait beyond `respond.wait_s_max` before it is told."""

SNAPSHOT_AGES_MAX: Final = 10
"""So many times the interval of snapshots may pass without one while a partition has turns."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One that was ever given to a worker: to whom last and when, and how far its stream has come; None before its first turn."""

    name: str
    holder: str
    given: int
    stream: StreamState | None

    @property
    def heard(self) -> int:
        """When somebody last worked on it, or said that there was nothing to do."""
        return max(self.given, self.stream.time, self.stream.read_out) if self.stream is not None else self.given


@dataclass(frozen=True, slots=True)
class Shared:
    """A record that workers share, at a moment of its own clock. `answering` is who answers what they find; empty: nobody."""

    now: int
    partitions: Sequence[Partition]
    answering: str

    @property
    def at_work(self) -> Sequence[Partition]:
        return [one for one in self.partitions if self.silent_us(one) <= SILENT_S_MAX * MICROSECONDS]

    @property
    def streams(self) -> Sequence[StreamState]:
        return [one.stream for one in self.partitions if one.stream is not None]

    def silent_us(self, partition: Partition) -> int:
        """For how long nobody has worked on it."""
        return max(self.now - partition.heard, 0)


def shared(opened: Opened, now: int, *, running: bool) -> Shared | None:
    """What workers do on a record; None where one process does all. `running` is whether such a one holds the data folder."""
    from monitor.alone import does_all
    from monitor.partitions.answering import LEASE

    store = opened.store
    leases = {one.name: one for one in store.leases()}
    partitions = _partitions({one.name: one for one in store.streams()}, leases)
    lease = leases.get(LEASE)
    if running or not partitions or (lease is not None and does_all(lease.holder)):
        return None
    now = store.agreed_time(now)
    answering = lease.holder if lease is not None and lease.until > now else ""
    return Shared(now, partitions, answering)


def _partitions(streams: Mapping[str, StreamState], leases: Mapping[str, Lease]) -> list[Partition]:
    from monitor.partitions.opening import HELD_S
    from monitor.sources.kafka.address import is_kafka

    found = []
    for name in sorted(streams.keys() | {name for name in leases if is_kafka(name)}):
        lease = leases.get(name)
        given = lease.until - round(HELD_S * MICROSECONDS) if lease is not None and lease.until else 0
        found.append(Partition(name, lease.holder if lease is not None else "", given, streams.get(name)))
    return found


def signs_of(opened: Opened, work: Shared, ask: Callable[[Opened], Mapping[str, int]] | None = None) -> Iterator[Sign]:
    """All that is to be said of workers and of who answers them. `ask` tells how many messages wait in each partition of the topic: the brokers."""
    unread = (ask or _unread)(opened)
    yield from _workers(work, unread)
    yield _answers(opened, work)
    if work.at_work and work.streams:
        yield _order(opened.config, work)
    yield from _snapshots(opened, work)


# Partitions


def _workers(work: Shared, unread: Mapping[str, int]) -> Iterator[Sign]:
    at_work = work.at_work
    partitions = counted(len(work.partitions), "partition")
    if not at_work:
        last = min(work.partitions, key=work.silent_us)
        since = f"for {span(last.heard, work.now)}; {last.holder} was the last"
        found = f"nobody has worked on any of {partitions} {since}{_told(sum(unread.values()) if unread else None)}"
        yield Sign("workers", "warning", found, "start them: miniwatch run --role detect")
        return
    holders = counted(len({one.holder for one in at_work}), "process", "processes")
    yield Sign("workers", "ok", f"{holders} on {len(at_work)} of {partitions}")
    for one in work.partitions:
        if unread and one.name not in unread and work.silent_us(one) > SILENT_S_MAX * MICROSECONDS:
            yield _removed(work, one)
        else:
            yield _partition(work, one, unread.get(one.name))
    for name in sorted(unread.keys() - {one.name for one in work.partitions}):
        if unread[name]:
            yield Sign(name, "problem", f"nobody has ever had it{_told(unread[name])}", START)


START: Final = "start a worker; where one has it, look for stream_failed and store_stalled in its log"


def _partition(work: Shared, partition: Partition, unread: int | None) -> Sign:
    stream, name, holder = partition.stream, partition.name, partition.holder
    if work.silent_us(partition) > SILENT_S_MAX * MICROSECONDS:
        found = f"nobody has worked on it for {span(partition.heard, work.now)}; {holder} had it last{_told(unread)}"
        return Sign(name, "problem", found, START)
    if stream is None:
        return Sign(name, "ok", f"{holder}: no turn yet{_told(unread)}")
    turn = f"turn {stream.turn:,}, {span(stream.time, work.now)} ago"
    nothing_new = stream.read_out > stream.time and not unread
    return Sign(name, "ok", f"{holder}: {turn}{', nothing new since' if nothing_new else _told(unread)}")


def _removed(work: Shared, partition: Partition) -> Sign:
    """A partition of which the topic knows nothing, such as of one that had another name."""
    from monitor.partitions.order import GONE_S

    since = f"the topic has it no more, and nobody has worked on it for {span(partition.heard, work.now)}"
    if work.silent_us(partition) < GONE_S * MICROSECONDS:
        return Sign(partition.name, "warning", since, "none: after a day answers wait for it no more")
    return Sign(partition.name, "ok", f"{since}: answers do not wait for it")


def _told(unread: int | None) -> str:
    return "" if unread is None else f", {counted(unread, 'message')} unread"


def _unread(opened: Opened) -> Mapping[str, int]:
    """Messages that wait in each partition: those of events, and those of hits; nothing where the brokers do not say it."""
    from monitor.detecting import HITS, NoPartitions, topic_of
    from monitor.intake.opening import kafka_settings
    from monitor.sources import Position, SourceError
    from monitor.sources.kafka.address import parse_address

    try:
        source = topic_of(opened.config)
        address = parse_address(source.uri, format=source.format, client=opened.config.kafka.client)
    except (NoPartitions, SourceError):
        return {}
    import msgspec

    from monitor.sources.kafka.client import Trouble
    from monitor.sources.kafka.unread import unread_messages

    progress = opened.store.progress()
    waiting: dict[str, int] = {}
    for topic in (address.topic, f"{address.topic}{HITS}"):
        name = f"kafka:{topic}/"
        known = {
            int(partition.removeprefix(name)): Position(partition, one.end, one.cursor)
            for partition, one in progress.items()
            if partition.startswith(name)
        }
        try:
            asked = msgspec.structs.replace(address, topic=topic)
            found = unread_messages(asked, kafka_settings(opened.config), known)
        except Trouble:
            return {}  # of the configuration's source it is told already
        waiting |= {f"{name}{number}": count for number, count in found.items()}
    return waiting


# Answers


def _answers(opened: Opened, work: Shared) -> Sign:
    turns, first = opened.store.unanswered()
    late_us = max(work.now - first, 0) if first is not None else 0
    waiting = (
        f"findings of {counted(turns, 'turn')} wait, the first for {span(0, late_us)}" if turns else "nothing waits"
    )
    if not work.answering:
        advice = "start one: miniwatch run --role respond"
        return Sign("answers", "problem" if work.at_work else "warning", f"nobody answers; {waiting}", advice)
    found = f"{work.answering} answers; {waiting}"
    if late_us > (opened.config.respond.wait_s_max + ANSWER_S_MAX) * MICROSECONDS:
        return Sign("answers", "problem", found, "its /readyz says why it does not come on")
    return Sign("answers", "ok", found)


def _order(config: Config, work: Shared) -> Sign:
    """Findings are answered in the order of arrival: of all partitions the one that is furthest behind holds them up."""
    from monitor.partitions.order import alive, horizon_of

    last = min(alive(work.streams, work.now) or work.streams, key=lambda one: horizon_of([one]))
    reached = horizon_of([last])
    behind = span(reached, work.now)
    if work.now - reached <= config.respond.wait_s_max * MICROSECONDS:
        return Sign("order of answers", "ok", f"no partition is further behind than {last.name}: {behind}")
    come = f"has come to {short(reached)}, {behind} ago" if reached > 0 else "has read no event yet"
    found = f"{last.name} {come}: each finding of others waits {config.respond.wait_s_max:g} s for it"
    advice = "more workers come on faster; a partition that nobody works on needs one"
    return Sign("order of answers", "warning", found, advice)


# Memory


def _snapshots(opened: Opened, work: Shared) -> Iterator[Sign]:
    newest = {one.name: next(iter(opened.store.of_stream(one.name).snapshot_places()), None) for one in work.streams}
    at_work = [one.stream for one in work.at_work if one.stream is not None]
    there = [place for place in newest.values() if place is not None]
    patience = SNAPSHOT_AGES_MAX * opened.config.snapshots.every_s * MICROSECONDS
    old = [one for one in at_work if (place := newest[one.name]) and one.time - place.time > patience]
    size = sum(place.bytes for place in there) / (1 << 20)
    found = f"of {len(there)} of {counted(len(newest), 'partition')}, {size:.1f} MiB"
    if not old:
        yield Sign("snapshots", "ok", found)
        return
    lasting = ", ".join(f"{one.name} for {span(place.time, one.time)}" for one in old if (place := newest[one.name]))
    advice = "look for snapshot_failed in the log: without one a takeover reads the log again"
    yield Sign("snapshots", "warning", f"{found}; none of {lasting}", advice)
