"""What clocks of incidents come to, as metrics: gone where it is not so any more, and never beyond what is declared."""

import io

from monitor.telemetry import Telemetry
from monitor.telemetry.oncall import ClocksCounted

ACKNOWLEDGE = {"clock": "acknowledge", "severity": "high"}


class Talk:
    def __init__(self):
        self.telemetry = Telemetry(stream=io.StringIO(), level="debug")

    def count(self, clocks=None, settled=None, stopped_s=None):
        self.telemetry.emit(ClocksCounted(clocks=clocks or {}, settled=settled or {}, stopped_s=stopped_s or {}))

    def value(self, name, **labels):
        return self.telemetry.registry.get_sample_value(f"miniwatch_incident_{name}", labels)


def test_clocks_are_told_by_kind_severity_and_what_they_came_to():
    talk = Talk()
    talk.count({("acknowledge", "high", "overdue"): 2}, {("acknowledge", "high", "missed"): 3})
    assert talk.value("clocks", **ACKNOWLEDGE, state="overdue") == 2
    assert talk.value("clocks_settled", **ACKNOWLEDGE, outcome="missed") == 3
    talk.count()
    assert talk.value("clocks", **ACKNOWLEDGE, state="overdue") is None
    assert talk.value("clocks_settled", **ACKNOWLEDGE, outcome="missed") is None


def test_half_were_stopped_within_the_time_of_the_middle_one_and_nine_in_ten_within_that_of_the_ninth():
    talk = Talk()
    talk.count(stopped_s={("acknowledge", "high"): [float(number) for number in range(1, 11)]})
    assert [talk.value("answer_seconds", **ACKNOWLEDGE, share=share) for share in ("50", "90")] == [5.0, 9.0]
    talk.count(stopped_s={("acknowledge", "high"): [7.0]})
    assert [talk.value("answer_seconds", **ACKNOWLEDGE, share=share) for share in ("50", "90")] == [7.0, 7.0]
    talk.count(stopped_s={("acknowledge", "high"): []})
    assert talk.value("answer_seconds", **ACKNOWLEDGE, share="50") is None
