"""What a person does to decisions: ``miniwatch decisions add``, ``approve``, ``reject``, ``revoke`` and ``exempt``."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer import Argument, Option

from monitor.cli.leaving import say
from monitor.cli.moments import short
from monitor.cli.options import App, ConfigFile, DataDir, Form, Output, ReasonText, ScopeName, Value
from monitor.cli.printing import write_one
from monitor.cli.telling import SHORT_ID, decision_lines, decision_text
from monitor.clock import now_us

if TYPE_CHECKING:
    from monitor.cli.opening import Opened
    from monitor.responding.lifting import Lifted
    from monitor.responding.placing import Acted
    from playbooks.action import Action


def _duration_s(text: str) -> int:
    from playbooks.duration import parse_duration_s

    try:
        return parse_duration_s(text.strip())
    except ValueError as error:
        raise typer.BadParameter(f"{error}; write 30m, 24h or 7d, up to 365d") from None


Ids = Annotated[list[str], Argument(metavar="ID", help="Ids, or the beginnings of them.", show_default=False)]
Lasting = Annotated[
    int, Option("--for", parser=_duration_s, metavar="DURATION", help="How long: 30m, 24h, 7d …", show_default=False)
]
Target = Annotated[str | None, Option("--target", metavar="NAME", help="The one API or function meant.")]


_WORDS: Final = {
    "Object missing required field": "it needs",
    "Object contains unknown field": "it has no",
    "`per_s`": "--per",
    "`limit`": "--limit",
    "`target`": "--target",
    "`version_min`": "--version-min",
    "`grace_s`": "--deadline",
}
"""What is wrong with an act, in the words of the command line."""


def add_decision(
    act: Annotated[
        str,
        Argument(
            metavar="ACT",
            help="warn, throttle, captcha, function-ban, force-update, remove or ban.",
            show_default=False,
        ),
    ],
    reason: ReasonText,
    lasting: Lasting,
    app: App = None,
    scope: ScopeName = None,
    value: Value = None,
    target: Target = None,
    limit: Annotated[int | None, Option("--limit", metavar="N", help="Of a throttle: calls let through …")] = None,
    per: Annotated[
        int | None, Option("--per", parser=_duration_s, metavar="DURATION", help="… in this time: 1m, 1h.")
    ] = None,
    version_min: Annotated[
        str | None,
        Option("--version-min", metavar="VERSION", help="Of force-update: the oldest version left in use, or latest."),
    ] = None,
    deadline: Annotated[
        int | None,
        Option("--deadline", parser=_duration_s, metavar="DURATION", help="… after so long; until then it only warns."),
    ] = None,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Put an act in force by hand, until its end. A ban waits until another person approves it.

    What the registry protects, or an exemption, cannot be acted on: lift that first.
    """
    from monitor.cli.opening import actor, record
    from monitor.responding.adding import add
    from monitor.rulings import held_config

    fields = {"duration_s": lasting, "target": target, "limit": limit, "per_s": per}
    action = _action(act, {**fields, "version_min": version_min, "grace_s": deadline})
    with record(config, data_dir, make=True) as opened:
        entity = entity_of(opened, app, scope, value)
        held = held_config(opened.config)
        acted = add(opened.store, entity, action, actor=actor(), reason=reason, now=now_us(), held=held)
    _tell(acted, output)


def approve_decisions(
    keys: Ids, reason: ReasonText, output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None
) -> None:
    """Put decisions that wait in force from now on, for as long as each was meant to last.

    A ban needs another person than the one who asked for it.
    """
    from monitor.cli.opening import actor, record
    from monitor.responding.answering import approve

    with record(config, data_dir) as opened:
        for key in [opened.id_of("decision", key) for key in keys]:
            _tell(approve(opened.store, key, actor=actor(), reason=reason, now=now_us()), output)


