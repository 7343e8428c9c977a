"""Filters narrow the rules that they name, wherever these stand."""

from __future__ import annotations

import pytest
import yaml

from detectors.sigma import Reading, SigmaDetector, parse_rules
from detectors.testing import batch

ID = "5d2b1c1e-0000-4000-8000-00000000002{}"


def rule(number: int = 1, **changes) -> str:
    content = {
        "title": f"rule {number}",
        "id": ID.format(number),
        "name": f"rule_{number}",
        "logsource": {"product": "miniprogram", "service": "api"},
        "detection": {"selection": {"a": "1"}, "_spare": {"z": "1"}, "condition": "1 of selection* or _spare"},
    }
    return yaml.safe_dump(content | changes)


def narrow(rules="any", condition="not selection", logsource=None, **detections) -> str:
    body = {"rules": rules, "condition": condition, **(detections or {"selection": {"who": "me"}})}
    return yaml.safe_dump(
        {"title": "ours", "logsource": logsource or {"product": "miniprogram", "service": "api"}, "filter": body}
    )


def load(*texts: str, **reading):
    return parse_rules([(f"{place}.yml", text) for place, text in enumerate(texts)], Reading(**reading))


def hits(found, *events):
    detector = SigmaDetector(found.rules)
    rows = detector.matches(batch(*({"event.dataset": "miniprogram.api", **event} for event in events)))
    return {index: sorted(one.tolist()) for index, one in rows.items()}


EVENTS = [{"a": "1"}, {"a": "1", "who": "me"}, {"a": "1", "who": "other"}, {"who": "me"}]


@pytest.mark.parametrize(
    ("rules", "narrowed"),
    [
        ("any", [1, 2]),
        ("ANY", [1, 2]),
        ([], [1, 2]),
        ([ID.format(1)], [1]),
        (ID.format(2).upper(), [2]),
        (["rule_2"], [2]),
        ("rule_1", [1]),
        (["rule_1", ID.format(2)], [1, 2]),
    ],
)
def test_a_filter_narrows_the_rules_it_names(rules, narrowed):
    found = load(narrow(rules), rule(1), rule(2))
    assert not found.problems
    assert [rows for _, rows in sorted(hits(found, *EVENTS).items())] == [
        [0, 2] if number in narrowed else [0, 1, 2] for number in (1, 2)
    ]


def test_its_condition_is_joined_as_it_stands_so_a_bare_selection_keeps_what_it_selects():
    assert list(hits(load(rule(), narrow(condition="selection")), *EVENTS).values()) == [[1]]


def test_its_detections_and_those_of_the_rule_know_nothing_of_each_other():
    names = {"selection": {"who": "me"}, "_selection_x": {"a": "1"}, "selection_y": {"who": "you"}}
    for condition in ("not 1 of them", "not 1 of selection*"):
        found = load(rule(), narrow(condition=condition, **names))
        assert list(hits(found, *EVENTS, {"a": "1", "who": "you"}).values()) == [[0, 2]]
    found = load(rule(), narrow(condition="not _selection_x", **names))
    assert hits(found, *EVENTS) == {}


def test_filters_add_up():
    other = narrow("rule_1", selection={"who": "other"})
    assert list(hits(load(narrow(), other, rule()), *EVENTS).values()) == [[0]]


def test_a_filter_fits_only_rules_whose_logsource_lies_within_its_own():
    wide = narrow(logsource={"product": "miniprogram"})
    assert list(hits(load(wide, rule()), *EVENTS).values()) == [[0, 2]]
    found = load(narrow("rule_1", logsource={"product": "windows"}), rule())
    assert "its logsource does not lie within that of the filter (found miniprogram api)" in str(found.problems[0])
    assert len(found.rules) == 1


def test_a_filter_follows_the_field_names_of_its_rules():
    web = rule(logsource={"category": "webserver"}, detection={"s": {"cs-method": "GET"}, "condition": "s"})
    found = load(web, narrow(logsource={"category": "webserver"}, selection={"c-ip": "10.0.0.1"}))
    event = {"event.dataset": "miniprogram.gateway", "http.request.method": "GET"}
    assert list(hits(found, event, event | {"source.ip": "10.0.0.1"}).values()) == [[0]]
    assert "source.ip" in found.rules[0].needs


def test_a_changed_filter_changes_the_version_of_the_rules_it_narrows_and_of_no_other():
    def versions(text):
        return [rule.version for rule in load(rule(1), rule(2), text).rules]

    plain = [rule.version for rule in load(rule(1), rule(2)).rules]
    one, other = versions(narrow("rule_1")), versions(narrow("rule_1", selection={"who": "you"}))
    assert len({plain[0], one[0], other[0]}) == 3
    assert plain[1] == one[1] == other[1]
    assert [rule.written for rule in load(rule(1), rule(2), narrow()).rules] == plain


def test_a_window_starts_anew_when_a_rule_that_it_counts_is_narrowed():
    count = yaml.safe_dump({"title": "many", "id": ID.format(9), "correlation": {
        "type": "event_count", "rules": ["rule_1"], "timespan": "1m", "condition": {"gte": 2}}})  # fmt: skip
    stamps = {load(rule(), count, *more).rules[1].window.stamp for more in ([], [narrow()])}
    assert len(stamps) == 2


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        (narrow("nobody"), "narrows 'nobody': found no rule that loaded", 3),
        (narrow(["rule_1", "nobody"]), "narrows 'nobody'", 5),
        (narrow(logsource={"product": "windows"}), "fits no rule that loaded", 3),
        (narrow("many"), "found a correlation; name the rules that it counts", 3),
        (narrow(7), "found rules: 7", 3),
        (narrow([7]), "found rules: [7]", 3),
        (narrow(condition="not x"), "names 'x'", 2),
        (narrow(condition=["not selection"]), "found no condition", 1),
        (narrow(selection={"a|within": "b"}), "Unknown modifier", 5),
        (narrow().replace("  rules: any\n", ""), "found no rules", 1),
        (narrow().replace("logsource:", "logsorce:"), "log source", 0),
        (narrow().replace("title: ours", "id: seven"), "a UUID is expected", 0),
        (narrow() + "detection: {}\n", "found detection in a filter", 0),
        ("title: ours\nlogsource: {product: miniprogram}\nfilter: [a]\n", "found no mapping under filter", 3),
        ("title: ours\nlogsource: {product: miniprogram}\nfliter: {rules: any}\nid: " + ID.format(7), "did you mean filter", 3),
    ],
)  # fmt: skip
def test_a_filter_that_cannot_do_what_it_says_is_told_with_its_place(text, said, line):
    count = yaml.safe_dump({"title": "many", "name": "many", "id": ID.format(9), "correlation": {
        "type": "event_count", "rules": ["rule_1"], "timespan": "1m", "condition": {"gte": 2}}})  # fmt: skip
    found = load(text, rule(), count)
    told = [problem for problem in found.problems if said in problem.message]
    assert [problem.path for problem in told] == ["0.yml"]
    assert line in (0, told[0].line)
    assert len(found.rules) == 2


def test_a_filter_knows_placeholders():
    text = narrow(selection={"who|expand": "%Staff%"})
    assert "%Staff%" in str(load(text, rule()).problems[0])
    found = load(text, rule(), placeholders={"Staff": ["me", "oth*"]})
    assert list(hits(found, *EVENTS).values()) == [[0]]
    other = load(text, rule(), placeholders={"Staff": ["you"]})
    assert found.rules[0].version != other.rules[0].version
