"""A histogram that takes many measurements at once: what prometheus_client has takes them one by one, and a turn has thousands."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector


class Distribution(Collector):
    """One histogram without labels. `bounds` are the upper ends of its buckets, each inclusive. Safe to use from any thread."""

    def __init__(self, name: str, meaning: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._meaning = meaning
        self._bounds = [*map(str, bounds), "+Inf"]
        self._counts = [0] * len(self._bounds)
        self._total = 0.0
        self._lock = threading.Lock()

    def add(self, counts: Sequence[int], total: float) -> None:
        """So many measurements more in each bucket, the last of them beyond all bounds; `total` is their sum."""
        with self._lock:
            self._counts = [before + more for before, more in zip(self._counts, counts, strict=True)]
            self._total += total

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """What Prometheus reads: each bucket with all below it."""
        with self._lock:
            buckets = list(zip(self._bounds, map(float, accumulate(self._counts)), strict=True))
            total = self._total
        yield HistogramMetricFamily(self._name, self._meaning, buckets=buckets, sum_value=total)
