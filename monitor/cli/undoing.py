"""Taking back in bulk: ``miniwatch decisions undo``, and ``undos``."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import Argument, Option

from monitor.cli.leaving import say
from monitor.cli.moments import moment, short
from monitor.cli.options import ConfigFile, DataDir, Form, Limit, Output, ReasonText, Until, group
from monitor.cli.printing import Column, at, limit_of, wire, write_one, write_rows
from monitor.cli.telling import SHORT_ID, entity_text
from monitor.clock import now_us
from monitor.counting import counted

if TYPE_CHECKING:
    from monitor.cli.opening import Opened
    from monitor.stores.undos import Undo, Undone
    from playbooks.policy import Policy

undos = group(
    "What was undone: a rule's part in a time, or findings marked as false; and what became of each decision."
)

COLUMNS: Final[list[Column[Undo]]] = [
    ("ID", lambda row: row.id),
    ("TIME (UTC)", at("time")),
    ("WHAT", lambda row: f"{row.kind.value} {row.subject[:SHORT_ID]}"),
    ("FINDINGS", lambda row: row.findings),
    ("LIFTED", lambda row: row.lifted + row.released),
    ("WAITING", lambda row: row.waiting),
    ("KEPT", lambda row: row.kept),
    ("BY", lambda row: row.actor),
    ("REASON", lambda row: row.reason),
]
UNDONE: Final[list[Column[Undone]]] = [
    ("DECISION", lambda row: row.decision.id[:SHORT_ID]),
    ("BECAME", lambda row: row.fate.value),
    ("ACT", lambda row: row.decision.type.value + (f" {row.decision.target}" if row.decision.target else "")),
    ("WHO", lambda row: entity_text(row.decision)),
    ("MODE", lambda row: row.decision.mode.value),
    ("STATE", lambda row: row.decision.state.value),
    ("UNTIL (UTC)", lambda row: short(row.decision.expires)),
]
SHOWN_MAX: Final = 20
"""Decisions of an undo that a table shows by itself."""


def undo_decisions(
    rule: Annotated[
        str,
        Option(
            "--rule",
            metavar="RULE",
            help="The rule: its id, the beginning of it, its name or file.",
            show_default=False,
        ),
    ],
    since: Annotated[
        int,
        Option(
            "--since",
            parser=moment,
            metavar="TIME",
            help="From this time on: a date, a time, or 2h, 7d ago.",
            show_default=False,
        ),
    ],
    reason: ReasonText,
    until: Until = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Only show what would become of which decision.")] = False,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Undo what a rule brought about: everything is decided again as if its findings of that time had not been.

    What they led to is lifted, and what only the other findings would have led to waits for a person. Decisions that a person made or
    approved stay.
    """
    from monitor.cli.opening import actor, record, whole_id
    from monitor.cli.rule_files import rule_recorded
    from monitor.responding.undoing import undo_rule
    from monitor.settings import channels_of
    from monitor.stores.undos import Span

    with record(config, data_dir) as opened:
        named = rule_recorded(rule, opened)
        whole = whole_id(opened.store.rules_starting(named), "rule with findings", named)
        now = now_us()
        span = Span(rule=whole, since=since, until=now + 1 if until is None else until)
        undo, undone = undo_rule(
            opened.store,
            span,
            present_policy(opened),
            reason=reason,
            actor=actor(),
            now=now,
            channels=channels_of(opened.config),
            dry_run=dry_run,
        )
    write_undo(undo, undone, output, f"Undone ({undo.id})" if not dry_run else "Would be undone", dry_run=dry_run)
    if not dry_run:
        say(f"The rule goes on with what it finds from now on. `miniwatch undos show {undo.id}` lists every decision.")


@undos.command("list", epilog="Example: miniwatch undos list")
def list_undos(
    limit: Limit = None, output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None
) -> None:
    """List what was undone, the last first."""
    from monitor.cli.opening import record

    with record(config, data_dir) as opened:
        limit = limit_of(output, limit)
        write_rows(output, opened.store.undos(limit), COLUMNS, limit=limit, none="Nothing was ever undone.")


@undos.command("show", epilog="Example: miniwatch undos show 9f2c")
def show_undo(
    key: Annotated[str, Argument(metavar="ID", help="Its id, or the beginning of it.", show_default=False)],
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Show what became of every decision in an undo, each as it stands now."""
    from monitor.cli.opening import record, there, whole_id

    with record(config, data_dir) as opened:
        whole = whole_id(opened.store.ids_starting("undos", key), "undo", key)
        undo = there(opened.store.undo_of(whole))
        undone = opened.store.undone(whole)
    if output is Form.TABLE:
        write_one(output, undo, _lines(undo))
        write_rows(output, undone, UNDONE)
    else:
        write_undo(undo, undone, output, "", dry_run=False)


def present_policy(opened: Opened) -> Policy:
    """The policy as a running daemon has it now."""
    from detectors.finding import Entity, Scope
    from monitor.content.in_force import playbooks_of
    from monitor.registry import Registry
    from monitor.rulings import Rulings

    registry, now = Registry(list(opened.store.apps())), now_us()
    apps = frozenset(Entity(Scope.APP, app) for app in registry.protected(now))
    owners = frozenset(Entity(Scope.DEVELOPER, owner) for owner in registry.owners_of_protected(now))
    rulings = Rulings(
        opened.config,
        playbooks_of(opened.config),
        opened.store,
        now_us,
        protected=lambda: apps,
        owners_of_protected=lambda: owners,
        released=registry.released,
    )
    return rulings()


def write_undo(
    undo: Undo, undone: Sequence[Undone], output: Form, said: str, *, dry_run: bool, more: dict[str, Any] | None = None
) -> None:
    """What an undo has come to, with the first of its decisions."""
    if output is not Form.TABLE:
        rows: list[dict[str, Any]] = [{"fate": one.fate.value, **wire(one.decision)} for one in undone]
        write_one(output, {**wire(undo), "dry_run": dry_run, "decisions": rows, **(more or {})}, [])
        return
    say(f"{said}: {undo_summary(undo)}.")
    write_rows(output, undone[:SHOWN_MAX], UNDONE)
    if len(undone) > SHOWN_MAX:
        say(f"And {len(undone) - SHOWN_MAX:,} more; -o json shows all.")


def undo_summary(undo: Undo) -> str:
    """An undo in a clause."""
    lifted = counted(undo.lifted + undo.released, "decision")
    parts = [f"{counted(undo.findings, 'finding')} changed", f"{lifted} lifted"]
    parts += [f"{counted(undo.waiting, 'decision')} waiting for a person"] if undo.waiting else []
    parts += [f"{undo.kept:,} of people kept"] if undo.kept else []
    return ", ".join(parts)


def _lines(undo: Undo) -> list[tuple[str, object]]:
    return [
        ("Undo", undo.id),
        ("What", f"{undo.kind.value} {undo.subject}"),
        ("From (UTC)", short(undo.since) if undo.since is not None else None),
        ("Before (UTC)", short(undo.until) if undo.until is not None else None),
        ("Time (UTC)", short(undo.time)),
        ("By", undo.actor),
        ("Reason", undo.reason),
        ("Came to", undo_summary(undo)),
    ]
