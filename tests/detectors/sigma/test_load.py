"""Which rules are taken, which are refused, and what their authors are told."""

from __future__ import annotations

import pytest

from detectors.finding import Scope, Severity
from detectors.sigma import parse_rules

ID = "5d2b1c1e-0000-4000-8000-00000000000"


def problems(text: str) -> list[str]:
    return [str(problem) for problem in parse_rules([("rules/a.yml", text)]).problems]


def one(
    detection: str = "s: {a: b}\n  condition: s",
    head: str = f"id: {ID}1",
    more: str = "",
    logsource: str = "product: miniprogram",
) -> str:
    return f"title: a rule\n{head}\nlogsource: {{{logsource}}}\ndetection:\n  {detection}\n{more}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (one(head="status: test"), "found no id"),
        (one(head="id: seven"), "id: found 'seven'; a UUID is expected"),
        (one(head="id: 7"), "id: found 7; a UUID is expected"),
        (one(more="custom: {miniwatch: {entiti: AppId}}"), "found entiti under custom.miniwatch; did you mean entity?"),
        (one(more="custom: {miniwatch: {entity: App}}"), "entity: 'App'; use one of: AppId"),
        (one(more="custom: {miniwatch: {entity: Range}}"), "entity: 'Range'"),
        (one(more="custom: {miniwatch: {behaviour: 8}}"), "write a list of numbers"),
        (one(more="custom: {miniwatch: {behaviour: [8, 28]}}"), "behaviour: [8, 28]; write a list of numbers from 1 to 27"),
        (one(more="customm: {miniwatch: {behaviour: [8]}}"), "found the key 'customm'; did you mean custom?"),
        (one(more="Level: high"), "found the key 'Level'; did you mean level?"),
        (one(more="custom: {miniwatch: {proof: 'yes'}}"), "proof: true"),
        (one("s: {a: b}\n  condition: t"), "names 't', which is no detection of the rule; there are: s"),
        (one("s: {a: b}\n  condition: 1 of x*"), "fits no detection"),
        (one("s: {a: b}\n  condition: s | count() > 5"), "pipe syntax"),
        (one("s: {a: b}\n  condition: s and"), "Expected"),
        (one("s: {a: b}"), "at least one condition"),
        (one("s: {a|startwith: b}\n  condition: s"), "Unknown modifier 'startwith'; did you mean startswith?"),
        (one(more="level: middle"), "level; use one of: informational, low, medium, high, critical"),
        (one(more="custom: {miniwatch: {entty: AppId}}"), "found entty under custom.miniwatch; did you mean entity?"),
        (one(logsource="produkt: miniprogram, service: api"), "found logsource.produkt; did you mean product?"),
        (one().replace("product: miniprogram", "product: miniprogramm"), "did you mean miniprogram?"),
        (one("s: {a|within: b}\n  condition: s"), "Unknown modifier 'within'; use one of: all, "),
        (one("s: {a|re: '(?<=a)b'}\n  condition: s"), "look-around"),
        (one("s: {a|re: '" + "a" * 2001 + "'}\n  condition: s"), "at most 2000"),
        (one("s: {a|re: 'a{1000}{1000}'}\n  condition: s"), "regular expressions weigh 1000000"),
        (one(r"s: {a|re: '\w{500}'}" + "\n  condition: s"), "size limit"),
        (one("s: {a|expand: '%users%'}\n  condition: s"), "placeholder %users%, which has no values"),
        (one("s: {a|re|expand: '%users%'}\n  condition: s"), "placeholder %users%, which has no values"),
        (one("s: {a|cidr: 10.0.0.0/33}\n  condition: s"), "CIDR"),
        (one("s: {a|gt: x}\n  condition: s"), "incompatible"),
        (one("s: {a|hour: 3}\n  condition: s"), "need a time"),
        (one("s: {a: {b: c}}\n  condition: s"), "Unsupported type"),
        (one(logsource="product: miniprogram, service: netwrk"), "use one of: api, network"),
        (one(logsource="definition: x"), "log source"),
        (one(logsource="product: windows, category: '*'"), "found logsource '*'; name one"),
        (one(more="title: again"), "'title' twice"),
        (one(more="x: &x {a: 1}\ny: {<<: *x}"), "merge key"),
        ("- a\n- b", "found a list"),
        ("title: [", "not readable as YAML"),
        ("a: " + "[" * 60 + "]" * 60, "nested deeper"),
        ("a: &a x\nb: [" + "*a, " * 101 + "]", "more than 100 YAML aliases"),
        ("a: !!python/object/apply:os.system [ls]", "not readable as YAML"),
        ("a: " + "x" * 1_100_000, "a rule has at most"),
        ("a: [" + "1, " * 200_001 + "]", "more than 50000 values"),
        (one("s: {a: b}\n  condition: " + "(" * 60 + "s" + " and s)" * 60), "nested deeper than 50"),
        (one("s: {a: b}\n  condition: " + "s or " * 5_000 + "s"), "at most 20000"),
        (one("s: {a: b}\n  condition: [" + "s, " * 101 + "]"), "at most 100"),
        (one("s: {a: b}\n  condition: {s: t}"), "a condition is a text"),
        (one("s: {}\n  condition: s"), "detection without content"),
        (one("s: {a|re: ['" + "', '".join(r"[\w]{150}" + str(i) for i in range(20)) + "']}\n  condition: s"), "regular expressions weigh 300"),
        (one("s: {a|windash: ['" + "', '".join(f"-a -b -c{i}" for i in range(100)) + "']}\n  condition: s"), "found 12500 values"),
        (one("s: {a|base64offset|contains: [" + "abc, " * 4000 + "]}\n  condition: s"), "found 12000 values"),
        (one("s: {a: [" + f"{'x' * 9000}, " * 100 + f"{'y' * 100_000}]}}\n  t: {{a|windash: ['" + "', '".join([f"-a -b -c{'z' * 500}"] * 70) + "']}\n  condition: s and t"),
         "characters of values"),
        (one("".join(f"s{i}: {{a: b{i}}}\n  " for i in range(2000)) + "condition: " + " or ".join(["1 of s*"] * 200)), "speak of over 200000 values"),
        (one("s: {a: b}\n  condition: " + "not " * 4000 + "s"), "nested deeper than 50"),
        (one("s: {5: a}\n  condition: s"), "found 5 as the name of a field"),
        (one("condition: s"), "found no detections"),
        (one(more="action: rpeeat"), "found action: 'rpeeat'; use global, reset or repeat"),
        (one(more="action: repeat"), "no rule before it"),
    ],
)  # fmt: skip
def test_a_bad_rule_is_refused_with_its_place_and_what_to_do(text, said):
    (problem,) = problems("# a comment\n\n" + text)
    assert problem.startswith("rules/a.yml:")
    assert said in problem


