"""Filters as commands take them, made into a query of the record."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from monitor.cli.opening import Opened, whole_id

if TYPE_CHECKING:
    from monitor.stores.record import Query


def query_of(opened: Opened, *, app: str | None = None, rule: str | None = None, **filters: Any) -> Query:
    """The query of a list: words are checked, the beginning of a rule's id is completed, people are hashed."""
    from detectors.finding import Scope, Severity
    from monitor.stores.record import Query

    if app is not None:
        if filters.get("scope") not in (None, "AppId") or filters.get("value") is not None:
            raise typer.BadParameter("--app already says whom; leave --scope and --value out")
        filters |= {"scope": "AppId", "value": app}
    scope = filters.get("scope")
    if scope is not None:
        filters["scope"] = word(scope, [each.value for each in Scope], "--scope")
        filters["value"] = opened.value_of(filters["scope"], filters.get("value"))
    severity = filters.pop("severity", None)
    if severity is not None:
        filters["severity_min"] = Severity(word(severity, [each.value for each in Severity], "--severity"))
    if rule is not None:
        filters["rule"] = whole_id(opened.store.rules_starting(rule), "rule with findings", rule, "findings list")
    return Query(**filters)


def word(given: str, allowed: list[str], option: str) -> str:
    """One of a few words, whatever its capitals."""
    by_lower = {each.lower(): each for each in allowed}
    if given.lower() not in by_lower:
        raise typer.BadParameter(f"{given!r} is none of {', '.join(allowed)}", param_hint=option)
    return by_lower[given.lower()]
