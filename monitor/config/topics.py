"""Keys of the Kafka topics on which others are told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from monitor.config.receivers import ActWord, Name, ScopeWord, TierWord
from monitor.config.values import Hours, Keys, RefusedValueError

Broker = Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):[0-9]+$", max_length=300)]


_OF_DECISIONS = frozenset({"scopes", "types", "tiers", "labels", "compare_h"})
_OF_FINDINGS = frozenset({"min_severity", "again_s"})


class TopicKeys(Keys):
    name: Name
    of: Literal["decisions", "findings"]
    brokers: Annotated[tuple[Broker, ...], Field(min_length=1, max_length=100)]
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=249)]
    partitions: Annotated[int, Field(ge=1, le=1000)] = 1
    replicas: Annotated[int, Field(ge=0, le=100)] = 0
    scopes: tuple[ScopeWord, ...] = ()
    types: tuple[ActWord, ...] = ()
    tiers: tuple[TierWord, ...] = ()
    labels: tuple[str, ...] = ()
    compare_h: Hours = 1.0
    min_severity: Literal["informational", "low", "medium", "high", "critical"] = "informational"
    again_s: Annotated[float, Field(ge=1, le=86_400)] = 60.0

    @model_validator(mode="after")
    def _only_what_it_is_of(self) -> TopicKeys:
        others = _OF_FINDINGS if self.of == "decisions" else _OF_DECISIONS
        for name in sorted(others & self.model_fields_set):
            raise RefusedValueError(f"no {name} in a topic of {self.of}", "remove it: it means nothing there")
        return self
