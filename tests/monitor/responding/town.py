"""A record in which turns decide and people speak, step by step, so that it can be lived again without a rule."""

import contextlib

import msgspec

from detectors.finding import Entity, Scope
from monitor.responding.lifting import revoke
from monitor.responding.undoing import mark_findings, undo_rule
from monitor.rulings import allowances_of
from monitor.settings import Settings
from monitor.stores import Standing, StandingKind, Turn
from monitor.stores.record import AlreadyEnded, Query
from monitor.stores.undos import Marking, Span, Verdict
from monitor.stream.committing import TurnCommitter
from monitor.testing import scratch_store
from playbooks.decision import DecisionState, Mode, Reason
from playbooks.history import slot
from playbooks.known import began
from playbooks.past import key_of
from playbooks.playbook import parse_playbooks
from playbooks.policy import BudgetConfig, Exceptions, Exemption, Exemptions, Policy, RuleException
from playbooks.risk import MICROSECONDS
from playbooks.testing import NOON
from playbooks.waiting import until

ROOMY = BudgetConfig(
    warn_per_hour=10_000,
    throttle_per_hour=10_000,
    remove_per_hour=10_000,
    ban_per_hour=10_000,
    all_per_hour=10_000,
)
LADDER = parse_playbooks(
    [
        (
            "ladder",
            """\
name: ladder
title: Every rung
priority: 1
match: {scopes: [AppId, Ip]}
steps:
  - {tier: warn, when: {risk: 10}, actions: [{type: warn, deadline: 24h}]}
  - {tier: throttle, when: {risk: 30}, actions: [{type: throttle, limit: 9, per: 1m, for: 24h}, {type: captcha, for: 2h}]}
  - {tier: throttle, when: {risk: 30, repeats: 1}, actions: [{type: throttle, limit: 3, per: 1m, for: 3d}]}
  - {tier: remove, when: {risk: 50, findings: 2}, actions: [{type: remove, for: 7d}]}
  - {tier: ban, when: {risk: 50, repeats: 2}, actions: [{type: ban, for: 30d}]}
""",
        )
    ]
)[0]


class Quiet:
    """Surroundings in which nobody else is about, and all is well."""

    def active(self, _findings):
        return {}

    def behind(self, _findings, _orders):
        return {}

    def seen_by(self, policy):
        return policy


class Town:
    """One record. `now` is in seconds after noon."""

    def __init__(self, folder, playbooks=LADDER, without=frozenset(), channels=(), targets=None):
        self.store = scratch_store(folder)
        self.playbooks = playbooks
        self.without = without
        self.channels, self.targets = channels, targets
        self.now_s = 0
        self.number = 0

    @property
    def now(self):
        return NOON + self.now_s * MICROSECONDS

    def policy(self):
        standings = self.store.standings(self.now)
        return Policy(
            playbooks=self.playbooks,
            budget=ROOMY,
            exemptions=Exemptions(
                Exemption(scope=Scope(one.scope), value=one.value, expires=one.expires)
                for one in standings
                if one.kind is StandingKind.EXEMPTION
            ),
            exceptions=Exceptions(
                RuleException(rule=one.rule, scope=Scope(one.scope), value=one.value, expires=one.expires)
                for one in standings
                if one.kind is StandingKind.EXCEPTION
            ),
            allowances=allowances_of(self.store.marks_in_force(self.now)),
        )

    def turn(self, findings, *, until_end=False):
        """Decide findings, as the daemon does."""
        fresh = [one for one in findings if one.rule.id not in self.without]
        self.number += 1
        settings = Settings(until_end=until_end, channels=self.channels, targets=self.targets)
        committer = TurnCommitter(
            self.store,
            self.policy,
            settings,
            lambda: self.now,
            lambda f: f(),
            lambda _: contextlib.nullcontext(),
            Quiet(),
        )
        known = self.store.known_findings([one.id for one in fresh])
        committer.commit(Turn(number=self.number, findings=fresh), [one for one in fresh if one.id not in known], {})

    def in_force(self, mode=Mode.LIVE):
        return {key_of(one): one for one in self.store.decisions_in_force(self.now, [mode])}

    def waiting(self, *reasons):
        rows = [one for one in self.store.decisions() if one.mode is Mode.LIVE and until(one) > self.now]
        waits = {DecisionState.HELD, DecisionState.AWAITING_APPROVAL}
        return {key_of(one): one for one in rows if one.state in waits and (not reasons or one.reason in reasons)}

    def revoke(self, decision):
        """A person lifts a decision; in a life in which there is another in its place, by the same rule, that one."""
        for one in self.store.decisions(Query(scope=decision.scope.value, value=decision.value)):
            if (slot(one), one.rule) == (slot(decision), decision.rule):
                with contextlib.suppress(AlreadyEnded):
                    revoke(self.store, one.id, actor="operator:ann", reason="a mistake", now=self.now)
        if self.store.decision(decision.id) is None:  # it was never decided here; the word stands all the same
            said = msgspec.structs.replace(decision, state=DecisionState.REVOKED)
            self.number += 1
            self.store.commit(Turn(number=self.number, decisions=[said]))

    def add(self, decision):
        """A person puts something in force; what was in its place gives way."""
        places = [one for one in self.store.decisions_in_force(self.now) if one.entity == decision.entity]
        given_way = [
            msgspec.structs.replace(one, state=DecisionState.SUPERSEDED)
            for one in places
            if slot(one) == slot(decision)
        ]
        self.number += 1
        self.store.commit(Turn(number=self.number, decisions=[*given_way, decision]))

    def stand(self, kind, entity, rule=None, days=2):
        self.store.add_standing(
            Standing(
                id=f"s{self.now_s}",
                kind=kind,
                scope=entity.scope.value,
                value=entity.value,
                rule=rule,
                reason="ours",
                actor="operator:ann",
                created=self.now,
                expires=self.now + days * 86_400 * MICROSECONDS,
            )
        )

    def expire(self):
        self.store.expire_decisions(self.now)

    def undo(self, rule, since_s=-(10**6), until_s=None, **more):
        until = self.now + 1 if until_s is None else NOON + until_s * MICROSECONDS
        span = Span(rule=rule, since=NOON + since_s * MICROSECONDS, until=until)
        policy = self.policy()
        told = {"channels": self.channels, **more}
        return undo_rule(self.store, span, policy, reason="a bad rule", actor="operator:bob", now=self.now, **told)

    def mark(self, findings, verdict=Verdict.FALSE, for_s=None):
        policy = self.policy()
        expires = None if for_s is None else self.now + for_s * MICROSECONDS
        marking = Marking(findings=tuple(findings), verdict=verdict, expires=expires)
        by = {"actor": "operator:bob", "now": self.now, "channels": self.channels}
        return mark_findings(self.store, marking, policy, reason="looked at", **by)

    def risks(self, entities):
        return self.store.risks(entities)

    def close(self):
        self.store.close()


def alike(decision):
    """A decision without what differs between two lives: its id, and that of its incident."""
    return msgspec.structs.replace(decision, id="", incident=None, explanation="", labels=())


def lifted(undone):
    return {key_of(one.decision) for one in undone if one.fate in {"lifted", "released"}}


__all__ = ["DecisionState", "Entity", "Reason", "Town", "alike", "began", "lifted"]
