"""Earlier decisions as one call of `decide` sees them, and as it changes them."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import msgspec

from detectors.finding import Entity, Scope
from playbooks.decision import RELEASED, Act, Decision, DecisionState, Mode, Reason, Tier
from playbooks.known import Known, began
from playbooks.spent import Spent
from playbooks.versions import is_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Slot: TypeAlias = tuple[Act, "str | None", Mode]
"""Where at most one decision about an entity is in force: act, target and mode."""

Origin: TypeAlias = tuple[Entity, str, Mode]
"""Whose acts are counted together: an entity (or owner), a playbook, a mode."""

_Entry = TypeVar("_Entry", "tuple[int, str]", "tuple[int, int, str]")
_UNDECIDED: Final = frozenset({DecisionState.PROPOSED, DecisionState.HELD, DecisionState.AWAITING_APPROVAL})
_LIFTED: Final = frozenset({DecisionState.REVOKED, DecisionState.REJECTED})


def slot(decision: Decision) -> Slot:
    return decision.type, decision.target, decision.mode


class Offences:
    """The acts of one playbook on one entity, or one owner: when they began, and when their deadlines ended."""

    def __init__(self) -> None:
        self._begun: list[tuple[int, str]] = []
        self._deadlines: list[tuple[int, int, str]] = []

    def add(self, decision: Decision) -> None:
        name = decision.finding or decision.id
        insort(self._begun, (decision.time, name))
        if decision.type is Act.WARN:
            insort(self._deadlines, (decision.expires, decision.time, name))

    def remove(self, decision: Decision) -> None:
        """Forget an act that is not to count, if it was counted."""
        name = decision.finding or decision.id
        _forget(self._begun, (decision.time, name))
        if decision.type is Act.WARN:
            _forget(self._deadlines, (decision.expires, decision.time, name))

    def repeats(self, since: int, offence: int, enough: int) -> int:
        """Acts that began before the offence, from `since` on; one of several parts is one. Counts to `enough`."""
        last = bisect_left(self._begun, (offence,))
        first = bisect_left(self._begun, (since,))
        return _distinct((self._begun[index][1] for index in range(last - 1, first - 1, -1)), enough)

    def deadlines_missed(self, since: int, offence: int, enough: int) -> int:
        """Warnings given from `since` on whose deadline was over at the offence. Counts to `enough`."""
        last = bisect_left(self._deadlines, (offence + 1,))
        newest_first = (self._deadlines[index] for index in range(last - 1, -1, -1))
        return _distinct((name for _, given, name in newest_first if given >= since), enough)


def _forget(known: list[_Entry], entry: _Entry) -> None:
    place = bisect_left(known, entry)
    if place < len(known) and known[place] == entry:
        del known[place]


def _distinct(names: Iterable[str], enough: int) -> int:
    """How many different names there are, without looking further than is asked."""
    seen: set[str] = set()
    for name in names:
        if len(seen) >= enough:
            break
        seen.add(name)
    return len(seen)


class History:
    """What is in force, what waits for a person, what a person has lifted, and how often there was cause to act.

    Known decisions are taken up at the first question about their entity or owner.
    """

    def __init__(self, known: Known) -> None:
        self._known = known
        self._in_force: dict[Entity, dict[Slot, Decision]] = {}
        self._waiting: dict[tuple[Entity, Slot], Decision] = {}
        self._lifted: dict[tuple[Entity, Slot, str | None], Decision] = {}
        self._offences: dict[Origin, Offences] = defaultdict(Offences)
        self._owners: set[str] = set()
        self._enforced: dict[Entity, dict[str, Decision]] = defaultdict(dict)
        self.spent = Spent(known.recent)
        self.changed: dict[str, Decision] = {}

    def take_up(self, entity: Entity, owner: str | None) -> None:
        """Make ready for questions about an entity and its owner. Costs their history once."""
        if entity not in self._in_force:
            self._in_force[entity] = {}
            for decision in reversed(self._known.decisions.get(entity, ())):
                self._remember(decision)
        if owner is not None and owner not in self._owners:
            self._owners.add(owner)
            self.take_up(Entity(Scope.DEVELOPER, owner), None)  # acts on the developer meet all that is theirs
            for decision in reversed(self._known.owners.get(owner, ())):
                if began(decision):
                    self._offences[Entity(Scope.DEVELOPER, owner), f"owned:{decision.origin}", decision.mode].add(
                        decision
                    )

    def _remember(self, decision: Decision) -> None:
        place = (decision.entity, slot(decision))
        if began(decision):
            self._offences[decision.entity, decision.origin, decision.mode].add(decision)
            self._note_enforced(decision)
        if decision.state is DecisionState.ACTIVE:
            self._in_force[decision.entity][slot(decision)] = decision
        elif decision.state in _UNDECIDED:
            self._waiting[place] = decision
        elif decision.state in _LIFTED and RELEASED not in decision.labels:
            self._lifted[(*place, decision.rule)] = decision

    def offences(self, entity: Entity, owner: str | None, origin: str, mode: Mode) -> Offences:
        """Earlier acts of a playbook: on the entity, or on all that the owner has when one is given."""
        if owner is None:
            return self._offences[entity, origin, mode]
        return self._offences[Entity(Scope.DEVELOPER, owner), f"owned:{origin}", mode]

    def _note_enforced(self, decision: Decision) -> None:
        if decision.mode is Mode.LIVE and decision.tier.rank > Tier.WARN.rank:
            self._enforced[decision.entity][decision.id] = decision

    def enforced(self, entity: Entity, owner: str | None, at: int) -> list[Decision]:
        """The real acts above a warning that met an entity or its owner at a time, the highest first."""
        whom = [entity] if owner is None else [entity, Entity(Scope.DEVELOPER, owner)]
        acts = [act for each in whom for act in self._enforced[each].values() if act.time <= at < act.expires]
        return sorted(acts, key=lambda act: (-act.tier.rank, act.time, act.id))

    def has_acted(self, rule: str, entity: Entity) -> bool:
        """Whether a rule has brought about a real act above a warning on an entity."""
        return any(act.rule == rule for act in self._enforced[entity].values())

    def in_force(self, proposed: Decision) -> Decision | None:
        """The decision that holds the proposed one's place now."""
        current = self._in_force[proposed.entity].get(slot(proposed))
        return current if current is not None and current.expires > proposed.time else None

    def above(self, proposed: Decision) -> Decision | None:
        """A higher act of the same playbook in force on the entity: a lower one beside it would say nothing new.

        What the same finding brought about does not count: one step may have acts of several tiers.
        """
        for current in self._in_force[proposed.entity].values():
            higher = current.tier.rank > proposed.tier.rank and current.expires > proposed.time
            same = current.origin == proposed.origin and current.mode is proposed.mode
            if higher and same and current.finding != proposed.finding:
                return current
        return None

    def waiting(self, proposed: Decision) -> Decision | None:
        """The decision in the proposed one's place that waits for a person."""
        held = self._waiting.get((proposed.entity, slot(proposed)))
        return held if held is not None and held.expires > proposed.time else None

    def lifted(self, proposed: Decision) -> Decision | None:
        """What a person took back or refused in this place and for this rule, until it would have ended by itself."""
        lifted = self._lifted.get((proposed.entity, slot(proposed), proposed.rule))
        return lifted if lifted is not None and lifted.expires > proposed.time else None

    def hold(self, decision: Decision) -> None:
        """Add a decision that waits; an earlier one in its place is superseded."""
        self._retire(self._waiting.get((decision.entity, slot(decision))), decision.time)
        self._waiting[decision.entity, slot(decision)] = decision
        self.changed[decision.id] = decision
        if decision.reason is Reason.HELD_NEW_RULE:
            self.spent.add(decision)

    def put_in_force(self, decision: Decision) -> None:
        """Add a decision that acts; what was in its place, in force or waiting, gives way."""
        places = self._in_force[decision.entity]
        self._retire(places.get(slot(decision)), decision.time)
        self._retire(self._waiting.pop((decision.entity, slot(decision)), None), decision.time)
        places[slot(decision)] = decision
        for offences in self._counted(decision):
            offences.add(decision)
        self.spent.add(decision)
        self._note_enforced(decision)
        self.changed[decision.id] = decision

    def take_back(self, decision: Decision) -> None:
        """A decision is no longer in force, and counts as no earlier act."""
        places = self._in_force[decision.entity]
        current = places.get(slot(decision))
        if current is not None and current.id == decision.id:
            del places[slot(decision)]
        for offences in self._counted(decision):
            offences.remove(decision)
        self._enforced[decision.entity].pop(decision.id, None)

    def lift(self, word: Decision) -> None:
        """A person takes back or refuses what stands in a decision's place by the same rule: it is not decided again there."""
        place = (word.entity, slot(word))
        current = self._in_force[word.entity].get(slot(word))
        if current is not None and current.rule == word.rule:
            self.take_back(current)
        waiting = self._waiting.get(place)
        if waiting is not None and waiting.rule == word.rule:
            del self._waiting[place]
        self._lifted[(*place, word.rule)] = word

    def standing(self) -> Iterator[Decision]:
        """All that is in force, or was when last looked at: their time may have passed."""
        for places in self._in_force.values():
            yield from places.values()

    def asked(self) -> Iterator[Decision]:
        """All that wait for a person."""
        yield from self._waiting.values()

    def _counted(self, decision: Decision) -> Iterator[Offences]:
        """Where an act is counted: with its entity's, and with its owner's."""
        yield self._offences[decision.entity, decision.origin, decision.mode]
        if decision.owner is not None:
            yield self._offences[Entity(Scope.DEVELOPER, decision.owner), f"owned:{decision.origin}", decision.mode]

    def _retire(self, earlier: Decision | None, at: int) -> None:
        if earlier is not None:
            state = DecisionState.SUPERSEDED if earlier.expires > at else DecisionState.EXPIRED
            self.changed[earlier.id] = msgspec.structs.replace(earlier, state=state)


def outranks(proposed: Decision, current: Decision) -> bool:
    """Whether a decision should take the place of the one in force: it ends no sooner, and is higher, longer or tighter.

    The same act again is not: repeated offences under an act do not prolong it.
    """
    if proposed.expires < current.expires:
        return False
    if proposed.tier is not current.tier:
        return proposed.tier.rank > current.tier.rank
    return proposed.duration_s > current.duration_s or _is_tighter(proposed, current)


def _is_tighter(proposed: Decision, current: Decision) -> bool:
    """Whether it lets fewer calls through, or demands a newer version."""
    newer = is_below(str(current.parameters.get("version_min")), str(proposed.parameters.get("version_min")))
    return _rate(proposed) < _rate(current) or newer


def _rate(decision: Decision) -> float:
    """Calls a second that a throttle lets through."""
    return int(decision.parameters.get("limit", 0)) / int(decision.parameters.get("per_s", 1))
