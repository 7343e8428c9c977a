"""The one function: findings in, decisions out, with a word on every finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from detectors.finding import Entity, Finding, Scope, Severity
from playbooks import incident as incidents
from playbooks.action import Action, ForceUpdate, describe
from playbooks.decision import Considered, Decision, DecisionState, Mode, Reason, Tier, Unanswered, decision_id
from playbooks.guards.asking import LETS_LOWER_STEP_ACT, objection, tripped
from playbooks.guards.evidence import shortened
from playbooks.guards.proposal import Proposal
from playbooks.history import History, outranks
from playbooks.incident import NOUNS, Incident
from playbooks.known import Known, Outcome
from playbooks.ladder import Footing, Playbook, Step, first_match
from playbooks.risk import MICROSECONDS, Risk, raise_by
from playbooks.surroundings import Active, Behind
from playbooks.trip import Trip
from playbooks.versions import LATEST, is_version
from playbooks.waiting import asked, until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playbooks.policy import Policy

_DAY_US = 86_400 * MICROSECONDS
_UUID_CHARACTERS = 36
_UUID_HEAD_CHARACTERS = 8


def decide(findings: Sequence[Finding], known: Known, policy: Policy, *, now: int | None) -> Outcome:
    """Weigh findings in the order given, each once, and say what shall be done.

    `now` is the clock of live decisions, in microseconds; None is replay: each finding is decided at its own time.
    The same arguments give the same outcome, and cutting the findings anywhere (with `known.carry` between) changes
    nothing. The caller gives each finding id once, at its creation; evidence that grows later is no new finding.
    """
    weighing = Weighing(known, policy, now)
    considered = [weighing.consider(finding) for finding in findings]
    return Outcome(
        risks=list(weighing.risks.values()),
        incidents=list(weighing.touched.values()),
        decisions=[*weighing.history.changed.values(), *weighing.in_shadow],
        considered=considered,
        trips=list(weighing.trips.values()),
    )


def decide_in_shadow(finding: Finding, policy: Policy, *, now: int | None) -> Outcome:
    """What a finding would lead to by itself, with no history: recorded in mode shadow, so that rules can be tried.

    It raises no risk and joins no incident, and nothing is held against it that others did: what is in force stays as it
    would be without it, and the answer is the same however the stream is cut.
    """
    trying = tuple(playbook.in_shadow() for playbook in policy.trial or policy.playbooks)
    alone = msgspec.structs.replace(policy, playbooks=trying, trial=(), shadowed={})
    outcome = decide([finding], Known(), alone, now=now)
    return Outcome(
        decisions=[msgspec.structs.replace(decision, incident=None) for decision in outcome.decisions],
        considered=[msgspec.structs.replace(word, incident=None) for word in outcome.considered],
    )


def decide_again(
    findings: Sequence[Finding], policy: Policy, *, now: int | None, without_rule: str, known: Known | None = None
) -> Outcome:
    """What findings would have led to had a rule never spoken: the definition of undoing a rule.

    It is there for the law that ties both ways together: an exception for the rule everywhere must come to the same.
    """
    kept = [finding for finding in findings if finding.rule.id != without_rule]
    return decide(kept, known or Known(), policy, now=now)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One finding with all that its decision rests on."""

    finding: Finding
    incident: Incident
    playbook: Playbook
    mode: Mode
    clock: int


class Result(msgspec.Struct, frozen=True):
    """What became of one proposed act: the decision that stands for it, and why."""

    decision: Decision
    reason: Reason
    detail: str


