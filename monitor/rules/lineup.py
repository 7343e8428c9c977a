"""Who watches the stream from some turn on: the detectors, and the content from which they can be made again."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import polars as pl

from detectors.detector import Detector, State
from detectors.learned.detector import Asked, LearnedDetector
from detectors.learned.model import Model
from detectors.learned.telling import NAME as LEARNED
from detectors.sigma import Rule, SigmaDetector, Trial, TrialDetector, YieldingDetector
from detectors.sigma.parting import KEYED_BY, Part
from detectors.sigma.trial import NAME as TRIAL
from detectors.statistical.detector import NAME as STATISTICS
from detectors.statistical.detector import StatisticalDetector, StatisticsConfig
from monitor.rules.cache import encoded, engine_digest, placeless
from monitor.stores import Store

SIGMA: Final = "sigma"

RULES: Final = "rules"
"""What the control log calls it."""

CONTENT_BYTES_MAX: Final = 256 << 20
"""Of the rules of one lineup, unpacked."""


class ForeignContent(ValueError):
    """A lineup's content cannot be used by this version of the program."""


class _Content(msgspec.Struct, frozen=True):
    """All that a lineup is made of."""

    rules: tuple[Rule, ...]
    trial: Trial | None
    statistics: StatisticsConfig | None = None
    learned: Asked | None = None


Models = Callable[[str], Model]
"""Gives a model by its digest; raises `ForeignContent` where it cannot."""


@dataclass(frozen=True, slots=True)
class Lineup:
    """The detectors of a stretch of turns. `digest` is the same whenever they would see the same.

    `statistics` is how statistics are set, None where there are none.
    """

    rules: tuple[Rule, ...]
    trial: Trial | None
    window_events_max: int
    detectors: tuple[Detector, ...]
    digest: str
    statistics: StatisticsConfig | None = None

    @staticmethod
    def of(
        rules: Sequence[Rule],
        window_events_max: int,
        trial: Trial | None = None,
        statistics: StatisticsConfig | None = None,
        learned: LearnedDetector | None = None,
    ) -> Lineup:
        """Compile rules; this may take seconds for thousands of them, and touches nothing that is in use."""
        digest = _digest(rules, trial, statistics, learned)
        if trial is None:
            detectors: tuple[Detector, ...] = (SigmaDetector(rules, window_events_max),)
        else:
            in_force = YieldingDetector(rules, window_events_max, trial)
            detectors = (TrialDetector(trial, window_events_max), in_force)  # who ends in a fault ends first
        if statistics is not None:
            detectors = (*detectors, StatisticalDetector(statistics))
        if learned is not None:
            detectors = (*detectors, learned)
        return Lineup(tuple(rules), trial, window_events_max, detectors, digest, statistics)

    @property
    def learned(self) -> LearnedDetector | None:
        """Models at work; None where there are none."""
        return next((one for one in self.detectors if isinstance(one, LearnedDetector)), None)

    def without(self, name: str) -> Lineup:
        """The same without statistics, or without models, whichever has this name; the others keep what they remember."""
        left = tuple(one for one in self.detectors if one.name != name)
        statistics = self.statistics if name != STATISTICS else None
        made = replace(self, detectors=left, statistics=statistics)
        return replace(made, digest=_digest(self.rules, self.trial, statistics, made.learned))

    @staticmethod
    def unrecorded(detectors: Sequence[Detector]) -> Lineup:
        """Detectors for a run that keeps no record of who watched."""
        return Lineup((), None, 0, tuple(detectors), "")

    @staticmethod
    def made_of(
        content: bytes, window_events_max: int, models: Models, asking: Callable[[Asked], Asked] = lambda asked: asked
    ) -> Lineup:
        """The lineup that has this content; raises `ForeignContent` when another version of the program wrote it, or a model cannot be had.
        `asking` says which models are to be asked instead.
        """
        made = _decoded(content)
        asked = asking(made.learned) if made.learned is not None else None
        learned = LearnedDetector.of(asked, models) if asked is not None and (asked.model or asked.tried) else None
        return Lineup.of(made.rules, window_events_max, made.trial, made.statistics, learned)

    def again(self, part: Part = Part.WHOLE, keyed_by: str = KEYED_BY) -> Lineup:
        """The same detectors without their memory, for another stream and the windows that it counts; compiled once for all.
        `keyed_by` is the field by which the events of all streams are keyed. Models see an app's hour whole, or not at all.
        """
        made: tuple[Detector, ...] = tuple(
            one.again(part, keyed_by) for one in self.detectors if isinstance(one, SigmaDetector | TrialDetector)
        )
        usual: tuple[Detector, ...] = tuple(one.again() for one in self.detectors if isinstance(one, USUAL))
        assert len(made) + len(usual) == len(self.detectors)  # noqa: S101 - those of `unrecorded` are for one run
        if part is not Part.WHOLE and keyed_by != KEYED_BY:
            usual = tuple(one for one in usual if not isinstance(one, LearnedDetector))
        return replace(self, detectors=made if part is Part.ABROAD else (*made, *usual))

    @property
    def content(self) -> bytes:
        """All that it takes to make it again."""
        return (
            engine_digest().encode()
            + b"\n"
            + zlib.compress(encoded(_content(self.rules, self.trial, self.statistics, self.learned)), 1)
        )

    @property
    def needed(self) -> frozenset[str]:
        """Every column that detectors ask for, the registry's included."""
        return frozenset[str]().union(*(detector.needs for detector in self.detectors))

    @property
    def foreseeing(self) -> tuple[Detector, ...]:
        """Those that can say what they would if time had come further, and forget it again: rules. What is usual takes its time."""
        return tuple(one for one in self.detectors if not isinstance(one, USUAL))

    def restore(self, states: Mapping[str, State]) -> None:
        """Take up a snapshot's memory, each detector its own."""
        for detector in self.detectors:
            if detector.name in states:
                detector.restore(states[detector.name])

    def take_over(self, before: Lineup) -> None:
        """Remember what those before remember of rules that have not changed, tried ones that are in force now included."""
        states = {detector.name: dict(detector.snapshot()) for detector in before.foreseeing}
        for mine in self.detectors:
            for theirs in before.detectors:
                if isinstance(mine, StatisticalDetector) and isinstance(theirs, StatisticalDetector):
                    mine.take_over(theirs)
                if isinstance(mine, LearnedDetector) and isinstance(theirs, LearnedDetector):
                    mine.take_over(theirs)
        if before.trial is not None and self.trial is None:
            tried = pl.col("rule").is_in(sorted(before.trial.tried))  # what those merely count has windows of its own
            windows = states[SIGMA]["windows"], states[TRIAL]["windows"].filter(tried)
            states[SIGMA]["windows"] = pl.concat(windows)
        self.restore(states)


