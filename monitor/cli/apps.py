"""``miniwatch apps``: what operators told us about each app."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import sys
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Final

from typer import Argument, Option

from monitor.cli.leaving import FOUND_PROBLEMS, USAGE, Refused, leave, say
from monitor.cli.moments import short
from monitor.cli.options import ConfigFile, DataDir, Form, Limit, Output, group
from monitor.cli.printing import Column, limit_of, write_one, write_rows
from monitor.clock import now_us
from monitor.counting import counted
from monitor.listing import filters

apps = group("The registry: category, developer, declared domains and permissions of each app.")

PROBLEMS_SHOWN_MAX: Final = 10
"""Refused lines that are told one by one; a file with more is probably another file."""

Row = dict[str, Any]
COLUMNS: Final[list[Column[Row]]] = [
    ("APP", lambda row: row["app_id"]),
    ("NAME", lambda row: row.get("name")),
    ("CATEGORY", lambda row: row.get("category")),
    ("DEVELOPER", lambda row: row.get("developer_id")),
    ("PROTECTED", lambda row: "yes" if row.get("protected") else ""),
    ("AS OF (UTC)", lambda row: row["as_of"][:19].replace("T", " ")),
]


@apps.command("import", epilog="Example: miniwatch apps import apps.ndjson")
def import_apps(
    file: Annotated[
        Path, Argument(metavar="FILE", help="One app a line, as JSON; - for standard input.", show_default=False)
    ],
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Take up registry lines. Good ones are taken, bad ones told; a running daemon sees them within seconds."""
    from monitor.cli.opening import actor, record
    from monitor.registry import parse_registry

    now = now_us()
    with nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb") as opened_file:
        lines = _Lines(opened_file)
        records, problems = parse_registry(lines, now)
    refused = lines.count - len(records)
    with record(config, data_dir, make=True) as opened:
        if records:
            opened.store.import_apps(records, actor(), now)
    for problem in problems[:PROBLEMS_SHOWN_MAX]:
        say(f"{file}:{problem.line}: {problem.message}")
    if refused > PROBLEMS_SHOWN_MAX:
        say(f"… and {refused - PROBLEMS_SHOWN_MAX:,} more.")
    if refused and lines.events > lines.count / 2:
        say("These look like events, not apps: `miniwatch run --until-end --source file:FILE` reads events.")
    say(f"{counted(len(records), 'line')} taken, {refused:,} refused.")
    if refused:
        leave(FOUND_PROBLEMS)


class _Lines:
    """The lines of a registry file, counted on their way: those that say something, and those that have an event's time."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = lines
        self.count = 0
        self.events = 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self.count += bool(line.strip().removeprefix(BOM_UTF8))
            self.events += b'"@timestamp"' in line
            yield line


@apps.command("list", epilog="Example: miniwatch apps list --protected")
def list_apps(
    developer: Annotated[
        str | None, Option("--developer", metavar=filters.DEVELOPER.metavar, help=filters.DEVELOPER.about)
    ] = None,
    category: Annotated[
        str | None, Option("--category", metavar=filters.CATEGORY.metavar, help=filters.CATEGORY.about)
    ] = None,
    protected: Annotated[bool, Option("--protected", help=filters.PROTECTED.about)] = False,
    limit: Limit = None,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """List registered apps by id, each with its newest line."""
    from monitor.cli.filters import rows_of
    from monitor.cli.opening import record
    from monitor.listing.lists import APPS
    from monitor.listing.wire import app_told

    with record(config, data_dir) as opened:
        limit = limit_of(output, limit)
        rows = rows_of(opened, APPS, limit, developer=developer, category=category, protected=protected)
        write_rows(output, map(app_told, rows), COLUMNS, limit=limit)


@apps.command("show", epilog="Example: miniwatch apps show wx0123456789abcdef")
def show_app(
    app: Annotated[str, Argument(metavar="APP_ID", show_default=False)],
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Show what is registered about an app, its risk, and what happened to it lately."""
    from detectors.finding import Entity, Scope
    from monitor.cli.opening import record
    from monitor.cli.telling import decision_text
    from monitor.listing.wire import app_told, app_with_risk
    from monitor.stores.record import Query

    with record(config, data_dir) as opened:
        entity = Entity(Scope.APP, app)
        lines = opened.store.app_lines(app)
        risk = opened.store.risks([entity]).get(entity)
        mine = Query(scope=Scope.APP, value=app, limit=10)
        incidents = [
            f"{row.id[:12]}: {row.title} ({row.severity}, {row.state})" for row in opened.store.incidents(mine)
        ]
        decisions = [decision_text(row) for row in opened.store.decisions(mine)]
    if not lines and risk is None and not incidents:
        nothing = f"nothing is known of an app {app}: it is not registered, and nothing was found about it"
        raise Refused(f"{nothing}; `miniwatch events list --app {app}` shows its events", USAGE)
    document = app_told(lines[-1]) if lines else {"app_id": app}
    told: list[tuple[str, object]] = [
        *((name.replace("_", " "), _told(value)) for name, value in document.items()),
        ("earlier lines", [short(row.as_of) for row in lines[:-1]]),
        ("risk", f"{risk.score:.0f} of 100 at {short(risk.at)} UTC" if risk else "none"),
        ("incidents", incidents),
        ("decisions", decisions),
    ]
    write_one(output, app_with_risk(app, lines[-1] if lines else None, risk), told)


def _told(value: object) -> object:
    if isinstance(value, list):
        return [
            ", ".join(f"{name} {part}" for name, part in item.items()) if isinstance(item, dict) else str(item)
            for item in value
        ]
    return ("yes" if value else "no") if isinstance(value, bool) else value
