"""Standing words of operators: ``miniwatch allowlists`` (leave this entity alone) and ``exceptions`` (this rule not there)."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer
from typer import Argument, Option

from monitor.cli.leaving import say
from monitor.cli.lists import Id
from monitor.cli.moments import MICROSECONDS, short
from monitor.cli.options import App, ConfigFile, DataDir, Expires, Form, Output, ReasonText, ScopeName, Value, group
from monitor.cli.printing import Column, at, write_rows
from monitor.clock import now_us
from monitor.listing import filters

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.stores import Standing

allowlists = group("Exemptions: entities to which nothing is done automatically, until a time.")
exceptions = group("Exceptions: a rule that does not apply to an entity, until a time.")

EXPIRES_US_DEFAULT: Final = 30 * 86_400 * MICROSECONDS
COLUMNS: Final[list[Column[Standing]]] = [
    ("ID", lambda row: row.id),
    ("WHO", lambda row: f"{row.scope} {row.value}"),
    ("RULE", lambda row: row.rule),
    ("UNTIL (UTC)", at("expires")),
    ("BY", lambda row: row.actor),
    ("REASON", lambda row: row.reason),
]
Expired = Annotated[bool, Option("--expired", help=filters.EXPIRED.about)]


@allowlists.command("add", epilog='Example: miniwatch allowlists add --app wx01 --reason "Our own app" --expires 30d')
def add_exemption(
    reason: ReasonText,
    app: App = None,
    scope: ScopeName = None,
    value: Value = None,
    expires: Expires = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Exempt an entity: what would be done to it is held, with this as the reason."""
    _add(None, reason, entity_given(app, scope, value), expires, (config, data_dir))


@allowlists.command("list", epilog="Example: miniwatch allowlists list -o json")
def list_exemptions(
    expired: Expired = False, output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None
) -> None:
    """List exemptions."""
    _list("exemption", expired, output, (config, data_dir))


@allowlists.command("remove", epilog='Example: miniwatch allowlists remove 9f2c --reason "Sold to another developer"')
def remove_exemption(key: Id, reason: ReasonText, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """End an exemption before its time."""
    _remove("exemption", key, reason, (config, data_dir))


@exceptions.command(
    "add", epilog='Example: miniwatch exceptions add 277df3d1 --app wx01 --reason "A test server" --expires 14d'
)
def add_exception(
    rule: Annotated[str, Argument(metavar="RULE", help="The rule's id, or the beginning of it.", show_default=False)],
    reason: ReasonText,
    app: App = None,
    scope: ScopeName = None,
    value: Value = None,
    expires: Expires = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Except an entity from a rule: its findings there are recorded, and lead to nothing."""
    whole = _rule(rule, config, data_dir)
    _add(whole, reason, entity_given(app, scope, value), expires, (config, data_dir))


@exceptions.command("list", epilog="Example: miniwatch exceptions list --expired")
def list_exceptions(
    expired: Expired = False, output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None
) -> None:
    """List exceptions."""
    _list("exception", expired, output, (config, data_dir))


@exceptions.command("remove", epilog='Example: miniwatch exceptions remove 71bc --reason "The rule was mended"')
def remove_exception(key: Id, reason: ReasonText, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """End an exception before its time."""
    _remove("exception", key, reason, (config, data_dir))


def entity_given(app: str | None, scope: str | None, value: str | None) -> tuple[str, str]:
    """Scope and value of the one entity that options name."""
    from detectors.finding import Scope
    from monitor.cli.filters import word

    if app is not None and scope is None and value is None:
        return Scope.APP.value, app
    if app is None and scope is not None and value is not None:
        return word(scope, Scope, "--scope"), value
    raise typer.BadParameter("say whom: --app APP_ID, or --scope SCOPE and --value VALUE")


def _rule(given: str, config: Path | None, data_dir: Path | None) -> str:
    """A rule that runs, or one that the record has findings of: what detectors measure or learn is in no file."""
    from monitor.cli.leaving import Refused
    from monitor.cli.opening import configuration, record
    from monitor.cli.rule_files import rule_starting
    from monitor.recorded import may_have_record

    loaded = configuration(config, data_dir)
    try:
        return rule_starting(given, loaded).id
    except Refused:
        if not may_have_record(loaded):
            raise
        with record(config, data_dir) as opened:
            found = opened.store.rules_starting(given)
        if len(found) != 1:
            raise
        return found[0]


def _add(
    rule: str | None,
    reason: str,
    entity: tuple[str, str],
    expires: int | None,
    where: tuple[Path | None, Path | None],
) -> None:
    from detectors.finding import Entity, Scope
    from monitor.cli.opening import actor, record
    from monitor.holding import spare

    if not reason.strip():
        raise typer.BadParameter("say why, in a few words", param_hint="--reason")
    with record(*where, make=True) as opened:
        whom, now = Entity(Scope(entity[0]), str(opened.value_of(*entity))), now_us()
        until = now + EXPIRES_US_DEFAULT if expires is None else expires
        added = spare(opened.store, whom, actor(), reason, now, expires=until, rule=rule)
    say(f"Added {added.kind} {added.id}: {added.scope} {added.value}, until {short(until)} UTC.")


def _list(kind: str, expired: bool, output: Form, where: tuple[Path | None, Path | None]) -> None:
    from monitor.cli.filters import rows_of
    from monitor.cli.opening import record
    from monitor.listing.lists import ALLOWLISTS, EXCEPTIONS

    with record(*where) as opened:
        rows = rows_of(opened, ALLOWLISTS if kind == "exemption" else EXCEPTIONS, expired=expired)
    write_rows(output, rows, [column for column in COLUMNS if column[0] != "RULE" or kind == "exception"])


def _remove(kind: str, key: str, reason: str, where: tuple[Path | None, Path | None]) -> None:
    from monitor.cli.opening import actor, record, whole_id

    with record(*where) as opened:
        known = {row.id for row in opened.store.standings(0) if row.kind == kind}
        whole = whole_id([each for each in sorted(known) if each.startswith(key)], kind, key)
        removed = opened.store.remove_standing(whole, actor(), reason, now_us())
    say(f"Removed {kind} {removed.id}: {removed.scope} {removed.value}.")
