"""What the author of a correlation is told when its twin and it disagree: how near it came, and at which event it spoke."""

import json

import pytest

from detectors.sigma import parse_rules
from monitor.rules.twins import run_twin

ID = "7b1d3c52-64ce-4b0f-9a87-0f5f0f2d000{}"
BASE = """title: {name}
id: {id}
name: {name}
logsource: {{product: miniprogram}}
detection:
  selection: {{event.action: {name}}}
  condition: selection
---
"""


def told(folder, hit, miss=("x@0",), **correlation):
    """The problems of a correlation over the rules login, upload and pay; events as ``login@3:number=5``."""
    asked = {"group-by": ["device.id"], "timespan": "10s", **correlation}
    text = "".join(BASE.format(name=name, id=ID.format(place)) for place, name in enumerate(("login", "upload", "pay")))
    text += f"title: Many\nid: {ID.format(9)}\ncorrelation: {json.dumps(asked)}\n"
    rules = parse_rules([("a.yml", text)])
    assert rules.problems == ()
    for file, events in (("hit", hit), ("miss", miss)):
        (folder / f"{file}.jsonl").write_text("".join(json.dumps(event(word)) + "\n" for word in events))
    failures = run_twin(rules.rules, frozenset(rule.id for rule in rules.rules), folder)
    return [f"{failure.line}: {failure.message}" for failure in failures]


def event(word):
    action, _, rest = word.partition("@")
    second, _, more = rest.partition(":")
    fields = {"device.id": "d" * 32, **dict(part.split("=") for part in more.split(",") if part)}
    return {
        "@timestamp": f"2026-03-02T08:00:{int(second):02}Z",
        "event": {"id": word, "dataset": "miniprogram.auth", "action": action},
        **{name: value for name, value in fields.items() if value},
    }


COUNT = {"type": "event_count", "rules": ["login"], "condition": {"gte": 3}}


def test_a_count_that_is_not_reached_says_where_it_came_nearest_and_what_took_no_part(tmp_path):
    hit = ("login@0", "pay@1", "login@2", "login@3:device.id=", "login@20")
    (said,) = told(tmp_path, hit, **COUNT)
    assert said.split("; ") == [
        "0: 'Many' must fire and does not",
        "4 of 5 events match 'login'",
        "1 of 4 hits of login have no device.id",
        f"it came nearest at line 3, for device.id {'d' * 32}: count 2, 3 or more is asked for",
    ]


def test_a_correlation_with_nothing_to_count_says_so(tmp_path):
    (said,) = told(tmp_path, ("pay@0",), **COUNT)
    assert said == "0: 'Many' must fire and does not; 0 of 1 events match 'login'"


def test_a_correlation_that_speaks_wrongly_says_at_which_event(tmp_path):
    (said,) = told(tmp_path, ("login@0", "login@1", "login@2"), ("pay@0", "login@1", "login@2", "login@3"), **COUNT)
    assert (
        said
        == f"4: 'Many' must not fire and does, with this event: for device.id {'d' * 32}: count 3, 3 or more is asked for"
    )


@pytest.mark.parametrize(
    ("correlation", "hit", "said"),
    [
        (
            {"type": "temporal_ordered", "rules": ["login", "upload", "pay"]},
            ("login@0", "pay@1"),
            "nearest at line 2, for device.id {d}: count 2, 3 or more in the order login, upload, pay is asked for; not hit in the window: upload",
        ),
        (
            {"type": "temporal_ordered", "rules": ["login", "upload"]},
            ("upload@0", "login@1"),
            "count 1, 2 or more in the order login, upload is asked for; all were hit, but not in this order",
        ),
        (
            {"type": "temporal", "rules": ["login", "pay"], "condition": "pay and not login"},
            ("login@0", "pay@1"),
            "nearest at line 2, for device.id {d}: count 2, (pay and not login) is asked for",
        ),
        (
            {"type": "temporal_ordered", "rules": ["login", "pay", "upload"], "condition": "login and pay and not upload"},
            ("login@0",),
            "login then pay without upload is asked for; not hit in the window: pay",
        ),
        (
            {"type": "value_sum", "rules": ["pay"], "condition": {"field": "number", "gt": 10}},
            ("pay@0:number=7", "pay@1:number=much", "pay@2:number=2.5", "pay@30:number=9"),
            "1 of 4 hits of pay have no number in number; it came nearest at line 3, for device.id {d}: sum 9.5, more than 10 is asked for",
        ),
    ],
)  # fmt: skip
def test_each_type_says_what_was_missing(correlation, hit, said, tmp_path):
    (found,) = told(tmp_path, hit, **correlation)
    assert said.format(d="d" * 32) in found
