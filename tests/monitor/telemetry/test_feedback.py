"""What marks come to, as metrics: of kinds and of rules in force, within bounds, and gone with the marks."""

import io

from monitor.telemetry import Telemetry
from monitor.telemetry.feedback import FeedbackCounted
from monitor.telemetry.meter import NAMES_MAX
from playbooks.precision import Precision


class Talk:
    def __init__(self):
        self.stream = io.StringIO()
        self.telemetry = Telemetry(stream=self.stream, level="debug")

    def count(self, kinds=None, rules=None):
        self.telemetry.emit(FeedbackCounted(kinds=kinds or {}, rules=rules or {}))

    def value(self, name, **labels):
        return self.telemetry.registry.get_sample_value(f"miniwatch_{name}", labels)

    def series(self, name):
        (family,) = (one for one in self.telemetry.registry.collect() if one.name == f"miniwatch_{name}")
        return len(family.samples)


def test_marks_and_precision_are_told_by_kind_and_rule():
    talk = Talk()
    one = Precision(true=3, false=1, benign_known=2)
    talk.count({"rule": one, "learned": Precision(benign_known=1)}, {"r1": one})
    assert talk.value("marked_findings", kind="rule", verdict="benign-known") == 2
    assert talk.value("marked_findings", kind="rule", verdict="true") == 3
    assert talk.value("precision_ratio", kind="rule") == 0.75
    assert talk.value("precision_ratio", kind="learned") is None
    assert (talk.value("rule_precision_ratio", rule="r1"), talk.value("rule_judged_findings", rule="r1")) == (0.75, 4)


def test_what_is_not_marked_any_more_is_not_told_any_more():
    talk = Talk()
    talk.count({"rule": Precision(true=1)}, {"r1": Precision(true=1)})
    talk.count({"rule": Precision(true=1)}, {"r2": Precision(false=1)})
    assert (talk.value("rule_precision_ratio", rule="r1"), talk.value("rule_precision_ratio", rule="r2")) == (None, 0)
    talk.count()
    assert talk.series("rule_precision_ratio") == talk.series("precision_ratio") == talk.series("marked_findings") == 0


def test_there_are_never_more_rules_than_labels_may_have_and_those_with_most_marks_are_told():
    talk = Talk()
    rules = {f"r{n:04d}": Precision(true=n + 1) for n in range(NAMES_MAX * 3)}
    talk.count({}, rules)
    assert talk.series("rule_precision_ratio") == talk.series("rule_judged_findings") == NAMES_MAX
    assert talk.value("rule_judged_findings", rule="r0299") == 300
    assert talk.value("rule_judged_findings", rule="r0199") is None
