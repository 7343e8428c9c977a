"""How an operator's rules are read: what their placeholders stand for, and the pipelines they go through."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from detectors.sigma.header import version_of
from detectors.sigma.placeholders import Placeholders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectors.sigma.pipeline import Pipelines


@dataclass(frozen=True, slots=True)
class Reading:
    """`placeholders` are the values of each name. `spared` are the paths of files that `pipelines` leave alone."""

    placeholders: Mapping[str, Sequence[str]] = field(default_factory=dict)
    pipelines: Pipelines | None = None
    spared: frozenset[str] = frozenset()

    @property
    def stamp(self) -> str:
        """Changes with all that it says, and in no other way."""
        stamp = self.pipelines.stamp if self.pipelines else ""
        said = {"placeholders": dict(self.placeholders), "pipelines": stamp, "spared": sorted(self.spared)}
        return version_of(said)

    def pipelines_of(self, path: str) -> Pipelines | None:
        """The pipelines that the rules of a file go through."""
        return None if path in self.spared else self.pipelines

    def placeholders_of(self, path: str) -> Placeholders:
        return Placeholders(self.placeholders, pending=self.pipelines_of(path) is not None)
