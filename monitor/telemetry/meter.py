"""Metrics as they are kept: declared as data, counted in a registry of their own, with bounded labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeVar

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

OTHER: Final = "other"
"""What a label says for values beyond its bound, or outside its set."""

NAMES_MAX: Final = 100
"""Different values of a label whose values are not known beforehand (sources, rules …)."""

SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


Kept = TypeVar("Kept", Counter, Gauge, Histogram)


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric: `labels` gives each label's possible values, or None for the first `NAMES_MAX` that come."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    meaning: str
    labels: dict[str, tuple[str, ...] | None] = {}


class Meter:
    """The metrics of one daemon. Every declared metric is there from the start, at zero where its labels are known."""

    def __init__(self, catalogue: Iterable[Metric]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for every counter, for nobody
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._kept: dict[str, Counter | Gauge | Histogram] = {}
        self._names: dict[tuple[str, str], set[str]] = {}
        self._said: dict[str, set[tuple[str, ...]]] = {}
        for metric in catalogue:
            self._kept[metric.name] = _registered(metric, self.registry)
            self._start_at_zero(metric)

    def add(self, metric: Metric, amount: float = 1, **labels: str) -> None:
        """Count up."""
        kept = self._kept[metric.name]
        assert isinstance(kept, Counter)  # noqa: S101 - a metric used as what it is not is our own mistake
        self._child(kept, metric, labels).inc(amount)

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Say what is now."""
        kept = self._kept[metric.name]
        assert isinstance(kept, Gauge)  # noqa: S101 - as above
        self._child(kept, metric, labels).set(value)

    def say(self, metric: Metric, values: Mapping[tuple[str, ...], float]) -> None:
        """Say all that is now, by the values of its labels, at most `NAMES_MAX` where these are not known beforehand; what was said
        before and is not any more goes.
        """
        kept = self._kept[metric.name]
        assert isinstance(kept, Gauge)  # noqa: S101 - as above
        for labels in self._said.get(metric.name, set()) - values.keys():
            kept.remove(*labels)
        names = tuple(metric.labels)
        for labels, value in values.items():
            known = zip(names, labels, strict=True)
            assert all(label in (metric.labels[name] or (label,)) for name, label in known)  # noqa: S101 - as above
            kept.labels(*labels).set(value)
        self._said[metric.name] = set(values)

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Take one measurement."""
        kept = self._kept[metric.name]
        assert isinstance(kept, Histogram)  # noqa: S101 - as above
        self._child(kept, metric, labels).observe(value)

    def _child(self, kept: Kept, metric: Metric, labels: dict[str, str]) -> Kept:
        if not metric.labels:
            return kept
        return kept.labels(**{label: self._bounded(metric, label, value) for label, value in labels.items()})

    def _bounded(self, metric: Metric, label: str, value: str) -> str:
        allowed = metric.labels[label]
        if allowed is not None:
            return value if value in allowed else OTHER
        names = self._names.setdefault((metric.name, label), set())
        if value not in names and len(names) >= NAMES_MAX:
            return OTHER
        names.add(value)
        return value

    def _start_at_zero(self, metric: Metric) -> None:
        if len(metric.labels) == 1 and metric.kind == "counter":
            (label, values), *_ = metric.labels.items()
            for value in values or ():
                self.add(metric, 0, **{label: value})


def _registered(metric: Metric, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    names = tuple(metric.labels)
    if metric.kind == "counter":
        return Counter(metric.name, metric.meaning, names, registry=registry)
    if metric.kind == "gauge":
        return Gauge(metric.name, metric.meaning, names, registry=registry)
    return Histogram(metric.name, metric.meaning, names, registry=registry, buckets=SECONDS)
