"""All commands under their headings. A command's file is loaded when the command is called, not before."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Annotated, Any, Final

from typer import Option, Typer
from typer.main import get_command, get_group

from monitor.cli.leaving import DONE, EXIT_CODES, errors_told, leave
from monitor.cli.options import CONTEXT, Branch
from monitor.cli.printing import write_text

ABOUT: Final = "Miniwatch watches the API calls of mini programs, finds abuse, and answers it in tiers."
RUNNING: Final = "Run it"
SEEING: Final = "See what happened"
ACTING: Final = "Change what happens"
RULES: Final = "Write rules and playbooks"
KEEPING: Final = "Keep it in order"
TRYING: Final = "Try it out"
EPILOG: Final = f"""\b
Begin with a simulated day:
  miniwatch simulate --seed 1 --events 50000 --registry apps.ndjson -O events.ndjson
  miniwatch apps import apps.ndjson
  miniwatch run --until-end --source file:events.ndjson

`miniwatch COMMAND --help` says more. Exit codes: {", ".join(f"{code} {means}" for code, means in EXIT_CODES.items())}."""
HEADINGS: Final = (RUNNING, SEEING, ACTING, RULES, KEEPING, TRYING)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command or group of commands is to be found, and what the overview says of it."""

    heading: str
    name: str
    at: str  # module:name, below monitor.cli
    summary: str
    example: str = ""  # of a command; those of a group have their own


COMMANDS: Final = (
    Place(RUNNING, "run", "running:run", "Read events, find abuse, decide.", "run --source 'file:gateway.ndjson?follow'"),
    Place(RUNNING, "check", "checking:check", "Configuration, rules, sources: all problems at once.", "check -v"),
    Place(RUNNING, "doctor", "health:doctor", "What is wrong with this installation, and what to do.", "doctor --deep"),
    Place(SEEING, "top", "top:top", "What the running daemon does, on one screen.", "top --every 5"),
    Place(SEEING, "explain", "explaining:explain", "The story behind an id, in a screen.", "explain 3fa4c1"),
    Place(SEEING, "incidents", "lists:incidents", "What is worth a person's time, with deadlines."),
    Place(SEEING, "findings", "lists:findings", "What detectors saw, about whom."),
    Place(SEEING, "decisions", "lists:decisions", "What was decided, and until when; answer, add, lift."),
    Place(SEEING, "events", "events:events", "The archive of events."),
    Place(SEEING, "deadletters", "deadletters:deadletters", "Lines that could not be read; replay them."),
    Place(SEEING, "ledger", "ledger:ledger", "What became of every line that came in.", "ledger -o ndjson"),
    Place(ACTING, "apps", "apps:apps", "The registry of apps: import, list, show."),
    Place(ACTING, "undos", "undoing:undos", "What was undone, and what became of it."),
    Place(ACTING, "marks", "marking:marks", "What people have said of findings, until when it counts."),
    Place(ACTING, "appeals", "appealing:appeals", "Objections to decisions: file, review, answer."),
    Place(ACTING, "allowlists", "standings:allowlists", "Leave an entity alone, until a time."),
    Place(ACTING, "exceptions", "standings:exceptions", "A rule does not apply there, until a time."),
    Place(
        ACTING, "pause", "holding:pause", "The stop switch: no act begins.",
        'pause --reason "A rule goes wild" --for 2h',
    ),
    Place(ACTING, "resume", "holding:resume", "Let acts begin again.", 'resume --reason "The rule is mended"'),
    Place(ACTING, "maintenance", "holding:maintenance", "Hold acts while work is done: add, list, remove."),
    Place(ACTING, "notifiers", "notifying:notifiers", "Who is told of incidents: list, and send a test."),
    Place(ACTING, "enforcers", "enforcing:enforcers", "Who is told of decisions, and what they have not got."),
    Place(ACTING, "tokens", "tokens:tokens", "Who may do what over HTTP: add, list, revoke."),
    Place(RULES, "rules", "rules:rules", "List, check, test and explain detection rules."),
    Place(
        RULES, "backtest", "backtesting:backtest", "Rules over past events: what they would find and decide.",
        "backtest --rules rules/new --since 7d",
    ),
    Place(RULES, "playbooks", "playbooks:playbooks", "What is done about findings, and when: list, show."),
    Place(RULES, "model", "modelling:model", "Models of what is unlike other apps: train, try, put in force."),
    Place(KEEPING, "backup", "keeping:backup", "The whole installation in one file.", "backup /backups/miniwatch.backup"),
    Place(
        KEEPING, "restore", "keeping:restore", "Put a backup into an empty folder.", "restore m.backup --data-dir var/new"
    ),
    Place(KEEPING, "move", "keeping:move", "The record into PostgreSQL, with all that is in force.", "move --config new.toml"),
    Place(KEEPING, "keys", "keeping:keys", "Go on with other keys, where those of the record are lost."),
    Place(KEEPING, "audit", "auditing:audit", "Who changed what, and whether that was altered."),
    Place(KEEPING, "support", "supporting:support", "What goes into a report of a fault, without secrets or people."),
    Place(
        KEEPING, "completion", "completing:completion", "What bash, zsh or fish needs to complete commands.", "completion bash"
    ),
    Place(
        TRYING, "simulate", "simulating:simulate", "A simulated platform's events, with labelled abuse.",
        "simulate --seed 7 --events 100000 > events.ndjson",
    ),
    Place(TRYING, "version", "keeping:version", "The version, and those of what it stands on.", "version -o json"),
)  # fmt: skip
"""In the order in which help shows them."""


class Tree(Branch):
    """The group of everything: its help stands in sections, and what commands raise becomes messages and exit codes."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._places = {place.name: place for place in COMMANDS}
        self.commands.update(dict.fromkeys(self._places))  # type: ignore[arg-type] # names, for suggestions

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the framework's signature
        return list(self._places)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - as above
        place = self._places.get(cmd_name)
        return None if place is None else _loaded(place)

    def invoke(self, ctx: Any) -> Any:
        with errors_told():
            return super().invoke(ctx)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as above
        width = max(map(len, self._places))
        for heading in HEADINGS:
            with formatter.section(heading):
                rows = [(f"{place.name:<{width}}", place.summary) for place in COMMANDS if place.heading == heading]
                formatter.write_dl(rows)


def _loaded(place: Place) -> Any:
    """The command itself, or the group with its commands."""
    module, _, name = place.at.partition(":")
    found = getattr(importlib.import_module(f"monitor.cli.{module}"), name)
    if isinstance(found, Typer):
        group = get_group(found)
        group.name = place.name
        return group
    single = Typer(add_completion=False, rich_markup_mode=None)
    single.command(place.name, epilog=f"Example: miniwatch {place.example}", context_settings=CONTEXT)(found)
    return get_command(single)


def _version(wanted: bool) -> None:
    if wanted:
        from monitor import __version__  # noqa: PLC0415 - nobody else here needs it

        write_text(f"miniwatch {__version__}")
        leave(DONE)


app = Typer(
    cls=Tree,
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
)


@app.callback(help=ABOUT)
def _root(
    _version: Annotated[
        bool, Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Options before any command."""