def test_aliases_that_multiply_are_refused_before_they_do():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    (problem,) = problems("\n".join(lines))
    assert "aliases written out" in problem


def test_a_problem_names_its_line_and_the_others_go_on():
    text = "\n---\n".join([one(), one(head="id: bad"), one(head=f"id: {ID}2")])
    found = parse_rules([("a.yml", text)])
    assert [rule.line for rule in found.rules] == [1, 17]
    assert [(problem.line, problem.rule) for problem in found.problems] == [(10, "bad")]


MANY_FAULTS = """# a comment
title: everything is wrong
id: seven
levle: high
level: hihg
status: [test]
tags: [attack]
date: yesterday
logsource: {product: miniprogram, service: netwrk}
custom:
  miniwatch:
    entity: App
    behaviour:
      - 99
detection:
  first:
    a|within: b
    b|re: '(?<=a)b'
    c: {d: e}
  second:
    - a: fine
    - b|gt: x
      c|cidr: 10.0.0.0/33
  condition:
    - first and third
    - 1 of fourth* or nobody
    - second and
"""


def test_all_that_is_wrong_with_a_rule_is_told_at_once_each_with_its_line():
    found = [(problem.line, problem.message) for problem in parse_rules([("a.yml", "\n" + MANY_FAULTS)]).problems]
    expected = [
        (4, "id: found 'seven'"), (5, "did you mean level?"), (6, "'hihg' is not a valid"), (7, "cannot be a list"),
        (8, "must start with namespace"), (9, "yesterday"), (10, "use one of: api"), (13, "entity: 'App'"),
        (14, "behaviour: [99]"), (18, "Unknown modifier"), (19, "look-around"), (20, "Unsupported type"),
        (23, "incompatible"), (24, "CIDR"), (26, "names 'third'"), (27, "fits no detection"), (27, "names 'nobody'"),
        (28, "Expected"),
    ]  # fmt: skip
    assert [line for line, _ in found] == [line for line, _ in expected]
    assert [said in message for (_, message), (_, said) in zip(found, expected, strict=True)] == [True] * len(expected)


def test_of_very_many_faults_the_first_are_told_and_the_rest_counted():
    detection = "s:\n" + "".join(f"    a{i}|within: x\n" for i in range(60)) + "  condition: s"
    found = problems(one(detection))
    assert (len(found), "10 more faults" in found[-1] or "10 more faults" in found[0]) == (51, True)


