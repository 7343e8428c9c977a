"""How a rule's parts are joined, and what lists, nested values, keywords and the registry mean."""

from __future__ import annotations

import pytest

from detectors.testing import batch

A, B, C = {"a": "1"}, {"b": "1"}, {"c": "1"}
EVENTS = [{}, A, B, C, A | B, A | C, B | C, A | B | C]
PARTS = {"sel_a": A, "sel_b": B, "other": C}


@pytest.mark.parametrize(
    ("condition", "meaning"),
    [
        ("sel_a", lambda a, b, c: a),  # noqa: ARG005 - one signature for all
        ("sel_a and sel_b", lambda a, b, c: a and b),  # noqa: ARG005 - one signature for all
        ("sel_a or sel_b and other", lambda a, b, c: a or (b and c)),
        ("(sel_a or sel_b) and other", lambda a, b, c: (a or b) and c),
        ("not sel_a and sel_b", lambda a, b, c: not a and b),  # noqa: ARG005 - one signature for all
        ("not (sel_a and sel_b)", lambda a, b, c: not (a and b)),  # noqa: ARG005 - one signature for all
        ("not not sel_a", lambda a, b, c: a),  # noqa: ARG005 - one signature for all
        ("1 of sel_*", lambda a, b, c: a or b),  # noqa: ARG005 - one signature for all
        ("any of sel_*", lambda a, b, c: a or b),  # noqa: ARG005 - one signature for all
        ("all of sel_*", lambda a, b, c: a and b),  # noqa: ARG005 - one signature for all
        ("1 of them", lambda a, b, c: a or b or c),
        ("all of them", lambda a, b, c: a and b and c),
        ("not 1 of sel_* and other", lambda a, b, c: not (a or b) and c),
        (["sel_a and sel_b", "other"], lambda a, b, c: (a and b) or c),
    ],
)
def test_a_condition_means_what_it_says(sigma, condition, meaning):
    expected = [meaning("a" in event, "b" in event, "c" in event) for event in EVENTS]
    assert sigma.hits({**PARTS, "condition": condition}, *EVENTS) == expected


def test_the_keys_of_one_mapping_must_all_be_true_and_of_a_list_of_mappings_one(sigma):
    assert sigma.hits({"s": {"a": "1", "b": "1"}}, A, B, A | B) == [False, False, True]
    assert sigma.hits({"s": [{"a": "1"}, {"b": "1"}]}, A, B, C) == [True, True, False]


def test_detections_whose_names_begin_with_an_underscore_are_not_them(sigma):
    assert sigma.hits({"s": A, "_t": B, "condition": "1 of them"}, A, B) == [True, False]


@pytest.mark.parametrize(
    ("key", "value", "found", "true"),
    [
        ("t", "b", ["a", "B"], True),
        ("t", "ab", ["a", "b"], False),
        ("t|contains", '"', ["a", "b"], False),
        ("t|contains", ",", ["a", "b"], False),
        ("t|startswith", "b", ["a", "bc"], True),
        ("t|re", "^.{5,}$", ["abc", "def"], False),
        ("t|gt", 5, [1, 7], True),
        ("t|gt", 5, ["1", "x"], False),
        ("t", 7, [1, 7], True),
        ("t", True, [True], True),
        ("t|exists", True, [], True),
        ("t", "x", [], False),
        ("t|cidr", "10.0.0.0/8", ["1.1.1.1", "10.1.1.1"], True),
        ("t|contains|all", ["a", "b"], ["xa", "xb"], True),
        ("t|contains", '"role": "admin"', [{"role": "admin"}], True),
        ("t", "[not json", "[not json", True),
        ("t|startswith", "[", "[tag] text", True),
        ("privacy.kinds", "phone", ["location", "phone"], True),
        ("miniprogram.api_args", "token", ["token"], True),
    ],
)
def test_a_list_is_what_some_element_is(sigma, key, value, found, true):
    field = key.partition("|")[0]
    assert sigma.hits({"s": {key: value}}, {field: found}, {}) == [true, False]


ARGUMENTS = "miniprogram.api_args"


@pytest.mark.parametrize(
    ("key", "value", "found", "true"),
    [
        ("url|startswith", "http://", {"url": "HTTP://x"}, True),
        ("url|startswith", "http://", {"method": "http://x"}, False),
        ("url", "x", '{"\\u0075rl": "x"}', True),
        ("header.token", "t", {"header": {"token": "t"}}, True),
        ("header.token", "t", {"header": "t"}, False),
        ("header.x.y", "t", {"header": {"x.y": "t"}}, False),
        ("x.y", "t", {"x.y": "t"}, True),
        ("level|gte", 10, {"level": 15}, True),
        ("level", 10, {"level": 10.0}, True),
        ("encrypt", True, {"encrypt": True}, True),
        ("encrypt", None, {"encrypt": None}, True),
        ("ids", "b", {"ids": ["a", "b"]}, True),
        ("it's", "x", {"it's": "x"}, True),
        ("url", "x", '{"url": "x"', False),
        ("url", "x", "[1, 2]", False),
        ("url", None, "not json", True),
    ],
)
def test_a_value_inside_the_arguments_is_read_by_its_path(sigma, key, value, found, true):
    assert sigma.hits({"s": {f"{ARGUMENTS}.{key}": value}}, {ARGUMENTS: found}) == [true]


