"""What rules cost: shares add up to the whole, and the engine finds the same while it is timed."""

import pytest

from detectors.sigma import parse_rules
from detectors.sigma.match import Matcher
from detectors.testing import batch
from monitor.backtest.profile import Spent, TimedMatcher, profile
from monitor.cli.opening import configuration
from monitor.content.in_force import rules_of

TEXT = """title: rule {0}
id: 5d2b1c1e-0000-4000-8000-0000000000{0:02}
logsource: {{product: miniprogram}}
detection: {{s: {{{1}}}, condition: s}}
"""


def rules(*detections):
    found = parse_rules([(f"{place}.yml", TEXT.format(place, text)) for place, text in enumerate(detections)])
    assert not found.problems
    return found.rules


EVENTS = batch(
    *(
        {"event.dataset": "miniprogram.api", "url.path": f"/{number}/evil", "message": "x" * (number % 90), "event.action": "login"}
        for number in range(3_000)
    )
)  # fmt: skip


def test_the_same_is_found_while_it_is_timed(monkeypatch):
    monkeypatch.delenv("MINIWATCH_CONFIG", raising=False)
    builtin = rules_of(configuration(None)).rules
    some = [*builtin, *rules("'url.path|contains': evil", "'message|re': x+y", "a: b")]
    timed, plain = TimedMatcher(some).match(EVENTS.frame), Matcher(some).match(EVENTS.frame)
    assert {key: rows.tolist() for key, rows in timed.items()} == {key: rows.tolist() for key, rows in plain.items()}


def test_shares_add_up_to_the_whole_and_the_dearest_comes_first():
    found = profile(rules("'message|re': '(x+y?)+z'", "event.action: logout", "event.action: login"), [EVENTS], 1_000)
    assert sum(cost.cpu_ns for cost in found.costs) == pytest.approx(found.match_s * 1e9)
    assert found.costs[0].rule.title == "rule 0"
    assert {cost.rule.title: cost.hits for cost in found.costs} == {"rule 0": 0, "rule 1": 0, "rule 2": 3_000}
    assert (found.events, found.whole_s >= found.match_s) == (3_000, True)


def test_work_on_a_column_is_divided_among_those_who_look_at_it():
    timed = TimedMatcher(rules("message: a", "message: b", "url.path: c"))
    timed.spent.ns.update({("read", "message"): 100, ("search", "url.path"): 40, ("batch", None): 30})
    assert timed.shares().tolist() == [60, 60, 50]


def test_what_is_done_inside_of_something_counts_once():
    spent = Spent()
    spent.on("step", 1, lambda: spent.on("step", 2, lambda: sum(range(2_000_000))))
    assert spent.ns["step", 2] > spent.ns["step", 1] >= 0


def test_every_kind_of_work_is_timed_by_what_it_is_on():
    detections = ["'url.path|contains': evil", "'message|re': x+y", "event.action: login", "'url.path|contains': never"]
    timed = TimedMatcher(rules(*detections, "a: b"))
    timed.match(EVENTS.frame)
    kinds = {}
    for kind, what in timed.spent.ns:
        kinds.setdefault(kind, set()).add(what)
    assert kinds.keys() == {"batch", "read", "search", "step"}
    assert kinds["read"] >= {"url.path", "message", "event.action"}
    assert "url.path" in kinds["search"]
    assert kinds["step"] >= {timed.roots[1]}