class Weighing:
    """One call's working memory: what is known, and what the findings so far have changed."""

    def __init__(self, known: Known, policy: Policy, now: int | None) -> None:
        self.known = known
        self.policy = policy
        self.now = now
        self.history = History(known)
        self.risks: dict[Entity, Risk] = {}
        self.touched: dict[str, Incident] = {}
        self._incidents: dict[Entity, Incident] = {}
        self.in_shadow: list[Decision] = []
        self.trips: dict[tuple[Reason, str], Trip] = {}
        self._shadowed = {**policy.shadowed, **known.shadowed}
        self._playbooks: dict[tuple[str, Scope, Severity, str, tuple[str, ...]], Playbook | None] = {}

    def consider(self, finding: Finding) -> Considered:
        """Count one finding and do what it gives cause for."""
        clock = finding.time if self.now is None else self.now
        mode = Mode.REPLAY if self.now is None else Mode.LIVE
        return msgspec.structs.replace(self._considered(finding, clock), clock=clock, mode=mode)

    def _considered(self, finding: Finding, clock: int) -> Considered:
        excepted = self._excepted(finding, clock)
        if excepted is not None:
            detail = f"{finding.title.rstrip('.')} (rule {_short(finding.rule.id)}) {excepted}."
            return _considered(finding, None, None, Reason.RULE_EXCEPTED, detail)
        if finding.rule.id in self._shadowed:
            return self._only_recorded(finding)
        self.history.take_up(finding.entity, owner_of(finding))
        score = self._raise_risk(finding)
        incident = self._join_incident(finding, score)
        playbook = self._playbook_for(finding)
        if playbook is None:
            detail = f"No playbook speaks of such a finding about {_named(finding.entity)}; it is in its incident."
            return _considered(finding, incident, None, Reason.NO_PLAYBOOK, detail)
        mode = Mode.SHADOW if playbook.mode is Mode.SHADOW else Mode.REPLAY if self.now is None else Mode.LIVE
        case = Case(finding=finding, incident=incident, playbook=playbook, mode=mode, clock=clock)
        footing = self._footing(case)
        results = self._climb(case, playbook.reached(footing))
        if not results:
            detail = (
                f"Risk {footing.risk:.0f} of 100, with {footing.findings:,} in the incident, reaches no step of playbook "
                f"{playbook.name} at which something is done."
            )
            return _considered(finding, incident, None, Reason.RISK_BELOW_STEP, detail)
        chosen = _telling(results)
        return _considered(finding, incident, chosen.decision.id, chosen.reason, chosen.detail)

    def _only_recorded(self, finding: Finding) -> Considered:
        """What comes of a rule in shadow: nothing rises, nothing is enforced, and it is written down."""
        outcome = decide_in_shadow(finding, msgspec.structs.replace(self.policy, trial=()), now=self.now)
        self.in_shadow += outcome.decisions
        (word,) = outcome.considered
        detail = f"Rule {_short(finding.rule.id)} is in shadow ({self._shadowed[finding.rule.id]}): {word.detail}"
        return _considered(finding, None, word.decision, Reason.RULE_IN_SHADOW, detail)

    def _excepted(self, finding: Finding, clock: int) -> str | None:
        """That its rule does not apply there, and why, in a clause; None where it does."""
        if self.policy.exceptions.until(finding.rule.id, finding.entity, finding.owner, clock) is not None:
            return f"does not apply to {_named(finding.entity)}: an exception says so"
        allowed = self.policy.allowances.of(finding, clock)
        return None if allowed is None else f"is known and benign of {_named(finding.entity)}: {allowed.because}"

    def _objection(self, proposed: Decision, proposal: Proposal) -> tuple[Reason, str] | None:  # noqa: ARG002 - for those who know more
        """What speaks against an act."""
        return objection(proposal, self.policy)

    def _opened(self, finding: Finding, score: float, *, under_act: bool) -> Incident:
        """The incident that a finding opens."""
        return incidents.open_incident(finding, score, self.policy.incident, under_act=under_act)

    def _raise_risk(self, finding: Finding) -> float:
        config = self.policy.risk
        weight = config.weight(finding)
        if finding.owner is not None and finding.entity.scope is not Scope.DEVELOPER:
            self._raise(Entity(Scope.DEVELOPER, finding.owner), weight * config.owner_share, finding.time)
        return self._raise(finding.entity, weight, finding.time)

    def _raise(self, entity: Entity, weight: float, at: int) -> float:
        risk = self.risks.get(entity) or self.known.risks.get(entity) or Risk(entity=entity, score=0.0, at=at)
        raised = raise_by(risk, weight, at, self.policy.risk.half_life_s)
        self.risks[entity] = raised
        return raised.score

    def _join_incident(self, finding: Finding, score: float) -> Incident:
        """The finding's incident, with it. One that is too old for the open incident has its own, and leaves it open."""
        config, enforced = self.policy.incident, self._is_under_act(finding)
        current = self._incidents.get(finding.entity) or self.known.incidents.get(finding.entity)
        if current is not None and incidents.belongs(current, finding, config.gap_s):
            incident = incidents.join(current, finding, score, config, under_act=enforced)
        else:
            incident = self._opened(finding, score, under_act=enforced)
        if current is None or incident.id == current.id or incident.last_finding >= current.last_finding:
            self._incidents[finding.entity] = incident
        self.touched[incident.id] = incident
        return incident

    def _is_under_act(self, finding: Finding) -> bool:
        """Whether what was seen may be an effect of an act that was in force: one that this rule has no part in."""
        acts = self.history.enforced(finding.entity, finding.owner, finding.time)
        return bool(acts) and not self.history.has_acted(finding.rule.id, finding.entity)

    def _playbook_for(self, finding: Finding) -> Playbook | None:
        kind = (finding.rule.id, finding.entity.scope, finding.severity, finding.kind, finding.tags)
        if kind not in self._playbooks:
            self._playbooks[kind] = first_match(self.policy.playbooks, finding)
        return self._playbooks[kind]

    def _footing(self, case: Case) -> Footing:
        """How the entity stands now, seen by the playbook: its risk, its incident, and its earlier acts."""
        finding, playbook = case.finding, case.playbook
        owner = owner_of(finding)
        counted = owner if playbook.per_owner else None
        offences = self.history.offences(finding.entity, counted, playbook.origin, case.mode)
        since = finding.time - playbook.memory_days * _DAY_US
        repeats_most = max(step.when.repeats for step in playbook.steps)
        missed_most = max(step.when.deadlines_missed for step in playbook.steps)
        return Footing(
            risk=case.incident.risk,
            findings=case.incident.findings,
            repeats=offences.repeats(since, finding.time, repeats_most),
            deadlines_missed=offences.deadlines_missed(since, finding.time, missed_most),
        )

    def _climb(self, case: Case, steps: list[Step]) -> list[Result]:
        """Do what the highest step says. Where evidence or approval holds all of it back, the step below acts too."""
        results: list[Result] = []
        for step in steps:
            here = [self._propose(case, step, action) for action in step.actions]
            results += here
            if any(result.reason not in LETS_LOWER_STEP_ACT for result in here):
                break
        return results

    def _propose(self, case: Case, step: Step, action: Action) -> Result:
        """Decide on one act: in force, held, or nothing because something says it already."""
        action = self._named_version(case, shortened(action, case.incident))
        proposed = _decision(case, action)
        standing = self.history.in_force(proposed)
        if standing is not None and not outranks(proposed, standing):
            return Result(standing, Reason.ALREADY_DECIDED, f"The same act is in force already: {standing.explanation}")
        above = self.history.above(proposed)
        if above is not None:
            return Result(above, Reason.ALREADY_DECIDED, f"A higher act is in force already: {above.explanation}")
        lifted = self.history.lifted(proposed)
        if lifted is not None and not outranks(proposed, lifted):
            return Result(lifted, Reason.ALREADY_DECIDED, f"A person has lifted this act: {lifted.explanation}")
        proposal = Proposal(
            finding=case.finding,
            incident=case.incident,
            action=action,
            mode=case.mode,
            clock=case.clock,
            spent=self.history.spent,
            enforced=self.history.enforced(case.finding.entity, case.finding.owner, case.finding.time),
            active=self.known.active.get(case.finding.id, Active()),
            behind=self.known.behind.get(case.finding.id, Behind()),
        )
        objected = self._objection(proposed, proposal)
        if objected is not None:
            self._tell(tripped(proposal, self.policy, *objected))
            return self._hold(proposed, step, *objected)
        self.history.put_in_force(proposed)
        self._reach(case, proposed.tier)
        return Result(proposed, Reason.PLAYBOOK, proposed.explanation)

    def _tell(self, trip: Trip | None) -> None:
        """Have people told once of each bound; a rule that tripped it is in shadow from the next finding on."""
        if trip is not None:
            self.trips.setdefault((trip.reason, trip.name), trip)
            if trip.rule is not None:
                self._shadowed.setdefault(trip.rule, trip.because)

    def _named_version(self, case: Case, action: Action) -> Action:
        """The version that `latest` means at this time, where the registry knows one that has an order."""
        entity = case.finding.entity
        if not isinstance(action, ForceUpdate) or action.version_min != LATEST or entity.scope is not Scope.APP:
            return action
        released = self.policy.released(entity.value, case.clock)
        if released is None or not is_version(released):
            return action
        return msgspec.structs.replace(action, version_min=released)

    def _hold(self, proposed: Decision, step: Step, reason: Reason, because: str) -> Result:
        """Keep a proposed act for a person to see; the same question is not asked twice."""
        waiting = self.history.waiting(proposed)
        if waiting is not None and waiting.reason is reason and not outranks(proposed, waiting):
            return Result(waiting, reason, f"Held already: {waiting.explanation}")
        held = msgspec.structs.replace(
            proposed,
            reason=reason,
            state=DecisionState.AWAITING_APPROVAL if reason is Reason.HELD_APPROVAL else DecisionState.HELD,
            explanation=f"{proposed.explanation[:-1]}; held, because {because}.",
        )
        if held.mode is Mode.LIVE:
            held = self._asked(held, step, waiting)
        self.history.hold(held)
        return Result(held, reason, held.explanation)

    def _asked(self, held: Decision, step: Step, earlier: Decision | None) -> Decision:
        """A decision that waits for a person's answer: a question that takes the place of another is no longer open than that one."""
        within_s = step.answer_within_s or self.policy.held.within_s(held.tier)
        question = asked(held, within_s)
        if earlier is not None and until(earlier) > held.time:
            question = msgspec.structs.replace(question, answer_by=min(until(question), until(earlier)))
        may_act = step.unanswered is Unanswered.DECIDE_AGAIN and held.tier.rank <= Tier.THROTTLE.rank
        return msgspec.structs.replace(question, unanswered=Unanswered.DECIDE_AGAIN) if may_act else question

    def _reach(self, case: Case, tier: Tier) -> None:
        """Note in the incident the highest rung put in force."""
        incident = self.touched[case.incident.id]
        if tier.rank > Tier(incident.tier).rank:
            incident = msgspec.structs.replace(incident, tier=tier.value)
            self.touched[incident.id] = incident
            current = self._incidents.get(incident.entity)
            if current is not None and current.id == incident.id:
                self._incidents[incident.entity] = incident


