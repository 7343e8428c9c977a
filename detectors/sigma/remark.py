"""What is told of a rule that can be honoured and yet could be better: remarks, each of a kind with a stable code."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "missing-level": "No `level`: findings count as `low`. Say how bad it is.",
        "missing-description": "No `description`: whoever gets the finding has the title alone.",
        "missing-falsepositives": "No `falsepositives`: say what looks the same and is harmless, or `Unknown`.",
        "missing-tags": "No `tags`, and no `custom.miniwatch.behaviour`: no playbook can tell what it is about.",
        "unused-detection": "The condition never uses this detection.",
        "single-of": "`1 of` or `all of` a pattern that only one detection fits: one may be missing.",
        "empty-value": "An empty value, which is true of nothing but empty text, or of whatever is there at all.",
        "wildcard-only": "A value of nothing but `*`: the modifier `exists` says the same.",
        "repeated-value": "The same value twice in a list; case does not make a difference.",
        "subsumed-value": "A value that can be left out: another one is true wherever it is.",
        "never-true": "A part that can never be true where it stands: beside what must or must not be true with it.",
        "always-true": "A part that is always true where it stands, and so says nothing.",
        "plain-regex": "A regular expression that a plain modifier says better, and faster.",
        "ungrouped-entity": "A correlation that accuses an entity and does not group by it: whoever came last is accused.",
        "misspelt-field": "A field that events are not known to carry, spelt almost like one that they do.",
        "unseen-dataset": "None of the events looked at is of the datasets that the rule is about.",
        "unseen-field": "A field that no event of the rule's datasets has carried; names spelt like it are shown.",
        "over-broad": "The rule is true of a larger share of the events of its datasets than `--broad-share`.",
    }
)
"""What each code means. A code keeps its meaning; a new meaning gets a new code."""


@dataclass(frozen=True, slots=True, order=True)
class Remark:
    """One remark about one rule, and where to look."""

    path: str
    line: int
    code: str
    message: str
    rule: str = ""  # id

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.code}: {self.message}"
