"""Rules as commands name them: those of the configuration, or those in files and folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from detectors.sigma import Rule, RuleProblem
from monitor.cli.leaving import USAGE, Refused
from monitor.in_force import rules_of
from monitor.rule_reading import read_text, rule_texts

if TYPE_CHECKING:
    from monitor.config import Config


def rule_starting(given: str, config: Config) -> Rule:
    """The rule of the configuration with this id, the beginning of one, or this name; refused when that is not one."""
    rules = rules_of(config).rules
    exact = [rule for rule in rules if given in (rule.id, rule.name, Path(rule.path).stem)]
    found = exact or [rule for rule in rules if rule.id.startswith(given)]
    own = "" if config.rules.folders else "; of yours none is read, for rules.folders names no folder"
    if len(found) == 1:
        return found[0]
    if not found:
        raise Refused(f"there is no rule {given}; `miniwatch rules list` shows what there is{own}", USAGE)
    several = ", ".join(f"{rule.id} ({rule.title})" for rule in found[:5])
    raise Refused(f"{given} could be several rules: {several}; write the id", USAGE)


def texts_in(paths: Sequence[Path]) -> tuple[list[tuple[str, str]], list[RuleProblem]]:
    """Path and text of some files and of all rule files in folders, and what could not be read."""
    sources: list[tuple[str, str]] = []
    problems: list[RuleProblem] = []
    for path in paths:
        if path.is_dir():
            sources += [(str(found.path), found.text) for found in rule_texts(path, problems)]
        elif (text := read_text(path, problems)) is not None:
            sources.append((str(path), text))
    return sources, problems