def owner_of(finding: Finding) -> str | None:
    """The developer behind a finding: the app's, or the one it is about."""
    return finding.entity.value if finding.entity.scope is Scope.DEVELOPER else finding.owner


def _named(entity: Entity) -> str:
    return f"{NOUNS[entity.scope].lower()} {entity.value}"


def _short(rule: str) -> str:
    """As much of a rule's id as a person needs to look it up; an id that is a name stays whole."""
    return rule[:_UUID_HEAD_CHARACTERS] if len(rule) == _UUID_CHARACTERS else rule


def _decision(case: Case, action: Action) -> Decision:
    """The decision that an action would be, put in force at the case's clock."""
    finding, incident = case.finding, case.incident
    return Decision(
        id=decision_id(incident.id, action.act, action.aim, finding.id),
        time=case.clock,
        scope=finding.entity.scope,
        value=finding.entity.value,
        type=action.act,
        tier=action.tier,
        target=action.aim,
        parameters=action.parameters_at(case.clock),
        duration_s=action.duration_s,
        expires=case.clock + action.duration_s * MICROSECONDS,
        origin=case.playbook.origin,
        reason=Reason.PLAYBOOK,
        explanation=_explanation(case, action),
        incident=incident.id,
        finding=finding.id,
        rule=finding.rule.id,
        mode=case.mode,
        state=DecisionState.ACTIVE,
        owner=owner_of(finding),
    )


