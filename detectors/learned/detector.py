"""Models at work: batches in, findings out. Each hour of an app that has ended is looked at once, with those that end together with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import polars as pl

from detectors.detector import State
from detectors.event import Batch
from detectors.finding import Finding, Sighting, in_shadow
from detectors.learned.drift import Drift
from detectors.learned.features import Rows, rows_of
from detectors.learned.hours import NEEDS, SLOTS, SLOTS_A_DAY, Hours, HoursConfig
from detectors.learned.model import Model
from detectors.learned.telling import NAME, Strange, Teller, TellingConfig
from detectors.learned.worth import Worth

HOURS_KEPT: Final = 48
"""About so many hours are "lately"."""


class LearnedConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is remembered, and what is afforded."""

    hours: HoursConfig = HoursConfig()
    telling: TellingConfig = TellingConfig()


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which models are asked, by their digests, and how: all that it takes to make the detector again."""

    model: str = ""
    tried: str = ""
    config: LearnedConfig = LearnedConfig()


class _Watch:
    """One model, what its opinions have been worth so far, what it has told, and how far features have moved since its training."""

    def __init__(self, model: Model, config: TellingConfig) -> None:
        self.model = model
        self.worth = Worth.of(model)
        self.teller = Teller(config)
        self.drift = Drift(model.spread)

    def go_on(self, before: _Watch, *, tells_on: bool) -> None:
        """With what the same model's watch knew; with what it told too, if that counts alike."""
        self.worth, self.drift = before.worth, before.drift
        if tells_on:
            self.teller.go_on(before.teller)

    def look(self, rows: Rows) -> list[Finding]:
        self.drift.take(rows.index, rows.matrix)
        opinions = self.model.asked(rows.frame["category"].to_list(), rows.matrix)
        worth = self.worth.of_rows(opinions)
        return self.teller.tell(self.model, rows, Strange(worth, opinions.rarity, opinions.which))


class LearnedDetector:
    """Asks the model in force, and beside it one that is tried: what that says is recorded, and nothing follows from it."""

    def __init__(self, model: Model | None, tried: Model | None = None, config: LearnedConfig | None = None) -> None:
        self.config = config or LearnedConfig()
        self.model, self.tried = model, tried
        self._hours = Hours(self.config.hours)
        self._day: int | None = None
        self._lately = [0] * SLOTS  # apps that were looked at, by slot
        self._watches = {
            as_what: _Watch(one, self.config.telling) for as_what, one in (("model", model), ("tried", tried)) if one
        }

    @property
    def name(self) -> str:
        return NAME

    @property
    def needs(self) -> frozenset[str]:
        return NEEDS

    @property
    def apps(self) -> int:
        """That were looked at in an hour lately."""
        return sum(self._lately)

    @property
    def held_back(self) -> int:
        """Findings of the model in force that were not told: too many in an hour, or of too many apps at once."""
        watch = self._watches.get("model")
        return watch.teller.overflown if watch is not None else 0

    @property
    def forgotten(self) -> int:
        return self._hours.forgotten

    @staticmethod
    def of(asked: Asked, models: Callable[[str], Model]) -> LearnedDetector:
        """The detector of which `asked` was said; `models` gives each by its digest."""
        model, tried = (models(digest) if digest else None for digest in (asked.model, asked.tried))
        return LearnedDetector(model, tried, asked.config)

    @property
    def asked(self) -> Asked:
        model, tried = (one.digest if one is not None else "" for one in (self.model, self.tried))
        return Asked(model=model, tried=tried, config=self.config)

    @property
    def drift(self) -> Mapping[str, Mapping[str, float]]:
        """How far each feature has moved since the training of each model, by the models' digests."""
        return {watch.model.digest: watch.drift.moved for watch in self._watches.values()}

    def again(self) -> LearnedDetector:
        """Another that remembers nothing yet."""
        return LearnedDetector(self.model, self.tried, self.config)

    def take_over(self, before: LearnedDetector) -> None:
        """Go on with what one that ends has counted, and with what it knows of models that are here too. A model that was tried and is in
        force now tells anew of what goes on, for nothing has followed from what it told.
        """
        self._day, self._lately = before._day, before._lately[:]
        if before.config.hours == self.config.hours:
            self._hours = before._hours
        else:
            self._hours.restore(before._hours.snapshot())
        known = {watch.model.digest: watch for watch in before._watches.values()}
        for name, watch in self._watches.items():
            if (earlier := known.get(watch.model.digest)) is not None:
                watch.go_on(earlier, tells_on=before._watches.get(name) is earlier)

    def observe(self, batch: Batch) -> list[Sighting]:
        self._hours.count(batch)
        found: list[Sighting] = []
        for row, ended in self._hours.ended(batch):
            found += [Sighting(row, finding, is_part=True) for finding in self._closed(ended)]
        return found

    def _closed(self, index: int) -> list[Finding]:
        rows = rows_of(self._hours.take(index))
        day = index // SLOTS_A_DAY
        if self._day is not None and day > self._day:
            for watch in self._watches.values():
                watch.worth.fade(day - self._day)
        self._day = max(day, self._day or day)
        if not len(rows):
            return []
        lately = self._lately[index % SLOTS]
        self._lately[index % SLOTS] = max(len(rows), lately - lately // HOURS_KEPT)
        found = []
        for name, watch in self._watches.items():
            told = watch.look(rows)
            found += told if name == "model" else [in_shadow(finding) for finding in told]
        return found

    def snapshot(self) -> State:
        frames = dict(self._hours.snapshot())
        frames["learned"] = pl.DataFrame(
            {"day": [self._day], "lately": [self._lately]}, schema={"day": pl.Int64(), "lately": pl.List(pl.Int64())}
        )
        for watch in self._watches.values():
            name = f"learned.{watch.model.digest[:16]}"
            frames |= watch.worth.snapshot(name) | watch.teller.snapshot(name) | watch.drift.snapshot(name)
        return frames

    def restore(self, state: State) -> None:
        if "learned" not in state:
            raise ValueError(f"not a snapshot of the learned detector: frames {', '.join(sorted(state))}")
        self._hours.restore(state)
        self._day, self._lately = state["learned"]["day"][0], state["learned"]["lately"][0].to_list()
        for watch in self._watches.values():
            name = f"learned.{watch.model.digest[:16]}"
            if f"{name}.told" in state:  # a model that was not there then begins with what it knows from its training
                watch.worth.restore(name, state)
                watch.teller.restore(name, state)
                watch.drift.restore(name, state)
