"""How many acts have begun lately: in all, of a tier, by a rule, and on whom. Budgets are counted from it."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from playbooks.decision import Decision, DecisionState, Mode, Reason, Tier
from playbooks.risk import MICROSECONDS
from playbooks.surroundings import CROWDS, Crowd

HOUR_US: Final = 3600 * MICROSECONDS


_Key = tuple[Mode, "Tier | str | None", "Crowd | None"]
_NEW: Final = "new-rule:"
_ACTED: Final = frozenset({Reason.PLAYBOOK, Reason.OPERATOR})
_NEVER_BEGUN: Final = frozenset(
    {DecisionState.PROPOSED, DecisionState.HELD, DecisionState.AWAITING_APPROVAL, DecisionState.REJECTED}
)


class Spent:
    """Acts by when they began. One finding's several acts are several."""

    def __init__(self, decisions: Iterable[Decision]) -> None:
        self._times: dict[_Key, list[int]] = defaultdict(list)
        for decision in decisions:
            for key in _keys(decision):
                self._times[key].append(decision.time)
        for times in self._times.values():
            times.sort()

    def add(self, decision: Decision) -> None:
        for key in _keys(decision):
            insort(self._times[key], decision.time)

    def of_tier(self, mode: Mode, tier: Tier, until: int, crowd: Crowd | None = None) -> int:
        """Acts of a tier that began in the hour that ends with this time."""
        return self._in_hour((mode, tier, crowd), until)

    def of_rule(self, mode: Mode, rule: str, until: int, crowd: Crowd | None = None) -> int:
        """Acts that findings of one rule brought about in the hour."""
        return self._in_hour((mode, _named(rule), crowd), until)

    def in_all(self, mode: Mode, until: int, crowd: Crowd | None = None) -> int:
        """All acts of the hour."""
        return self._in_hour((mode, None, crowd), until)

    def held_as_new(self, rule: str, until: int) -> int:
        """Acts of the hour that were held because their rule is new."""
        return self._in_hour((Mode.LIVE, _NEW + rule, None), until)

    def _in_hour(self, key: _Key, until: int) -> int:
        """What began after the hour's beginning. Where acts are real it counts, whatever clock it was given by: a clock that
        is put back gives no second budget.
        """
        times = self._times.get(key, [])
        last = bisect_right(times, until) if key[0] is Mode.REPLAY else len(times)
        return last - bisect_right(times, until - HOUR_US)


def _keys(decision: Decision) -> Iterator[_Key]:
    """Where a decision is counted. What was lifted counts: it has met somebody, and lifting gives no second budget."""
    if decision.reason in _ACTED and decision.state not in _NEVER_BEGUN:
        of: list[Tier | str | None] = [None, decision.tier]
        if decision.rule is not None:
            of.append(_named(decision.rule))
        crowd = CROWDS.get(decision.scope)
        for whose in of:
            yield decision.mode, whose, None
            if crowd is not None:
                yield decision.mode, whose, crowd
    elif decision.reason is Reason.HELD_NEW_RULE and decision.rule is not None:
        yield decision.mode, _NEW + decision.rule, None


def _named(rule: str) -> str:
    """A rule's key, which is no tier's."""
    return f"rule:{rule}"
