"""Rules as commands name them: those of the configuration, or those in files and folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise, takewhile
from operator import eq
from pathlib import Path
from typing import TYPE_CHECKING, Final

from detectors.sigma import Rule, RuleProblem
from monitor.cli.leaving import USAGE, Refused
from monitor.content.in_force import rules_of
from monitor.listing.in_force import rules_called
from monitor.rules.reading import read_text, rule_texts

if TYPE_CHECKING:
    from monitor.cli.opening import Opened
    from monitor.config import Config

DIGITS_MIN: Final = 8
"""Letters of an id that are shown, where so many tell it from others."""


def rule_starting(given: str, config: Config) -> Rule:
    """The rule of the configuration with this id, the beginning of one, this name or this file; refused when that is not one.

    Of a file with several rules it is the one that speaks.
    """
    rules = rules_of(config).rules
    found = rules_called(rules, given)
    own = "" if config.rules.folders else "; of yours none is read, for rules.folders names no folder"
    if len(found) == 1:
        return found[0]
    if not found:
        raise Refused(f"there is no rule {given}; `miniwatch rules list` shows what there is{own}", USAGE)
    several = ", ".join(f"{rule.id} ({rule.title})" for rule in found[:5])
    raise Refused(f"{given} could be several rules: {several}; write the id", USAGE)


def rule_recorded(given: str, opened: Opened) -> str:
    """How the record calls a rule: by the beginning of an id that has findings, or, of one that runs, by its name or file."""
    return given if opened.store.rules_starting(given) else rule_starting(given, opened.config).id


def handles(rules: Sequence[Rule]) -> dict[str, str]:
    """By id, the shortest that tells each rule from the others and that commands take: its file, its name, or digits of its id."""
    words = Counter(word for rule in rules for word in {rule.name, Path(rule.path).stem} if not rule.silent)
    words.update({rule.name for rule in rules if rule.silent})
    digits = unique_digits(rule.id for rule in rules)
    return {rule.id: _handle(rule, words) or rule.id[:digits] for rule in rules}


def _handle(rule: Rule, words: Mapping[str | None, int]) -> str | None:
    stem = Path(rule.path).stem
    if not rule.silent and words[stem] == 1:
        return stem
    return rule.name if words[rule.name] == 1 else None


def unique_digits(ids: Iterable[str]) -> int:
    """How many letters of some ids tell them apart, at least `DIGITS_MIN`."""
    ordered = sorted(set(ids))
    alike = (len(list(takewhile(bool, map(eq, *pair)))) for pair in pairwise(ordered))
    return max([DIGITS_MIN, *(length + 1 for length in alike)])


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
