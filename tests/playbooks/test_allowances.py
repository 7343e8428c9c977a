"""What a person has called benign is not acted on again: what a rule says of an entity, whatever kind of detector it is of."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.finding import Entity, Scope
from playbooks.decide import decide
from playbooks.decision import Reason
from playbooks.known import Known
from playbooks.playbook import parse_playbooks
from playbooks.policy import Allowance, Allowances, Exceptions, Policy, RuleException
from playbooks.risk import MICROSECONDS
from playbooks.testing import NOON, finding

LADDER = """\
name: ladder
title: Every kind
priority: 1
match: {scopes: [AppId]}
steps:
  - {tier: warn, when: {risk: 10}, actions: [{type: warn, deadline: 24h}]}
  - {tier: throttle, when: {risk: 30}, actions: [{type: throttle, limit: 9, per: 1m, for: 24h}]}
"""
POLICY = Policy(playbooks=parse_playbooks([("ladder", LADDER)])[0])
APPS = [Entity(Scope.APP, f"wx{number}") for number in range(3)]
DETECTORS = {"rule": "sigma", "statistical": "rates", "learned": "forest", "integrity": "signatures"}


def allowing(*allowed):
    return msgspec.structs.replace(POLICY, allowances=Allowances(allowed))


def allowance(rule, entity=APPS[0], until_s=3_600):
    return Allowance(rule=rule, entity=entity, expires=NOON + until_s * MICROSECONDS, because="it is known")


def became(one, policy):
    return decide([one], Known(), policy, now=None).considered[0]


@st.composite
def found(draw):
    kind = draw(st.sampled_from(sorted(DETECTORS)))
    return finding(
        entity=draw(st.sampled_from(APPS)),
        rule=draw(st.sampled_from(["rule-1", "rule-2"])),
        kind=kind,
        detector=DETECTORS[kind],
        after_s=draw(st.integers(0, 7_200)),
        severity=draw(st.sampled_from(["medium", "high", "critical"])),
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(found(), max_size=12, unique_by=lambda one: one.id), st.integers(1, 7_200))
def test_an_allowance_of_a_rule_comes_to_the_same_as_an_exception_of_it(findings, until_s):
    ordered = sorted(findings, key=lambda one: one.time)
    excepted = RuleException(rule="rule-1", scope=Scope.APP, value="wx0", expires=NOON + until_s * MICROSECONDS)
    by_exception = msgspec.structs.replace(POLICY, exceptions=Exceptions([excepted]))
    one = decide(ordered, Known(), allowing(allowance("rule-1", until_s=until_s)), now=None)
    other = decide(ordered, Known(), by_exception, now=None)
    assert (one.risks, one.incidents, one.decisions) == (other.risks, other.incidents, other.decisions)
    assert [word.reason for word in one.considered] == [word.reason for word in other.considered]


@settings(max_examples=50, deadline=None)
@given(st.lists(found(), max_size=12, unique_by=lambda one: one.id))
def test_what_is_allowed_is_as_if_it_had_not_been_found_and_nothing_else_is(findings):
    ordered = sorted(findings, key=lambda one: one.time)
    spared = [one for one in ordered if (one.rule.id, one.entity) == ("rule-1", APPS[0])]
    others = [one for one in ordered if one not in spared]
    one = decide(ordered, Known(), allowing(allowance("rule-1", until_s=10_000)), now=None)
    other = decide(others, Known(), POLICY, now=None)
    assert (one.risks, one.incidents, one.decisions) == (other.risks, other.incidents, other.decisions)
    excepted = {word.finding for word in one.considered if word.reason is Reason.RULE_EXCEPTED}
    assert excepted == {one.id for one in spared}


def test_it_says_why_and_ends_with_its_time():
    allowed = allowing(allowance("rule-1"), allowance("rule-1", until_s=60))
    word = became(finding(entity=APPS[0]), allowed)
    assert word.detail == "Something happened (rule rule-1) is known and benign of app wx0: it is known."
    assert became(finding(entity=APPS[0], after_s=3_599), allowed).reason is Reason.RULE_EXCEPTED
    assert became(finding(entity=APPS[0], after_s=3_600), allowed).reason is Reason.PLAYBOOK
