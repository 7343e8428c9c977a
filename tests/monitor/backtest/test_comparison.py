"""Two rule sets over the same past: what one says that the other does not, or otherwise."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.finding import Entity, Evidence, Finding, RuleRef, Scope, Severity, finding_id
from detectors.sigma import parse_rules
from monitor.backtest.comparison import Change, Comparison
from monitor.testing import stored_decision
from playbooks.decision import DecisionState

TEXT = """title: rule {0}
id: 5d2b1c1e-0000-4000-8000-00000000000{0}
logsource: {{product: miniprogram}}
detection: {{s: {{a: b}}, condition: s}}
"""
RULES = parse_rules([(f"{name}.yml", TEXT.format(name)) for name in "12"]).rules
ONE, TWO = (rule.id for rule in RULES)


def finding(rule, minute, count=1, version="1"):
    entity = Entity(Scope.APP, "wx1")
    return Finding(
        id=finding_id(rule, entity, minute), time=0, first_event=0, last_event=0, detector="sigma", kind="rule",
        rule=RuleRef(rule, version), entity=entity, severity=Severity.LOW, title="t", evidence=Evidence(count=count),
    )  # fmt: skip


def test_findings_are_added_gone_changed_or_the_same():
    comparison = Comparison(RULES, RULES)
    for one in (finding(ONE, 1), finding(ONE, 2), finding(ONE, 3, count=2), finding(TWO, 9)):
        comparison.before.found.add(one)
    for one in (finding(ONE, 2, version="2"), finding(ONE, 3), finding(ONE, 4), finding(TWO, 9)):
        comparison.now.found.add(one)
    first, second = comparison.changes()
    assert (first.rule, first.before, first.findings, first.added, first.gone, first.changed) == (ONE, 3, 3, 1, 1, 1)
    assert first.examples == {
        "added": [finding(ONE, 4).id],
        "gone": [finding(ONE, 1).id],
        "changed": [finding(ONE, 3).id],
    }
    assert (second.rule, second.is_none) == (TWO, True)


def test_decisions_are_compared_by_whom_and_what_they_are_about():
    comparison = Comparison(RULES, RULES)
    one, two, three = (stored_decision(f"d{n}", n, value=f"wx{n}", rule=ONE) for n in range(3))
    comparison.before.decisions = (one, two)
    comparison.now.decisions = (
        msgspec.structs.replace(two, id="other", state=DecisionState.HELD),
        msgspec.structs.replace(three, rule=TWO),
    )
    told = {line.rule: line.row()["decisions"] for line in comparison.changes()}
    assert told == {
        ONE: {"added": {}, "gone": {one.type.value: 1}, "changed": {two.type.value: 1}},
        TWO: {"added": {three.type.value: 1}, "gone": {}, "changed": {}},
    }


def test_rules_that_say_nothing_on_either_side_are_left_out():
    assert Comparison(RULES, RULES[:1]).changes() == []


@settings(max_examples=100, deadline=None)
@given(
    now=st.dictionaries(st.integers(0, 8), st.integers(1, 2)),
    before=st.dictionaries(st.integers(0, 8), st.integers(1, 2)),
)
def test_what_is_told_is_the_difference_of_the_sides(now, before):
    comparison = Comparison(RULES, RULES)
    for side, told in ((comparison.now, now), (comparison.before, before)):
        for minute, count in told.items():
            side.found.add(finding(ONE, minute, count=count))
    (line,) = comparison.changes() or [Change(ONE, "")]
    both = now.keys() & before.keys()
    assert (line.findings, line.before) == (len(now), len(before))
    assert (line.added, line.gone) == (len(now.keys() - both), len(before.keys() - both))
    assert line.changed == sum(now[minute] != before[minute] for minute in both)
