"""What is asked of a list, made into a query of the record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from detectors.finding import Scope, Severity
from monitor.listing.filters import Filter
from monitor.listing.named import BadFilter, Source, id_of, value_of, whole_id, word
from monitor.stores.record import Query

Given = Mapping[str, Any]
"""What is given for each filter by name, times as microseconds; None, or nothing, filters nothing."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list: what comes behind a row's place, and how many at most. Reading takes `seconds_max` at most."""

    after: tuple[Any, ...] | None = None
    limit: int | None = None
    seconds_max: float | None = None


WHOLE = Part()


def words_of(filters: Iterable[Filter], given: Given) -> dict[str, Any]:
    """What was given, words checked and spelled as they are kept; raises `BadFilter`."""
    by_name = {each.name: each for each in filters}
    found = {}
    for name, value in given.items():
        allowed = by_name[name].words
        found[name] = value if value is None or allowed is None else word(value, allowed(), name)
    return found


def query_of(source: Source, filters: Iterable[Filter], given: Given, part: Part) -> Query:
    """The query of a list: words are checked, beginnings of ids are completed, people are hashed.

    Raises `BadFilter`, and `NotOne` for an id that is none.
    """
    asked = words_of(filters, given)
    app, scope, value = asked.get("app"), asked.get("scope"), asked.get("value")
    if app is not None:
        if scope not in (None, Scope.APP) or value is not None:
            raise BadFilter("app", "app already says whom; leave scope and value out")
        scope, value = Scope.APP.value, app
    decision = asked.get("decision")
    incident, rule, severity = asked.get("incident"), asked.get("rule"), asked.get("severity")
    return Query(
        since=asked.get("since"),
        until=asked.get("until"),
        scope=scope,
        value=value_of(source, scope, value),
        rule=None if rule is None else whole_id(source.store.rules_starting(rule), "rule with findings", rule),
        severity_min=None if severity is None else Severity(severity),
        state=asked.get("state"),
        mode=asked.get("mode"),
        incident=None if incident is None else id_of(source, "incident", incident),
        decision=None if decision is None else id_of(source, "decision", decision),
        partition=asked.get("source"),
        reason=asked.get("reason"),
        limit=part.limit,
        after=part.after,
        seconds_max=part.seconds_max,
    )
