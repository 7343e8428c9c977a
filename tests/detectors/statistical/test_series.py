"""Counts of what apps do: the same for any cut, kept over a restart, and unusual ones told."""

from __future__ import annotations

import io

import numpy as np
import polars as pl
import pytest
from app_stream import HOUR, START, cut, honest, stream
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from detectors.finding import Finding
from detectors.statistical import calibration
from detectors.statistical.detector import StatisticalDetector

WHOLE = honest(3, 3, 40, 20)


@pytest.fixture(autouse=True)
def _soon_learned(monkeypatch):
    monkeypatch.setattr(calibration, "LEARNED_MIN", 30)


def stored(state):
    """Frames as they come back from files."""
    found = {}
    for name, frame in state.items():
        file = io.BytesIO()
        frame.write_ipc(file)
        found[name] = pl.read_ipc(io.BytesIO(file.getvalue()))
    return found


def seen(detector: StatisticalDetector, batches) -> dict[str, Finding]:
    found: dict[str, Finding] = {}
    for one in batches:
        for sighting in detector.observe(one):
            found.setdefault(sighting.finding.id, sighting.finding)
    return found


def remembers(detector: StatisticalDetector, other: StatisticalDetector) -> None:
    mine, theirs = detector.snapshot(), other.snapshot()
    assert mine.keys() == theirs.keys()
    for name, frame in mine.items():
        assert frame.equals(theirs[name]), name


CHECKED = settings(max_examples=4, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
cuts = st.lists(st.integers(1, WHOLE.height - 1), max_size=40, unique=True).map(sorted)


@CHECKED
@given(cuts)
def test_cutting_the_stream_changes_neither_what_is_seen_nor_what_is_remembered(at):
    whole, parts = StatisticalDetector(), StatisticalDetector()
    assert seen(whole, cut(WHOLE, ())) == seen(parts, cut(WHOLE, at))
    remembers(whole, parts)


@CHECKED
@given(st.lists(st.integers(1, WHOLE.height - 1), min_size=2, max_size=12, unique=True).map(sorted))
def test_stopping_and_going_on_from_the_snapshot_changes_nothing(at):
    never, found = StatisticalDetector(), {}
    expected = seen(never, cut(WHOLE, at))
    detector = StatisticalDetector()
    for one in cut(WHOLE, at):
        found |= {key: each for key, each in seen(detector, [one]).items() if key not in found}
        state = stored(detector.snapshot())
        detector = StatisticalDetector()
        detector.restore(state)
    assert found == expected
    remembers(never, detector)


def with_burst(who: int, people: int) -> pl.DataFrame:
    """Four days, and in the fourth a thousand calls within a quarter of an hour, of so many people."""
    base = honest(5, 12, 96, 20)
    rng = np.random.default_rng(1)
    when = (80 + rng.random(1_000) / 4) * HOUR
    more = stream(
        when,
        {
            "miniprogram.app_id": [f"wx{who:04}"] * 1_000,
            "miniprogram.developer_id": [f"dev-{who // 2}"] * 1_000,
            "user.id": [f"v{number}" for number in rng.integers(0, people, 1_000)],
            "event.action": ["getLocation"] * 1_000
            if people < 100
            else rng.choice(["request", "getStorage", "login", "getLocation"], 1_000, p=[0.6, 0.25, 0.1, 0.05]),
            "event.dataset": ["miniprogram.api"] * 1_000,
        },
    )
    return stream(
        np.concatenate([base["_time"].to_numpy(), more["_time"].to_numpy()]) - START,
        {name: pl.concat([base[name], more[name]]) for name in base.columns if not name.startswith("_")},
    )


def test_one_who_calls_an_api_far_more_often_than_ever_is_told_once_with_what_is_usual():
    found = list(seen(StatisticalDetector(), cut(with_burst(4, 3), ())).values())
    (told,) = found
    assert told.entity.value == "wx0004"
    assert told.tags == ("behaviour.2",)
    assert told.measured[0].name == "calls of getLocation"
    assert told.measured[0].value > 20 * told.measured[0].usual
    assert told.kind == "statistical"


def test_a_crowd_of_people_who_do_what_people_do_is_not_told():
    assert seen(StatisticalDetector(), cut(with_burst(4, 900), ())) == {}


def test_traffic_as_always_is_not_told():
    assert seen(StatisticalDetector(), cut(honest(9, 12, 120, 20), ())) == {}
