"""Which pack is in force, which is tried, and what may follow: the rules by which packs come and go."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from monitor.packs.manifest import PackRefused
from monitor.stores.record import PackRow, PackState


class Stage(StrEnum):
    """How far a pack has come: it only records; it acts on a share of the entities; it is in force."""

    SHADOW = "shadow"
    CANARY = "canary"
    LIVE = "live"


class Shelf:
    """The packs of an installation, as their rows stand. Nothing is changed here: what would change is returned."""

    def __init__(self, rows: Sequence[PackRow]) -> None:
        """`rows`: those that came to their state last first."""
        self.rows = tuple(rows)
        self.active = self._first(PackState.ACTIVE)
        self.candidate = self._first(PackState.CANDIDATE)

    def _first(self, state: PackState) -> PackRow | None:
        return next((row for row in self.rows if row.state is state), None)

    def check_admissible(self, name: str, version: int, digest: str) -> None:
        """Raise `PackRefused` unless a pack may follow those that are there."""
        for row in (self.active, self.candidate):
            if row is None or (row is self.candidate and row.digest == digest):
                continue
            if row.digest == digest:
                raise PackRefused(f"{name} {version} is in force already")
            if row.name != name:
                raise PackRefused(
                    f"{row.name} {row.version} is there: a pack is followed by one of its name, not by {name}"
                )
            if version <= row.version:
                raise PackRefused(
                    f"version {version} is not newer than {row.version}, which is {row.state}; a rollback goes back"
                )

    def moved(self, row: PackRow, stage: Stage, now: int) -> list[PackRow]:
        """What changes when a pack comes to a stage: raises `PackRefused` when it would go back, or not on."""
        self.check_admissible(row.name, row.version, row.digest)
        order = list(Stage)
        is_known = self.candidate is not None and self.candidate.digest == row.digest
        if is_known and order.index(stage) <= order.index(Stage(row.stage)):
            raise PackRefused(
                f"{row.name} {row.version} is in stage {row.stage} already; it goes on to a later one only"
            )
        state = PackState.ACTIVE if stage is Stage.LIVE else PackState.CANDIDATE
        changed = [msgspec.structs.replace(row, state=state, stage=stage.value, since=now)]
        if stage is Stage.LIVE and self.active is not None:
            changed.append(_to(self.active, PackState.RETIRED, now))
        if self.candidate is not None and not is_known:
            changed.append(_to(self.candidate, PackState.WITHDRAWN, now))
        return changed

    def returned(self, now: int) -> list[PackRow]:
        """What changes when the last step is taken back: the pack that is tried goes, else that in force makes room for the one before."""
        if self.candidate is not None:
            return [_to(self.candidate, PackState.WITHDRAWN, now)]
        if self.active is None:
            raise PackRefused("no pack is in force, so there is nothing to go back from")
        changed = [_to(self.active, PackState.WITHDRAWN, now)]
        if (before := self._first(PackState.RETIRED)) is not None:
            changed.append(_to(before, PackState.ACTIVE, now))
        return changed

    def after(self, changed: Sequence[PackRow]) -> Shelf:
        """The shelf as it will stand."""
        new = {row.digest: row for row in changed}
        return Shelf([*changed, *(row for row in self.rows if row.digest not in new)])


def _to(row: PackRow, state: PackState, now: int) -> PackRow:
    return msgspec.structs.replace(row, state=state, since=now)
