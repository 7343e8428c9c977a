"""What an exception would have silenced: counted as decided, over seven days, and nothing is done."""

import sys
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "responding"))

from town import Town

from detectors.finding import Entity, Scope
from monitor.backtest import silencing
from monitor.backtest.silencing import silenced_by_exception, silenced_by_mark
from monitor.stores.undos import Verdict
from monitor.testing import store_state
from playbooks.risk import MICROSECONDS
from playbooks.testing import NOON, finding

DAY_S = 86_400


@pytest.fixture
def town(tmp_path):
    made = Town(tmp_path)
    yield made
    made.close()


def seen(town, *after_s, until_end=False, **more):
    """Findings at these seconds, each decided at its own."""
    found = []
    for at in after_s:
        town.now_s = at
        one = finding(after_s=at, **{"severity": "high", **more})
        town.turn([one], until_end=until_end)
        found.append(one)
    return found


def looked(town, one, look=silenced_by_exception):
    return look(town.store, one, town.policy(), now=town.now)


def test_findings_of_the_rule_and_entity_in_seven_days_are_counted_and_no_others(town):
    seen(town, 0)
    seen(town, 10, rule="other")
    seen(town, 20, app="wx2")
    one, *_ = seen(town, 30, 6 * DAY_S, 7 * DAY_S)
    said = looked(town, one)
    assert (said.findings, said.until - said.since) == (2, 7 * DAY_S * MICROSECONDS)
    assert said.until == town.now + 1
    assert (said.rule, said.scope, said.value, said.more) == ("rule-1", Scope.APP, "wx01", False)


def test_what_was_marked_among_them_is_told_apart(town):
    one, *others = seen(town, 0, 60, 120, 180, 240)
    for word, other in zip([Verdict.TRUE, Verdict.TRUE, Verdict.FALSE, Verdict.BENIGN_KNOWN], others, strict=True):
        town.mark([other.id], word)
    said = looked(town, one)
    assert (said.findings, said.true, said.false, said.benign_known) == (4, 2, 1, 1)


def test_decisions_in_force_that_rest_on_them_are_named_also_those_of_other_rules(town):
    one, *_ = seen(town, 0, severity="informational")
    whole = seen(town, 60, severity="low")
    whole += seen(town, 90, severity="low")
    seen(town, 120, rule="other", severity="medium")  # reaches the next step by the risk that the others raised
    seen(town, 150, rule="other", app="wx2", severity="high")
    said = looked(town, one)
    before = {decision.id for decision in town.store.decisions_in_force(town.now)}
    town.mark([row.id for row in whole])
    gone = before - {decision.id for decision in town.store.decisions_in_force(town.now)}
    assert {decision.id for decision in said.decisions} == gone
    assert {decision.rule for decision in said.decisions} == {"rule-1", "other"}


def test_looking_back_does_nothing(town):
    one, *_ = seen(town, 0, 60, 120)
    before = store_state(town.store)
    looked(town, one)
    looked(town, one, silenced_by_mark)
    assert store_state(town.store) == before


def test_what_was_weighed_on_the_streams_own_clock_is_looked_back_on_by_it(town):
    one, *_ = seen(town, 0, 60, until_end=True)
    town.now_s = 400 * DAY_S
    said = looked(town, one)
    assert (said.findings, said.until) == (1, NOON + 60 * MICROSECONDS + 1)


def test_an_exception_of_a_developer_is_one_of_their_apps_and_of_an_address_of_its_ranges(town):
    seen(town, 0, owner="dev1")
    whole, *_ = seen(town, 10, entity=Entity(Scope.DEVELOPER, "dev1"))
    assert looked(town, whole).findings == 1
    seen(town, 20, entity=Entity(Scope.ADDRESS, "10.0.0.7"))
    several, *_ = seen(town, 30, entity=Entity(Scope.RANGE, "10.0.0.0/24"))
    assert looked(town, several).findings == 1


def test_a_mark_silences_what_a_rule_says_of_the_entity_itself_and_of_no_developers_apps(town):
    learned = {"kind": "learned", "detector": "forest"}
    seen(town, 0, rule="m1", owner="dev1", **learned)
    one, *_ = seen(town, 10, 20, rule="m1", entity=Entity(Scope.DEVELOPER, "dev1"), **learned)
    seen(town, 30, rule="m2", entity=Entity(Scope.DEVELOPER, "dev1"), **learned)
    assert looked(town, one, silenced_by_mark).findings == 1
    assert looked(town, one).findings == 2  # an exception is one of their apps, too


def test_what_is_only_tried_is_not_counted_and_beyond_the_bound_it_is_said(town, monkeypatch):
    one, other, *_ = seen(town, 0, 60, 120)
    town.turn([msgspec.structs.replace(other, id="s" * 32, shadow=True)])
    assert looked(town, one).findings == 2
    monkeypatch.setattr(silencing, "FINDINGS_MAX", 1)
    assert looked(town, one).more
