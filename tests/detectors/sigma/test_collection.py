"""What is common to the rules of a file is written once."""

from __future__ import annotations

from detectors.sigma import parse_rules

ID = "5d2b1c1e-0000-4000-8000-00000000001{}"
GLOBAL = "action: global\nlogsource: {product: miniprogram}\nlevel: high\ndetection: {_spare: {b: '1'}}\n"


def one(number: int, more: str = "", field: str = "a") -> str:
    return f"title: rule {number}\nid: {ID.format(number)}\ndetection: {{s: {{{field}: '1'}}, condition: s and not _spare}}\n{more}"


def load(*documents: str):
    return parse_rules([("a.yml", "---\n".join(documents))])


def test_what_is_global_goes_into_each_rule_that_follows():
    found = load(GLOBAL, one(1), one(2, "level: low\n"))
    assert not found.problems
    assert [(rule.severity.value, rule.logsource, rule.line) for rule in found.rules] == [
        ("high", "miniprogram", 6),
        ("high", "miniprogram", 10),
    ]
    assert found.rules[0].fields == ("a", "b")


def test_after_a_reset_nothing_is_global():
    found = load(GLOBAL, one(1), "action: reset\n", one(2))
    assert [rule.title for rule in found.rules] == ["rule 1"]
    assert "log source" in str(found.problems[0])


def test_a_repeated_rule_is_the_one_before_with_its_own_content_on_top():
    again = f"action: repeat\nid: {ID.format(2)}\nlevel: low\ndetection: {{s: {{c: '2'}}}}\n"
    found = load(GLOBAL, one(1), again)
    assert [(rule.title, rule.severity.value) for rule in found.rules] == [("rule 1", "high"), ("rule 1", "low")]
    assert [sorted(rule.fields) for rule in found.rules] == [["a", "b"], ["a", "b", "c"]]


def test_a_repeated_global_does_not_change_it_for_the_rules_that_follow():
    first = (
        f"action: repeat\ntitle: first\nid: {ID.format(1)}\nlevel: low\ndetection: {{s: {{c: '2'}}, condition: s}}\n"
    )
    found = load(GLOBAL, first, one(2))
    assert [(rule.title, rule.severity.value) for rule in found.rules] == [("first", "low"), ("rule 2", "high")]
    assert found.rules[1].fields == ("a", "b")


def test_filters_and_correlations_take_nothing_over():
    count = f"title: many\nid: {ID.format(3)}\ncorrelation: {{type: event_count, rules: [{ID.format(1)}], timespan: 1m, condition: {{gte: 2}}}}\n"
    found = load(GLOBAL, one(1), count)
    assert [rule.severity.value for rule in found.rules] == ["high", "low"]


def test_a_fault_is_told_at_the_line_where_it_is_written():
    found = load(GLOBAL.replace("level: high", "level: hihg"), one(1), one(2).replace("{s:", "{t|x:"))
    assert [(problem.line, problem.rule) for problem in found.problems if "hihg" in problem.message] == [
        (3, ID.format(1)),
        (3, ID.format(2)),
    ]


def test_actions_end_with_their_file():
    found = parse_rules([("a.yml", GLOBAL), ("b.yml", one(1))])
    assert "log source" in str(found.problems[0])


def test_common_content_that_multiplies_is_refused_before_it_does():
    many = f"action: global\nspare: [{'1, ' * 40_000}]\n"
    found = load(many, *(one(1).replace("not _spare", "s") + "logsource: {product: miniprogram}\n" for _ in range(40)))
    assert any("split the file" in problem.message for problem in found.problems)
    chained = load(one(1), *(f"action: repeat\nk{i}: [{'1, ' * 100}]\n" for i in range(600)))
    assert any("split the file" in problem.message for problem in chained.problems)
