"""What is told of rules that can be honoured and could be better."""

from __future__ import annotations

import pytest

from detectors.sigma import parse_rules
from detectors.sigma.lint import lint
from detectors.sigma.remark import CODES

ID = "5d2b1c1e-0000-4000-8000-00000000000"
HEAD = f"""title: a rule
id: {ID}1
description: What it means.
level: low
tags: [behaviour.8]
falsepositives: [none]
logsource: {{product: miniprogram}}
"""


def remarks(text: str) -> list[str]:
    found = parse_rules([("a.yml", text)])
    assert not found.problems
    return [str(remark).removeprefix("a.yml:") for remark in lint([("a.yml", text)], found.rules)]


def said(*detection: str) -> list[str]:
    """Of a rule whose detection is these lines; the first stands in line 9."""
    return remarks(HEAD + "detection:\n" + "".join(f"  {line}\n" for line in detection))


def test_a_rule_that_says_all_it_should_has_no_remark():
    assert said("s: {a: b}", "condition: s") == []


def test_what_a_reader_of_the_finding_would_look_for_is_missed():
    bare = f"title: a rule\nid: {ID}1\nlogsource: {{product: miniprogram}}\ndetection: {{s: {{a: b}}, condition: s}}\n"
    assert [remark.split(": ")[1] for remark in remarks(bare)] == [
        "missing-description",
        "missing-falsepositives",
        "missing-level",
        "missing-tags",
    ]


def test_of_a_rule_that_is_only_counted_nobody_reads_findings():
    base = f"title: base\nid: {ID}2\nname: base\nlogsource: {{product: miniprogram}}\ndetection: {{s: {{a: b}}, condition: s}}\n"
    counting = HEAD.replace("logsource: {product: miniprogram}\n", "correlation: {type: event_count, rules: [base], timespan: 1m, condition: {gte: 2}}\n")  # fmt: skip
    assert remarks(f"{base}---\n{counting}") == []


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["s: {miniprogram.foregroud: false}", "condition: s"], ["9: misspelt-field: miniprogram.foregroud: did you mean miniprogram.foreground?"]),
        (["s: {miniprogram.api_args.url: a, http.request.headers.referrer: b, miniprogram.extra: c}", "condition: s"], []),
        (["s: {a: b}", "t: {a: c}", "condition: s"], ["10: unused-detection: the condition never uses 't'"]),
        (["s1: {a: b}", "s2: {c: d}", "condition: 1 of s*"], []),
        (["s: {a: b}", "_t: {a: c}", "condition: all of them"], ["10: unused-detection: the condition never uses '_t'", "11: single-of: 'all of them' means 's' alone; name it, or write the others"]),
        (["s1: {a: b}", "condition: 1 of s*"], ["10: single-of: '1 of s*' means 's1' alone; name it, or write the others"]),
        (["s: {a: ''}", "condition: s"], ["9: empty-value: a: '' is true only of a text that is there and empty; for a missing field write null"]),
        (["s: {'a|contains': ''}", "condition: s"], ["9: empty-value: a|contains: '' is true of whatever is there; write what is looked for"]),
        (["s: {a: []}", "condition: s"], ["9: empty-value: a: an empty list means null, that the field is missing; write null if that is meant"]),
        (["s: {a: '*'}", "condition: s"], ["9: wildcard-only: a: '*' asks only whether anything is there; write a|exists: true"]),
        (["s:", "  a: [x, y, X]", "condition: s"], ["10: repeated-value: a: 'X' stands there twice"]),
        (["s:", "  a|cased: [x, y, X]", "condition: s"], []),
        (["s:", "  a|base64|contains: [x, X]", "condition: s"], []),
    ],
)  # fmt: skip
def test_how_a_detection_is_written(lines, told):
    assert said(*lines) == told


@pytest.mark.parametrize(
    ("key", "pattern", "instead"),
    [
        ("a|re", "^http://", "a|startswith|cased: http://"),
        ("a|re|i", r"\.exe$", "a|endswith: .exe"),
        ("a|re", "(?i)^evil$", "a: evil"),
        ("a|re", ".*evil.*", "a|contains|cased: evil"),
        ("a|re", "(?i)(?:evil|worse)", "a|contains: [evil, worse]"),
    ],
)
def test_a_pattern_that_a_plain_modifier_says_better(key, pattern, instead):
    assert said(f"s: {{'{key}': '{pattern}'}}", "condition: s") == [
        f"9: plain-regex: {key}: {pattern!r} says the same as {instead}"
    ]


