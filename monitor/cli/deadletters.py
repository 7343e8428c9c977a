"""``miniwatch deadletters``: lines that could not become events."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

from typer import Argument, Option

from monitor.cli.leaving import FOUND_PROBLEMS, leave, say
from monitor.cli.lists import Id
from monitor.cli.moments import short
from monitor.cli.options import ConfigFile, DataDir, Form, Limit, Output, Since, Until, group
from monitor.cli.printing import Column, at, limit_of, wire, write_one, write_rows
from monitor.cli.terminal import visible
from monitor.clock import now_us
from monitor.counting import counted
from monitor.listing import filters

if TYPE_CHECKING:
    from monitor.stores.record import DeadLetterRow

deadletters = group("Lines that could not become events, kept sealed with the reason.")

COLUMNS: Final[list[Column[DeadLetterRow]]] = [
    ("ID", lambda row: row.id),
    ("TIME (UTC)", at("time")),
    ("REASON", lambda row: row.reason.value),
    ("LINES", lambda row: row.lines),
    ("BYTES", lambda row: row.length),
    ("POSITION", lambda row: row.position),
    ("SOURCE", lambda row: row.partition),
    ("REPLAYED (UTC)", at("replayed")),
    ("DETAIL", lambda row: row.detail),
]


class LineFormat(StrEnum):
    """How lines are written: the formats that sources have."""

    NDJSON = "ndjson"
    COMBINED = "combined"


ReasonWord = Annotated[
    str | None, Option("--reason", metavar=filters.LETTER_REASON.metavar, help=filters.LETTER_REASON.about)
]
Partition = Annotated[
    str | None, Option("--source", metavar=filters.LETTER_SOURCE.metavar, help=filters.LETTER_SOURCE.about)
]


@deadletters.command("list", epilog="Example: miniwatch deadletters list --reason broken-json")
def list_dead_letters(
    since: Since = None,
    until: Until = None,
    reason: ReasonWord = None,
    source: Partition = None,
    limit: Limit = None,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """List dead letters, newest first, without their content."""
    from monitor.cli.filters import rows_of
    from monitor.cli.opening import record
    from monitor.listing.lists import DEAD_LETTERS

    with record(config, data_dir) as opened:
        limit = limit_of(output, limit)
        found = rows_of(opened, DEAD_LETTERS, limit, since=since, until=until, reason=reason, source=source)
        rows = list(found) if output is Form.TABLE else found
        write_rows(output, rows, _with_lines(rows) if isinstance(rows, list) else COLUMNS, limit=limit)


@deadletters.command("show", epilog="Example: miniwatch deadletters show 000000007-00001 --raw")
def show_dead_letter(
    key: Id,
    raw: Annotated[
        bool, Option("--raw", help="Unseal the line and show it: it may hold personal data, and reading it is audited.")
    ] = False,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Show one dead letter; with --raw, the line itself."""
    from monitor.audit import AuditEntry
    from monitor.cli.opening import actor, record, there
    from monitor.sources.messages import position_told

    with record(config, data_dir) as opened:
        row = there(opened.store.dead_letter(opened.id_of("dead letter", key)))
        lines: list[tuple[str, object]] = [
            ("Dead letter", row.id),
            ("Came", f"{short(row.time)} UTC"),
            ("Source", f"{row.partition}, at {position_told(row.partition, row.position)}"),
            ("Line", _line_at(row.partition, row.position)),
            ("Reason", row.reason.value),
            ("Detail", row.detail),
            ("Length", counted(row.length, "byte")),
            ("Stands for", f"{counted(row.lines, 'line')}, read as {row.format}"),
            ("Replayed", f"{short(row.replayed)} UTC" if row.replayed is not None else "no"),
        ]
        told = wire(row)
        if raw:
            text = opened.store.unseal(row).raw.decode("utf-8", "backslashreplace")
            who = actor()
            opened.store.audit(
                AuditEntry(
                    time=now_us(), actor=who, action="dead-letter.read", subject=row.id, reason="asked for its content"
                )
            )
            told, lines = {**told, "raw": text}, [*lines, ("Content", visible(text))]
        write_one(output, told, lines)


@deadletters.command("replay", epilog="Example: miniwatch deadletters replay --reason wrong-type")
def replay_dead_letters(
    keys: Annotated[
        list[str] | None,
        Argument(metavar="ID", help="Which; without any, all that the filters leave.", show_default=False),
    ] = None,
    reason: ReasonWord = None,
    source: Partition = None,
    line_format: Annotated[
        LineFormat | None,
        Option(
            "--format", help="Read the lines in this format. Default: the one they were read in.", show_default=False
        ),
    ] = None,
    hashed: Annotated[bool, Option("--hashed", help="People in these lines are keyed hashes already.")] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Decode dead letters again; those that are events now are processed, once no daemon runs. Exits 1 when some fail still."""
    from monitor.cli.filters import rows_of
    from monitor.cli.opening import configuration, record, there
    from monitor.cli.replaying import admissible, process
    from monitor.listing.lists import DEAD_LETTERS

    loaded = configuration(config, data_dir)
    with record(config, data_dir) as opened:
        rows = (
            [there(opened.store.dead_letter(opened.id_of("dead letter", key))) for key in keys]
            if keys
            else list(rows_of(opened, DEAD_LETTERS, reason=reason, source=source))
        )
        waiting = [row for row in rows if row.replayed is None]
        fit, unfit = admissible(opened, waiting, line_format, hashed=hashed)
    for row, why in unfit[:20]:
        say(f"{row.id}: {visible(why)}")
    if len(unfit) > 20:
        say(f"… and {len(unfit) - 20} more that are no events still.")
    done = process(loaded, fit, hashed=hashed) if fit else 0
    became = "1 became an event" if done == 1 else f"{done:,} became events"
    say(f"{became}, {len(unfit):,} {'is a dead letter' if len(unfit) == 1 else 'are dead letters'} still.")
    if unfit:
        leave(FOUND_PROBLEMS)


def _with_lines(rows: Sequence[DeadLetterRow]) -> list[Column[DeadLetterRow]]:
    """The columns, and where in its file each line is, if the files are as they were."""
    from monitor.cli.line_numbers import line_numbers

    positions: dict[str, list[int]] = {}
    for row in rows:
        positions.setdefault(row.partition, []).append(row.position)
    numbers = {partition: line_numbers(partition, some) for partition, some in positions.items()}
    line: Column[DeadLetterRow] = ("LINE", lambda row: numbers[row.partition].get(row.position))
    place = [name for name, _ in COLUMNS].index("POSITION")
    return [*COLUMNS[:place], line, *COLUMNS[place:]]


def _line_at(partition: str, position: int) -> str | None:
    """Which line of a file begins at a position, for people."""
    from monitor.cli.line_numbers import line_numbers

    number = line_numbers(partition, [position]).get(position)
    return None if number is None else f"{number:,}, if the file is as it was"
