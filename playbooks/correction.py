"""What must change in the record so that it stands as if some findings had not been: two courses of things compared."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

from detectors.finding import Entity, Scope
from playbooks.again import World, course
from playbooks.decision import RELEASED, UNCOUNTED, Considered, Decision, DecisionState, Mode, Reason, Tier
from playbooks.history import outranks, slot
from playbooks.incident import Incident, IncidentState
from playbooks.known import began
from playbooks.past import AFTER_UNDO, INSTEAD_OF, LASTING, Key, Past, Weighed, is_persons, key_of
from playbooks.risk import MICROSECONDS, Risk
from playbooks.waiting import asked, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from playbooks.policy import Policy

_WAITING: Final = frozenset({DecisionState.PROPOSED, DecisionState.HELD, DecisionState.AWAITING_APPROVAL})


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """New values of all that changes. `gone` are entities without any risk left.

    `lifted` are decisions taken back: those of the findings themselves, and (labelled as released) those that rested on them. `added`
    would be in force or wait, and are not in the record; live ones wait for a person, whatever the guards say. `kept` are a
    person's, left as they are though the finding no longer counts. `relabelled` are over: those whose finding no longer counts, or that rested on one,
    are no earlier offences, and what was lifted with a finding that counts again no longer speaks against the same act.
    """

    risks: list[Risk] = msgspec.field(default_factory=list)
    gone: list[Entity] = msgspec.field(default_factory=list)
    incidents: list[Incident] = msgspec.field(default_factory=list)
    lifted: list[Decision] = msgspec.field(default_factory=list)
    added: list[Decision] = msgspec.field(default_factory=list)
    kept: list[Decision] = msgspec.field(default_factory=list)
    relabelled: list[Decision] = msgspec.field(default_factory=list)
    considered: list[Considered] = msgspec.field(default_factory=list)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Which findings do not count at present, and which shall not; under which name, why (a clause), and when.

    `policy` is the present one: it says who is left alone now.
    """

    before: AbstractSet[str]
    after: AbstractSet[str]
    name: str
    because: str
    now: int
    policy: Policy


def correct(
    past: Past, asked: Question, policy_at: Callable[[int, int], Policy], incidents: Iterable[Incident]
) -> Correction:
    """Weigh the past as it counts and as it shall count; what differs is to be changed, and nothing else.

    Where the record is not what its own past gives (another version decided it, findings are no longer kept), both courses
    err alike, and what does not depend on the findings stays as it is.
    """
    changing = asked.before ^ asked.after
    orders = {one.finding.id: one.order for one in past.weighed}
    if orders.keys().isdisjoint(changing):
        return Correction()
    begin = min(orders[key] for key in asked.before | asked.after if key in orders)
    was, shall = (course(past, left_out, begin, policy_at) for left_out in (asked.before, asked.after))
    comparison = _Comparison(past, asked, was, shall)
    comparison.decisions()
    risks, gone = comparison.risks()
    return Correction(
        risks=risks,
        gone=gone,
        incidents=comparison.incidents({incident.id: incident for incident in incidents}),
        lifted=list(comparison.lifted.values()),
        added=list(comparison.added.values()),
        kept=comparison.kept,
        relabelled=comparison.relabelled,
        considered=comparison.considered(begin),
    )


