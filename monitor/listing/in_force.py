"""Rules and playbooks that are in force, chosen by filters and told to programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from detectors.finding import Severity
from detectors.sigma import Rule
from monitor.holding import in_shadow
from monitor.listing import filters
from monitor.listing.asked import Given, words_of
from monitor.listing.feedback import Precisions, precision_told, precisions
from monitor.listing.wire import Told
from monitor.playbook_files import builtin_playbooks
from monitor.stores import Store
from monitor.stores.sql import SqlStore
from playbooks.ladder import Playbook

RULE_FILTERS: Final = (filters.SEVERITY, filters.TAG)

SHOWN: Final = "id version title description path line severity status tags logsource datasets fields proof false_positives response"


class RulesSaid(msgspec.Struct, frozen=True):
    """What was said of rules: why findings of some are only recorded, by their ids, and what people have marked as what."""

    shadowed: Mapping[str, str]
    precisions: Precisions


NOTHING_SAID: Final = RulesSaid({}, Precisions(rules={}, detectors={}, kinds={}))


def rules_said(store: SqlStore, now: int) -> RulesSaid:
    return RulesSaid(shadowed_rules(store, now), precisions(store))


def chosen_rules(rules: Iterable[Rule], given: Given) -> list[Rule]:
    """The rules that filters leave; raises `BadFilter`."""
    asked = words_of(RULE_FILTERS, given)
    severity, tag = asked.get("severity"), asked.get("tag")
    least = 0 if severity is None else Severity(severity).rank
    return [rule for rule in rules if rule.severity.rank >= least and (tag is None or tag in rule.tags)]


def rules_called(rules: Iterable[Rule], given: str) -> list[Rule]:
    """The rules with this id, name or file, else those whose id begins like that. Of a file with several it is the one that speaks."""
    rules = list(rules)
    exact = [rule for rule in rules if given in (rule.id, rule.name, Path(rule.path).stem)]
    exact = (len(exact) > 1 and [rule for rule in exact if not rule.silent]) or exact
    return exact or [rule for rule in rules if rule.id.startswith(given)]


def rule_recorded(store: SqlStore, rules: Iterable[Rule], given: str) -> str:
    """How the record calls a rule: by the beginning of an id that has findings, or, of one in force, by its name or file."""
    called = [] if store.rules_starting(given) else rules_called(rules, given)
    return called[0].id if len(called) == 1 else given


def rule_told(rule: Rule, said: RulesSaid) -> Told:
    """What a rule says of itself; `in_shadow` says why its findings are only recorded, where they are, `feedback` what people
    have marked them as, where they have.
    """
    row: Told = {name: getattr(rule, name) for name in SHOWN.split()}
    kind = "correlation" if rule.is_correlation else "single event"
    told = {name: list(value) if isinstance(value, tuple) else value for name, value in row.items()}
    entity = rule.entity.value if rule.entity else "AppId, else Host, else Dataset"
    feedback = precision_told(said.precisions.of_rule(rule.id))
    return {**told, "kind": kind, "entity": entity, "in_shadow": said.shadowed.get(rule.id), "feedback": feedback}


def playbook_told(playbook: Playbook, files: Mapping[str, Path]) -> Told:
    """A playbook, and the file that it comes from; there is none for one of a pack."""
    path = files.get(playbook.name)
    builtin = path is not None and path.is_relative_to(builtin_playbooks())
    said: Told = msgspec.to_builtins(playbook, order="deterministic")
    return {**said, "builtin": builtin, "path": None if path is None else str(path)}


def shadowed_rules(store: Store, now: int) -> dict[str, str]:
    """Why the findings of rules are only recorded, by their ids."""
    return {rule: laid.reason for rule, laid in in_shadow(store, now).items()}
