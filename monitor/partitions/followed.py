"""The rules of streams are those that the record says to be in force: whoever answers findings puts them there, and all workers take them up.

A worker that cannot make them again, since another version of the program wrote them down, goes on with its own and says so. Where it is a
model that it cannot open, it takes up the rest, and goes on with the model that it had, or without one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

import msgspec

from detectors.learned.detector import Asked
from detectors.learned.model import Model
from detectors.sigma.parting import KEYED_BY, Part
from monitor.models.loading import ModelProblem
from monitor.rules.lineup import RULES, ForeignContent, Lineup, Models, Offer, Taken
from monitor.stores import Controlled, Store
from monitor.telemetry import Telemetry, upkeep

LOOK_S: Final = 1.0
"""How soon other rules are taken up."""


class FollowedRules:
    """What streams begin with, and what they change to."""

    def __init__(
        self,
        own: Lineup,
        window_events_max: int,
        store: Store,
        telemetry: Telemetry,
        models: Models,
        keyed_by: str = KEYED_BY,
    ) -> None:
        self._models = models
        self._present = own
        self._keyed_by = keyed_by
        self._window_events_max = window_events_max
        self._store = store
        self._telemetry = telemetry
        self._refused = self._followed = ""
        self.problems: tuple[str, ...] = ()
        self.look(())

    def of(self, part: Part) -> Lineup:
        """For one stream more, with the windows that it counts."""
        return self._present.again(part, self._keyed_by)

    def look(self, offers: Iterable[tuple[Part, Callable[[Offer], None]]]) -> None:
        """Offer streams what has come into force since; raises `StoreError`."""
        controls: Sequence[Controlled] = self._store.controls(RULES)
        digest = controls[-1].digest if controls else self._present.digest
        if digest in {self._present.digest, self._refused, self._followed}:
            return
        unused: list[ModelProblem] = []
        content = self._store.content(digest)
        try:
            if content is None:
                raise ForeignContent("it is not in the record")  # noqa: TRY301 - told like the others
            present = Lineup.made_of(content, self._window_events_max, self._model, partial(self._usable, unused))
        except ForeignContent as error:
            self._refused = digest
            self._telemetry.emit(upkeep.RulesLost(digest=digest[:16], reason=str(error)))
            return
        self._present, self._followed = present, digest
        self.problems = tuple(map(str, unused))
        for problem in unused:
            self._telemetry.emit(upkeep.ModelChangeRefused(model=problem.model, reason=problem.message))
        self._telemetry.emit(upkeep.RulesFollowed(digest=digest[:16], rules=len(self._present.rules)))
        for part, offer in offers:
            offer(Offer(self.of(part), _always, _taken, self._was_refused))

    def _usable(self, unused: list[ModelProblem], asked: Asked) -> Asked:
        """Of the models that are to be asked those that can be opened here; in place of the one in force the one that is asked now."""
        now = self._present.learned
        before = now.asked.model if now is not None else ""
        model, tried = self._unless(unused, asked.model, before), self._unless(unused, asked.tried, "")
        return msgspec.structs.replace(asked, model=model, tried=tried)

    def _unless(self, unused: list[ModelProblem], digest: str, instead: str) -> str:
        try:
            if digest:
                self._model(digest)
        except ForeignContent as error:
            goes_on = f"model {instead[:16]} is asked in its place" if instead else "none is asked in its place"
            unused.append(ModelProblem(f"model {digest[:16]}", f"{error}; {goes_on}"))
            return instead
        return digest

    def _model(self, digest: str) -> Model:
        """The model of this digest; the one that is asked now whatever has become of its file."""
        now = self._present.learned
        if now is not None and now.model is not None and now.model.digest == digest:
            return now.model
        return self._models(digest)

    def _was_refused(self, reason: str) -> None:
        self._telemetry.emit(upkeep.RulesLost(digest=self._present.digest[:16], reason=reason))


def _always() -> bool:
    return True


def _taken(_taken: Taken) -> None:
    """The record says it."""
