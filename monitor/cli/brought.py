"""What a run to the end brought: the record as it stood before, what has grown since, and what of it is shown."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from monitor.cli.ledger import Account, account

if TYPE_CHECKING:
    from monitor.stores.record import Counts
    from monitor.stores.sql import SqlStore
    from playbooks.decision import Decision
    from playbooks.incident import Incident

INCIDENTS_SHOWN: Final = 5
DECISIONS_SHOWN: Final = 4
"""Of those in force, and as many of those held."""

DECISIONS_READ_MAX: Final = 20_000
GRAVEST_FIRST: Final = ("ban", "remove", "function-ban", "throttle", "captcha", "force-update", "warn")
"""Acts from the highest tier to the lowest; within a tier, what takes more away comes first."""

IN_FORCE: Final = ("active",)
HELD: Final = ("held", "awaiting-approval")


@dataclass(frozen=True, slots=True)
class Before:
    """The record as it stood when the run began, so that the summary is about the run."""

    turn: int
    accounts: Mapping[str, Account]
    counts: Counts
    incidents: Mapping[str, int]  # how many findings each had
    decisions: frozenset[str]  # those in force and those held

    def had_incident(self, row: Incident) -> bool:
        """Whether the run has added nothing to an incident."""
        return self.incidents.get(row.id) == row.findings

    def had_decision(self, row: Decision) -> bool:
        """Whether a decision was there before the run."""
        return row.id in self.decisions


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is shown of incidents and decisions: what the run brought before what was there, then the gravest first."""

    incidents: Sequence[Incident]
    in_force: Sequence[Decision]
    held: Sequence[Decision]


def before(store: SqlStore) -> Before:
    """Taken before the first turn."""
    return Before(
        turn=store.last_turn(),
        accounts={name: account(each) for name, each in store.progress().items()},
        counts=store.counts(),
        incidents={row.id: row.findings for row in store.incidents()},
        decisions=frozenset(row.id for row in _standing(store, (*IN_FORCE, *HELD))),
    )


def chosen(store: SqlStore, earlier: Before) -> Chosen:
    """The gravest of the record, what the run brought first."""
    incidents = heapq.nsmallest(
        INCIDENTS_SHOWN, store.incidents(), key=lambda row: (earlier.had_incident(row), -row.risk, -row.findings)
    )
    severities = {row.id: row.severity.rank for row in store.incidents()}

    def gravity(row: Decision) -> tuple[bool, bool, int, int, int, str]:
        severity = severities.get(row.incident or "", 0)
        return (
            earlier.had_decision(row),
            row.mode == "shadow",
            GRAVEST_FIRST.index(row.type),
            -severity,
            row.time,
            row.id,
        )

    in_force, held = (
        heapq.nsmallest(DECISIONS_SHOWN, _standing(store, states), gravity) for states in (IN_FORCE, HELD)
    )
    return Chosen(incidents, in_force, held)


def _standing(store: SqlStore, states: Sequence[str]) -> Iterator[Decision]:
    """Decisions in some states, the newest of each."""
    from monitor.stores.record import Query

    for state in states:
        yield from store.decisions(Query(state=state, limit=DECISIONS_READ_MAX))


def grown(now: Account, earlier: Account) -> Account:
    """What an account has more than it had."""
    return {name: value - earlier.get(name, 0) if isinstance(value, int) else value for name, value in now.items()}


def more(now: Mapping[str, int], earlier: Mapping[str, int]) -> Counter[str]:
    """What has become more, and by how many."""
    return +(Counter(now) - Counter(earlier))
