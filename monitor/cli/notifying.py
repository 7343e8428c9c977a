"""``miniwatch notifiers``: who is told of incidents, how they stand, and whether they can be told."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any, Final

from typer import Argument

from monitor.cli.leaving import FOUND_PROBLEMS, USAGE, Refused, leave, say
from monitor.cli.options import ConfigFile, DataDir, Form, Output, ReasonText, group
from monitor.cli.printing import Column
from monitor.cli.receivers import given_up, standing_of, with_unused, write_receivers
from monitor.clock import now_us
from monitor.counting import counted

if TYPE_CHECKING:
    from monitor.alerts import Channel
    from monitor.notifiers import Notifier
    from monitor.stores import Message
    from monitor.stores.record import EnforcerState

COLUMNS: Final[list[Column[Any]]] = [
    ("CHANNEL", lambda row: row["channel"]),
    ("FROM", lambda row: row["min_severity"] or "not configured"),
    ("SECOND", lambda row: "yes" if row["when_unacknowledged"] else ""),
]

Name = Annotated[str, Argument(metavar="NAME", help="Of a channel, with or without its kind.", show_default=False)]

notifiers = group("Who is told of incidents, and whether they can be.")


@notifiers.command("list", epilog="Example: miniwatch notifiers list")
def list_notifiers(output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """List channels: from which severity on each is told, and how many messages it has taken, waits for, and did not get."""
    from monitor.cli.opening import record
    from monitor.notifiers.channels import KINDS
    from monitor.settings import channels_of

    with record(config, data_dir) as opened:
        channels = {channel.name: channel for channel in channels_of(opened.config)}
        states = [state for kind in KINDS for state in opened.store.enforcer_states(f"{kind}:")]
    rows = [_row(state, channels.get(state.channel)) for state in with_unused(states, channels)]
    write_receivers(
        output,
        rows,
        COLUMNS,
        "Nobody is told: no [[webhooks]], [[pagerduty]], [[alertmanagers]] or [[apprise]] are configured.",
    )


def _row(state: EnforcerState, channel: Channel | None) -> dict[str, Any]:
    return {
        "channel": state.channel,
        "min_severity": channel.min_severity.value if channel else None,
        "when_unacknowledged": channel is not None and channel.is_second,
        **standing_of(state),
    }


@notifiers.command("test", epilog="Example: miniwatch notifiers test pagerduty:security")
def try_notifier(
    name: Name,
    config: ConfigFile = None,
    data_dir: DataDir = None,
) -> None:
    """Send a test to a channel at once, by its own way, and say what came of it. Of a cluster, every member gets it."""
    from monitor.carriers import people_told_of
    from monitor.cli.opening import configuration
    from monitor.notifiers import NotifierError

    carriers = people_told_of(configuration(config, data_dir), now_us)
    failed = False
    for channel in _named(name, carriers):
        try:
            receipt = carriers[channel].send(_message(channel))
        except NotifierError as error:
            failed = True
            again = "it would be tried again" if error.retryable else "it would not be tried again"
            say(f"{channel} did not take it: {error} ({again}).")
        else:
            say(f"{channel} took it: {receipt.detail}{_unsigned(carriers[channel])}.")
        finally:
            carriers[channel].close()
    if failed:
        leave(FOUND_PROBLEMS)


def _unsigned(carrier: Notifier) -> str:
    """Of a webhook that has no secret: its receiver cannot have looked whether it is ours."""
    from monitor.notifiers.webhook import Webhook

    return ", unsigned: no secret is here" if isinstance(carrier, Webhook) and not carrier.is_signed else ""


@notifiers.command("retry", epilog='Example: miniwatch notifiers retry pagerduty:security --reason "It was down"')
def retry_notifier(name: Name, reason: ReasonText, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Send again what a channel did not get and was given up, but for what later alerts have overtaken. Of a cluster, to every member."""
    from monitor.cli.opening import actor, record
    from monitor.settings import channels_of

    with record(config, data_dir) as opened:
        found = _named(name, [channel.name for channel in channels_of(opened.config)])
        again = sum(opened.store.send_again(channel, None, actor(), reason, now_us()) for channel in found)
        overtaken = given_up(opened.store, found)
    say(f"{counted(again, 'alert')} for {name} will be sent within seconds, while the daemon runs.")
    if overtaken:
        say(f"{overtaken:,} more will not, since later ones were taken: miniwatch notifiers drop {name} --reason TEXT")


@notifiers.command("drop", epilog='Example: miniwatch notifiers drop pagerduty:old --reason "It is no longer ours"')
def drop_given_up(name: Name, reason: ReasonText, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Delete what a channel did not get and was given up, without sending it; also of one that is no longer configured."""
    from monitor.cli.opening import actor, record
    from monitor.notifiers.channels import KINDS
    from monitor.settings import channels_of

    with record(config, data_dir) as opened:
        states = [state for kind in KINDS for state in opened.store.enforcer_states(f"{kind}:")]
        known = {*(state.channel for state in states), *(channel.name for channel in channels_of(opened.config))}
        found = _named(name, known)
        gone = sum(opened.store.drop_given_up(channel, actor(), reason, now_us()) for channel in found)
    say(f"{counted(gone, 'alert')} for {name}: dropped.")


def _named(name: str, channels: Collection[str]) -> list[str]:
    """The channels that are meant by a name: one, or the members of one cluster."""
    found = [channel for channel in channels if name in {channel, *_short_names(channel)}]
    kinds = {":".join(channel.split(":")[:2]) for channel in found}
    if not found or len(kinds) > 1:
        known = ", ".join(sorted(channels)) or "none"
        several = "is the name of several channels" if found else "is no channel"
        raise Refused(f"{name} {several}; there are: {known}", USAGE)
    return found


def _short_names(channel: str) -> list[str]:
    """By what else a channel is known: its name alone, and that of its cluster."""
    kind, _, rest = channel.partition(":")
    cluster = rest.partition(":")[0]
    return [rest, cluster, f"{kind}:{cluster}"]


def _message(channel: str) -> Message:
    from detectors.finding import Severity
    from monitor.notifiers.notice import Notice
    from monitor.stores import Message

    now = now_us()
    notice = Notice(
        what="test",
        key=str(now),
        severity=Severity.INFORMATIONAL,
        title="This is a test of Miniwatch",
        text="Nothing has happened: somebody tries whether you are told. Nothing is to be done.",
        time=now,
        look="miniwatch notifiers list",
    )
    return Message(key=f"{channel}:test:{now}", channel=channel, body=notice.body, created=now)
