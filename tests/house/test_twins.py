"""Every rule that comes with the program has a twin that agrees with it, and the manifest says so."""

import json
from pathlib import Path

import pytest

from detectors.finding import Severity
from monitor.rules import MANIFEST, TWINS, builtin_folder, load_rules, run_builtin_twins

ROOT = Path(__file__).parents[2]
RULES = ROOT / "detectors" / "rules"


@pytest.fixture(scope="module")
def run():
    return run_builtin_twins(RULES, ROOT / TWINS)


def test_every_rule_agrees_with_its_twin(run):
    _, failures = run
    assert [str(failure).removeprefix(str(ROOT)) for failure in failures] == []


def test_every_rule_file_has_been_run(run):
    manifest, _ = run
    assert sorted(manifest) == sorted(path.relative_to(RULES).as_posix() for path in RULES.rglob("*.yml"))


def test_the_manifest_is_of_this_content(run):
    manifest, _ = run
    assert json.loads((RULES / MANIFEST).read_text()) == manifest, "run `python -m monitor.rules`"


def test_every_rule_that_speaks_says_whom_it_accuses_and_what_to_do():
    for rule in load_rules([builtin_folder()]).rules:
        if not rule.silent:
            assert rule.entity, rule.path
            assert rule.response, rule.path
            assert rule.false_positives, rule.path
            assert len(rule.description) > 80, rule.path
            assert any(tag.startswith("behaviour.") for tag in rule.tags), rule.path
            assert rule.severity is not Severity.INFORMATIONAL, rule.path


def test_every_rule_that_counts_does_so_for_whom_it_accuses():
    for rule in load_rules([builtin_folder()]).rules:
        if rule.window is not None and not rule.silent:
            assert rule.entity_field in {field for group in rule.window.groups for field in group.fields}, rule.path
