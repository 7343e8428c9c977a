"""Filters as commands take them, made into a query of the record."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

from monitor.cli.opening import Opened, whole_id

if TYPE_CHECKING:
    from monitor.stores.record import Query


def query_of(
    opened: Opened,
    words: Mapping[str, type[StrEnum]] | None = None,
    *,
    app: str | None = None,
    rule: str | None = None,
    **filters: Any,
) -> Query:
    """The query of a list: words are checked, beginnings of ids are completed, people are hashed.

    `words`: what may be given for filters that take one of a few words.
    """
    from detectors.finding import Scope, Severity
    from monitor.stores.record import Query

    if app is not None:
        if filters.get("scope") not in (None, "AppId") or filters.get("value") is not None:
            raise typer.BadParameter("--app already says whom; leave --scope and --value out")
        filters |= {"scope": "AppId", "value": app}
    known: dict[str, type[StrEnum]] = {**(words or {}), "scope": Scope, "severity": Severity}
    for name, allowed in known.items():
        if filters.get(name) is not None:
            filters[name] = word(filters[name], allowed, f"--{name}")
    if filters.get("scope") is not None:
        filters["value"] = opened.value_of(filters["scope"], filters.get("value"))
    if filters.get("incident") is not None:
        filters["incident"] = opened.id_of("incident", filters["incident"])
    severity = filters.pop("severity", None)
    if severity is not None:
        filters["severity_min"] = Severity(severity)
    if rule is not None:
        filters["rule"] = whole_id(opened.store.rules_starting(rule), "rule with findings", rule, "findings list")
    return Query(**filters)


def word(given: str, words: type[StrEnum], option: str) -> str:
    """One of a few words, whatever its capitals."""
    allowed = [each.value for each in words]
    by_lower = {each.lower(): each for each in allowed}
    if given.lower() not in by_lower:
        raise typer.BadParameter(f"{given!r} is none of {', '.join(allowed)}", param_hint=option)
    return by_lower[given.lower()]
