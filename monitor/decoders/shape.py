"""Which keys of a line hold which field: every spelling of a dotted path, as parsers of different kinds want it told.

ECS allows ``{"user": {"id": …}}`` and ``{"user.id": …}`` and any mixture. A field of *n* parts has 2^(n-1) spellings; all of
them are told to the parser, so that nothing depends on guessing from a sample what a producer does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import polars as pl
import pyarrow as pa

from detectors.event import FIELDS, Kind, kind_of

HEADER_MAPS = tuple(name for name, kind in FIELDS.items() if kind is Kind.MAP)
"""Fields that hold names to texts; the rest of a path below them is one key, dots and all."""

FAST_KINDS = (Kind.TEXT, Kind.INTEGER, Kind.NUMBER, Kind.BOOLEAN, Kind.TIME)


def parts_of(path: str) -> tuple[str, ...]:
    """The parts of a dotted path; a header's name stays whole."""
    for name in HEADER_MAPS:
        if path.startswith(name + "."):
            return (*name.split("."), path[len(name) + 1 :])
    return tuple(path.split("."))


def spellings(path: str) -> Iterator[tuple[str, ...]]:
    """All key sequences that mean this path: ``a.b`` is ``("a", "b")`` and ``("a.b",)``."""
    parts = parts_of(path)
    for cuts in range(2 ** (len(parts) - 1)):
        keys = [parts[0]]
        for index, part in enumerate(parts[1:]):
            if cuts >> index & 1:
                keys[-1] += "." + part
            else:
                keys.append(part)
        yield tuple(keys)


@dataclass(slots=True)
class Node:
    """A key's place among the keys: what field it is, or what is below it."""

    field: str | None = None
    below: dict[str, Node] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shape:
    """What to take out of a line: plain fields (`known`), and those that only the strict reader can give (`loose`): lists,
    whole objects, and fields that lie below another one asked for.
    """

    known: tuple[str, ...]
    loose: tuple[str, ...]
    root: Node
    places: Mapping[str, tuple[tuple[str, ...], ...]]  # field → its spellings
    dotted: tuple[str, ...]  # what a line holds that spells a known field with dots: ``"user.id":``
    nested: Node  # `root` without the dotted spellings


@lru_cache(maxsize=64)
def shape_of(fields: frozenset[str]) -> Shape:
    """The shape for a set of fields."""
    known: list[str] = []
    loose: list[str] = []
    for path in sorted(fields):
        is_prefix = any(other.startswith(path + ".") for other in fields)
        is_under = any(path.startswith(other + ".") for other in fields)
        fast = kind_of(path) in FAST_KINDS and not is_prefix and not is_under
        (known if fast else loose).append(path)
    root = Node()
    places: dict[str, tuple[tuple[str, ...], ...]] = {}
    for path in (*known, *loose):
        places[path] = tuple(spellings(path))
    for path in known:
        for keys in places[path]:
            node = root
            for key in keys:
                node = node.below.setdefault(key, Node())
            node.field = path
    return Shape(tuple(known), tuple(loose), root, places, tuple(sorted(set(_dotted(root)))), _nested(root))


def _dotted(node: Node) -> Iterator[str]:
    for key, below in node.below.items():
        if "." in key:
            yield f'"{key}":'
        yield from _dotted(below)


def _nested(node: Node) -> Node:
    """The node without dotted keys; headers' names keep theirs."""
    single = {
        key: below
        for key, below in node.below.items()
        if "." not in key or (below.field is not None and parts_of(below.field)[-1] == key)
    }
    return Node(node.field, {key: _nested(below) for key, below in single.items()})


def _number_like(path: str, kind: Kind, numeric: frozenset[str]) -> bool:
    return path in numeric and kind in (Kind.TEXT, Kind.TIME)


def arrow_schema(root: Node, numeric: frozenset[str]) -> pa.Schema:
    """The keys below a node for Arrow's reader; fields in `numeric` are text that this stream writes as whole numbers."""

    def type_of(node: Node) -> pa.DataType:
        if node.field is None:
            return pa.struct([pa.field(key, type_of(below)) for key, below in node.below.items()])
        kind = kind_of(node.field)
        if kind is Kind.INTEGER or _number_like(node.field, kind, numeric):
            return pa.int64()
        return {Kind.NUMBER: pa.float64(), Kind.BOOLEAN: pa.bool_()}.get(kind, pa.string())

    return pa.schema([pa.field(key, type_of(node)) for key, node in root.below.items()])


def line_type(root: Node, numeric: frozenset[str]) -> Any:
    """The keys below a node as a msgspec type: reads one line strictly, and is quick to say that a line is not of the shape."""

    def type_of(name: str, node: Node) -> Any:
        if node.field is None:
            keys = list(node.below)
            members = [
                (f"k{index}", type_of(f"{name}_{index}", node.below[key]) | None, None)
                for index, key in enumerate(keys)
            ]
            rename = {f"k{index}": key for index, key in enumerate(keys)}
            return msgspec.defstruct(name, members, rename=rename, gc=False)
        kind = kind_of(node.field)
        if kind is Kind.INTEGER or _number_like(node.field, kind, numeric):
            return int
        return {Kind.NUMBER: float, Kind.BOOLEAN: bool}.get(kind, str)

    return type_of("Line", root)


def columns_of(frame: pl.DataFrame, shape: Shape) -> tuple[pl.DataFrame, pl.Series]:
    """Arrow's table as flat columns named by field, and a mask of the rows that spell a field twice."""
    schema = frame.schema  # made anew whenever it is asked for
    columns: list[pl.Expr] = []
    twice: list[pl.Expr] = []
    for path in shape.known:
        found = []
        for keys in shape.places[path]:
            if not _has(schema, keys):
                continue
            value = pl.col(keys[0])
            for key in keys[1:]:
                value = value.struct.field(key)
            found.append(value)
        columns.append((found[0] if len(found) == 1 else pl.coalesce(found)).alias(path))
        if len(found) > 1:
            twice.append(pl.sum_horizontal([value.is_not_null().cast(pl.UInt8) for value in found]) > 1)
    flat = frame.select(columns)
    if not twice:
        return flat, pl.repeat(False, frame.height, eager=True)
    return flat, frame.select(pl.any_horizontal(twice).alias("twice"))["twice"]


def _has(schema: pl.Schema, keys: tuple[str, ...]) -> bool:
    dtype: Any = schema.get(keys[0])
    for key in keys[1:]:
        if not isinstance(dtype, pl.Struct):
            return False
        dtype = {field.name: field.dtype for field in dtype.fields}.get(key)
    return dtype is not None
