"""What detectors give up, or do not tell, is told once, by how much it has grown."""

import numpy as np
import pytest

from monitor.stream.telling import TurnTeller, _latencies
from monitor.telemetry.happenings import DetectorForgot, DetectorKnown, FindingsHeldBack
from monitor.telemetry.metrics import EVENT_LATENCY


class Told:
    """Telemetry that only notes."""

    def __init__(self):
        self.all, self.known = [], []

    def emit(self, happening):
        if isinstance(happening, DetectorKnown):
            self.known.append(happening.detector)
        else:
            self.all.append(happening)


class Plain:
    """A detector that tells all it finds."""

    name = "plain"
    forgotten = 0


class Choosy(Plain):
    """One that does not."""

    name = "choosy"
    held_back = 0


def test_what_has_grown_is_told():
    telemetry, plain, choosy = Told(), Plain(), Choosy()
    teller = TurnTeller(telemetry)
    teller.tell_bounds([plain, choosy])
    assert telemetry.all == []
    plain.forgotten, choosy.held_back = 3, 5
    teller.tell_bounds([plain, choosy])
    teller.tell_bounds([plain, choosy])
    assert telemetry.all == [
        DetectorForgot(detector="plain", things=3),
        FindingsHeldBack(detector="choosy", findings=5),
    ]


def test_what_was_told_before_a_restart_is_not_told_again():
    telemetry, choosy = Told(), Choosy()
    choosy.forgotten, choosy.held_back = 7, 5
    teller = TurnTeller(telemetry)
    teller.begin([choosy])
    teller.tell_bounds([choosy])
    assert telemetry.all == []


def test_each_detector_is_known_once_before_it_has_anything_to_tell():
    telemetry, plain, choosy = Told(), Plain(), Choosy()
    teller = TurnTeller(telemetry)
    teller.begin([plain])
    for _ in range(2):
        teller.tell_bounds([plain, choosy])
    assert telemetry.known == ["plain", "choosy"]


def test_another_model_in_force_begins_with_none():
    telemetry, choosy = Told(), Choosy()
    teller = TurnTeller(telemetry)
    for held_back in (5, 0, 2):
        choosy.held_back = held_back
        teller.tell_bounds([choosy])
    assert [one.findings for one in telemetry.all] == [5, 2]


def test_how_long_events_were_on_their_way_is_told_by_buckets_and_not_at_all_on_the_streams_own_clock():
    arrived = np.array([0, 99_000_000, 99_990_000, 101_000_000])
    counts, seconds = _latencies(arrived, 100_000_000)
    told = dict(zip([*EVENT_LATENCY.buckets, None], counts, strict=True))
    assert {bound: count for bound, count in told.items() if count} == {0.05: 2, 1.0: 1, 300.0: 1}
    assert seconds == pytest.approx(101.01)
    assert _latencies(arrived, None) == _latencies(arrived[:0], 100_000_000) == ((), 0.0)
