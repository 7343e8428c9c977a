"""What real events say of rules: fields and datasets that are not there, and rules that are true of too many."""

import pytest

from detectors.sigma import parse_rules
from detectors.testing import batch
from monitor.backtest.survey import EVENTS_JUDGED_MIN, Survey

TEXT = """title: a rule
id: 5d2b1c1e-0000-4000-8000-000000000001
logsource: {%s}
detection: {s: {%s}, condition: s}
"""


def told(detection, *events, logsource="product: miniprogram, service: api", broad_share=0.01):
    survey = Survey(parse_rules([("a.yml", TEXT % (logsource, detection))]).rules)
    some = [{"event.dataset": "miniprogram.api", **event} for event in events]
    for first in range(0, len(some), 400):
        survey.observe(batch(*some[first : first + 400]))
    return [str(remark).removeprefix("a.yml:1: ") for remark in survey.remarks(broad_share)]


def test_a_field_that_some_event_carries_is_seen():
    assert told("url.path: x", {"url.path": "y"}, {}) == []


def test_a_field_that_none_carries_is_told_with_names_like_it():
    assert told("url.pth: x", {"url.path": "y", "url.query": "q"}) == [
        "unseen-field: url.pth: none of 1 events of miniprogram.api carries it; they carry url.path"
    ]


@pytest.mark.parametrize(("arguments", "seen"), [('{"url": "x"}', True), ('{"uri": "x"}', False)])
def test_a_field_inside_of_arguments_is_looked_for_there(arguments, seen):
    said = told("miniprogram.api_args.url: x", {"miniprogram.api_args": arguments})
    assert (said == []) is seen


def test_what_the_registry_says_is_no_field_of_events():
    assert told("app.category: x", {}) == []


def test_a_field_counts_in_the_datasets_of_the_rule_only():
    assert told("url.path: x", {"event.dataset": "miniprogram.gateway", "url.path": "y"}, {}) == [
        "unseen-field: url.path: none of 1 events of miniprogram.api carries it"
    ]


def test_a_rule_about_other_datasets_is_told_so_once():
    said = told(
        "a: x, b: y",
        {"event.dataset": "windows.process_creatio"},
        logsource="product: windows, category: process_creation",
    )
    assert said == ["unseen-dataset: of 1 events none is of windows.process_creation; there is windows.process_creatio"]


@pytest.mark.parametrize(("share", "said"), [(0.5, 0), (0.4, 1)])
def test_a_rule_that_is_true_of_too_many_events_is_told_so(share, said):
    events = [{"url.path": "x" if number % 2 else "y"} for number in range(EVENTS_JUDGED_MIN)]
    found = told("url.path: x", *events, broad_share=share)
    assert len(found) == said
    assert all("is true of 50.0% of 1,000 events of its datasets; at most 40.0% are expected" in text for text in found)
    assert told("url.path: x", *events[1:], broad_share=share) == []