def _explanation(case: Case, action: Action) -> str:
    """One sentence for people: what was seen, by which rule, and what follows.

    How many events there were is not in it: they go on coming, and the sentence must not depend on when it is said.
    """
    finding, incident = case.finding, case.incident
    earlier = incident.findings - 1
    others = f", after {earlier:,} earlier finding{'' if earlier == 1 else 's'}" if earlier else ""
    return (
        f"{NOUNS[finding.entity.scope]} {finding.entity.value}: {finding.title.rstrip('.')} "
        f"(rule {_short(finding.rule.id)}{others}), risk {incident.risk:.0f} of 100; "
        f"by playbook {case.playbook.name}: {describe(action)}."
    )


def _telling(results: list[Result]) -> Result:
    """The result that says most about a finding: what was put in force, else what was held, else what stood already."""
    by_news = sorted(
        results, key=lambda result: (result.reason is not Reason.PLAYBOOK, result.reason is Reason.ALREADY_DECIDED)
    )
    return by_news[0]


def _considered(
    finding: Finding, incident: Incident | None, decision: str | None, reason: Reason, detail: str
) -> Considered:
    return Considered(
        finding=finding.id,
        incident=None if incident is None else incident.id,
        decision=decision,
        reason=reason,
        detail=detail,
    )
