"""Rules as commands name them: those of the configuration, or those in files and folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from detectors.sigma import Rule, RuleProblem
from monitor.app import rules_of
from monitor.cli.leaving import USAGE, Refused
from monitor.rules import FILES_MAX, RULE_BYTES_MAX

if TYPE_CHECKING:
    from monitor.config import Config


def rule_starting(given: str, config: Config) -> Rule:
    """The rule of the configuration with this id, the beginning of one, or this name; refused when that is not one."""
    rules = rules_of(config).rules
    exact = [rule for rule in rules if given in (rule.id, rule.name, Path(rule.path).stem)]
    found = exact or [rule for rule in rules if rule.id.startswith(given)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise Refused(f"there is no rule {given}; `miniwatch rules list` shows what there is", USAGE)
    several = ", ".join(f"{rule.id} ({rule.title})" for rule in found[:5])
    raise Refused(f"{given} could be several rules: {several}; write the id", USAGE)


def texts_in(paths: Sequence[Path]) -> tuple[list[tuple[str, str]], list[RuleProblem]]:
    """Path and text of some files and of all rule files in folders, and what could not be read."""
    sources: list[tuple[str, str]] = []
    problems: list[RuleProblem] = []
    for path in _files(paths):
        try:
            if path.stat().st_size > RULE_BYTES_MAX:
                problems.append(RuleProblem(str(path), 0, "", f"larger than {RULE_BYTES_MAX} bytes"))
                continue
            sources.append((str(path), path.read_text(encoding="utf-8-sig")))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(RuleProblem(str(path), 0, "", f"cannot be read: {error}"))
    return sources, problems


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(each for suffix in ("*.yml", "*.yaml") for each in path.rglob(suffix))
        else:
            found.append(path)
    if len(found) > FILES_MAX:
        raise Refused(f"{len(found)} rule files; at most {FILES_MAX} at once", USAGE)
    return found
