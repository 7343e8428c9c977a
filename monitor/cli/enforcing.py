"""``miniwatch enforcers``: who is told of decisions, how they stand, and what they did not get once more."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import Argument, Option

from monitor.cli.leaving import USAGE, Refused, say
from monitor.cli.moments import short
from monitor.cli.options import ConfigFile, DataDir, Form, Output, ReasonText, group
from monitor.cli.printing import Column
from monitor.cli.receivers import given_up, standing_of, with_unused, write_receivers
from monitor.clock import now_us
from monitor.counting import counted

if TYPE_CHECKING:
    from monitor.stores.record import Delivery

COLUMNS: Final[list[Column[Any]]] = [
    ("NAME", lambda row: row["name"]),
    ("CONFIGURED", lambda row: "yes" if row["configured"] else "no"),
]

enforcers = group("Who carries decisions out and is told of each.")


@enforcers.command("list", epilog="Example: miniwatch enforcers list")
def list_enforcers(output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """List enforcers: how many messages each has taken, waits for, and did not get."""
    from monitor.cli.opening import record
    from monitor.enforcers import CHANNEL
    from monitor.stores import TOPIC

    with record(config, data_dir) as opened:
        configured = [f"{CHANNEL}:{keys.name}" for keys in opened.config.enforcers]
        configured += [f"{TOPIC}:{keys.name}" for keys in opened.config.topics if keys.of == "decisions"]
        states = [state for kind in (CHANNEL, TOPIC) for state in opened.store.enforcer_states(f"{kind}:")]
    rows = [
        {"name": state.channel.partition(":")[2], "configured": state.channel in configured, **standing_of(state)}
        for state in with_unused(states, configured)
    ]
    write_receivers(
        output,
        sorted(rows, key=lambda row: str(row["name"])),
        COLUMNS,
        "No [[enforcers]] are configured: decisions are on record, for who asks.",
    )


@enforcers.command("retry", epilog='Example: miniwatch enforcers retry platform --reason "It was down"')
def retry_enforcer(
    name: Annotated[str, Argument(metavar="NAME", help="Its name in the configuration.", show_default=False)],
    reason: ReasonText,
    everything: Annotated[
        bool, Option("--all", help="Also all that is in force, for one that has lost its memory.")
    ] = False,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Send again what an enforcer did not get and was given up: the latest word on each decision.

    A topic is compared with what is in force, and what differs is written.
    """
    from monitor.cli.opening import actor, record
    from monitor.enforcers.telling import enforcers_of, publications_of, telling

    with record(config, data_dir) as opened:
        topics = {topic.name: topic for topic in publications_of(opened.config)}
        if name in topics:
            opened.store.ask_comparison(topics[name].channel, actor(), reason, now_us())
            say(f"The topic of {name} will be compared with the record within a minute, while the daemon runs.")
            return
        named = {enforcer.name: enforcer for enforcer in enforcers_of(opened.config)}
        enforcer = named.get(name)
        if enforcer is None:
            names = sorted({*named, *topics})
            known = f"there are {', '.join(names)}" if names else "there is none"
            raise Refused(f"no enforcer {name} is configured; {known}", USAGE)
        tell = telling([enforcer], now_us) if everything else None
        again = opened.store.send_again(enforcer.channel, tell, actor(), reason, now_us())
        overtaken = given_up(opened.store, [enforcer.channel])
    say(f"{counted(again, 'message')} for {name} will be sent within seconds, while the daemon runs.")
    if overtaken:
        say(f"{overtaken:,} more will not, since there are later ones: miniwatch enforcers drop {name} --reason TEXT")


@enforcers.command("drop", epilog='Example: miniwatch enforcers drop old-gateway --reason "It was taken down"')
def drop_given_up(
    name: Annotated[str, Argument(metavar="NAME", help="Its name, as in the list.", show_default=False)],
    reason: ReasonText,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Delete what an enforcer did not get and was given up, without sending it; also of one that is no longer configured."""
    from monitor.cli.opening import actor, record
    from monitor.enforcers import CHANNEL
    from monitor.stores import TOPIC

    with record(config, data_dir) as opened:
        states = [state for kind in (CHANNEL, TOPIC) for state in opened.store.enforcer_states(f"{kind}:")]
        found = [state.channel for state in states if state.channel.partition(":")[2] == name]
        if not found:
            names = ", ".join(sorted(state.channel.partition(":")[2] for state in states)) or "none"
            raise Refused(f"no enforcer {name} was ever sent anything; there are: {names}", USAGE)
        gone = sum(opened.store.drop_given_up(channel, actor(), reason, now_us()) for channel in found)
    say(f"{counted(gone, 'message')} for {name}: dropped.")


def receipt_lines(deliveries: Sequence[Delivery]) -> list[str]:
    """What enforcers have been told of a decision, for people: a line a message."""
    from monitor.listing.receipts import told_word
    from monitor.stores.record import DeliveryState

    lines = []
    for each in deliveries:
        name = each.message.channel.partition(":")[2]
        match each.state:
            case DeliveryState.SENT:
                state = f"taken at {short(each.sent or 0)} UTC ({each.receipt})"
            case DeliveryState.DEAD:
                state = f"given up after {counted(each.attempts, 'attempt')}: {each.last_error}"
            case DeliveryState.PENDING:
                tried = f", tried {counted(each.attempts, 'time')}: {each.last_error}" if each.attempts else ""
                state = f"waiting since {short(each.message.created)} UTC{tried}"
        lines.append(f"{name}: {told_word(each)}, {state}")
    return lines
