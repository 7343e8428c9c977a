"""Rules being tried beside those in force: what they see is recorded, and for a share of entities it counts."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final

import msgspec
import polars as pl

from detectors.finding import in_shadow, in_share
from detectors.sigma.detector import SigmaDetector
from detectors.sigma.found import Found
from detectors.sigma.parting import KEYED_BY, Part
from detectors.sigma.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectors.detector import State
    from detectors.event import Batch
    from detectors.finding import Sighting

NAME: Final = "sigma.trial"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """Rules that are tried, with all that they count; `tried` are the ids of those that speak.

    `share` is the part of entities (0 to 1) for which they count already; of these, rules in force whose ids are in
    `replaced` say nothing any more.
    """

    rules: tuple[Rule, ...]
    tried: frozenset[str]
    replaced: frozenset[str] = frozenset()
    share: float = 0.0


class TrialDetector:
    """Runs the rules that are tried."""

    def __init__(self, trial: Trial, window_events_max: int) -> None:
        self._trial = trial
        self._detector = SigmaDetector(trial.rules, window_events_max)

    def again(self, part: Part, keyed_by: str = KEYED_BY) -> TrialDetector:
        """As `SigmaDetector` does."""
        other = copy.copy(self)
        other._detector = self._detector.again(part, keyed_by)  # noqa: SLF001 - our own class
        return other

    def take_sent(self) -> pl.DataFrame:
        """As `SigmaDetector` does."""
        return self._detector.take_sent()

    def count(self, sent: pl.DataFrame, watermark: int) -> list[Sighting]:
        """As `SigmaDetector` does."""
        return self._tried(self._detector.count(sent, watermark))

    @property
    def name(self) -> str:
        return NAME

    @property
    def needs(self) -> frozenset[str]:
        return self._detector.needs

    @property
    def forgotten(self) -> int:
        return self._detector.forgotten

    def observe(self, batch: Batch) -> list[Sighting]:
        return self._tried(self._detector.observe(batch))

    def _tried(self, seen: Sequence[Sighting]) -> list[Sighting]:
        return [self._weighed(one) for one in seen if one.finding.rule.id in self._trial.tried]

    def _weighed(self, sighting: Sighting) -> Sighting:
        if in_share(sighting.finding.entity, self._trial.share):
            return sighting
        return msgspec.structs.replace(sighting, finding=in_shadow(sighting.finding))

    def snapshot(self) -> State:
        return self._detector.snapshot()

    def restore(self, state: State) -> None:
        self._detector.restore(state)


class YieldingDetector(SigmaDetector):
    """Runs the rules in force; those that are being replaced are silent about the entities for which their successors count."""

    def __init__(self, rules: Sequence[Rule], window_events_max: int, trial: Trial) -> None:
        super().__init__(rules, window_events_max)
        self._trial = trial

    def look(self, batch: Batch, found: Found) -> list[Sighting]:
        return self._yielding(super().look(batch, found))

    def count(self, sent: pl.DataFrame, watermark: int) -> list[Sighting]:
        return self._yielding(super().count(sent, watermark))

    def _yielding(self, seen: Sequence[Sighting]) -> list[Sighting]:
        trial = self._trial
        return [
            one
            for one in seen
            if one.finding.rule.id not in trial.replaced or not in_share(one.finding.entity, trial.share)
        ]
