"""Findings of the past weighed again, with some of them left out: how things would stand had those never been.

What stood around a finding then is taken as it was: the turn's playbooks, its clock, whether an exception or a guard kept
something back, and what people approved, added or lifted meanwhile. Only what follows from the findings themselves is found anew.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from playbooks.decide import Weighing, owner_of
from playbooks.decision import UNCOUNTED, DecisionState, Mode, Reason
from playbooks.guards.evidence import second_person, thin_evidence, too_long
from playbooks.guards.health import loop
from playbooks.guards.standing import exempt
from playbooks.history import outranks
from playbooks.incident import incident_id
from playbooks.known import Known, began
from playbooks.past import Key, Past, Weighed, is_after_undo, is_persons, is_released, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from detectors.finding import Finding
    from playbooks.decision import Considered, Decision
    from playbooks.guards.proposal import Proposal
    from playbooks.incident import Incident
    from playbooks.policy import Policy
    from playbooks.trip import Trip

_OF_FINDINGS: Final = (
    (Reason.HELD_EVIDENCE, thin_evidence),
    (Reason.HELD_APPROVAL, second_person),
    (Reason.HELD_DURATION, too_long),
    (Reason.HELD_LOOP, loop),
)
"""The guards that look at findings and acts alone; they are asked again."""

_ASKED_FIRST: Final = frozenset(
    {Reason.HELD_EXEMPT, Reason.HELD_PROTECTED, Reason.HELD_PAUSED, Reason.HELD_MAINTENANCE}
)
"""What people had laid down comes before what guards see."""

_ASKED_AGAIN: Final = frozenset(reason for reason, _ in _OF_FINDINGS)

_SAID_ANEW: Final = _ASKED_AGAIN | {Reason.HELD_UNDO}
"""Why something waits that says nothing of a later finding. Whatever else held an act held the next findings' as well: where it had
not, they would have put theirs in force, and the record had it."""


class World(Weighing):
    """One course of things: what is in force, waits, and is known in it at its end. `words` are said of findings, by their id."""

    def __init__(self, past: Past, policy: Policy) -> None:
        super().__init__(Known(), policy, None)
        self.words: dict[str, Considered] = {}
        self._incident_of = {one.finding.id: one.incident for one in past.weighed}
        self._made: dict[Key, Decision] = {}
        for decision in past.decisions:
            if not is_after_undo(decision):
                self._made.setdefault(key_of(decision), decision)
        self._asked_for = {(key_of(one), one.time) for one in past.decisions if is_after_undo(one)}
        self._clocks = {one.finding.id: one.clock for one in past.weighed}

    def weigh(self, one: Weighed, policy: Policy) -> None:
        """Decide a finding by the clock and the playbooks of its time."""
        if policy is not self.policy:
            self.policy = policy
            self._playbooks.clear()
        self.now = one.clock if one.mode is Mode.LIVE else None
        self.words[one.finding.id] = self.consider(one.finding)

    def count(self, finding: Finding) -> None:
        """Let a finding raise risk and join its incident; what was decided on it is given."""
        self.history.take_up(finding.entity, owner_of(finding))
        self._join_incident(finding, self._raise_risk(finding))

    def give(self, decision: Decision) -> None:
        """Take a decision as it was made."""
        self.history.take_up(decision.entity, decision.owner)
        if began_once(decision):
            self.history.put_in_force(msgspec.structs.replace(decision, state=DecisionState.ACTIVE))
        else:
            self.history.hold(msgspec.structs.replace(decision, state=DecisionState.HELD))

    def lift(self, decision: Decision) -> None:
        """Take a person's word against a decision as it was said."""
        self.history.take_up(decision.entity, decision.owner)
        self.history.lift(decision)

    def release(self, decision: Decision) -> None:
        """Put in force what waited, where it waits here too."""
        self.history.take_up(decision.entity, decision.owner)
        waiting = self.history.waiting(decision)
        if waiting is not None and key_of(waiting) == key_of(decision):
            self.history.put_in_force(msgspec.structs.replace(decision, state=DecisionState.ACTIVE))

    def stop(self, at: int) -> None:
        """An undo: what is in force here alone is not from now on either, but waits for a person."""
        for decision in list(self.history.changed.values()):
            if decision.mode is Mode.LIVE and began(decision) and not self._acts_indeed(decision, at):
                self.history.take_back(decision)
                if decision.state is DecisionState.ACTIVE:
                    waits = {"state": DecisionState.AWAITING_APPROVAL, "reason": Reason.HELD_UNDO}
                    self.history.hold(msgspec.structs.replace(decision, **waits))

    def _acts_indeed(self, decision: Decision, at: int) -> bool:
        """Whether it was put in force indeed, and no undo of this time asks for it."""
        key = key_of(decision)
        made = self._made.get(key)
        return is_persons(decision) or (made is not None and began_once(made) and (key, at) not in self._asked_for)

    def counted(self) -> set[Key]:
        """The acts that are or were in force: earlier offences."""
        return {key_of(one) for one in self.history.changed.values() if began(one)}

    def _excepted(self, finding: Finding, clock: int) -> str | None:  # noqa: ARG002 - as it was then
        return None

    def _tell(self, trip: Trip | None) -> None:
        """What people were told of then."""

    def _opened(self, finding: Finding, score: float, *, under_act: bool) -> Incident:
        opened = super()._opened(finding, score, under_act=under_act)
        known = self._incident_of.get(finding.id)
        if known is None or known in self.touched:
            return msgspec.structs.replace(opened, id=incident_id(finding.entity, finding.id))
        return msgspec.structs.replace(opened, id=known)

    def _objection(self, proposed: Decision, proposal: Proposal) -> tuple[Reason, str] | None:
        made = self._made.get(key_of(proposed))
        held_then = None if made is None or began_once(made) else made.reason
        if held_then in _ASKED_FIRST:
            return held_then, "it was held then"
        for reason, guard in _OF_FINDINGS if made is not None else ((Reason.HELD_EXEMPT, exempt), *_OF_FINDINGS):
            if (because := guard(proposal, self.policy)) is not None:
                return reason, because
        if held_then is not None and held_then not in _ASKED_AGAIN:
            return held_then, "it was held then"
        if made is not None and held_then is None and is_late(made, self._clocks):
            return Reason.HELD_APPROVAL, "it waited for a person then"
        waiting = self.history.waiting(proposed) if made is None else None
        if waiting is not None and waiting.reason not in _SAID_ANEW and not outranks(proposed, waiting):
            return waiting.reason, "it was held then"
        return None


