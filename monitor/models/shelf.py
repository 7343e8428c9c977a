"""Which model is in force, which is tried, and what may follow: the rules by which models come and go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from monitor.stores.models import ModelRow, ModelState

_USED: Final = {ModelState.ACTIVE: "is in force", ModelState.CANDIDATE: "is tried"}


class ModelRefused(ValueError):
    """A model may not come to a state; the text says why."""


class ModelShelf:
    """The models of an installation, as their rows stand. Nothing is changed here: what would change is returned."""

    def __init__(self, rows: Sequence[ModelRow] = ()) -> None:
        """`rows`: those that came to their state last first."""
        self.rows = tuple(rows)
        self.active = self._first(ModelState.ACTIVE)
        self.candidate = self._first(ModelState.CANDIDATE)

    @property
    def before(self) -> tuple[ModelRow, ...]:
        """Those that were in force before, the last one first."""
        return tuple(row for row in self.rows if row.state is ModelState.RETIRED)

    def _first(self, state: ModelState) -> ModelRow | None:
        return next((row for row in self.rows if row.state is state), None)

    def named(self, name: str) -> ModelRow:
        """The model of this number, or of a digest that begins so; raises `ModelRefused` unless there is one."""
        found = [row for row in self.rows if name == str(row.number)]
        found = found or [row for row in self.rows if len(name) >= DIGITS_MIN and row.digest.startswith(name)]
        if len(found) != 1:
            raise ModelRefused(f"there is no model {name}; miniwatch model list shows those that there are")
        return found[0]

    def tried(self, row: ModelRow, now: int) -> list[ModelRow]:
        """What changes when a model is tried beside what is in force: one that was tried before goes."""
        self._check(row)
        changed = [_to(row, ModelState.CANDIDATE, now)]
        if self.candidate is not None:
            changed.append(_to(self.candidate, ModelState.WITHDRAWN, now))
        return changed

    def activated(self, row: ModelRow, now: int) -> list[ModelRow]:
        """What changes when a model comes into force: the one before it can be gone back to."""
        if row.state is not ModelState.CANDIDATE:
            self._check(row)
        changed = [_to(row, ModelState.ACTIVE, now)]
        if self.active is not None:
            changed.append(_to(self.active, ModelState.RETIRED, now))
        return changed

    def returned(
        self, now: int, digest: str = "", usable: Callable[[ModelRow], bool] = lambda _row: True
    ) -> list[ModelRow]:
        """What changes when the last step is taken back: the model that is tried goes, else that in force makes room for the last one
        before it that is usable. With the digest of the one in force it is that one, whatever is tried.
        """
        if self.candidate is not None and (self.active is None or digest != self.active.digest):
            return [_to(self.candidate, ModelState.WITHDRAWN, now)]
        if self.active is None:
            raise ModelRefused("no model is in force, so there is nothing to go back from")
        changed = [_to(self.active, ModelState.WITHDRAWN, now)]
        if (row := next(filter(usable, self.before), None)) is not None:
            changed.append(_to(row, ModelState.ACTIVE, now))
        return changed

    def after(self, changed: Sequence[ModelRow]) -> ModelShelf:
        """The shelf as it will stand."""
        new = {row.digest: row for row in changed}
        return ModelShelf([*changed, *(row for row in self.rows if row.digest not in new)])

    @staticmethod
    def _check(row: ModelRow) -> None:
        if row.state is ModelState.REFUSED:
            raise ModelRefused(f"{label(row)} was refused after its training: {row.story.refused}")
        if row.state in _USED:
            raise ModelRefused(f"{label(row)} {_USED[row.state]} already")


DIGITS_MIN: Final = 6
"""So much of a digest names a model."""


def label(row: ModelRow) -> str:
    """How people call a model."""
    return f"model {row.number}"


def standing(rows: Sequence[ModelRow]) -> str:
    """How models stand, for the audit: with their digests, by which they are known beyond doubt."""
    return "; ".join(f"{label(row)} ({row.digest[:16]}) {_USED.get(row.state, f'is {row.state}')}" for row in rows)


def _to(row: ModelRow, state: ModelState, now: int) -> ModelRow:
    return msgspec.structs.replace(row, state=state, since=now)
