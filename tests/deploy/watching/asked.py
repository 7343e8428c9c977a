"""What rules and panels ask for: the metrics of an expression, each with the labels that it selects by or groups by; and what there is to ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from alert_cases import TARGET
from watched import DEPLOY

from monitor.telemetry.metrics import CATALOGUE

RULES = DEPLOY / "prometheus" / "miniwatch.rules.yml"
ALERTS = DEPLOY / "prometheus" / "miniwatch.alerts.yml"


@cache
def rules_of(path: Path) -> list[dict[str, Any]]:
    """All rules of a file, in their order."""
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def selectors(expression: str) -> list[tuple[str, set[str]]]:
    """Every metric that is selected, with the labels of its matchers and of the aggregations around it; raises on what is no PromQL."""
    return list(_walk(promql_parser.parse(expression), frozenset()))


def names_asked(expression: str) -> set[str]:
    return {metric for metric, _ in selectors(expression)}


def _walk(node: object, around: frozenset[str]) -> Iterator[tuple[str, set[str]]]:
    match node:
        case promql_parser.VectorSelector():
            yield node.name, {*(matcher.name for matcher in node.matchers.matchers), *around}
        case promql_parser.MatrixSelector():
            yield from _walk(node.vector_selector, around)
        case promql_parser.SubqueryExpr() | promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            yield from _walk(node.expr, around)
        case promql_parser.BinaryExpr():
            yield from _walk(node.lhs, around)
            yield from _walk(node.rhs, around)
        case promql_parser.AggregateExpr():
            grouped = node.modifier.labels if node.modifier and str(node.modifier.type).endswith("By") else ()
            yield from _walk(node.expr, frozenset(grouped) | around)
        case promql_parser.Call():
            for argument in node.args:
                yield from _walk(argument, around)
        case promql_parser.NumberLiteral() | promql_parser.StringLiteral():
            return
        case _:
            raise TypeError(f"an expression of an unknown kind: {node!r}")


def names_of(series: Iterable[tuple[str, dict[str, str], float]]) -> dict[str, set[str]]:
    """What the page of a run has: by name the labels, with those that the target brings; and what the catalogue says where no series is there yet."""
    found = {}
    suffixes = {"histogram": ("_bucket", "_sum", "_count")}
    for metric in CATALOGUE:
        for suffix in suffixes.get(metric.kind, ("",)):
            found[f"{metric.name}{suffix}"] = {*TARGET, *metric.labels, *(["le"] if suffix == "_bucket" else [])}
    for name, labels, _ in series:
        found.setdefault(name, {*TARGET}).update(labels)
    return {**found, "up": {*TARGET}}
