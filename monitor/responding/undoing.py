"""Undoing what a rule brought about in a time, or what rests on single findings: others decide as if they had not been."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from monitor.refusal import StoreError
from monitor.responding.playbooks_then import policies
from monitor.responding.refusals import ActRefused, No
from monitor.responding.tending import end_emptied
from monitor.stores.record import NotFound
from monitor.stores.undos import Marking, Span, Undo, UndoAsked, Undone, Verdict
from playbooks.correction import Correction, Question, correct
from playbooks.incident import IncidentState

if TYPE_CHECKING:
    from monitor.alerts import Channel
    from monitor.stores.acting import Acting
    from monitor.stores.gathering import Gathered
    from monitor.stores.sql import SqlStore
    from playbooks.policy import Policy

FINDINGS_MARKED_MAX: Final = 1_000
"""Findings that one call may mark."""

_RULE_DIGITS: Final = 8
_UUID_CHARACTERS: Final = 36


class NothingToUndo(StoreError):
    """No finding of the rule counts in that time."""

    def __init__(self, rule: str) -> None:
        super().__init__(f"no finding of rule {rule} counts in that time; there is nothing to undo", retryable=False)


def undo_rule(
    store: SqlStore,
    span: Span,
    policy: Policy,
    *,
    reason: str,
    actor: str,
    now: int,
    channels: Sequence[Channel] = (),
    dry_run: bool = False,
) -> tuple[Undo, Sequence[Undone]]:
    """Lift what a rule brought about in a time: what its findings led to, and what rested on them.

    The findings no longer count: risks, incidents and decisions become what the others give. What only the others would have
    brought about waits for a person. `policy` is the present one, and `channels` are told of incidents that are over with it. With `dry_run`, nothing is written. Raises `NothingToUndo`.
    """
    short = span.rule[:_RULE_DIGITS] if len(span.rule) == _UUID_CHARACTERS else span.rule
    asked = UndoAsked(
        id=secrets.token_hex(8), what=span, because=f"rule {short} was undone", reason=reason, actor=actor, now=now
    )
    return _carry_out(store, asked, policy, channels, dry_run=dry_run)


def mark_findings(
    store: SqlStore,
    marking: Marking,
    policy: Policy,
    *,
    reason: str,
    actor: str,
    now: int,
    channels: Sequence[Channel] = (),
    then: Callable[[Acting], None] | None = None,
    dry_run: bool = False,
) -> tuple[Undo, Sequence[Undone]]:
    """Say of findings that they are false, true, benign-known, or nothing; a false or benign one no longer counts, and what rests
    on it is lifted.

    `channels` are told of incidents that are over with it. `then` goes on in the same transaction. With `dry_run`, nothing is written. Raises `NotFound` when one of them is not there, and `ActRefused` where they are more
    than one call may mark.
    """
    if len(marking.findings) > FINDINGS_MARKED_MAX:
        told = f"{len(marking.findings):,} findings are more than the {FINDINGS_MARKED_MAX:,} that are marked at once"
        raise ActRefused(No.TOO_MANY, f"{told}; mark fewer, or undo the rule: `miniwatch decisions undo --rule RULE`")
    for key in marking.findings:
        if store.finding(key) is None:
            raise NotFound("finding", key)
    is_out = marking.verdict in {Verdict.FALSE, Verdict.BENIGN_KNOWN}
    because = f"a finding was marked as {marking.verdict}" if is_out else "a finding counts again"
    asked = UndoAsked(id=secrets.token_hex(8), what=marking, because=because, reason=reason, actor=actor, now=now)
    return _carry_out(store, asked, policy, channels, then, dry_run=dry_run)


def _carry_out(
    store: SqlStore,
    asked: UndoAsked,
    policy: Policy,
    channels: Sequence[Channel],
    then: Callable[[Acting], None] | None = None,
    *,
    dry_run: bool,
) -> tuple[Undo, Sequence[Undone]]:
    corrected = _corrected(store, asked, policy)
    if dry_run:
        return store.undo_foreseen(asked, corrected)
    worked_out: list[Correction] = []  # more than once where somebody else wrote meanwhile; the last one counts

    def noted(gathered: Gathered) -> Correction:
        worked_out.append(corrected(gathered))
        return worked_out[-1]

    def go_on(acting: Acting) -> None:
        emptied = [one for one in worked_out[-1].incidents if one.state is IncidentState.CLOSED]
        end_emptied(acting, emptied, actor=asked.actor, said=asked.reason, now=asked.now, channels=channels)
        if then is not None:
            then(acting)

    return store.undo(asked, noted, go_on)


def _corrected(store: SqlStore, asked: UndoAsked, policy: Policy) -> Callable[[Gathered], Correction]:
    policy_at = policies(store, policy)

    def corrected(gathered: Gathered) -> Correction:
        if isinstance(asked.what, Span) and not gathered.changing:
            raise NothingToUndo(asked.what.rule)
        question = Question(
            before=gathered.before,
            after=gathered.after,
            name=asked.id,
            because=asked.because,
            now=asked.now,
            policy=policy,
        )
        return correct(gathered.past, question, policy_at, gathered.incidents)

    return corrected