@pytest.mark.parametrize("pattern", ["a.c", "a+", "[ab]c", r"\d", "^a|b$", "a{2}", "(?s)a"])
def test_a_pattern_that_says_more_than_plain_text_is_left_alone(pattern):
    assert said(f"s: {{'a|re': '{pattern}'}}", "condition: s") == []


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["s: {'a|contains': [cat, concat]}", "condition: s"], ["9: subsumed-value: a contains 'concat' can be left out: a contains 'cat' is true wherever it is"]),
        (["s: {a: [x, y]}", "f: {a: x}", "condition: s and not f"], ["9: never-true: a is 'x' is never true here: a is 'x' must not be true with it"]),
        (["s: {'a|endswith': .exe}", "f: {'a|endswith': .dll}", "condition: s and not f"], ["10: always-true: not (a ends with '.dll') is always true here: a ends with '.exe' must be true with it, and one value cannot meet both"]),
        (["s: {a: x}", "f: {a: y}", "condition: s and f"], ["11: never-true: the whole condition is never true: a is 'y' must be true with it, and one value cannot meet both"]),
        (["s: {a: x}", "condition: s or not s"], ["10: always-true: the whole condition is always true: else its opposite is"]),
        (["s: {a: x, 'a|exists': true}", "condition: s"], ["9: always-true: a is present is always true here: a is 'x' must be true with it"]),
        (["s: {'n|gte': 5, 'n|lt': 5}", "condition: s"], ["10: never-true: the whole condition is never true: n as a number is < 5 must be true with it, and one value cannot meet both"]),
        (["s: {'n|gte': 5, 'n|gt': 3}", "condition: s"], ["9: always-true: n as a number is > 3 is always true here: n as a number is >= 5 must be true with it"]),
        (["s: {'i|cidr': 10.0.0.0/8}", "t: {'i|cidr': 10.1.0.0/16}", "condition: s or t"], ["10: subsumed-value: i is in the network '10.1.0.0/16' can be left out: i is in the network '10.0.0.0/8' is true wherever it is"]),
        (["s: {'a|cased': X}", "f: {a: x}", "condition: s and not f"], ["11: never-true: the whole condition is never true: a is 'x' must not be true with it"]),
        (["s: {a: X}", "f: {'a|cased': X}", "condition: s and not f"], []),
        (["s: {app.declared_domains: x}", "f: {app.declared_domains: y}", "condition: s and f"], []),
        (["s:", "  - {a: x, b: y}", "  - {a: x}", "condition: s"], ["10: subsumed-value: (a is 'x') and (b is 'y') can be left out: a is 'x' is true wherever it is"]),
    ],
)  # fmt: skip
def test_a_part_that_does_nothing_where_it_stands(lines, told):
    assert said(*lines) == told


def test_a_rule_made_to_take_long_is_given_up_on():
    values = [f"v{number:05}" for number in range(3_000)]
    alternatives = [f"s{number}: {{'a|contains': [{', '.join(values)}]}}" for number in range(3)]
    assert said(*alternatives, "condition: all of s*") == []


def test_every_remark_has_a_code_that_is_explained():
    assert {remark.split(": ")[1] for remark in said("s: {a: '*'}", "t: {a: ''}", "condition: s")} <= CODES.keys()


@pytest.mark.parametrize(
    ("groups", "code"),
    [
        ("", "ungrouped-entity"),
        ("group-by: [user.id], ", "ungrouped-entity"),
        ("group-by: [user.id, device.id], ", None),
    ],
)
def test_a_correlation_that_accuses_whoever_came_last(groups, code):
    counted = (
        f"title: b\nid: {ID}2\nname: b\nlogsource: {{product: miniprogram}}\ndetection: {{s: {{a: b}}, condition: s}}\n"
    )
    window = f"correlation: {{type: event_count, rules: [b], {groups}timespan: 1m, condition: {{gte: 2}}}}\n"
    head = HEAD.replace("logsource: {product: miniprogram}\n", "custom: {miniwatch: {entity: DeviceId}}\n")
    found = [remark.split(": ")[1] for remark in remarks(f"{counted}---\n{head}{window}")]
    assert found == ([code] if code else [])
