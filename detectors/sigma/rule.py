"""What a loaded rule is: everything the engine needs of it, with nothing left to parse."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple, Self, TypeAlias

import msgspec

from detectors.finding import Scope, Severity
from detectors.sigma.condition import Node

Place: TypeAlias = tuple[str | int, ...]
"""Where in a document: the keys and list positions that lead there; empty is the document itself."""


class Fault(NamedTuple):
    """One thing wrong with a document: what was found and what to do, and where; or because of which other rule."""

    message: str
    place: Place = ()
    because: str = ""


class RuleRefusedError(ValueError):
    """A rule asks for something that cannot be honoured: every fault that was found."""

    def __init__(self, message: str, place: Place = (), because: str = "") -> None:
        super().__init__(message)
        self.faults: tuple[Fault, ...] = (Fault(message, place, because),)

    @classmethod
    def of(cls, faults: Iterable[Fault]) -> Self:
        told = tuple(faults)
        error = cls("; ".join(fault.message for fault in told))
        error.faults = told
        return error


class RuleProblem(msgspec.Struct, frozen=True):
    """Why a rule, or a whole document, was refused, and where to look."""

    path: str
    line: int
    rule: str  # id or title, as far as they could be read
    message: str
    because: str = ""  # the rule that was refused, as its own problems have it, where nothing else is wrong

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path  # of a whole file there is no line
        return f"{place}: {self.rule or 'document'}: {self.message}"


class Group(msgspec.Struct, frozen=True):
    """One ``group-by`` name and the field it stands for in the events of each base rule."""

    name: str
    fields: tuple[str, ...]


class WindowKind(StrEnum):
    """What a window makes of the hits in it."""

    EVENT_COUNT = "event_count"
    VALUE_COUNT = "value_count"
    VALUE_SUM = "value_sum"
    VALUE_AVERAGE = "value_avg"
    VALUE_MEDIAN = "value_median"
    VALUE_PERCENTILE = "value_percentile"
    TEMPORAL = "temporal"
    TEMPORAL_ORDERED = "temporal_ordered"

    @property
    def is_numeric(self) -> bool:
        """Whether it reckons with the numbers that a field holds."""
        return self in (self.VALUE_SUM, self.VALUE_AVERAGE, self.VALUE_MEDIAN, self.VALUE_PERCENTILE)

    @property
    def is_temporal(self) -> bool:
        """Whether it asks which rules were hit, not how often."""
        return self in (self.TEMPORAL, self.TEMPORAL_ORDERED)


class Bound(msgspec.Struct, frozen=True):
    """One comparison of what a window holds with a number."""

    operator: str  # gt gte lt lte eq neq
    threshold: float


class Words(msgspec.Struct, frozen=True):
    """A condition in words over the base rules of a window: ``rule`` with its place, or ``not``, ``and``, ``or`` of parts."""

    word: str
    place: int = 0
    parts: tuple[Words, ...] = ()


class Sequence(msgspec.Struct, frozen=True):
    """One way to meet an ordered condition: base rules by place, one after the other, and those that must not be there."""

    steps: tuple[int, ...]
    absent: tuple[int, ...] = ()


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What a correlation rule makes of the hits of its base rules, per group, in a sliding window of time.

    The window of an event at time t is (t - span_us, t]. It speaks where all of `bounds` hold for what it holds; or
    where `words` are true of the rules hit in it, or one of the `sequences` is found there. `values` names, per base
    rule, the fields whose values are counted or reckoned with. `steps` are the places of the base rules in the order
    that is asked for. `level` is 0 over rules on single events, and one more than its bases' over correlations. `stamp`
    changes with the rule and with each of its bases.
    """

    kind: WindowKind
    bases: tuple[str, ...]
    span_us: int
    groups: tuple[Group, ...]
    bounds: tuple[Bound, ...]
    words: Words | None = None
    sequences: tuple[Sequence, ...] = ()
    steps: tuple[int, ...] = ()
    values: tuple[tuple[str, ...], ...] = ()
    percentile: float | None = None
    level: int = 0
    generate: bool
    stamp: str


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A Sigma rule, ready to run: either a condition on one event or a window over hits of other rules."""

    id: str
    version: str  # 16 hexadecimal digits that change with its content and with what filters and pipelines make of it
    title: str
    path: str
    line: int
    written: str = ""  # first 16 hexadecimal digits of the SHA-256 of its content alone
    name: str | None = None
    description: str = ""
    severity: Severity = Severity.LOW
    status: str = ""
    tags: tuple[str, ...] = ()
    logsource: str = ""
    datasets: tuple[str, ...] = ()  # names, ``miniprogram.*`` or ``*.process_creation``
    entity: Scope | None = None  # None: the app, else the host, else the dataset
    entity_field: str | None = None
    proof: bool = False
    false_positives: tuple[str, ...] = ()
    response: str = ""
    fields: tuple[str, ...] = ()  # dotted names it looks at
    needs: frozenset[str] = frozenset()  # the columns that carry them
    condition: Node | None = None
    window: Window | None = None
    silent: bool = False  # only counted by correlation rules; gives no findings itself

    @property
    def is_correlation(self) -> bool:
        return self.window is not None


class RuleSet(msgspec.Struct, frozen=True):
    """The rules that can be honoured and the problems of those that cannot."""

    rules: tuple[Rule, ...] = ()
    problems: tuple[RuleProblem, ...] = ()
