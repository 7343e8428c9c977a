"""The laws of statistics, as checks: cutting, stopping and replaying change neither what is seen nor what is remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl
from crowds import cut, later, remembers, seen, stored
from hypothesis import Phase

from detectors.finding import Finding
from detectors.statistical.choosing import ChoosingConfig
from detectors.statistical.detector import StatisticalDetector, StatisticsConfig

NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""Streams take seconds: which cut is the smallest that fails is not worth minutes."""

Make = Callable[[], StatisticalDetector]

OTHER_TESTS = ("burst", "rate", "silence", "rise", "fall", "together", "owner")

FOR_TWENTY = ChoosingConfig(false_per_thousand_apps_day=20.0)
"""As for a thousand apps, where there are a few dozen."""


def with_only(*names: str, **config: object) -> StatisticalDetector:
    """A detector with some of its statistics at work; those that count for others always are."""
    detector = StatisticalDetector(StatisticsConfig(choosing=FOR_TWENTY, **config))
    detector._statistics = tuple(one for one in detector._statistics if one.name in ("series", "shown", *names))
    return detector


def told(detector: StatisticalDetector, frame: pl.DataFrame) -> dict[tuple[str, str], Finding]:
    """What is told of a stream, by whom and by each test that shows it, but for what `series` says."""
    found: dict[tuple[str, str], Finding] = {}
    for one in cut(frame):
        for sighting in detector.observe(one):
            for measured in sighting.finding.measured:
                if measured.test not in OTHER_TESTS:
                    found.setdefault((sighting.finding.entity.value, measured.test), sighting.finding)
    return found


def check_cut(make: Make, frame: pl.DataFrame, at: Sequence[int]) -> None:
    whole, parts = make(), make()
    assert seen(whole, cut(frame, goes_on=False)) == seen(parts, cut(frame, at, goes_on=False))
    remembers(whole, parts)  # in the middle of a window
    assert seen(whole, later(frame)) == seen(parts, later(frame))
    remembers(whole, parts)


def check_resume(make: Make, frame: pl.DataFrame, at: Sequence[int]) -> None:
    whole = make()
    expected = seen(whole, cut(frame))
    found: dict[str, Finding] = {}
    state = None
    for one in cut(frame, at):
        again = make()
        if state is not None:
            again.restore(state)
        found |= {key: each for key, each in seen(again, iter([one])).items() if key not in found}
        state = stored(again.snapshot())
    assert found == expected
    remembers(whole, again)


def check_replay(make: Make, frame: pl.DataFrame) -> None:
    assert seen(make(), cut(frame)) == seen(make(), cut(frame))
