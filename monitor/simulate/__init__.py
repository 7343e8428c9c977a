"""A seeded generator of a mini-program platform's traffic, with labelled misbehaviour: to try the daemon and to measure detectors.

The same arguments give the same bytes, on any day: nothing here reads a clock. What is modelled (population, rates, timing,
addresses) is invented; addresses and hosts are of the ranges set aside for documentation and tests.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from monitor.simulate.bad import BadKind, bad_lines
from monitor.simulate.misbehaviour import KINDS, Label
from monitor.simulate.signing import keys
from monitor.simulate.simulation import Simulation, world_of

if TYPE_CHECKING:
    from collections.abc import Iterator

START: Final = datetime(2026, 3, 2, tzinfo=UTC)
Loudness = Literal["loud", "quiet"]


def simulation(
    seed: int,
    events: int,
    apps: int = 200,
    start: datetime = START,
    duration_s: int = 86_400,
    kinds: frozenset[str] | None = None,
    loudness: Loudness = "loud",
) -> Simulation:
    """A run to take stream, labels and registry from; raises `ValueError` for arguments that make none."""
    unknown = sorted((kinds or frozenset()) - KINDS.keys())
    if unknown:
        raise ValueError(f"no such kind: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    world = world_of(seed, events, apps, int(start.timestamp()) * 1_000_000, duration_s)
    return Simulation(world, frozenset(KINDS) if kinds is None else kinds, loudness == "loud")


def simulate(
    seed: int,
    events: int,
    apps: int = 200,
    start: datetime = START,
    duration_s: int = 86_400,
    kinds: frozenset[str] | None = None,
    loudness: Loudness = "loud",
) -> Iterator[bytes]:
    """Exactly `events` lines of NDJSON, in blocks, in the order of arrival."""
    return simulation(seed, events, apps, start, duration_s, kinds, loudness).blocks()


def labels(
    seed: int,
    events: int,
    apps: int = 200,
    start: datetime = START,
    duration_s: int = 86_400,
    kinds: frozenset[str] | None = None,
    loudness: Loudness = "loud",
) -> list[Label]:
    """The truth about the same run: one label an incident."""
    return simulation(seed, events, apps, start, duration_s, kinds, loudness).labels


def labels_ndjson(truth: list[Label]) -> bytes:
    """Labels as lines."""
    return b"".join(msgspec.json.encode(label) + b"\n" for label in truth)


def registry(seed: int, events: int, apps: int = 200, start: datetime = START, duration_s: int = 86_400) -> list[bytes]:
    """The apps of the same run as lines for ``miniwatch apps import``, without line ends."""
    return simulation(seed, events, apps, start, duration_s, frozenset()).world.registry()


__all__ = [
    "KINDS",
    "START",
    "BadKind",
    "Label",
    "Loudness",
    "Simulation",
    "bad_lines",
    "keys",
    "labels",
    "labels_ndjson",
    "registry",
    "simulate",
    "simulation",
]
