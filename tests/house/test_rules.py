"""What every rule that comes with the program says of itself."""

import pytest

from monitor.rules import builtin_folder, load_rules

BEHAVIOURS = range(1, 28)


@pytest.fixture(scope="module")
def loaded():
    return load_rules([builtin_folder()])


def test_every_rule_loads(loaded):
    assert [str(problem) for problem in loaded.problems] == []
    assert loaded.rules


def test_every_behaviour_is_one_that_we_know(loaded):
    numbers = {(rule.path, tag) for rule in loaded.rules for tag in rule.tags if tag.startswith("behaviour.")}
    assert {(path, tag) for path, tag in numbers if int(tag.partition(".")[2]) not in BEHAVIOURS} == set()


def test_every_rule_describes_itself_and_has_a_level(loaded, root):
    for rule in loaded.rules:
        assert rule.description, rule.path
        assert "\nlevel: " in (root / "detectors" / "rules" / rule.path.rpartition("/rules/")[2]).read_text(), rule.path


def test_every_rule_that_speaks_names_what_is_harmless(loaded):
    assert [rule.path for rule in loaded.rules if not rule.silent and not rule.false_positives] == []
