"""A rule as people name it when they ask why: one that runs, or one in a file, tested or not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from detectors.sigma import Rule
from monitor.cli.leaving import USAGE, Refused
from monitor.cli.rule_check import read_rules
from monitor.cli.rule_files import rule_starting
from monitor.content.in_force import rules_of
from monitor.rules import closure

if TYPE_CHECKING:
    from monitor.config import Config


def rule_and_counted(given: str, config: Config) -> tuple[Rule, list[Rule]]:
    """A rule, and it with all that it counts. `given` is a rule file, or as for `rule_starting`."""
    configured = {rule.id: rule for rule in rules_of(config).rules}
    path = Path(given)
    if path.suffix not in (".yml", ".yaml") or not path.is_file():
        rule = rule_starting(given, config)
        return rule, closure([rule], configured)
    found, _, problems = read_rules([path.parent], config)  # its neighbours too: it may count their hits
    told = [each.text for each in problems if Path(each.path) == path]
    if told:
        raise Refused("\n".join(told), USAGE)
    own = [rule for rule in found.rules if Path(rule.path) == path]
    speaking = [rule for rule in own if not rule.silent] or own
    if len(speaking) != 1:
        several = ", ".join(f"{rule.id} ({rule.title})" for rule in speaking[:5])
        raise Refused(f"{path} holds several rules: {several}; give each a file of its own to ask about it", USAGE)
    return speaking[0], closure(speaking, configured | {rule.id: rule for rule in found.rules})
