"""Models at work: batches in, findings out. Each hour of event time that has ended is looked at once, all its apps together."""

from __future__ import annotations

import msgspec
import polars as pl

from detectors.detector import State
from detectors.event import Batch
from detectors.finding import Finding, Sighting, in_shadow
from detectors.learned.features import Rows, rows_of
from detectors.learned.hours import NEEDS, Hours, HoursConfig
from detectors.learned.model import Model
from detectors.learned.telling import NAME, Strange, Teller, TellingConfig
from detectors.learned.worth import Worth


class LearnedConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is remembered, and what is afforded."""

    hours: HoursConfig = HoursConfig()
    telling: TellingConfig = TellingConfig()


class _Watch:
    """One model, what its opinions have been worth so far, and what it has told."""

    def __init__(self, model: Model, config: TellingConfig) -> None:
        self.model = model
        self.worth = Worth.of(model)
        self.teller = Teller(config)

    def look(self, rows: Rows) -> list[Finding]:
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
    def forgotten(self) -> int:
        return self._hours.forgotten

    def again(self) -> LearnedDetector:
        """Another that remembers nothing yet."""
        return LearnedDetector(self.model, self.tried, self.config)

    def take_over(self, before: LearnedDetector) -> None:
        """Go on with what one that ends has counted, and with what it knows of models that are here too."""
        if before.config == self.config:
            self._hours, self._day = before._hours, before._day
            known = {watch.model.digest: watch for watch in before._watches.values()}
            self._watches = {name: known.get(watch.model.digest, watch) for name, watch in self._watches.items()}
        else:
            self.restore(before.snapshot())

    def observe(self, batch: Batch) -> list[Sighting]:
        self._hours.count(batch)
        found: list[Sighting] = []
        for row, ended in self._hours.ended(batch):
            found += [Sighting(row, finding, is_part=True) for finding in self._closed(ended)]
        return found

    def _closed(self, index: int) -> list[Finding]:
        rows = rows_of(self._hours.take(index))
        day = index // 24
        if self._day is not None and day > self._day:
            for watch in self._watches.values():
                watch.worth.fade(day - self._day)
        self._day = max(day, self._day or day)
        if not len(rows):
            return []
        found = []
        for name, watch in self._watches.items():
            told = watch.look(rows)
            found += told if name == "model" else [in_shadow(finding) for finding in told]
        return found

    def snapshot(self) -> State:
        frames = dict(self._hours.snapshot())
        frames["learned"] = pl.DataFrame({"day": [self._day]}, schema={"day": pl.Int64()})
        for watch in self._watches.values():
            name = f"learned.{watch.model.digest[:16]}"
            frames |= watch.worth.snapshot(name) | watch.teller.snapshot(name)
        return frames

    def restore(self, state: State) -> None:
        if "learned" not in state:
            raise ValueError(f"not a snapshot of the learned detector: frames {', '.join(sorted(state))}")
        self._hours.restore(state)
        self._day = state["learned"]["day"][0]
        for watch in self._watches.values():
            name = f"learned.{watch.model.digest[:16]}"
            if f"{name}.told" in state:  # a model that was not there then begins with what it knows from its training
                watch.worth.restore(name, state)
                watch.teller.restore(name, state)
