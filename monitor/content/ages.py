"""Since when rules that are not built in have been in force, or on trial: what the guard of new rules asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.rules import builtin_folder
from monitor.stores import Store, StoreError

if TYPE_CHECKING:
    from detectors.sigma import Rule
    from monitor.content.in_force import InForce


class RuleAges:
    """Notes in the record when rules come into force, and says which of them are new.

    Those of the program are established. A rule's time on trial counts: one whose pack went through shadow and canary is as old as that.
    """

    def __init__(self, store: Store, clock: Callable[[], int], new_s: float) -> None:
        self._store = store
        self._clock = clock
        self._new_us = int(new_s * 1_000_000)
        self._own = builtin_folder().path
        self._since: dict[str, int] = {}
        self._owed: tuple[dict[str, list[str]], int] | None = None

    def take(self, found: InForce) -> None:
        """From now on these rules are in force, and those of a trial are tried."""
        tried = found.trial.rules if found.trial is not None else ()
        versions: dict[str, list[str]] = {}
        for rule in (*found.rules.rules, *tried):
            if not self._is_own(rule):
                versions.setdefault(rule.id, []).append(rule.version)
        self._since = dict.fromkeys(versions, self._clock())
        self._owed = versions, self._clock()
        self._note()

    def new(self) -> dict[str, int]:
        """The rules that came into force lately, with when that was."""
        self._note()
        oldest = self._clock() - self._new_us
        return {rule: since for rule, since in self._since.items() if since > oldest}

    def _note(self) -> None:
        """Have the record keep it; where it refuses, all count as new until it does not."""
        if self._owed is None:
            return
        versions, at = self._owed
        try:
            self._since = dict(self._store.note_rules(versions, at))
        except StoreError:
            return
        self._owed = None

    def _is_own(self, rule: Rule) -> bool:
        return Path(rule.path).is_relative_to(self._own)
