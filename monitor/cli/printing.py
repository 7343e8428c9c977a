"""How results are written: as a table for people, as JSON for programs."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from monitor.cli.leaving import say
from monitor.cli.moments import short
from monitor.cli.options import ROWS_MAX, Form
from monitor.cli.terminal import visible

Row = TypeVar("Row")
Column = tuple[str, Callable[[Row], object]]

CELL_CHARACTERS_MAX: Final = 300


def shortened(cell: str) -> str:
    """A cell no longer than is good to read; that something is left out is seen."""
    return cell if len(cell) <= CELL_CHARACTERS_MAX else f"{cell[: CELL_CHARACTERS_MAX - 1]}…"


def wire(row: Any) -> dict[str, Any]:
    """A row as programs read it."""
    from monitor.listing.wire import wire as told

    return told(row)


def limit_of(form: Form, limit: int | None) -> int | None:
    """How many rows are wanted: as many as were asked for, and without a word as many as suit the form."""
    return limit if limit is not None else (ROWS_MAX if form is Form.TABLE else None)


def write_rows(
    form: Form,
    rows: Iterable[Row],
    columns: Sequence[Column[Row]],
    *,
    limit: int | None = None,
    none: str = "Nothing matches.",
) -> int:
    """Write a list; gives how many rows there were. `limit` is the one that was applied, to say that there may be more, and `none` what is said of none."""
    if form is Form.TABLE:
        held = list(rows)
        _table(held, columns)
        if not held:
            say(none)
        elif limit is not None and len(held) >= limit:
            say(f"Only {limit} {'is' if limit == 1 else 'are'} shown; --limit N shows more.")
        return len(held)
    return _json(rows, as_array=form is Form.JSON)


def write_one(form: Form, row: Any, lines: Iterable[tuple[str, object]]) -> None:
    """Write one thing: its object, or for people its lines of name and value."""
    if form is Form.TABLE:
        write_pairs(lines)
    else:
        _json([row], as_array=False, pretty=form is Form.JSON)


def write_pairs(lines: Iterable[tuple[str, object]]) -> None:
    """Names and values below one another; empty values are left out, several lines of a value stand under the first."""
    shown = [(name, value) for name, value in lines if value not in (None, "", (), [])]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        texts = [visible(item) for item in value] if isinstance(value, list | tuple) else [visible(value)]
        for number, text in enumerate(texts):
            sys.stdout.write(f"{name if number == 0 else '':<{width}}  {text}\n")


def write_text(text: str) -> None:
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


class ObjectWriter:
    """Writes objects as they come: a line each, or as one array."""

    def __init__(self, form: Form, *, pretty: bool = False) -> None:
        import msgspec

        self._as_array = form is Form.JSON
        self._pretty = pretty or self._as_array
        self._encode = msgspec.json.Encoder().encode
        self._indented = msgspec.json.format
        self._out = sys.stdout.buffer
        self.count = 0

    def add(self, row: Any) -> None:
        line = bytes(row) if isinstance(row, bytes) else self._encode(wire(row))
        line = self._indented(line, indent=2) if self._pretty else line
        before = (b",\n" if self.count else b"[\n") if self._as_array else b""
        self._out.write(before + line + (b"" if self._as_array else b"\n"))
        self.count += 1

    def close(self) -> None:
        if self._as_array:
            self._out.write(b"\n]\n" if self.count else b"[]\n")
        self._out.flush()


def _json(rows: Iterable[Any], *, as_array: bool, pretty: bool = False) -> int:
    writer = ObjectWriter(Form.JSON if as_array else Form.NDJSON, pretty=pretty)
    for row in rows:
        writer.add(row)
    writer.close()
    return writer.count


def _table(rows: Sequence[Row], columns: Sequence[Column[Row]]) -> None:
    if not rows:
        return
    cells = [[shortened(visible(_cell(read(row)))) for _, read in columns] for row in rows]
    heads = [head for head, _ in columns]
    if sys.stdout.isatty():
        _rich_table(heads, cells)
        return
    widths = [max(len(head), *(len(row[place]) for row in cells)) for place, head in enumerate(heads)]
    for row in (heads, *cells):
        line = "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        sys.stdout.write(line.rstrip() + "\n")


def _cell(value: object) -> object:
    return "" if value is None else value


def _rich_table(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from monitor.cli.widths import widths_of

    console = Console(highlight=False)
    widths = widths_of(heads, cells, console.width)
    shown = [place for place, width in enumerate(widths) if width]
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for place in shown:
        table.add_column(heads[place], width=widths[place], overflow="fold")
    for row in cells:
        table.add_row(*(Text(row[place], style=STYLES.get(row[place], "")) for place in shown))
    console.print(table)
    left_out = [head for head, width in zip(heads, widths, strict=True) if not width]
    if left_out:
        say(f"Left out for want of width: {', '.join(left_out)}; a wider terminal or -o json shows them.")


STYLES: Final = {
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "held": "yellow",
    "awaiting-approval": "yellow",
    "active": "green",
    "problem": "bold red",
    "warning": "yellow",
    "ok": "green",
}
"""How some words look on a terminal; the words alone say it too."""


def at(name: str) -> Callable[[Any], str]:
    """A column's reader: a time field for people."""
    return lambda row: short(getattr(row, name))
