"""What a person does about incidents: ``miniwatch incidents ack``, ``assign``, ``note`` and ``close``."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from monitor.cli.leaving import say
from monitor.cli.options import ConfigFile, DataDir, Form, Output, ReasonText
from monitor.cli.printing import write_one
from monitor.cli.telling import SHORT_ID
from monitor.clock import now_us

if TYPE_CHECKING:
    from monitor.responding.tending import Tended

Ids = Annotated[list[str], Argument(metavar="ID", help="Ids, or the beginnings of them.", show_default=False)]
Key = Annotated[str, Argument(metavar="ID", help="Its id, or the beginning of it.", show_default=False)]
Words = Annotated[str, Option("--reason", metavar="TEXT", help="What you have to say about it; kept in the audit.")]


def acknowledge_incidents(
    keys: Ids,
    reason: Words = "seen",
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Say that you look at incidents: nobody else is called, until one becomes more severe."""
    from monitor.responding.tending import acknowledge

    _each(keys, acknowledge, "Acknowledged", output, config, data_dir, reason=reason)


def assign_incidents(
    keys: Ids,
    to: Annotated[str, Option("--to", metavar="NAME", help="Who has them from now on.", show_default=False)],
    reason: Words = "assigned",
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Give incidents to somebody; that acknowledges them."""
    from monitor.responding.tending import assign

    _each(keys, assign, f"Given to {to}", output, config, data_dir, to=to, reason=reason)


def note_incident(
    key: Key,
    text: Annotated[str, Argument(metavar="TEXT", help="What is known or done.", show_default=False)],
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Write down what is known or done about an incident: the first note is the answer that is owed."""
    from monitor.responding.tending import note

    _each([key], note, "Noted", output, config, data_dir, text=text)


def close_incidents(
    keys: Ids,
    reason: ReasonText,
    output: Output = Form.TABLE,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Say that incidents are over, and why. What is found from then on opens another one; decisions stay as they are."""
    from monitor.responding.tending import close

    _each(keys, close, "Closed", output, config, data_dir, reason=reason)


def _each(
    keys: list[str],
    act: Callable[..., Tended],
    done: str,
    output: Form,
    config: ConfigFile,
    data_dir: DataDir,
    **words: Any,
) -> None:
    """Do it to each, all of them named before the first is touched."""
    from monitor.cli.opening import actor, record
    from monitor.listing.tended import shown
    from monitor.settings import channels_of

    with record(config, data_dir) as opened:
        whole = [opened.id_of("incident", key) for key in keys]
        channels, who = channels_of(opened.config), actor()
        for key in whole:
            now = now_us()
            tended = act(opened.store, key, actor=who, now=now, channels=channels, **words)
            if output is not Form.TABLE:
                write_one(output, {**shown(opened.store, tended.incident, now), "changed": tended.changed}, [])
            elif tended.changed:
                say(f"{done}: incident {key[:SHORT_ID]}, {tended.incident.title}.")
            else:
                say(f"Nothing to do: incident {key[:SHORT_ID]} stands so already.")
