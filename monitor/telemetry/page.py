"""A page of metrics as other programs read it: its samples by name, for whoever looks at a running daemon from beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec
from prometheus_client.parser import text_string_to_metric_families

PLAIN: Final = "text/plain"
"""What is asked for: the older of the two forms, which every version has."""


class PageBroken(Exception):
    """Something is no page of metrics."""


class Sample(msgspec.Struct, frozen=True):
    """One line of the page."""

    labels: Mapping[str, str]
    value: float


class MetricsPage:
    """What a page says. A name that is not on it has no samples."""

    def __init__(self, text: str = "") -> None:
        self._samples: dict[str, list[Sample]] = {}
        try:
            for family in text_string_to_metric_families(text):
                for one in family.samples:
                    self._samples.setdefault(one.name, []).append(Sample(one.labels, float(one.value)))
        except (ValueError, IndexError, KeyError) as error:  # whatever the parser stumbles over
            raise PageBroken(f"not a page of metrics ({error})") from error

    @property
    def names(self) -> Collection[str]:
        """The names of all samples."""
        return self._samples.keys()

    def of(self, name: str) -> Sequence[Sample]:
        """All samples of a name."""
        return self._samples.get(name, ())

    def by(self, name: str, label: str) -> dict[str, float]:
        """The samples of a name by one label, those of the others put together."""
        found: dict[str, float] = {}
        for sample in self.of(name):
            key = sample.labels.get(label, "")
            found[key] = found.get(key, 0.0) + sample.value
        return found

    def value(self, name: str) -> float | None:
        """All samples of a name together; None where there is none."""
        samples = self.of(name)
        return sum(sample.value for sample in samples) if samples else None