def began_once(decision: Decision) -> bool:
    """Whether it was put in force at any time, whatever became of it."""
    return decision.reason in {Reason.PLAYBOOK, Reason.OPERATOR}


def is_late(decision: Decision, clocks: dict[str, int]) -> bool:
    """Whether it waited before it came into force: a person approved it, or nobody objected in time."""
    return is_persons(decision) or decision.time != clocks.get(decision.finding or "", decision.time)


def course(
    past: Past, left_out: AbstractSet[str], begin: tuple[int, int], policy_at: Callable[[int, int], Policy]
) -> World:
    """How things go without some findings; what was decided before `begin` is taken as it was."""
    counted = [one for one in past.weighed if one.finding.id not in left_out and not one.excepted]
    orders = {one.finding.id: one.order for one in past.weighed if not one.excepted}
    world = World(past, policy_at(*begin))
    given = _given(past, left_out, orders, begin)
    for decision in given.pop("", ()):
        world.give(decision)
    words = _words(past, left_out, orders, begin)
    said = 0
    for one in counted:
        while said < len(words) and one.mode is Mode.LIVE and words[said][0] <= one.clock:
            words[said][2](world)
            said += 1
        if one.order >= begin:
            world.weigh(one, policy_at(one.turn, one.clock))
            continue
        world.count(one.finding)
        for decision in given.get(one.finding.id, ()):
            world.give(decision)
    for _, _, word in words[said:]:
        word(world)
    return world


_Orders: TypeAlias = "Mapping[str, tuple[int, int]]"


def _given(
    past: Past, left_out: AbstractSet[str], orders: _Orders, begin: tuple[int, int]
) -> dict[str, list[Decision]]:
    """What findings before the beginning had brought about, by finding; what findings that are not there had, first of all."""
    given: dict[str, list[Decision]] = {}
    for decision in past.decisions:
        if is_persons(decision) or is_after_undo(decision) or is_released(decision) or decision.finding is None:
            continue
        if UNCOUNTED in decision.labels:  # it rested on what counts no longer
            continue
        order = orders.get(decision.finding)
        if decision.finding not in left_out and (order is None or order < begin):
            given.setdefault("" if order is None else decision.finding, []).append(decision)
    return given


def _words(
    past: Past, left_out: AbstractSet[str], orders: _Orders, begin: tuple[int, int]
) -> Sequence[tuple[int, int, Callable[[World], None]]]:
    """What people and earlier undos did, in the order of time; of one time, what was put in force comes first."""
    clocks = {one.finding.id: one.clock for one in past.weighed}
    words: list[tuple[int, int, Callable[[World], None]]] = []

    def say(time: int, rank: int, act: Callable[[World, Decision], None], decision: Decision) -> None:
        words.append((time, rank, lambda world: act(world, decision)))

    for decision in past.decisions:
        order = orders.get(decision.finding or "")
        is_new = order is not None and order >= begin
        if is_persons(decision) or (is_after_undo(decision) and not is_new):
            say(decision.time, 0, World.give, decision)
        elif is_new and began_once(decision) and is_late(decision, clocks):
            say(decision.time, 0, World.release, decision)
        word = past.words.get(decision.id)
        if word is not None and not is_released(decision) and (word.of_person or decision.finding in left_out):
            say(word.time, 1, World.lift, decision)
    words.extend((time, 2, partial(World.stop, at=time)) for time in past.undone)
    return sorted(words, key=lambda said: said[:2])
