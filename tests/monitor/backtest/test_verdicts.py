"""Which rule is true of which event, a line a pair."""

import io
import json

import pytest

from detectors.sigma import SigmaDetector, parse_rules
from detectors.testing import batch
from monitor.backtest.verdicts import Verdicts

TEXT = """title: rule {0}
id: 5d2b1c1e-0000-4000-8000-00000000000{0}
logsource: {{product: miniprogram}}
detection: {{s: {{miniprogram.api|contains: '{1}'}}, condition: s}}
"""
RULES = parse_rules([(f"{place}.yml", TEXT.format(place, text)) for place, text in enumerate("abc")]).rules
EVENTS = batch(
    *(
        {"event.dataset": "miniprogram.api", "event.id": f"e{place}", "miniprogram.api": api}
        for place, api in enumerate(["ab", "x", 'b"\n', "ba"])
    )
)


def test_pairs_come_in_the_order_of_events_then_rules_and_are_counted():
    out = io.BytesIO()
    watching = Verdicts(SigmaDetector(RULES), out)
    assert watching.observe(EVENTS) == []
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(row["event"], row["rule"][-1]) for row in rows] == [
        ("e0", "0"), ("e0", "1"), ("e2", "1"), ("e3", "0"), ("e3", "1"),
    ]  # fmt: skip
    assert rows[0].keys() == {"rule", "event", "source", "position"}
    assert [row["position"] for row in rows] == [EVENTS.frame["_position"][at] for at in (0, 0, 2, 3, 3)]
    assert watching.counts.tolist() == [2, 3, 0]


def test_a_reader_who_has_left_is_told_as_one():
    class Closed(io.BytesIO):
        def write(self, _):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        Verdicts(SigmaDetector(RULES), Closed()).observe(EVENTS)
