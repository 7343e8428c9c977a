"""Headings with rows, as a run to the end tells them: in columns, with colours on a terminal."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.cli.printing import STYLES, shortened
from monitor.cli.terminal import visible


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its rows; cells of a row stand in columns, a row of one cell is a sentence."""

    title: str
    rows: Sequence[tuple[str, ...]]


def write_sections(sections: Sequence[Section]) -> None:
    """To standard output: with colours on a terminal, plain elsewhere."""
    if sys.stdout.isatty():
        _write_rich(sections)
        return
    for section in sections:
        sys.stdout.write(f"{section.title}\n")
        for line in _lines(section):
            sys.stdout.write(f"  {line}\n")
        sys.stdout.write("\n")


def _lines(section: Section) -> list[str]:
    """Rows as lines: neighbours with the same number of cells share their columns."""
    lines: list[str] = []
    rows = list(section.rows)
    begin = 0
    while begin < len(rows):
        size = len(rows[begin])
        end = next((place for place in range(begin, len(rows)) if len(rows[place]) != size), len(rows))
        shown = [[_short(visible(cell), size) for cell in row] for row in rows[begin:end]]
        widths = [max(len(row[column]) for row in shown) for column in range(size)]
        indent = "  " if size > 2 else ""
        for cells in shown:
            padded = [f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)]
            lines.append(indent + "  ".join(padded).rstrip())
        begin = end
    return lines


def _short(cell: str, size: int) -> str:
    """A cell of a table no longer than is good to read: what an app is called has no bound."""
    return cell if size < 3 else shortened(cell)


def _write_rich(sections: Sequence[Section]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False)
    for section in sections:
        console.print(Text(section.title, style="bold"))
        for line in _lines(section):
            text = Text(line)
            text.highlight_words([word for word in STYLES if f" {word} " in f" {line} "], "yellow")
            text.highlight_regex(r"^miniwatch [^ ].*?(?=  |$)", "cyan")
            console.print(Padding(text, (0, 0, 0, 2)))
        console.print()
