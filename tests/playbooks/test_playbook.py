import pytest

from playbooks.action import Throttle, Warn
from playbooks.decision import Mode, Tier
from playbooks.playbook import parse_playbooks

GOOD = """\
name: storm
title: A storm
priority: 5
match:
  behaviours: [8]
  scopes: [AppId]
  min_severity: medium
mode: shadow
per_owner: true
memory_days: 30
steps:
  - tier: warn
    when: {risk: 20}
    actions:
      - {type: warn, deadline: 72h}
  - tier: throttle
    when: {repeats: 1}
    actions:
      - {type: throttle, target: login, limit: 60, per: 1m, for: 7d}
"""


def problems(old, new):
    assert old in GOOD
    playbooks, found = parse_playbooks([("storm.yaml", GOOD.replace(old, new, 1))])
    assert playbooks == ()
    return [(problem.line, problem.found) for problem in found]


def test_a_playbook_is_read_whole():
    (playbook,), found = parse_playbooks([("storm.yaml", GOOD)])
    assert found == []
    assert (playbook.name, playbook.mode, playbook.per_owner, playbook.memory_days) == ("storm", Mode.SHADOW, True, 30)
    assert [step.tier for step in playbook.steps] == [Tier.WARN, Tier.THROTTLE]
    assert playbook.steps[0].actions == (Warn(duration_s=259_200),)
    assert playbook.steps[1].actions == (Throttle(duration_s=604_800, target="login", limit=60, per_s=60),)


@pytest.mark.parametrize(
    ("old", "new", "line", "found"),
    [
        ("deadline: 72h", "deadline: 0", 15, "'0' is not a duration"),
        ("for: 7d", "for: 0d", 19, "'0d' is nothing or for ever"),
        ("for: 7d", "for: permanent", 19, "'permanent' is not a duration"),
        ("memory_days", "memory", 10, "the unknown key 'memory' in a playbook"),
        ("{risk: 20}", "{risks: 20}", 13, "the unknown key 'risks' in when"),
        ("{risk: 20}", "{risk: 101}", 13, "101"),
        ("target: login,", "target: login, speed: 3,", 19, "the unknown key 'speed' in a throttle"),
        ("target: login,", 'target: "log\\nin",', 19, "'log\\nin'"),
        (" limit: 60,", "", 19, "a throttle without 'limit'"),
        ("limit: 60", "limit: 0", 19, "0"),
        ("type: warn", "type: scold", 15, "'scold'"),
        ("type: warn, deadline: 72h", "type: ban, for: 1d", 15, "ban in a step of tier warn"),
        ("mode: shadow", "mode: replay", 8, "'replay'"),
        ("scopes: [AppId]", "scopes: [Host]", 6, "'Host'"),
        ("scopes: [AppId]", "scopes: AppId", 6, "'AppId'"),
        ("behaviours: [8]", "behaviours: [eight]", 5, "'eight'"),
        ("min_severity: medium", "min_severity: mild", 7, "'mild'"),
        ("per_owner: true", "per_owner: maybe", 9, "'maybe'"),
        ("priority: 5", "priority: true", 3, "True"),
        ("priority: 5\n", "", 1, "a playbook without 'priority'"),
        ("name: storm", "name: A Storm", 1, "'A Storm'"),
        ("name: storm", "name: storm\nname: storm", 2, "the key 'name' a second time"),
        ("- tier: warn", "- tier: remove", 16, "throttle after remove"),
        ("name: storm", "name: [storm", 2, "expected ',' or ']', but got ':'"),
    ],
)
def test_a_mistake_is_told_with_its_line(old, new, line, found):
    assert (line, found) in problems(old, new)


def test_every_mistake_is_told_and_the_other_files_are_unharmed():
    bad = GOOD.replace("72h", "0").replace("7d", "0").replace("priority: 5", "priority: x")
    playbooks, found = parse_playbooks([("bad.yaml", bad), ("good.yaml", GOOD)])
    assert [problem.line for problem in found] == [3, 15, 19]
    assert [playbook.name for playbook in playbooks] == ["storm"]
    assert str(found[1]).startswith("bad.yaml:15: found '0' is not a duration; expected a duration like")


def test_a_name_is_given_once():
    playbooks, found = parse_playbooks([("a.yaml", GOOD), ("b.yaml", GOOD)])
    assert len(playbooks) == 1
    assert [problem.file for problem in found] == ["b.yaml"]


def test_playbooks_are_asked_by_priority_then_name():
    names = [("late", 9), ("b", 1), ("a", 1)]
    texts = [(name, GOOD.replace("storm", name, 1).replace("priority: 5", f"priority: {n}")) for name, n in names]
    assert [playbook.name for playbook in parse_playbooks(texts)[0]] == ["a", "b", "late"]


@pytest.mark.parametrize(
    "text", ["", "#", "- 1", "steps: &a [*a]", "x: " + "[" * 5_000, "a: b" * 20_000, "? [a]\n: b", "\x00"]
)
def test_what_is_no_playbook_is_a_problem_and_not_an_accident(text):
    playbooks, found = parse_playbooks([("odd.yaml", text)])
    assert playbooks == ()
    assert found