def reject_decisions(keys: Ids, reason: ReasonText, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Say no to decisions that wait. The same rule does not ask for the same again while it would have lasted."""
    from monitor.cli.opening import actor, record
    from monitor.responding.answering import reject

    with record(config, data_dir) as opened:
        for key in [opened.id_of("decision", key) for key in keys]:
            rejected = reject(opened.store, key, actor=actor(), reason=reason, now=now_us())
            say(f"Rejected {decision_text(rejected)}.")


def revoke_decisions(
    keys: Ids,
    reason: ReasonText,
    exempt_for: Annotated[
        int | None,
        Option(
            "--exempt-for",
            parser=_duration_s,
            metavar="DURATION",
            help="Also exempt the entity so long: 7d. Everything else on it is lifted too.",
        ),
    ] = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Lift decisions before their time, or take back what waits; with --exempt-for nothing new comes for a while."""
    from monitor.cli.opening import actor, record
    from monitor.responding.lifting import revoke

    with record(config, data_dir) as opened:
        for key in [opened.id_of("decision", key) for key in keys]:
            _tell_lifted(revoke(opened.store, key, actor=actor(), reason=reason, now=now_us(), exempt_for_s=exempt_for))


def exempt_entity(
    reason: ReasonText,
    lasting: Lasting,
    app: App = None,
    scope: ScopeName = None,
    value: Value = None,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Leave an entity alone for some time: lift what is in force on it, refuse what waits, let nothing new come.

    `miniwatch allowlists add` does the last alone.
    """
    from monitor.cli.opening import actor, record
    from monitor.responding.lifting import exempt

    with record(config, data_dir, make=True) as opened:
        entity = entity_of(opened, app, scope, value)
        _tell_lifted(exempt(opened.store, entity, for_s=lasting, actor=actor(), reason=reason, now=now_us()))


def entity_of(opened: Opened, app: str | None, scope: str | None, value: str | None) -> Any:
    """Whom the options mean; people given by their own id are known by its hash."""
    from detectors.finding import Entity, Scope
    from monitor.cli.filters import word

    if app is not None and scope is None and value is None:
        return Entity(Scope.APP, app)
    if app is None and scope is not None and value is not None:
        known = word(scope, Scope, "--scope")
        return Entity(Scope(known), str(opened.value_of(known, value)))
    raise typer.BadParameter("say whom: --app APP_ID, or --scope SCOPE and --value VALUE")


def _action(act: str, given: dict[str, int | str | None]) -> Action:
    """The act with what was given for it; wrong usage where something is missing, or has no place there."""
    import msgspec

    from monitor.cli.filters import word
    from playbooks.action import Action
    from playbooks.decision import Act

    fields = {name: value for name, value in given.items() if value is not None}
    try:
        action: Action = msgspec.convert({"type": word(act, Act, "ACT"), **fields}, Action)
    except msgspec.ValidationError as error:
        told = str(error).partition(" - ")[0]
        for ours, theirs in _WORDS.items():
            told = told.replace(ours, theirs)
        raise typer.BadParameter(f"{act}: {told}") from None
    return action


def _tell(acted: Acted, output: Form) -> None:
    row = acted.decision
    if output is not Form.TABLE:
        write_one(output, row, decision_lines(row))
        return
    key = row.id[:SHORT_ID]
    if not acted.changed:
        say(f"Nothing was changed: {key} stands there already, with the same or more. {row.explanation}")
    elif row.state.value == "active":
        say(f"In force until {short(row.expires)} UTC: {decision_text(row)}.")
    else:
        say(f"Asked for: {decision_text(row)}.")
        say(f"Another person approves it by {short(row.answer_by)} UTC: miniwatch decisions approve {key} --reason …")
    for gone in acted.superseded:
        say(f"In its place before: {decision_text(gone)}.")


def _tell_lifted(lifted: Lifted) -> None:
    for decision in lifted.decisions:
        say(f"{decision.state.value.capitalize()} {decision_text(decision)}.")
    if lifted.exemption is not None:
        row = lifted.exemption
        if not lifted.decisions:
            say("Nothing was in force on it, and nothing waited.")
        say(f"Added exemption {row.id}: {row.scope} {row.value}, until {short(row.expires)} UTC.")