def test_an_id_used_twice_is_a_problem_of_the_second_rule():
    found = parse_rules([("a.yml", one()), ("b.yml", one())])
    assert [rule.path for rule in found.rules] == ["a.yml"]
    assert "again, first at a.yml:1" in str(found.problems[0])


def test_a_rule_says_who_it_is_about_and_what_it_proves():
    more = "custom: {miniwatch: {entity: OpenId, behaviour: [8, 9], proof: true, response: ask}}\nlevel: high\ntags: [attack.t1059]\nfalsepositives: [tests]"
    (rule,) = parse_rules([("a.yml", one(more=more))]).rules
    assert (rule.entity, rule.entity_field, rule.proof, rule.response) == (Scope.USER, "user.id", True, "ask")
    assert (rule.severity, rule.tags, rule.false_positives) == (
        Severity.HIGH,
        ("behaviour.8", "behaviour.9", "attack.t1059"),
        ("tests",),
    )


def test_the_version_follows_the_content_and_not_its_layout():
    versions = {
        parse_rules([("a.yml", text)]).rules[0].version
        for text in (one(), "# new\n" + one() + "\n\n", one().replace("{a: b}", "{'a': b}"))
    }
    changed = parse_rules([("a.yml", one("s: {a: c}\n  condition: s"))]).rules[0].version
    assert len(versions) == 1
    assert changed not in versions
    assert len(changed) == 16


def test_a_rule_needs_the_columns_that_carry_its_fields():
    (rule,) = parse_rules(
        [
            (
                "a.yml",
                one(
                    "s: {miniprogram.api_args.url: x, http.request.headers.x.y: z, a|fieldref: app.declared_domains}\n  condition: s"
                ),
            )
        ]
    ).rules
    assert (
        rule.fields == ("miniprogram.api_args.url", "http.request.headers.x.y", "a", "app.declared_domains")
        or len(rule.fields) == 4
    )
    assert {
        "miniprogram.api_args",
        "http.request.headers.x.y",
        "a",
        "app.declared_domains",
        "miniprogram.app_id",
    } <= rule.needs
    assert "miniprogram.api_args.url" not in rule.needs


def window(**changes: str) -> str:
    keys = {
        "type": "event_count",
        "rules": f"[{ID}1]",
        "group-by": "[user.id]",
        "timespan": "5m",
        "condition": "{gte: 3}",
    } | changes
    body = "\n".join(f"  {key}: {value}" for key, value in keys.items())
    return f"{one(more='name: first')}\n---\ntitle: many\nid: {ID}9\ncorrelation:\n{body}\n"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"type": "near"}, "no valid Sigma correlation type"),
        ({"type": "value_count"}, "without field reference"),
        ({"type": "value_sum"}, "without field reference"),
        ({"type": "value_sum", "condition": "{gte: 3, field: [a, b]}"}, "name the one that holds the number"),
        ({"type": "value_count", "condition": "{gte: 3, field: 7}"}, "condition.field: 7"),
        ({"type": "value_percentile", "condition": "{gte: 3, field: a}"}, "say which one is meant"),
        ({"type": "value_percentile", "condition": "{gte: 3, field: a, percentile: 101}"}, "percentile: 101"),
        ({"type": "temporal", "condition": "nobody"}, "not referenced in extended condition"),
        ({"type": "temporal", "condition": "a and and b"}, "Failed to parse"),
        ({"type": "temporal_ordered", "rules": f"[{ID}1, {ID}1]"}, "a rule twice in a row"),
        ({"type": "temporal_ordered", "rules": "[]", "condition": "not first"}, "without any of its rules"),
        ({"type": "temporal_ordered", "rules": "[]", "condition": "first and not first"}, "can never hold"),
        ({"condition": "first"}, "only be used with temporal"),
        ({"rules": "[nobody]"}, "no rule that loaded"),
        ({"rules": f"[{ID}9]"}, f"it counts itself: {ID}9 → {ID}9"),
        (
            {"timespan": "5 minutes"},
            "Timespan '5 minutes' is invalid; write a whole number and its unit: s, m, h, d, w",
        ),
        ({"timespan": "2y"}, "at most"),
        ({"condition": "{gte: true}"}, "condition.gte: True"),
        ({"condition": "{gte: 3, max: 5}"}, "invalid items: max"),
        ({"window": "session"}, "found correlation.window"),
        ({"groupby": "[user.id]"}, "found correlation.groupby; did you mean group-by?"),
        ({"condition": "{gte: many}"}, "no valid"),
        ({"group-by": "[who]", "aliases": "{who: {other: user.id}}"}, "does not say which field"),
    ],
)
def test_a_window_that_cannot_be_honoured_is_refused_and_its_base_stays_silent(changes, said):
    found = parse_rules([("a.yml", window(**changes))])
    assert said in str(found.problems[0])
    assert [rule.silent for rule in found.rules] == [
        f"{ID}1" in changes.get("rules", ID + "1") or "first" in changes.get("condition", "")
    ]


