"""Why a rule is or is not true of an event: every kind of question says what it saw, and what of it fits."""

from __future__ import annotations

import pytest

from detectors.sigma import explain
from detectors.testing import batch

EVENT = {
    "@timestamp": "2026-03-02T10:30:00Z",
    "event.dataset": "miniprogram.api",
    "event.action": "GetLocation",
    "source.ip": "10.1.2.3",
    "http.response.status_code": 404,
    "miniprogram.foreground": False,
    "user.name": "Ada",
    "labels.owner": "ada",
    "labels.list": '["red", "green"]',
    "miniprogram.api_args": '{"to": {"path": "/etc/passwd"}}',
}


def why(sigma, detection, **event):
    """Each predicate of a rule as people read it."""
    rule = sigma.load(sigma.text({"s": detection, "condition": "s"})).rules[0]
    told = explain(rule, batch({**EVENT, **event}), 0).lines()
    return [line.strip() for line in told if "(" in line and "event.dataset" not in line]


@pytest.mark.parametrize(
    ("detection", "told"),
    [
        ({"event.action": ["getLocation", "login"]}, "yes  event.action is 'getlocation' or 'login' (found 'GetLocation', which fits 'getlocation', case aside)"),
        ({"event.action": "login"}, "no   event.action is 'login' (found 'GetLocation')"),
        ({"event.action|cased": "GetLocation"}, "yes  event.action is 'GetLocation' (case matters) (found 'GetLocation')"),
        ({"event.action|cased": "getlocation"}, "no   event.action is 'getlocation' (case matters) (found 'GetLocation')"),
        ({"event.action|startswith": ["set", "Get"]}, "yes  event.action starts with 'get' or 'set' (found 'GetLocation', which fits 'get', case aside)"),
        ({"event.action|contains": "location"}, "yes  event.action contains 'location' (found 'GetLocation', case aside)"),
        ({"event.action|endswith": "ION"}, "yes  event.action ends with 'ion' (found 'GetLocation')"),
        ({"event.action|re": "^Get"}, "yes  event.action matches '^Get' (found 'GetLocation')"),
        ({"event.action|exists": True}, "yes  event.action is present (found 'GetLocation')"),
        ({"event.nothing|exists": True}, "no   event.nothing is present (the event has no such field)"),
        ({"source.ip|cidr": ["192.168.0.0/16", "10.0.0.0/8"]}, "yes  source.ip is in the network '10.0.0.0/8' or '192.168.0.0/16' (found '10.1.2.3', which fits '10.0.0.0/8')"),
        ({"http.response.status_code|gte": 400}, "yes  http.response.status_code as a number is >= 400 (found '404')"),
        ({"http.response.status_code|lt": 400}, "no   http.response.status_code as a number is < 400 (found '404')"),
        ({"miniprogram.foreground": False}, "yes  miniprogram.foreground is 'false' (found 'false')"),
        ({"@timestamp|hour": 10}, "yes  @timestamp at hour == 10 (found '2026-03-02T10:30:00Z')"),
        ({"user.name|fieldref": "labels.owner"}, "yes  user.name compared with the field is 'labels.owner' (found 'Ada', labels.owner is 'ada', case aside)"),
        ({"user.name|fieldref": "labels.none"}, "no   user.name compared with the field is 'labels.none' (found 'Ada', labels.none is missing)"),
        ({"labels.list": ["blue", "green"]}, "yes  labels.list is 'blue' or 'green' (found '[\"red\", \"green\"]', of which 'green' fits, which fits 'green')"),
        ({"miniprogram.api_args.to.path|contains": "passwd"}, "yes  miniprogram.api_args.to.path contains 'passwd' (found '/etc/passwd')"),
        (["PASSWD"], "yes  the line contains 'passwd' (found '"),
        ({"app.category": "finance"}, "no   app.category is 'finance' (the registry says nothing of it)"),
    ],
)  # fmt: skip
def test_every_kind_of_question_says_what_it_saw(sigma, detection, told):
    (line,) = why(sigma, detection)
    assert line.startswith(told)


def test_of_a_long_value_the_place_that_fits_is_shown(sigma):
    (line,) = why(sigma, {"message|contains": "needle"}, message="hay " * 200 + "needle" + " hay" * 200)
    assert "needle" in line.split("found")[1]
    assert len(line) < 300


def test_a_tree_for_programs_has_every_part(sigma):
    rule = sigma.load(
        sigma.text({"s": {"event.action": ["getLocation", "x"]}, "f": {"user.name": "bob"}, "condition": "s and not f"})
    ).rules[0]
    row = explain(rule, batch(EVENT), 0).row()
    _, condition = row["parts"]
    positive, negative = condition["parts"]
    assert (row["true"], condition["asks"], negative["asks"]) == (True, "all of", "not")
    assert positive == {
        "asks": "event.action is 'getlocation' or 'x'",
        "true": True,
        "field": "event.action",
        "op": "is",
        "detail": "",
        "operands": ["getlocation", "x"],
        "case_matters": False,
        "found": "GetLocation",
        "element": None,
        "matched": ["getlocation"],
        "other": None,
        "case_aside": True,
        "why": "found 'GetLocation', which fits 'getlocation', case aside",
    }
