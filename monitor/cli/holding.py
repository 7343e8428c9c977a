"""What stops acts: ``miniwatch pause`` and ``resume``, windows of maintenance, and rules moved to shadow or back."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer
from typer import Argument, Option

from monitor.cli.leaving import say
from monitor.cli.lists import Id
from monitor.cli.moments import expiry, short
from monitor.cli.options import App, ConfigFile, DataDir, Form, Output, ReasonText, ScopeName, Value, group
from monitor.cli.printing import Column, at, write_rows
from monitor.cli.stopped import until_text
from monitor.cli.terminal import visible
from monitor.clock import now_us

if TYPE_CHECKING:
    from monitor.stores import Standing

maintenance = group("Windows of maintenance: acts are held from one time to another.")

COLUMNS: Final[list[Column[Standing]]] = [
    ("ID", lambda row: row.id),
    ("WHO", lambda row: f"{row.scope} {row.value}" if row.scope else "everything"),
    ("FROM (UTC)", at("begins")),
    ("UNTIL (UTC)", at("expires")),
    ("BY", lambda row: row.actor),
    ("REASON", lambda row: row.reason),
]
For = Annotated[
    int | None,
    Option(
        "--for", parser=expiry, metavar="TIME", help="How long: 2h, 1d, or until a date. Default: until it is lifted."
    ),
]
From = Annotated[
    int | None,
    Option("--from", parser=expiry, metavar="TIME", help="From when on: in 2h, or a date. Default: now."),
]
Until = Annotated[
    int, Option("--until", parser=expiry, metavar="TIME", help="Until when: in 4h, or a date.", show_default=False)
]
RuleName = Annotated[
    str,
    Argument(metavar="RULE", help="Its file's name, its own, its id, or the beginning of that.", show_default=False),
]


def pause(reason: ReasonText, until: For = None, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Stop all acts: what would be put in force is held, until `miniwatch resume`. What is in force stays."""
    from detectors.event import END_OF_TIME
    from monitor.cli.opening import actor, record
    from monitor.holding import pause as stop

    _check(reason)
    with record(config, data_dir, make=True) as opened:
        laid = stop(opened.store, actor(), reason, now_us(), END_OF_TIME if until is None else until)
    say(f"Acts are paused {until_text(laid)}: whatever is found, none begins. What is in force stays in force.")


def resume(reason: ReasonText, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Let acts begin again after `miniwatch pause`. What was held meanwhile stays held."""
    from monitor.cli.opening import actor, record
    from monitor.holding import resume as go_on

    _check(reason)
    with record(config, data_dir) as opened:
        lifted = go_on(opened.store, actor(), reason, now_us())
    say(
        f"Acts begin again. They were paused since {short(lifted.created)} UTC by {lifted.actor}: {visible(lifted.reason)}"
    )


@maintenance.command("add", epilog='Example: miniwatch maintenance add --app wx01 --until 4h --reason "A new gateway"')
def add_window(
    reason: ReasonText,
    until: Until,
    begins: From = None,
    app: App = None,
    scope: ScopeName = None,
    value: Value = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Hold acts while work is done: on everything, or on one entity."""
    from monitor.cli.opening import actor, record
    from monitor.cli.standings import entity_given
    from monitor.holding import open_window

    _check(reason)
    now = now_us()
    first = now if begins is None else begins
    if until <= first:
        raise typer.BadParameter("it ends before it begins", param_hint="--until")
    whom = ("", "") if (app, scope, value) == (None, None, None) else entity_given(app, scope, value)
    with record(config, data_dir, make=True) as opened:
        name = opened.value_of(*whom) if whom[0] else ""
        added = open_window(
            opened.store, actor(), reason, now, begins=first, expires=until, scope=whom[0], value=str(name)
        )
    say(f"Added window {added.id}: {whom[0]} {whom[1]}".rstrip() + f", {short(first)} to {short(until)} UTC.")


@maintenance.command("list", epilog="Example: miniwatch maintenance list")
def list_windows(output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """List windows that are open or will be, those of the configuration among them."""
    from monitor.cli.filters import rows_of
    from monitor.cli.opening import record
    from monitor.listing.lists import MAINTENANCE

    with record(config, data_dir) as opened:
        write_rows(output, rows_of(opened, MAINTENANCE), COLUMNS)


@maintenance.command("remove", epilog='Example: miniwatch maintenance remove 9f2c --reason "Done early"')
def remove_window(key: Id, reason: ReasonText, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """End a window before its time."""
    from monitor.cli.opening import actor, record, whole_id
    from monitor.stores import StandingKind

    with record(config, data_dir) as opened:
        known = sorted(one.id for one in opened.store.standings(0) if one.kind is StandingKind.MAINTENANCE)
        whole = whole_id([each for each in known if each.startswith(key)], "window", key)
        removed = opened.store.remove_standing(whole, actor(), reason, now_us())
    say(f"Removed window {removed.id}.")


def shadow_rule(
    name: RuleName, reason: ReasonText, until: For = None, config: ConfigFile = None, data_dir: DataDir = None
) -> None:
    """Only record what a rule's findings lead to, from now on: nothing of it is enforced, nobody's risk rises."""
    from detectors.event import END_OF_TIME
    from monitor.cli.opening import actor, configuration, record
    from monitor.cli.rule_files import rule_starting
    from monitor.holding import shadow

    _check(reason)
    rule = rule_starting(name, configuration(config, data_dir))
    with record(config, data_dir, make=True) as opened:
        laid = shadow(opened.store, rule.id, actor(), reason, now_us(), END_OF_TIME if until is None else until)
    say(f"Rule {rule.id} ({rule.title}) is in shadow {until_text(laid)}.")


def unshadow_rule(name: RuleName, reason: ReasonText, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Let a rule act again that a guard, or a person, moved to shadow."""
    from monitor.cli.opening import actor, configuration, record
    from monitor.cli.rule_files import rule_starting
    from monitor.holding import in_shadow, unshadow

    _check(reason)
    with record(config, data_dir) as opened:
        found = [rule for rule in in_shadow(opened.store, now_us()) if rule.startswith(name)]
        rule = found[0] if len(found) == 1 else rule_starting(name, configuration(config, data_dir)).id
        lifted = unshadow(opened.store, rule, actor(), reason, now_us())
    say(f"Rule {rule} acts again. It was in shadow since {short(lifted.created)} UTC: {visible(lifted.reason)}")


def _check(reason: str) -> None:
    if not reason.strip():
        raise typer.BadParameter("say why, in a few words", param_hint="--reason")
