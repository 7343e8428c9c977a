"""How rules fare with real events: which of their fields and datasets are there at all, and how much they are true of."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from detectors.detector import State
from detectors.event import LINE, Batch
from detectors.finding import Sighting
from detectors.sigma import Rule, SigmaDetector
from detectors.sigma.arguments import keys_of
from detectors.sigma.columns import Columns
from detectors.sigma.fields import ARGUMENTS, covers
from detectors.sigma.remark import Remark

DATASET: Final = "event.dataset"

LINES_READ_MAX: Final = 200
"""Lines of a batch of which the names of all fields are learned, for those that look like a misspelt one."""

NEAR_MAX: Final = 3
NEAR_MIN: Final = 0.75
LAST_NEAR_MIN: Final = 0.6
"""Names so like a field that none has carried are shown with it: as a whole, and in what stands after their last dots."""

DATASETS_MAX: Final = 1_000
"""Datasets that are told apart; events of further ones are looked at all the same."""

EVENTS_JUDGED_MIN: Final = 1_000
"""Of fewer events a share says nothing."""

DEPTH_MAX: Final = 20
JOINED: Final = ("app.", "catalogue.")
"""Fields that are not the event's own."""


class Survey:
    """A `Detector` that finds nothing and counts: events by dataset, what rules are true of, which fields are there."""

    name = "survey"
    forgotten = 0

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._detector = SigmaDetector([rule for rule in rules if not rule.is_correlation])
        named = {name for rule in rules for name in rule.fields if not name.startswith(JOINED)}
        self._fields = sorted(named - {DATASET})
        own = [name[len(ARGUMENTS) + 1 :] for name in self._fields if name.startswith(ARGUMENTS + ".")]
        self._keys = frozenset(key for name in own for key in keys_of(name))
        self.needs = self._detector.needs.union(*(rule.needs for rule in rules), {DATASET})
        self.events: Counter[str] = Counter()
        self.hits: Counter[str] = Counter()
        self._seen: dict[str, set[str]] = {}
        self._names: dict[str, set[str]] = {}

    @property
    def looked_at(self) -> int:
        return self.events.total()

    def observe(self, batch: Batch) -> list[Sighting]:
        frame = batch.frame
        if not frame.height:
            return []
        for rule, rows in self._detector.matches(batch).items():
            self.hits[rule] += len(rows)
        columns = Columns(frame, lambda _: None, self._keys)
        nowhere = np.zeros(frame.height, dtype=np.bool_)
        found = {name: columns.present(name) for name in self._fields}
        present = [pl.Series(name, nowhere if there is None else there) for name, there in found.items()]
        told = pl.DataFrame([frame.get_column(DATASET).fill_null(""), *present])
        for row in (
            told.group_by(DATASET).agg(pl.len().alias("_events"), pl.col(self._fields).any()).iter_rows(named=True)
        ):
            dataset = row.pop(DATASET)
            self.events[dataset] += row.pop("_events")
            if dataset in self._seen or len(self._seen) < DATASETS_MAX:
                self._seen.setdefault(dataset, set()).update(name for name, there in row.items() if there)
        self._learn(frame)
        return []

    def _learn(self, frame: pl.DataFrame) -> None:
        """The names of fields in some of the lines, spread over the batch."""
        rows = np.unique(np.linspace(0, frame.height - 1, LINES_READ_MAX).astype(np.int64))
        some = frame.select(DATASET, LINE)[rows]
        for dataset, line in some.iter_rows():
            if (dataset or "") in self._seen:
                self._names.setdefault(dataset or "", set()).update(_names_in(line))

    def snapshot(self) -> State:
        return {}

    def restore(self, state: Mapping[str, pl.DataFrame]) -> None:
        """There is nothing to take up."""

    def remarks(self, broad_share: float) -> Iterator[Remark]:
        """What there is to say of the rules after all that; lines are those of the rules."""
        for rule in self._rules:
            about = [dataset for dataset in self.events if any(covers(pattern, dataset) for pattern in rule.datasets)]
            events = sum(self.events[dataset] for dataset in about)
            if not events:
                message = (
                    f"of {self.looked_at:,} events none is of {' or '.join(rule.datasets)}{self._near_dataset(rule)}"
                )
                yield Remark(rule.path, rule.line, "unseen-dataset", message, rule.id)
                continue
            yield from self._unseen(rule, about, events)
            share = self.hits[rule.id] / events
            if share > broad_share and events >= EVENTS_JUDGED_MIN and not rule.silent:
                message = f"{rule.title!r} is true of {share:.1%} of {events:,} events of its datasets; at most {broad_share:.1%} are expected"
                yield Remark(rule.path, rule.line, "over-broad", message, rule.id)

    def _near_dataset(self, rule: Rule) -> str:
        known = [name for name in self.events if name]
        near = [name for one in rule.datasets for name in difflib.get_close_matches(one, known, 1, NEAR_MIN)]
        return f"; there is {' and '.join(near)}" if near else ""

    def _unseen(self, rule: Rule, about: Sequence[str], events: int) -> Iterator[Remark]:
        seen = _together(self._seen, about)
        names = _together(self._names, about)
        for field in rule.fields:
            if field in seen or field == DATASET or field.startswith(JOINED):
                continue
            near = _near(field, sorted(names - {field}))
            meant = f"; they carry {', '.join(near)}" if near else ""
            message = f"{field}: none of {events:,} events of {' or '.join(rule.datasets)} carries it{meant}"
            yield Remark(rule.path, rule.line, "unseen-field", message, rule.id)


def _near(field: str, names: Sequence[str]) -> list[str]:
    last = field.rpartition(".")[2]
    alike = difflib.get_close_matches(field, names, 5 * NEAR_MAX, NEAR_MIN)
    return [name for name in alike if _likeness(last, name.rpartition(".")[2]) >= LAST_NEAR_MIN][:NEAR_MAX]


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


def _together(sets: Mapping[str, set[str]], keys: Iterable[str]) -> set[str]:
    return set[str]().union(*(sets.get(key, set()) for key in keys))


def _names_in(line: str) -> Iterator[str]:
    try:
        document = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return
    if isinstance(document, dict):
        yield from _dotted(document, "", 0)


def _dotted(value: dict[str, Any], prefix: str, depth: int) -> Iterator[str]:
    for key, inner in value.items():
        if isinstance(inner, dict) and depth < DEPTH_MAX:
            yield from _dotted(inner, f"{prefix}{key}.", depth + 1)
        else:
            yield prefix + key
