"""What a PromQL expression asks for: its metrics, each with the labels that it selects by or groups by."""

from __future__ import annotations

from collections.abc import Iterator

import promql_parser


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