def test_arguments_without_the_value_are_as_a_missing_field(sigma):
    key = f"{ARGUMENTS}.url|contains"
    assert sigma.hits({"s": {key: "x"}, "condition": "not s"}, {ARGUMENTS: {}}, {}, {ARGUMENTS: {"url": "x"}}) == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("words", "true", "false"),
    [
        (["Evil"], [{"a": "so EVIL it is"}, {"evil": "1"}], [{"a": "good"}]),
        (['say "hi"'], [{"a": 'Say "Hi"'}], [{"a": "say hi"}]),
        ([r"C:\Temp"], [{"a": r"c:\temp"}], [{"a": "c:temp"}]),
        (["q1*q2"], [{"a": "xq1--q2x"}], [{"a": "q2q1"}]),
        (["Ärger"], [{"a": "ärger"}], [{"a": "arger"}]),
        ([4711], [{"a": 4711}, {"a": "x4711x"}], [{"a": 471}]),
        (["中文"], [{"a": "说中文"}], [{"a": "说"}]),
    ],
)
def test_a_keyword_is_found_anywhere_in_the_line(sigma, words, true, false):
    assert sigma.hits({"s": words}, *true, *false) == [True] * len(true) + [False] * len(false)


def test_keywords_take_modifiers(sigma):
    assert sigma.hits({"s": {"|all": ["one", "two"]}}, {"a": "two one"}, {"a": "one"}) == [True, False]
    assert sigma.hits({"s": {"|re": "on+e"}}, {"a": "onnne"}, {"a": "ONE"}) == [True, False]


def test_a_keyword_is_found_in_a_line_whose_letters_are_escaped(sigma):
    detector = sigma.load(sigma.text({"s": ["Ärger"]}))
    line = '{"event.dataset":"miniprogram.log","a":"\\u00C4rger"}'
    assert detector.matches(batch({"event.dataset": "miniprogram.log"}, _line=[line]))


DOMAINS = "app.declared_domains"


def test_a_registry_list_is_asked_for_membership(sigma):
    events = [
        {"url.domain": "A.example", DOMAINS: ["a.example", "b.example"]},
        {"url.domain": "c.example", DOMAINS: ["a.example", "b.example"]},
        {"url.domain": "c.example", DOMAINS: []},
        {"url.domain": "c.example"},
        {DOMAINS: ["a.example"]},
    ]
    member = {"s": {"url.domain|fieldref": DOMAINS}}
    assert sigma.hits(member, *events) == [True, False, False, False, False]
    undeclared = {
        "s": {"url.domain|exists": True, DOMAINS + "|exists": True},
        "m": member["s"],
        "condition": "s and not m",
    }
    assert sigma.hits(undeclared, *events) == [False, True, True, False, False]
    assert sigma.hits({"s": {DOMAINS: "B.example"}}, *events) == [True, True, False, False, False]
    assert sigma.hits({"s": {DOMAINS + "|endswith": ".example"}}, *events) == [True, True, False, False, True]


def test_a_registry_flag_is_true_false_or_unknown(sigma):
    events = [{"app.protected": True}, {"app.protected": False}, {}]
    assert sigma.hits({"s": {"app.protected": False}}, *events) == [False, True, False]


@pytest.mark.parametrize(
    ("logsource", "datasets"),
    [
        ({"product": "miniprogram", "service": "auth"}, {"miniprogram.auth"}),
        ({"product": "miniprogram"}, {"miniprogram.auth", "miniprogram.gateway", "miniprogram.network"}),
        ({"category": "webserver"}, {"miniprogram.gateway"}),
        ({"category": "proxy"}, {"miniprogram.network"}),
        ({"product": "windows", "category": "process_creation"}, {"windows.process_creation"}),
        ({"category": "process_creation"}, {"windows.process_creation", "linux.process_creation"}),
        ({"product": "aws", "service": "cloudtrail"}, {"aws.cloudtrail"}),
        ({"product": "linux"}, {"linux.process_creation"}),
    ],
)
def test_a_rule_meets_the_events_of_its_logsource_only(sigma, logsource, datasets):
    names = ["miniprogram.auth", "miniprogram.gateway", "miniprogram.network", "windows.process_creation",
             "linux.process_creation", "aws.cloudtrail", "miniprogramx.auth"]  # fmt: skip
    events = [{"event.dataset": name, "a": "1"} for name in names]
    found = sigma.hits({"s": A}, *events, logsource=logsource)
    assert {name for name, true in zip(names, found, strict=True) if true} == datasets


def test_web_rules_name_fields_as_web_logs_do(sigma):
    event = {"event.dataset": "miniprogram.gateway", "url.path": "/admin", "http.response.status_code": 404,
             "user_agent.original": "sqlmap/1", "http.request.method": "GET", "source.ip": "10.0.0.1"}  # fmt: skip
    detection = {
        "cs-uri-stem": "/admin",
        "sc-status": 404,
        "c-useragent|startswith": "sqlmap",
        "cs-method": "get",
        "c-ip|cidr": "10.0.0.0/8",
    }
    assert sigma.hits({"s": detection}, event, {**event, "url.path": "/"}, logsource={"category": "webserver"}) == [
        True,
        False,
    ]


def test_a_rule_about_a_field_that_no_event_has_is_never_true(sigma):
    assert sigma.hits({"s": {"nowhere": "x"}}, {"a": "1"}) == [False]
    assert sigma.hits({"s": {"nowhere": "x"}, "condition": "not s"}, {"a": "1"}) == [True]


def test_many_values_and_few_are_judged_the_same(sigma):
    detection = {"s": {"a|endswith": "7"}, "t": {"b|contains": "x"}, "condition": "s and not t"}
    rows = [{"a": str(i), "b": "x" if i % 3 else None} for i in range(4000)]
    assert sigma.hits(detection, *rows) == [i % 10 == 7 and i % 3 == 0 for i in range(4000)]
