"""Metrics as they are kept: declared as data, counted in a registry of their own, with bounded labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Final, Literal, TypeVar

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from monitor.telemetry.distribution import Distribution

OTHER: Final = "other"
"""What a label says for values beyond its bound, or outside its set. Of a gauge it has what was said last."""

NAMES_MAX: Final = 100
"""Different values of a label whose values are not known beforehand (sources, rules …), where no other bound is given."""

NAME_CHARACTERS_MAX: Final = 200
"""Longest value of a label; more is cut, and what is the same up to there counts together."""

ZEROS_MAX: Final = 100
"""Series that a counter whose labels' values are all known has from the start, if it comes to no more."""

SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds of what takes milliseconds or seconds."""

WAITS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Bounds of what should take a second and may take half an hour."""

Values = tuple[str, ...] | int
"""A label's possible values, or how many that are not known beforehand have a series of their own: the first that come."""


Kept = TypeVar("Kept", Counter, Gauge, Histogram, Counter | Gauge | Histogram | Distribution)


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric with its labels, and the bounds of its buckets if it is a histogram."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    meaning: str
    labels: dict[str, Values] = {}
    buckets: tuple[float, ...] = SECONDS

    @property
    def series_max(self) -> int:
        """Most series that it can come to."""
        many = len(self.buckets) + 3 if self.kind == "histogram" else 1
        for values in self.labels.values():
            many *= (values if isinstance(values, int) else len(values)) + 1  # the last is `OTHER`
        return many


class Meter:
    """The metrics of one daemon. Every declared metric is there from the start, at zero where its labels are known."""

    def __init__(self, catalogue: Iterable[Metric]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for every counter, for nobody
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._kept: dict[str, Counter | Gauge | Histogram | Distribution] = {}
        self._names: dict[tuple[str, str], set[str]] = {}
        self._said: dict[str, set[tuple[str, ...]]] = {}
        self._catalogue = tuple(catalogue)
        for metric in self._catalogue:
            self._kept[metric.name] = _registered(metric, self.registry)
            self._start_at_zero(metric)

    def begin(self, label: str, name: str) -> None:
        """Have counters and histograms with such a label begin at zero for this name, beside values that are known beforehand."""
        for metric in self._catalogue:
            if label in metric.labels and metric.kind != "gauge":
                known = [(name,) if each == label else values for each, values in metric.labels.items()]
                for labels in product(*(one for one in known if isinstance(one, tuple))):
                    self._child(self._kept[metric.name], metric, dict(zip(metric.labels, labels, strict=True)))

    def end(self, label: str, name: str) -> None:
        """Have gauges with such a label say nothing more of this name, which is another's now; nor of those that are told together, of
        which one may have been this: what is still there is said again.
        """
        name = name[:NAME_CHARACTERS_MAX]
        for metric in self._catalogue:
            if label in metric.labels and metric.kind == "gauge":
                for gone in (name, OTHER):
                    self.forget(metric, **{label: gone})
                self._names.get((metric.name, label), set()).discard(name)

    def forget(self, metric: Metric, **labels: str) -> None:
        """Say nothing more of what is now, or only of what has these labels; a gauge without labels, which is always there, says 0."""
        kept = self._kept[metric.name]
        assert isinstance(kept, Gauge)  # noqa: S101 - a metric used as what it is not is our own mistake
        if not metric.labels:
            kept.set(0)
        elif labels:
            kept.remove_by_labels(labels)
        else:
            kept.clear()

    def add(self, metric: Metric, amount: float = 1, **labels: str) -> None:
        """Count up."""
        kept = self._kept[metric.name]
        assert isinstance(kept, Counter)  # noqa: S101 - as above
        self._child(kept, metric, labels).inc(amount)

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Say what is now."""
        kept = self._kept[metric.name]
        assert isinstance(kept, Gauge)  # noqa: S101 - as above
        self._child(kept, metric, labels).set(value)

    def value(self, metric: Metric) -> float:
        """How far a metric without labels has come."""
        return self.registry.get_sample_value(metric.name) or 0.0

    def say(self, metric: Metric, values: Mapping[tuple[str, ...], float]) -> None:
        """Say all that is now, by the values of its labels; what was said before and is not any more goes. Where values are not known
        beforehand, the first so many are taken, in the order in which they are given.
        """
        kept = self._kept[metric.name]
        assert isinstance(kept, Gauge)  # noqa: S101 - as above
        said = {self._cut(labels): value for labels, value in values.items()}
        for values_max in metric.labels.values():
            if isinstance(values_max, int):
                said = dict(list(said.items())[:values_max])
        for labels in self._said.get(metric.name, set()) - said.keys():
            kept.remove(*labels)
        for labels, value in said.items():
            known = zip(metric.labels.values(), labels, strict=True)
            assert all(isinstance(one, int) or label in one for one, label in known)  # noqa: S101 - as above
            kept.labels(*labels).set(value)
        self._said[metric.name] = set(said)

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Take one measurement."""
        kept = self._kept[metric.name]
        assert isinstance(kept, Histogram)  # noqa: S101 - as above
        self._child(kept, metric, labels).observe(value)

    def observe_many(self, metric: Metric, counts: Sequence[int], total: float) -> None:
        """Take many measurements at once, of a histogram without labels: how many fell into each of its buckets and beyond, and their sum."""
        kept = self._kept[metric.name]
        assert isinstance(kept, Distribution)  # noqa: S101 - as above
        kept.add(counts, total)

    def _child(self, kept: Kept, metric: Metric, labels: dict[str, str]) -> Kept:
        if not metric.labels or isinstance(kept, Distribution):
            return kept
        return kept.labels(**{label: self._bounded(metric, label, value) for label, value in labels.items()})

    def _bounded(self, metric: Metric, label: str, value: str) -> str:
        allowed = metric.labels[label]
        if not isinstance(allowed, int):
            return value if value in allowed else OTHER
        value = value[:NAME_CHARACTERS_MAX]
        names = self._names.setdefault((metric.name, label), set())
        if value not in names and len(names) >= allowed:
            return OTHER
        names.add(value)
        return value

    @staticmethod
    def _cut(labels: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(label[:NAME_CHARACTERS_MAX] for label in labels)

    def _start_at_zero(self, metric: Metric) -> None:
        known = [values for values in metric.labels.values() if not isinstance(values, int)]
        if metric.kind != "counter" or not known or len(known) < len(metric.labels):
            return
        if math.prod(map(len, known)) <= ZEROS_MAX:
            for labels in product(*known):
                self.add(metric, 0, **dict(zip(metric.labels, labels, strict=True)))


def _registered(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram | Distribution:
    names = tuple(metric.labels)
    if metric.kind == "counter":
        return Counter(metric.name, metric.meaning, names, registry=registry)
    if metric.kind == "gauge":
        return Gauge(metric.name, metric.meaning, names, registry=registry)
    if not names:
        distribution = Distribution(metric.name, metric.meaning, metric.buckets)
        registry.register(distribution)
        return distribution
    return Histogram(metric.name, metric.meaning, names, registry=registry, buckets=metric.buckets)
