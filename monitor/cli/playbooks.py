"""``miniwatch playbooks``: what is done about findings, and when."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import Argument

from monitor.cli.leaving import USAGE, Refused, say
from monitor.cli.options import ConfigFile, Form, Output, group
from monitor.cli.printing import Column, write_one, write_rows, write_text
from monitor.counting import counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from monitor.config import Config
    from playbooks.ladder import Match, Playbook, Step, When

playbooks = group("Playbooks: what is done about findings, and when.")

Row = dict[str, Any]
COLUMNS: Final[list[Column[Row]]] = [
    ("NAME", lambda row: row["name"]),
    ("PRIORITY", lambda row: row["priority"]),
    ("MODE", lambda row: row["mode"]),
    ("BEHAVIOURS", lambda row: ", ".join(map(str, row["match"]["behaviours"]))),
    ("TIERS", lambda row: ", ".join(dict.fromkeys(step["tier"] for step in row["steps"]))),
    ("FROM", lambda row: "the program" if row["builtin"] else row["path"] or "a pack"),
    ("TITLE", lambda row: row["title"]),
]


@playbooks.command("list", epilog="Example: miniwatch playbooks list -o json")
def list_playbooks(output: Output = Form.TABLE, config: ConfigFile = None) -> None:
    """List the playbooks in force, in the order in which they are asked; what is wrong with others is counted on standard error."""
    from monitor.cli.opening import configuration
    from monitor.content.in_force import as_asked, playbooks_of
    from monitor.listing.in_force import playbook_told

    given = configuration(config)
    loaded = playbooks_of(given)
    files = _files(given)
    write_rows(output, [playbook_told(playbook, files) for playbook in as_asked(loaded.playbooks, given)], COLUMNS)
    if loaded.problems:
        problems = counted(len(loaded.problems), "problem")
        say(f"{problems} in playbooks that are not in force; `miniwatch check` names them.")


@playbooks.command("show", epilog="Example: miniwatch playbooks show payment-abuse")
def show_playbook(
    name: Annotated[str, Argument(metavar="NAME", help="Its name, or the beginning of it.", show_default=False)],
    output: Output = Form.TABLE,
    config: ConfigFile = None,
) -> None:
    """Show one playbook: which findings it is for, what it answers and when, and its text."""
    from monitor.cli.opening import configuration
    from monitor.content.in_force import as_asked, playbooks_of
    from monitor.listing.in_force import playbook_told

    given = configuration(config)
    loaded = playbooks_of(given)
    found = {playbook.name: playbook for playbook in as_asked(loaded.playbooks, given)}
    playbook = found[_name_starting(name, list(found), refused=len(loaded.problems) > 0)]
    files = _files(given)
    row = playbook_told(playbook, files)
    write_one(output, row, [*_told(playbook), ("path", row["path"])])
    if output is Form.TABLE:
        path = files.get(playbook.name)
        if path is not None:
            write_text("\n" + path.read_text(encoding="utf-8"))


def _files(config: Config) -> dict[str, Path]:
    from monitor.content.in_force import playbook_folders
    from monitor.playbook_files import files_of

    return files_of(playbook_folders(config))


def _name_starting(given: str, names: list[str], *, refused: bool) -> str:
    """The one name that is this or begins so."""
    found = [given] if given in names else [name for name in names if name.startswith(given)]
    if len(found) == 1:
        return found[0]
    if not found:
        told = "; some files were refused: `miniwatch check` says why" if refused else ""
        raise Refused(f"there is no playbook {given}; `miniwatch playbooks list` shows what there is{told}", USAGE)
    raise Refused(f"{given} could be several playbooks: {', '.join(found[:5])}; write the name", USAGE)


def _told(playbook: Playbook) -> Iterator[tuple[str, object]]:
    """A playbook in words: for whom, then step by step."""
    yield from [("name", playbook.name), ("title", playbook.title), ("priority", playbook.priority)]
    yield from [("mode", playbook.mode.value), ("for", list(_meant(playbook.match)) or "every finding")]
    whose = ", on all apps of the developer" if playbook.per_owner else ""
    yield "repetition", f"earlier acts count for {counted(playbook.memory_days, 'day')}{whose}"
    yield from ((step.tier.value, _answer(step)) for step in playbook.steps)


def _meant(match: Match) -> Iterator[str]:
    """Which findings a playbook is for, a line for each thing that must hold."""
    from detectors.finding import Severity
    from playbooks.ladder import ENFORCEABLE

    if match.scopes != frozenset(ENFORCEABLE):
        yield f"about {_any_of(match.scopes)}"
    if match.min_severity is not Severity.INFORMATIONAL:
        yield f"severity {match.min_severity} or more"
    named = {
        "behaviour": [str(number) for number in sorted(match.behaviours)],
        "tag": match.tags,
        "rule": match.rules,
        "kind": match.kinds,
    }
    yield from (f"{what} {_any_of(values)}" for what, values in named.items() if values)


def _any_of(values: Any) -> str:
    return " or ".join(values if isinstance(values, list) else sorted(values))


def _answer(step: Step) -> str:
    """When a step is reached, and what is done there."""
    from playbooks.action import describe

    done = "; ".join(describe(action) for action in step.actions) or "watched"
    least = list(_least(step.when))
    return f"at least {', '.join(least)}: {done}" if least else f"always: {done}"


def _least(when: When) -> Iterator[str]:
    """The least that must be true for a step, in words; what is true of every incident is left out."""
    if when.risk:
        yield f"risk {when.risk}"
    if when.findings > 1:
        yield counted(when.findings, "finding")
    if when.repeats:
        yield counted(when.repeats, "earlier act")
    if when.deadlines_missed:
        yield counted(when.deadlines_missed, "missed deadline")