def chain(*links: tuple[str, str]) -> str:
    """Correlations by number, and what each names."""
    return "\n---\n".join(
        [one(more="name: first")]
        + [
            f"title: many\nid: {ID}{number}\ncorrelation: "
            f"{{type: event_count, rules: [{below}], group-by: [a], timespan: 1m, condition: {{gte: 2}}}}"
            for number, below in links
        ]
    )


def test_correlations_may_stand_in_any_order_and_the_lower_ones_fall_silent():
    found = parse_rules([("a.yml", chain(("4", f"{ID}3"), ("3", f"{ID}2"), ("2", "first")))])
    assert found.problems == ()
    assert {rule.id[-1]: (rule.silent, rule.window and rule.window.level) for rule in found.rules} == {
        "1": (True, None), "2": (True, 0), "3": (True, 1), "4": (False, 2),
    }  # fmt: skip


def test_a_circle_is_told_with_the_way_round_and_what_only_names_it_is_refused_as_well():
    found = parse_rules([("a.yml", chain(("2", f"{ID}3"), ("3", f"{ID}2"), ("4", f"{ID}3, first"), ("5", "first")))])
    told = {problem.rule[-1]: problem.message for problem in found.problems}
    assert told["2"] == f"it counts itself: {ID}2 → {ID}3 → {ID}2; break the circle"
    assert told["3"] == f"it counts itself: {ID}3 → {ID}2 → {ID}3; break the circle"
    assert "no rule that loaded" in told["4"]
    assert [rule.id[-1] for rule in found.rules] == ["1", "5"]


def test_correlations_stand_on_each_other_up_to_a_bound():
    found = parse_rules([("a.yml", chain(("2", "first"), *((str(n), f"{ID}{n - 1}") for n in range(3, 10))))])
    assert found.problems == ()
    deep = chain(("2", "first"), *((str(n), f"{ID}{n - 1}") for n in range(3, 10)), ("a", f"{ID}9"))
    assert [problem.rule[-1] for problem in parse_rules([("a.yml", deep)]).problems] == ["a"]


def test_a_window_changes_its_stamp_with_every_rule_below_it():
    before, after = (
        parse_rules([("a.yml", chain(("2", "first"), ("3", f"{ID}2")).replace("a: b", f"a: {value}"))]).rules[-1].window
        for value in ("b", "c")
    )
    assert before.stamp != after.stamp


def test_names_of_web_logs_are_translated_in_group_by_too():
    text = window(**{"group-by": "[c-ip]"}).replace("product: miniprogram", "category: webserver")
    assert parse_rules([("a.yml", text)]).rules[-1].window.groups[0].fields == ("source.ip",)


@pytest.mark.parametrize("name", ["*", "^a$", "^.*$", "a\x00b"])
def test_a_field_that_no_column_can_be_called_is_refused(sigma, name):
    found = parse_rules([("a.yml", sigma.text({"s": {name: "x"}}))])
    assert "as the name of a field; write one that events carry" in found.problems[0].message


@pytest.mark.parametrize("name", ["", "*", "^a$", "_time", "_line", "_x"])
@pytest.mark.parametrize(
    "asked",
    [
        "group-by: [{0!r}]",
        "group-by: [u], aliases: {{u: {{base: {0!r}}}}}",
        "group-by: [{0!r}], aliases: {{{0!r}: {{base: a}}}}",
    ],
)
def test_a_window_over_a_field_that_no_event_carries_is_refused(sigma, name, asked):
    header = "title: c\nid: 5d2b1c1e-0000-4000-8000-000000000071\n"
    window = (
        f"correlation: {{type: event_count, rules: [base], timespan: 1m, condition: {{gte: 1}}, {asked.format(name)}}}"
    )
    found = parse_rules([("a.yml", sigma.text({"s": {"a": "x"}}, name="base")), ("b.yml", f"{header}{window}\n")])
    assert [problem.path for problem in found.problems] == ["b.yml"]
    assert "as the name of a field; write one that events carry" in found.problems[0].message
