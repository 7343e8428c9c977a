"""Appeals: somebody objects to a decision, a person looks at it, and another word stands in the end.

An appeal is filed, then reviewed, then granted or rejected; until it is answered it can be withdrawn. One that is granted lifts
the decision, and the findings that it rests on count no longer.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from monitor.audit import AuditEntry
from monitor.responding.adding import check_actor, check_reason
from monitor.responding.persons import person_of
from monitor.responding.refusals import ActRefused, No
from monitor.responding.undoing import FINDINGS_MARKED_MAX, mark_findings
from monitor.stores.appeals import OPEN, Appeal, AppealState, AppealTerms
from monitor.stores.entries import moved
from monitor.stores.record import NOT_ENDED, AlreadyEnded, NotFound, Query
from monitor.stores.undos import Marking, Undo, Verdict
from playbooks.decision import Decision, DecisionState, Mode, Tier
from playbooks.risk import MICROSECONDS
from playbooks.waiting import WAITING

if TYPE_CHECKING:
    from monitor.alerts import Channel
    from monitor.stores.acting import Acting, ActingRecord
    from monitor.stores.sql import SqlStore
    from playbooks.policy import Policy

STATEMENT_CHARACTERS_MAX: Final = 4_000
APPELLANT_CHARACTERS_MAX: Final = 200

DECIDED: Final = ("decision.add", "decision.approve")
"""What the audit says of who brought a decision about."""

EDGES: Final = {
    AppealState.REVIEWING: (AppealState.FILED,),
    AppealState.GRANTED: (AppealState.REVIEWING,),
    AppealState.REJECTED: (AppealState.REVIEWING,),
    AppealState.WITHDRAWN: OPEN,
}
"""From which states an appeal may come to each."""


class Granted(msgspec.Struct, frozen=True, kw_only=True):
    """A granted appeal, its decision as it stands, and the undo of the findings; None where none were marked."""

    appeal: Appeal
    decision: Decision
    undo: Undo | None


def file(
    store: ActingRecord,
    key: str,
    *,
    appellant: str,
    statement: str,
    actor: str,
    now: int,
    terms: AppealTerms = AppealTerms(),  # noqa: B008 - frozen
    name: str | None = None,
) -> tuple[Appeal, bool]:
    """Record that somebody objects to a decision; gives the appeal, and whether it is new.

    A decision has at most one open appeal, and `attempts_max` in all. `name` makes it safe to send again: the same name is the
    same appeal.
    """
    _check_words(appellant, statement)
    with store.acting() as acting:
        check_actor(acting, actor, Tier.OBSERVE)
        decision = acting.decision(key)
        known = acting.known_appeal(name) if name is not None else None
        if known is not None:
            if (known.decision, known.appellant, known.statement) != (key, appellant, statement):
                raise ActRefused(No.OTHER_CONTENT, "this key is that of another appeal")
            return known, False
        _check_appealable(acting, decision, terms)
        appeal = Appeal(
            id=name or secrets.token_hex(16),
            decision=key,
            scope=decision.scope.value,
            value=decision.value,
            appellant=appellant,
            statement=statement,
            filed=now,
            answer_by=now + terms.answer_within_s * MICROSECONDS,
            actor=actor,
        )
        after = msgspec.json.encode(appeal).decode()
        acting.put_appeal(appeal, _entry(appeal, "file", actor, f"of {appellant}", now, "", after))
        return appeal, True


def review(store: ActingRecord, key: str, *, actor: str, reason: str, now: int) -> Appeal:
    """Take an appeal up: it is known who looks at it."""
    return _move(store, key, AppealState.REVIEWING, actor, reason, now)


def withdraw(store: ActingRecord, key: str, *, actor: str, reason: str, now: int) -> Appeal:
    """Record that whoever filed an appeal wants no answer any more."""
    return _move(store, key, AppealState.WITHDRAWN, actor, reason, now)


def reject(store: ActingRecord, key: str, *, actor: str, reason: str, now: int) -> Appeal:
    """Say no to an appeal. Who added or approved the decision cannot: it needs another person."""
    return _move(store, key, AppealState.REJECTED, actor, reason, now)


def grant(
    store: SqlStore,
    key: str,
    policy: Policy,
    *,
    actor: str,
    reason: str,
    now: int,
    channels: Sequence[Channel] = (),
    findings_stand: bool = False,
) -> Granted:
    """Say yes to an appeal: its decision is lifted, and the findings that it rests on are marked as false, in one transaction.

    With `findings_stand` only the decision is lifted. `channels` are told of incidents that are over with it. Raises `ActRefused` and `TooMuch` where too many findings hang together.
    """
    check_reason(reason)
    appeal = store.appeal(key)
    decision = None if appeal is None else store.decision(appeal.decision)
    if appeal is None or decision is None:
        raise NotFound("appeal", key)
    _check_edge(appeal, AppealState.GRANTED)
    findings = () if findings_stand else _resting_on(store, decision)
    stands: list[Granted] = []

    def settle(acting: Acting) -> None:
        _lift(acting, key, actor, reason, now)
        stands.append(Granted(appeal=acting.appeal(key), decision=acting.decision(decision.id), undo=None))

    undo = None
    if findings:
        marking, why = Marking(findings=findings, verdict=Verdict.FALSE), f"appeal {key} was granted: {reason}"
        undo, _ = mark_findings(
            store, marking, policy, reason=why, actor=actor, now=now, channels=channels, then=settle
        )
    else:
        with store.acting() as acting:
            settle(acting)
    return msgspec.structs.replace(stands[-1], undo=undo)


def _lift(acting: Acting, key: str, actor: str, reason: str, now: int) -> None:
    """Grant an appeal, and end its decision where that has not ended."""
    check_actor(acting, actor, Tier.OBSERVE)
    appeal = acting.appeal(key)
    _put(acting, appeal, AppealState.GRANTED, actor, reason, now)
    decision = acting.decision(appeal.decision)
    if decision.state in NOT_ENDED:
        act, state = (
            ("reject", DecisionState.REJECTED) if decision.state in WAITING else ("revoke", DecisionState.REVOKED)
        )
        ended, entry = moved(act, decision, state, actor, f"appeal {key} was granted: {reason}", now)
        acting.write([ended], [entry])


def _resting_on(store: SqlStore, decision: Decision) -> tuple[str, ...]:
    """The findings that a decision rests on: its own, and those of its incident that its rule said of its entity."""
    found = []
    if decision.finding is not None and store.finding(decision.finding) is not None:
        found.append(decision.finding)
    if decision.incident is not None and decision.rule is not None:
        about = Query(
            scope=decision.scope.value,
            value=decision.value,
            rule=decision.rule,
            incident=decision.incident,
            limit=FINDINGS_MARKED_MAX + 1,
        )
        found += [finding.id for finding in store.findings(about)]
    keys = tuple(dict.fromkeys(found))
    if len(keys) > FINDINGS_MARKED_MAX:
        told = f"it rests on more than {FINDINGS_MARKED_MAX:,} findings"
        advice = "undo the rule (`miniwatch decisions undo --rule`), and grant it with findings that stand"
        raise ActRefused(No.TOO_MANY, f"{told}; {advice}")
    return keys


def _move(store: ActingRecord, key: str, to: AppealState, actor: str, reason: str, now: int) -> Appeal:
    check_reason(reason)
    with store.acting() as acting:
        check_actor(acting, actor, Tier.OBSERVE)
        appeal = acting.appeal(key)
        if to is AppealState.REJECTED:
            _check_second(acting, appeal, actor)
        return _put(acting, appeal, to, actor, reason, now)


def _put(acting: Acting, appeal: Appeal, to: AppealState, actor: str, reason: str, now: int) -> Appeal:
    _check_edge(appeal, to)
    if to is AppealState.REVIEWING:
        changed = msgspec.structs.replace(appeal, state=to, reviewer=actor)
    else:
        changed = msgspec.structs.replace(appeal, state=to, answered=now, answered_by=actor, reason=reason)
    words = {"reviewing": "review", "granted": "grant", "rejected": "reject", "withdrawn": "withdraw"}
    acting.put_appeal(changed, _entry(appeal, words[to.value], actor, reason, now, appeal.state.value, to.value))
    return changed


def _check_words(appellant: str, statement: str) -> None:
    if not 0 < len(appellant.strip()) <= APPELLANT_CHARACTERS_MAX or not appellant.isprintable():
        raise ActRefused(No.NO_REASON, f"say who appeals, in 1 to {APPELLANT_CHARACTERS_MAX} printable characters")
    if not 0 < len(statement.strip()) <= STATEMENT_CHARACTERS_MAX:
        raise ActRefused(No.NO_REASON, f"a statement has 1 to {STATEMENT_CHARACTERS_MAX:,} characters")


def _check_appealable(acting: Acting, decision: Decision, terms: AppealTerms) -> None:
    if decision.mode is not Mode.LIVE:
        raise ActRefused(No.NOT_LIVE, f"decision {decision.id} is of mode {decision.mode.value}: it harms nobody")
    if decision.state not in (*NOT_ENDED, DecisionState.EXPIRED):
        raise AlreadyEnded(decision)
    earlier = acting.appeals_against(decision.id)
    waiting = next((one for one in earlier if one.state in OPEN), None)
    if waiting is not None:
        raise ActRefused(No.TOO_MANY, f"appeal {waiting.id} against this decision is still {waiting.state.value}")
    if len(earlier) >= terms.attempts_max:
        raise ActRefused(No.TOO_MANY, f"there were {len(earlier)} appeals against this decision, and no more are taken")


def _check_edge(appeal: Appeal, to: AppealState) -> None:
    if appeal.state in EDGES[to]:
        return
    if appeal.state is AppealState.FILED:
        told = f"appeal {appeal.id} was not looked at; `miniwatch appeals review` says who does"
    else:
        told = f"appeal {appeal.id} is {appeal.state.value} already"
    raise ActRefused(No.NOT_WAITING, told)


def _check_second(acting: Acting, appeal: Appeal, actor: str) -> None:
    """Raises `ActRefused` where whoever says no brought the decision about themselves."""
    check_actor(acting, actor, Tier.BAN)
    person = person_of(actor, acting.token)
    deciders = [person_of(one, acting.token) for one in acting.actors_of(appeal.decision, DECIDED)]
    if person is not None and any(one is not None and one.is_same(person) for one in deciders):
        told = f"{person.name} added or approved this decision: another person rejects the appeal, or it is granted"
        raise ActRefused(No.SECOND_PERSON, told)


def _entry(appeal: Appeal, act: str, actor: str, reason: str, now: int, before: str, after: str) -> AuditEntry:
    return AuditEntry(
        time=now,
        actor=actor,
        action=f"appeal.{act}",
        subject=appeal.id,
        reason=reason,
        before=before,
        after=after,
    )
