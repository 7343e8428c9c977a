"""Keys of the Kafka topics on which others are told."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from monitor.config.receivers import ActWord, Name, ScopeWord, TierWord
from monitor.config.values import Hours, Keys

Broker = Annotated[str, Field(pattern=r"^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):[0-9]+$", max_length=300)]


class TopicKeys(Keys):
    name: Name
    of: Literal["decisions"]
    brokers: Annotated[tuple[Broker, ...], Field(min_length=1, max_length=100)]
    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$", max_length=249)]
    partitions: Annotated[int, Field(ge=1, le=1000)] = 1
    replicas: Annotated[int, Field(ge=0, le=100)] = 0
    scopes: tuple[ScopeWord, ...] = ()
    types: tuple[ActWord, ...] = ()
    tiers: tuple[TierWord, ...] = ()
    labels: tuple[str, ...] = ()
    compare_h: Hours = 1.0
