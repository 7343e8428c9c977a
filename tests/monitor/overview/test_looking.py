"""A daemon seen from beside it: rates, what waits, what is told of it, and what that costs."""

import pytest

from monitor.overview import Busiest
from monitor.overview.looking import RATE_S, REST, Looker
from monitor.overview.pages import Ready, Silent, Told
from monitor.stores import Message, Progress, Turn, standing_now
from monitor.telemetry.page import MetricsPage, PageBroken
from monitor.testing import scratch_store, stored_decision, stored_finding
from playbooks.decision import Considered, Reason

NOW = 1_772_500_000_000_000
PAGE = """\
# HELP miniwatch_build_info The version that runs; always 1.
# TYPE miniwatch_build_info gauge
miniwatch_build_info{{python="3.11",version="9.8.7"}} 1.0
miniwatch_source_lag_bytes{{source="file:a"}} 10.0
miniwatch_source_lag_bytes{{source="file:b"}} 3000.0
miniwatch_source_failing{{source="file:c"}} 1.0
miniwatch_event_latency_seconds_bucket{{le="0.1"}} {fast}
miniwatch_event_latency_seconds_bucket{{le="2.5"}} {all}
miniwatch_event_latency_seconds_bucket{{le="+Inf"}} {all}
miniwatch_spool_bytes 77.0
"""


class Watched:
    """A record, what its daemon says of itself, and clocks that a test sets."""

    def __init__(self, folder):
        self.store = scratch_store(folder)
        self.at_s = 100.0
        self.took_s = 0.0
        self.page = PAGE.format(fast=0, all=0)
        self.turn = 0
        self.looker = Looker(self.store, self, self, lambda: (True, NOW - 5_000_000), lambda: NOW, self.monotonic)

    def monotonic(self):
        return self.at_s

    def ask(self):
        self.at_s += self.took_s
        if self.page is None:
            raise Silent("nothing answers")
        return Told(ready=Ready(status="ready", held=("acts are paused",)), metrics=MetricsPage(self.page))

    def look(self, *_counts):
        """Stands for who counts apps."""
        return Busiest(events=0, apps=())

    def commit(self, lines, *findings, **more):
        self.turn += 1
        considered = [
            Considered(finding=one.id, incident=None, decision=None, reason=Reason.PLAYBOOK, detail="")
            for one in findings
        ]
        reached = Progress(partition="file:a", end=lines, received=lines, processed=lines)
        turn = Turn(number=self.turn, time=NOW, progress=[reached], findings=findings, considered=considered, **more)
        self.store.commit(turn)


@pytest.fixture
def watched(tmp_path):
    made = Watched(tmp_path)
    yield made
    made.store.close()


def test_rates_are_what_came_between_the_looks(watched):
    watched.commit(1_000, stored_finding("f1", NOW))
    assert watched.looker.look(0, 0).rates is None
    watched.commit(1_500, stored_finding("f2", NOW), stored_finding("f3", NOW), decisions=[stored_decision("d1", NOW)])
    watched.at_s += 2
    rates = watched.looker.look(0, 0).rates
    assert (rates.over_s, rates.events, rates.findings, rates.decisions) == (2, 250, 1, 0.5)
    watched.commit(1_500, stored_finding("f4", NOW))
    watched.at_s += 2
    rates = watched.looker.look(0, 0).rates
    assert (rates.over_s, rates.events, rates.findings, rates.decisions) == (4, 125, 0.75, 0.25)


def test_rates_are_those_of_the_last_seconds(watched):
    for second in range(60):
        watched.commit(second * 100 if second < 30 else 3_000)
        watched.at_s += 1
        rates = watched.looker.look(0, 0).rates
        if second == 29:
            assert (rates.over_s, rates.events) == (RATE_S, 100)
    assert (rates.over_s, rates.events) == (RATE_S, 0)


def test_what_waits_is_told_by_channel_the_oldest_first(watched):
    messages = [
        Message(key=f"k{n}", channel=channel, body=b"{}", created=NOW - n * 1_000_000)
        for n, channel in enumerate(["webhook:a", "webhook:b", "webhook:a"])
    ]
    watched.commit(1, messages=messages)
    told = watched.looker.look(0, 0).outbox
    assert [(one.channel, one.messages, one.oldest_s) for one in told] == [("webhook:a", 2, 2.0), ("webhook:b", 1, 1.0)]


def test_what_the_daemon_says_of_itself_is_told_and_its_silence_too(watched):
    first = watched.looker.look(0, 0)
    assert (first.standing.version, first.standing.status, first.standing.held) == (
        "9.8.7",
        "ready",
        ("acts are paused",),
    )
    assert [(one.source, one.bytes, one.failing) for one in first.lag.sources] == [
        ("file:c", None, True),
        ("file:b", 3000, False),
        ("file:a", 10, False),
    ]
    assert (first.lag.spool_bytes, first.lag.half_within_s) == (77, None)
    watched.page = None
    silent = watched.looker.look(0, 0)
    assert (silent.lag, silent.standing.silent, silent.standing.status) == (None, "nothing answers", "")


def test_latency_is_that_of_what_came_between_the_looks(watched):
    watched.page = PAGE.format(fast=1_000, all=1_000)
    watched.looker.look(0, 0)
    watched.page = PAGE.format(fast=1_060, all=1_100)
    watched.at_s += 1
    lag = watched.looker.look(0, 0).lag
    assert (lag.half_within_s, lag.most_within_s) == (0.1, 2.5)
    watched.page = PAGE.format(fast=5, all=5)  # it was started anew
    watched.at_s += 1
    assert watched.looker.look(0, 0).lag.half_within_s is None


def test_after_a_look_the_record_is_left_alone_in_proportion(watched):
    watched.took_s = 0.25
    watched.looker.look(0, 0)
    assert watched.looker.rest_s == 0.25 * REST


def test_what_is_counted_has_a_bound(watched, monkeypatch):
    monkeypatch.setattr(standing_now, "COUNTED_MAX", 3)
    watched.commit(1, *(stored_finding(f"f{n}", NOW) for n in range(9)))
    assert watched.looker.look(0, 0).findings_lately == 4
    assert len(watched.looker.look(0, 5).findings) == 5


def test_a_page_of_something_else_is_refused():
    with pytest.raises(PageBroken):
        MetricsPage("<html>\n<body>hello</body>")