class _Comparison:
    """The record beside two courses of things."""

    def __init__(self, past: Past, asked: Question, was: World, shall: World) -> None:
        self.past, self.asked, self.was, self.shall = past, asked, was, shall
        self.rows = {decision.id: decision for decision in past.decisions}
        self.lifted: dict[str, Decision] = {}
        self.added: dict[str, Decision] = {}  # by the id that the course of things gave them
        self.kept: list[Decision] = []
        self.relabelled: list[Decision] = []

    def decisions(self) -> None:
        """What is lifted, and what comes in its place."""
        acted, acts = (self._by_key(world.history.standing()) for world in (self.was, self.shall))
        waited, waits = (self._by_key(world.history.asked()) for world in (self.was, self.shall))
        counted, counts = self.was.counted(), self.shall.counted()
        newly_out = self.asked.after - self.asked.before
        open_keys: set[Key] = set()
        for decision in self.past.decisions:
            if decision.entity not in self.past.entities:
                continue
            key = key_of(decision)
            if decision.state is not DecisionState.ACTIVE and decision.state not in _WAITING:
                self._over(decision, is_new=key in counts, is_gone=key in counted and key not in counts)
                continue
            is_own = decision.finding in newly_out
            released = key in acted and key not in acts
            if decision.state in _WAITING:
                released = key in waited and key not in waits and key not in acts
            if is_persons(decision):
                self.kept += [decision] if is_own else []
            elif is_own or released:
                self._lift(decision, is_own=is_own)
                continue
            open_keys.add(key)
        self._add(acts, acted, open_keys, in_force=True)
        self._add(waits, waited, open_keys, in_force=False)

    def _by_key(self, decisions: Iterable[Decision]) -> dict[Key, Decision]:
        """Those whose time has not passed."""
        return {key_of(one): one for one in decisions if one.entity in self.past.entities and self._lasts(one)}

    def _lasts(self, decision: Decision) -> bool:
        end = decision.expires if decision.state is DecisionState.ACTIVE else until(decision)
        return decision.mode is Mode.REPLAY or end > self.asked.now

    def _lift(self, decision: Decision, *, is_own: bool) -> None:
        labels = decision.labels if is_own else (*decision.labels, RELEASED)
        self.lifted[decision.id] = msgspec.structs.replace(decision, state=DecisionState.REVOKED, labels=labels)

    def _over(self, decision: Decision, *, is_new: bool, is_gone: bool) -> None:
        """What has ended counts as its finding does, and as what it rested on; what was lifted speaks against nothing any more."""
        labels = tuple(label for label in decision.labels if label != UNCOUNTED)
        is_own_again = decision.finding in self.asked.before - self.asked.after
        if is_persons(decision) or decision.state not in {DecisionState.EXPIRED, DecisionState.SUPERSEDED}:
            self._counts_again(decision)
        elif (is_gone or decision.finding in self.asked.after - self.asked.before) and began(decision):
            self.relabelled.append(msgspec.structs.replace(decision, labels=(*labels, UNCOUNTED)))
        elif (is_new or is_own_again) and labels != decision.labels:
            self.relabelled.append(msgspec.structs.replace(decision, labels=labels))

    def _counts_again(self, decision: Decision) -> None:
        """A lift with a finding that counts again speaks against nothing any more."""
        counts = decision.finding in self.asked.before and decision.finding not in self.asked.after
        word = self.past.words.get(decision.id)
        if counts and word is not None and not word.of_person and RELEASED not in decision.labels:
            self.relabelled.append(msgspec.structs.replace(decision, labels=(*decision.labels, RELEASED)))

    def _add(
        self, wanted: Mapping[Key, Decision], had: Mapping[Key, Decision], open_keys: set[Key], *, in_force: bool
    ) -> None:
        standing = {
            (row.entity, slot(row)): row
            for row in self.past.decisions
            if row.is_in_force(self.asked.now) and row.id not in self.lifted
        }
        for key, decision in wanted.items():
            current = standing.get((decision.entity, slot(decision)))
            is_told = current is not None and not outranks(decision, current)
            if key not in had and key not in open_keys and not is_told:
                is_asked = in_force or decision.reason is Reason.HELD_UNDO
                self.added[decision.id] = self._waiting(decision) if is_asked else self._named(decision)

    def _named(self, decision: Decision) -> Decision:
        """Under its own id, or where that was used up under another."""
        labels = (*decision.labels, f"{AFTER_UNDO}{self.asked.name}", f"{LASTING}{decision.duration_s}")
        key = decision.id
        if key in self.rows:
            labels = (*labels, f"{INSTEAD_OF}{key_of(decision)[0]}")
            key = hashlib.sha256(f"{key}\x1f{self.asked.name}".encode()).hexdigest()[:32]
        return msgspec.structs.replace(decision, id=key, labels=labels)

    def _waiting(self, decision: Decision) -> Decision:
        """A live act waits for a person, for as long as it would have lasted; others act on nobody and stand at once."""
        named = self._named(decision)
        if decision.mode is not Mode.LIVE:
            return named
        left_alone = self._left_alone(decision)
        waiting = msgspec.structs.replace(
            named,
            time=self.asked.now,
            duration_s=max((decision.expires - self.asked.now) // MICROSECONDS, 1),
            state=DecisionState.HELD if left_alone else DecisionState.AWAITING_APPROVAL,
            reason=left_alone or Reason.HELD_UNDO,
            explanation=f"{decision.explanation[:-1]}; held, because {self.asked.because}, and without that it would be in force: a "
            "person decides.",
        )
        return asked(waiting, self.shall.policy.held.within_s(waiting.tier))

    def _left_alone(self, decision: Decision) -> Reason | None:
        """Whether nobody acts on its entity now."""
        policy, owner = self.asked.policy, decision.owner
        if policy.exemptions.until(decision.entity, owner, self.asked.now) is not None:
            return Reason.HELD_EXEMPT
        whom = {decision.entity} if owner is None else {decision.entity, Entity(Scope.DEVELOPER, owner)}
        is_protected = not whom.isdisjoint(policy.protected) or decision.entity in policy.owners_of_protected
        return Reason.HELD_PROTECTED if is_protected else None

    def risks(self) -> tuple[list[Risk], list[Entity]]:
        was, shall = self.was.risks, self.shall.risks
        return [one for entity, one in shall.items() if was.get(entity) != one], [
            one for one in was if one not in shall
        ]

    def incidents(self, known: Mapping[str, Incident]) -> list[Incident]:
        """Incidents whose findings are others now; one without any is closed."""
        tiers = self._tiers()
        was, shall = self.was.touched, self.shall.touched
        changed = []
        for key, incident in shall.items():
            if incident.entity not in self.past.entities:
                continue
            mine = msgspec.structs.replace(incident, tier=tiers.get(key, Tier.OBSERVE).value)
            row = known.get(key)
            before = was.get(key)
            if before is None or row is None or _told(before) != _told(incident) or row.tier != mine.tier:
                state = row.state if row is not None and row.findings else IncidentState.OPEN
                changed.append(msgspec.structs.replace(mine, state=state))
        for key, row in known.items():
            if row.entity in self.past.entities and key in was and key not in shall:
                empty = msgspec.structs.replace(row, state=IncidentState.CLOSED, findings=0, risk=0.0)
                changed.append(msgspec.structs.replace(empty, tier=tiers.get(key, Tier.OBSERVE).value))
        return changed

    def _tiers(self) -> dict[str, Tier]:
        """The highest rung that is, or was rightly, put in force for each incident."""
        tiers: dict[str, Tier] = {}
        changed = {**self.lifted, **{one.id: one for one in self.relabelled}}
        for row in (changed.get(one.id, one) for one in self.past.decisions):
            if row.incident is not None and began(row):
                tiers[row.incident] = max(tiers.get(row.incident, Tier.OBSERVE), row.tier, key=lambda tier: tier.rank)
        return tiers

    def considered(self, begin: tuple[int, int]) -> list[Considered]:
        """New words on findings."""
        words = []
        for one in self.past.weighed:
            key = one.finding.id
            if one.order < begin or one.excepted:
                continue
            if key in self.asked.after:
                words += [] if key in self.asked.before else [self._discounted(one)]
            elif self.was.words.get(key) != (word := self.shall.words[key]):
                words.append(self._pointed(word))
        return words

    def _discounted(self, one: Weighed) -> Considered:
        return Considered(
            finding=one.finding.id,
            incident=one.incident,
            decision=None,
            reason=Reason.DISCOUNTED,
            detail=f"It does not count: {self.asked.because}.",
            clock=one.clock,
            mode=one.mode,
        )

    def _pointed(self, word: Considered) -> Considered:
        """A word with the decision that is in the record."""
        if word.decision is None:
            return word
        added = self.added.get(word.decision)
        if added is not None and added.state in _WAITING:
            return msgspec.structs.replace(word, decision=added.id, reason=added.reason, detail=added.explanation)
        if added is not None or word.decision in self.rows:
            return msgspec.structs.replace(word, decision=added.id if added else word.decision)
        detail = f"It would have been decided; that time is over. {word.detail}"
        return msgspec.structs.replace(word, decision=None, reason=Reason.HELD_UNDO, detail=detail)


def _told(incident: Incident) -> Incident:
    """An incident without what follows from decisions."""
    return msgspec.structs.replace(incident, tier=Tier.OBSERVE.value)
