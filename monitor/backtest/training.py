"""A model trained on the archive: hours of apps without those in which something was found, judged beside the model in force."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors.learned.features import NAMES
from detectors.learned.gathering import Gatherer
from detectors.learned.training import JUDGED, Figures, Gathered, Reservoir, attempt, judged, parts_of
from monitor.backtest.record import PastRecord
from monitor.backtest.rerun import Gone, Past, rerun
from monitor.models.opening import OpenedModels, UnusableModel
from monitor.models.shelf import ModelShelf
from monitor.moments import DAY_US
from monitor.settings import learned_of
from monitor.stores.models import ModelRow, ModelState, Shares, Story

if TYPE_CHECKING:
    from detectors.learned.model import Model
    from monitor.stores.sql import SqlStore


class NothingKept(ValueError):
    """There are no events to learn from; the text says so."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Between which times of events (microseconds) a model learns: the end is not included."""

    since: int
    until: int


def stretch_of(store: SqlStore, days: int) -> Stretch:
    """The last days that the archive holds; raises `NothingKept`."""
    segments = store.segments()
    if not segments:
        raise NothingKept("there are no events in the archive yet")
    until = max(segment.time_max for segment in segments) + 1
    return Stretch(until - days * DAY_US, until)


class Found:
    """When something was found about whom."""

    def __init__(self, found: Iterable[tuple[str, int, int]]) -> None:
        self._spans: dict[str, list[tuple[int, int]]] = {}
        for app, first, last in found:
            self._spans.setdefault(app, []).append((first, last))

    def __call__(self, app: str, begin: int, end: int) -> bool:
        return any(first < end and last >= begin for first, last in self._spans.get(app, ()))


def gathered(past: Past, store: SqlStore, stretch: Stretch, now: int, told: Callable[[Gone], None]) -> Gathered:
    """The hours of apps that may be learned from, of a stretch of the archive."""
    found = Found(store.found_in(stretch.since, stretch.until, now))
    reservoir = Reservoir(past.config.models.rows_max, found)
    gatherer = Gatherer(reservoir.take, learned_of(past.config).hours)
    rerun(past, [gatherer], PastRecord(), told=told)
    return reservoir.gathered()


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of training: a model for the record, and its file."""

    row: ModelRow
    file: bytes


def train(past: Past, store: SqlStore, stretch: Stretch, now: int, told: Callable[[Gone], None]) -> Trained:
    """Train a model; raises `NotEnough` where there is too little to learn from. Nothing is changed."""
    from detectors.learned.model_file import Facts, digest_of, written  # noqa: PLC0415 - loads what only models need

    rows = gathered(past, store, stretch, now, told)
    came = attempt(rows, learned_of(past.config).telling.bound, _in_force(store))
    facts = Facts(
        created=now,
        first=rows.begin,
        until=rows.end,
        rows=came.rows,
        held_rows=came.held_rows,
        left_out=rows.left_out,
        figures=_flat(came.figures),
    )
    file = written(came.model, facts)
    story = Story(
        first=rows.begin,
        until=rows.end,
        rows=came.rows,
        held_rows=came.held_rows,
        left_out=rows.left_out,
        learned_h=came.model.learned_h,
        experts={name: (one.rows, one.apps) for name, one in sorted(came.model.experts.items())},
        figures=shares_of(came.figures),
        before=shares_of(came.before) if came.before is not None else None,
        refused=came.refused,
    )
    state = ModelState.REFUSED if came.refused else ModelState.TRAINED
    row = ModelRow(
        digest=digest_of(file), number=0, state=state, created=now, since=now, bytes=len(file), story=story
    )  # the record gives the number
    return Trained(row, file)


def _in_force(store: SqlStore) -> Model | None:
    """The model to compare with, if there is one that can be used."""
    active = ModelShelf(store.models()).active
    if active is None:
        return None
    try:
        return OpenedModels(store.content)(active.digest)
    except UnusableModel:
        return None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A model held against hours of apps: its figures with those of apps that no model learns from, and how features have moved."""

    figures: Shares
    rows: int
    drift: Sequence[tuple[str, float]]  # the feature that moved most first


def evaluate(model: Model, rows: Gathered, bound: float) -> Evaluated:
    """Hold a model against rows; raises `NothingKept` where none of them are of apps that judge."""
    judging = rows.only(parts_of(rows.apps) == JUDGED) if len(rows) else rows
    if not len(judging):
        raise NothingKept("no hour of an app in it could be judged: more days, or more apps")
    moved = model.spread.moved(model.spread.counted(rows.matrix))
    order = np.argsort(-moved, kind="stable").tolist()
    drift = [(NAMES[place], round(float(moved[place]), 4)) for place in order]
    return Evaluated(shares_of(judged(model, judging, bound)), len(rows), drift)


def shares_of(figures: Figures) -> Shares:
    """Figures as they go into the record."""
    return Shares(**msgspec.structs.asdict(figures))


def _flat(figures: Figures) -> dict[str, float]:
    """Figures as a manifest has them."""
    plain = {"rows": float(figures.rows), "told": figures.told, "told_apps": figures.told_apps, "found": figures.found}
    return plain | {f"found.{how}": share for how, share in sorted(figures.found_of.items())}
