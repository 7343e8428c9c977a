"""When a channel to people takes nothing: the people behind the other channels are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from detectors.finding import Severity
from monitor.alerts import Channel, notices
from monitor.notifiers.channels import KINDS
from monitor.notifiers.notice import Notice, once_an_hour
from monitor.stores import Message

WHAT: Final = "channel-unreached"


def telling_others(channels: Sequence[Channel]) -> Callable[[Message, str, int], Sequence[Message]]:
    """Who is told that a message to people was not taken, by message, error and time; once an hour for each channel.

    Also those who hear otherwise only of what nobody acknowledged: whoever should have acknowledged may not know of it. That such a notice itself was
    not taken, nobody is told: with two channels down, each would tell of the other for ever.
    """

    def unreached(message: Message, error: str, now: int) -> Sequence[Message]:
        channel = message.channel
        if channel.partition(":")[0] not in KINDS or message.key.startswith(f"{channel}:{WHAT}:"):
            return ()
        others = [replace(other, is_second=False) for other in channels if other.name != channel]
        return notices(_notice(channel, error, now), others)

    return unreached


def _notice(channel: str, error: str, now: int) -> Notice:
    return Notice(
        what=WHAT,
        key=once_an_hour(channel, now),
        severity=Severity.CRITICAL,
        title=f"{channel} could not be told of an alert",
        text=(
            f"It said last: {error}. What waits is tried again by itself; what was given up can be sent again once it is mended: "
            f'miniwatch notifiers retry {channel} --reason "…"'
        ),
        time=now,
        look="miniwatch notifiers list",
    )