USUAL: Final = (StatisticalDetector, LearnedDetector)
"""Those that go by what is usual: they count in stretches of event time, and a batch of which they have taken part cannot be taken back."""


def _content(
    rules: Sequence[Rule], trial: Trial | None, statistics: StatisticsConfig | None, learned: LearnedDetector | None
) -> _Content:
    return _Content(tuple(rules), trial, statistics, learned.asked if learned is not None else None)


def _digest(
    rules: Sequence[Rule], trial: Trial | None, statistics: StatisticsConfig | None, learned: LearnedDetector | None
) -> str:
    bare = None if trial is None else msgspec.structs.replace(trial, rules=tuple(placeless(trial.rules)))
    return hashlib.sha256(encoded(_content(placeless(rules), bare, statistics, learned))).hexdigest()


def _decoded(content: bytes) -> _Content:
    made_by, _, body = content.partition(b"\n")
    if made_by.decode(errors="replace") != engine_digest():
        raise ForeignContent("it was compiled by another version of the program")
    inflating = zlib.decompressobj()
    try:
        return msgspec.msgpack.decode(inflating.decompress(body, CONTENT_BYTES_MAX), type=_Content)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ForeignContent(f"it is damaged ({error})") from error


def rules_in(content: bytes) -> tuple[frozenset[str], frozenset[str]]:
    """The ids of a lineup's rules, with the names of statistics and models where they watch too, and of the rules that it tries, by its
    content; none where another version wrote it.
    """
    try:
        made = _decoded(content)
    except ForeignContent:
        return frozenset(), frozenset()
    beside = {name for name, set_so in ((STATISTICS, made.statistics), (LEARNED, made.learned)) if set_so is not None}
    return frozenset(rule.id for rule in made.rules) | beside, made.trial.tried if made.trial else frozenset()


def models_in(content: bytes) -> frozenset[str]:
    """The digests of the models that a lineup asks, by its content; none where another version wrote it."""
    try:
        asked = _decoded(content).learned
    except ForeignContent:
        return frozenset()
    return frozenset({asked.model, asked.tried}) - {""} if asked is not None else frozenset()


class History:
    """Which lineup the record says was in force at a turn. One that cannot be made again is told, and `present` stands for it."""

    def __init__(self, store: Store, present: Lineup, models: Models, lost: Callable[[str, str], None]) -> None:
        self._store = store
        self._models = models
        self._present = present
        self._lost = lost
        self._controls = [(one.turn, one.digest) for one in store.controls(RULES)]
        self._made: tuple[str, Lineup] = (present.digest, present)

    @property
    def last(self) -> str:
        """The digest of what was in force last; none before the first turn, or where another version of the program wrote it down.

        What is in force is recorded anew then, so that this version can make it again.
        """
        last = self._controls[-1][1] if self._controls else ""
        content = self._store.content(last) if last else None
        return last if content is not None and content.startswith(engine_digest().encode() + b"\n") else ""

    def at(self, turn: int) -> Lineup:
        """The lineup of a turn, made once for all turns of its stretch; ask for turns in their order."""
        earliest = self._controls[0][1] if self._controls else self._present.digest
        digest = next((digest for first, digest in reversed(self._controls) if first <= turn), earliest)
        if digest == self._present.digest:
            return self._present
        if digest != self._made[0]:
            self._made = digest, self._again(digest)
        return self._made[1]

    def _again(self, digest: str) -> Lineup:
        content = self._store.content(digest)
        try:
            if content is None:
                raise ForeignContent("it is not in the record")  # noqa: TRY301 - told like the others
            return Lineup.made_of(content, self._present.window_events_max, self._models)
        except ForeignContent as error:
            self._lost(digest, str(error))
            return self._present


class Taken(msgspec.Struct, frozen=True):
    """When a lineup came into force: the first turn under it, and of each partition the position of the first line."""

    turn: int
    positions: Mapping[str, int]


@dataclass(slots=True)
class Offer:
    """A lineup for the pipeline to take up between two turns. Unless the claim fails, `taken` or `refused` is called then."""

    lineup: Lineup
    claim: Callable[[], bool]  # whether it is still wanted
    taken: Callable[[Taken], None]  # once the record says that it is in force
    refused: Callable[[str], None]  # with the reason; all stays as it was
    # once it watches, before the record says so: what comes into force with it
    enter: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Due:
    """What comes into force when every partition is at its position; of one that is not named, before its first line."""

    positions: Mapping[str, int]
    lineup: Callable[[], Lineup]
    enter: Callable[[], None]
