"""Rows wait until a window ends: in few frames, however small the batches are."""

import pytest

from detectors.statistical import detector as module
from detectors.statistical.choosing import ChoosingConfig
from detectors.statistical.detector import StatisticalDetector, StatisticsConfig
from detectors.testing import batch


def events(many):
    """Calls of a few apps within a minute, some with fields that others have not."""
    return [
        {
            "@timestamp": f"2026-03-02T08:00:{one // 10:02}.{one % 10}00Z",
            "event.action": "request",
            "miniprogram.app_id": f"wx{one % 7}",
            "user.id": f"u{one % 11}",
        }
        | ({"url.domain": f"h{one % 5}.example"} if one % 3 else {})
        for one in range(many)
    ]


def state_of(detector):
    return {name: frame.sort(frame.columns).rows() for name, frame in detector.snapshot().items()}


def remembered(parts):
    """What is remembered of batches, and in how many frames rows waited at most."""
    detector, most = StatisticalDetector(), 0
    for part in parts:
        detector.observe(part)
        most = max(most, len(detector._waiting))
    return state_of(detector), most


def test_many_small_batches_wait_as_one_and_are_counted_as_one(monkeypatch):
    monkeypatch.setattr(module, "WAITING_MAX", 100_000)
    told = events(600)
    state, most = remembered([batch(one) for one in told])
    assert most <= module.WAITING_PARTS_MAX
    assert state == remembered([batch(*told)])[0]


@pytest.mark.parametrize("otherwise", [StatisticsConfig(), StatisticsConfig(choosing=ChoosingConfig(per_hour_max=7))])
def test_who_takes_over_counts_what_waited(otherwise):
    told = events(200)
    before, after, alone = StatisticalDetector(), StatisticalDetector(otherwise), StatisticalDetector()
    before.observe(batch(*told[:120]))
    after.take_over(before)
    after.observe(batch(*told[120:]))
    alone.observe(batch(*told))
    assert state_of(after) == state_of(alone)
