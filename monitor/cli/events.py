"""``miniwatch events``: the archive."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import Option

from monitor.cli.leaving import USAGE, Refused, say
from monitor.cli.lists import Id
from monitor.cli.moments import short
from monitor.cli.options import App, ConfigFile, DataDir, Form, From, Limit, Output, Since, Until, group, read_from
from monitor.cli.printing import Column, limit_of, write_one, write_rows

if TYPE_CHECKING:
    import polars as pl

    from monitor.cli.opening import Opened

events = group("What happened on the platform: the archive of events.")

Row = dict[str, Any]
COLUMNS: Final[list[Column[Row]]] = [
    ("ID", lambda row: row["event.id"]),
    ("TIME (UTC)", lambda row: short(row["_time"])),
    ("DATASET", lambda row: row["event.dataset"]),
    ("APP", lambda row: row["miniprogram.app_id"]),
    ("WHAT", lambda row: row["event.action"] or row["miniprogram.api"] or row["url.domain"]),
    ("OUTCOME", lambda row: row["event.outcome"]),
    ("USER", lambda row: (row["user.id"] or "")[:12]),
    ("ADDRESS", lambda row: row["source.ip"]),
]
FIELDS: Final = (
    "event.id",
    "event.dataset",
    "event.action",
    "event.outcome",
    "miniprogram.app_id",
    "miniprogram.api",
    "url.domain",
    "user.id",
    "device.id",
    "source.ip",
)
ABOUT: Final = {
    "_time": "Happened (UTC)",
    "_arrival": "Arrived (UTC)",
    "_partition": "Source",
    "_position": "Position in it",
    "redaction.kinds": "Replaced at the door",
    "_late": "Late",
    "_future": "From the future",
}
"""What the archive keeps beside an event's own fields, in words."""


@events.command("list", epilog="Example: miniwatch events list --app wx0123456789abcdef --since 1h -o ndjson")
def list_events(
    since: Since = None,
    until: Until = None,
    app: App = None,
    dataset: Annotated[
        str | None, Option("--dataset", metavar="NAME", help="Of this dataset: miniprogram.api …")
    ] = None,
    api: Annotated[str | None, Option("--api", metavar="NAME", help="Calls of this API.")] = None,
    action: Annotated[str | None, Option("--action", metavar="NAME", help="With this event.action.")] = None,
    user: Annotated[str | None, Option("--user", metavar="ID", help="Of this user: the id or its hash.")] = None,
    address: Annotated[str | None, Option("--ip", metavar="IP", help="From this address.")] = None,
    limit: Limit = None,
    whence: From = None,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """List events, the last processed first. As ndjson they are whole, as they stand in the archive."""
    from monitor.cli.opening import record

    with record(config, data_dir, more=read_from(whence)) as opened:
        wanted = {
            "miniprogram.app_id": app,
            "event.dataset": dataset,
            "miniprogram.api": api,
            "event.action": action,
            "user.id": opened.value_of("OpenId", user),
            "source.ip": address,
        }
        limit = limit_of(output, limit)
        frames = _frames(opened, wanted, since, until, limit, whole=output is not Form.TABLE)
        if output is Form.TABLE:
            write_rows(output, (row for frame in frames for row in frame.iter_rows(named=True)), COLUMNS, limit=limit)
        else:
            write_rows(output, (line for frame in frames for line in _lines(frame)), [])


@events.command("show", epilog="Example: miniwatch events show 5f2a9c")
def show_event(key: Id, output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Show one event, with what the archive knows about it."""
    from monitor.cli.opening import record

    with record(config, data_dir) as opened:
        frame = event_starting(opened, key)
        if frame is None:
            raise Refused(f"there is no event {key}; `miniwatch events list` shows what there is", USAGE)
        line = next(_lines(frame))
        if output is Form.TABLE:
            write_one(output, {}, event_lines(frame, line))
        else:
            write_one(output, line, [])


def event_starting(opened: Opened, prefix: str) -> pl.DataFrame | None:
    """The event whose id begins like that, as a frame of one row; refused when there are several."""
    import polars as pl

    found: dict[str, pl.DataFrame] = {}
    where = pl.col("event.id").str.starts_with(prefix)
    for frame in opened.archive().scan(opened.archived(), where=where, newest_first=True):
        for row in range(frame.height):
            found.setdefault(frame["event.id"][row], frame[row : row + 1])
        if prefix in found:
            return found[prefix]
        if len(found) > 1:
            raise Refused(f"{prefix} is the beginning of several event ids: {', '.join(sorted(found)[:5])}", USAGE)
    return next(iter(found.values()), None)


def event_lines(frame: pl.DataFrame, line: bytes) -> list[tuple[str, object]]:
    """An event for people: what the archive knows, then its document."""
    import msgspec

    row = frame.row(0, named=True)
    told = [("Event", row["event.id"])]
    for name, word in ABOUT.items():
        value = row.get(name)
        if value not in (None, False):
            told.append((word, short(value) if name in ("_time", "_arrival") else value))
    return [*told, ("Document", msgspec.json.format(line, indent=2).decode().split("\n"))]


def _frames(
    opened: Opened,
    wanted: dict[str, str | None],
    since: int | None,
    until: int | None,
    limit: int | None,
    *,
    whole: bool,
) -> Iterator[pl.DataFrame]:
    """Matching events, no more than wanted; a broken file is told and passed over."""
    import polars as pl

    if (reader := opened.search()) is not None:
        given = {name: value for name, value in wanted.items() if value is not None}
        several = len(opened.store.archived_streams()) > 1
        yield from reader.events(given, since=since, until=until, limit=limit, several=several)
        return
    conditions = [pl.col(name) == value for name, value in wanted.items() if value is not None]
    where = pl.all_horizontal(conditions) if conditions else None
    columns = ["event.id", "_line"] if whole else [*FIELDS, "_time"]
    left = limit
    scan = opened.archive().scan(
        opened.archived(), columns=columns, since=since, until=until, where=where, newest_first=True,
        broken=lambda error: say(f"miniwatch: passed over: {error}"),
    )  # fmt: skip
    for frame in scan:
        yield frame if left is None else frame.head(left)
        left = None if left is None else left - frame.height
        if left is not None and left <= 0:
            return


def _lines(frame: pl.DataFrame) -> Iterator[bytes]:
    """Each event's line; one that came without an id is given the one by which it is known.

    What the line says decides, never a search of its text: an id may hold whatever an app puts in it.
    """
    import msgspec

    from monitor.decoders.tree import Pairs, read_tree, written

    nested = msgspec.defstruct("Event", [("id", msgspec.Raw, msgspec.Raw(b"null"))])
    members = [("event", nested | None, None), ("id", msgspec.Raw | msgspec.UnsetType, msgspec.UNSET)]
    read: Any = msgspec.json.Decoder(msgspec.defstruct("Line", members, rename={"id": "event.id"})).decode
    for text, known in frame.select("_line", "event.id").iter_rows():
        told = read(text)
        dotted = None if told.id is msgspec.UNSET else bytes(told.id)
        if (dotted or b"null") != b"null" or (told.event and bytes(told.event.id) != b"null"):
            yield text.encode()
        elif dotted is None:
            yield b'{"event.id":' + msgspec.json.encode(known) + b"," + text[1:].encode()
        else:
            others = [pair for pair in read_tree(text, as_pairs=True) if pair[0] != "event.id"]
            yield written(Pairs([("event.id", known), *others])).encode()
