"""What would be silenced, by what the record has of the last days: a look back that changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from detectors.event import END_OF_TIME
from detectors.finding import Finding, Scope
from monitor.moments import DAY_US
from monitor.responding.undoing import FINDINGS_MARKED_MAX, mark_findings
from monitor.stores.record import Query
from monitor.stores.sql import SqlStore
from monitor.stores.undos import Fate, Marking, TooMuch, Verdict
from playbooks.decision import Decision, Mode
from playbooks.policy import Exceptions, Policy, RuleException

DAYS: Final = 7
"""How far back is looked."""

FINDINGS_MAX: Final = 50_000
"""Findings of those days that are looked at, the newest."""

_WIDE: Final = frozenset({Scope.DEVELOPER, Scope.ADDRESS, Scope.RANGE})
"""Scopes of which an exception is about others too: a developer's apps, a range's addresses."""

_RESTED: Final = frozenset({Fate.LIFTED, Fate.RELEASED, Fate.KEPT})


class Silenced(msgspec.Struct, frozen=True, kw_only=True):
    """What would have been silenced between two times, beside the finding that it is asked for.

    `findings`, of which so many were marked `true`, `false` and `benign_known`; `decisions` are those in force that rest on any of
    them, and stay. `more`: there were more findings than are looked at.
    """

    rule: str
    scope: Scope
    value: str
    since: int
    until: int
    findings: int
    true: int
    false: int
    benign_known: int
    decisions: tuple[Decision, ...]
    more: bool


def silenced_by_exception(store: SqlStore, finding: Finding, policy: Policy, *, now: int) -> Silenced:
    """What an exception of the finding's rule for its entity would have silenced in the last days."""
    about = RuleException(
        rule=finding.rule.id, scope=finding.entity.scope, value=finding.entity.value, expires=END_OF_TIME
    )
    exceptions = Exceptions([about])
    is_wide = about.scope in _WIDE
    whom = Query(rule=about.rule) if is_wide else Query(rule=about.rule, scope=about.scope.value, value=about.value)

    def is_meant(one: Finding) -> bool:
        return exceptions.until(one.rule.id, one.entity, one.owner, now) is not None

    return _silenced(store, finding, policy, now, whom, is_meant)


def silenced_by_mark(store: SqlStore, finding: Finding, policy: Policy, *, now: int) -> Silenced:
    """What would not have been acted on in the last days had the finding been marked as benign-known before."""
    entity = finding.entity
    about = Query(rule=finding.rule.id, scope=entity.scope.value, value=entity.value)
    return _silenced(store, finding, policy, now, about, lambda _one: True)


def _silenced(
    store: SqlStore, finding: Finding, policy: Policy, now: int, about: Query, is_meant: Callable[[Finding], bool]
) -> Silenced:
    until = _end(store, finding, now, about)
    since = until - DAYS * DAY_US
    within = msgspec.structs.replace(about, since=since, until=until, limit=FINDINGS_MAX + 1)
    looked_at = list(store.findings(within))
    like = [one.id for one in looked_at if is_meant(one) and not one.shadow and one.id != finding.id]
    words = Counter(mark.verdict for mark in store.finding_marks(like).values())
    decisions = _resting(store, like[:FINDINGS_MARKED_MAX], policy, until)
    return Silenced(
        rule=finding.rule.id,
        scope=finding.entity.scope,
        value=finding.entity.value,
        since=since,
        until=until,
        findings=len(like),
        true=words[Verdict.TRUE],
        false=words[Verdict.FALSE],
        benign_known=words[Verdict.BENIGN_KNOWN],
        decisions=decisions or (),
        more=len(looked_at) > FINDINGS_MAX or len(like) > FINDINGS_MARKED_MAX or decisions is None,
    )


def _end(store: SqlStore, finding: Finding, now: int, about: Query) -> int:
    """Where the last days end: now, or where findings were weighed on the stream's own clock, with the newest of them."""
    word = store.considered(finding.id)
    if word is None or word.mode is not Mode.REPLAY:
        return now + 1
    newest = next(store.findings(msgspec.structs.replace(about, limit=1)), finding)
    return max(newest.time, finding.time) + 1


def _resting(store: SqlStore, findings: list[str], policy: Policy, at: int) -> tuple[Decision, ...] | None:
    """The decisions in force that would go, or that a person keeps, were none of these findings there; None where that is too much to say."""
    if not findings:
        return ()
    marking = Marking(findings=tuple(findings), verdict=Verdict.FALSE)
    try:
        _, became = mark_findings(store, marking, policy, reason="", actor="", now=at, dry_run=True)
    except TooMuch:
        return None
    rested = [store.decision(one.decision.id) for one in became if one.fate in _RESTED]
    return tuple(one for one in rested if one is not None and one.is_in_force(at))
