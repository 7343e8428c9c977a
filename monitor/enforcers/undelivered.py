"""When an enforcer could not be told of a decision: people on call are, and the audit has it. Of an alert that was given up, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from detectors.finding import Severity
from monitor.alerts import Channel, notices
from monitor.audit import AuditEntry
from monitor.enforcers import CHANNEL
from monitor.notifiers.channels import KINDS
from monitor.notifiers.notice import Notice, once_an_hour
from monitor.stores import TOPIC, GivenUp, Message


def giving_up(channels: Sequence[Channel]) -> Callable[[Message, str, int], GivenUp]:
    """What follows when a message is given up, by message, error and time.

    Of an alert the audit has it; who is told of that stands in `unreached`. Of an enforcer, people are told once an hour: of thousands of
    messages to a receiver that is gone, they need to know once.
    """

    def given_up(message: Message, error: str, now: int) -> GivenUp:
        kind, _, name = message.channel.partition(":")
        if kind in KINDS:
            return GivenUp(audit=(_undelivered(message, error, now),))
        if kind not in {CHANNEL, TOPIC}:
            return GivenUp()
        entry = AuditEntry(
            time=now,
            actor=f"system:enforcer {name}",
            action="enforcement.undelivered",
            subject=message.about,
            reason=error,
            after=message.key,
        )
        return GivenUp(messages=tuple(notices(_notice(name, message, error, now), channels)), audit=(entry,))

    return given_up


def _undelivered(message: Message, error: str, now: int) -> AuditEntry:
    return AuditEntry(
        time=now,
        actor=f"system:notifier {message.channel}",
        action="alert.undelivered",
        subject=message.key,
        reason=error,
    )


def _notice(name: str, message: Message, error: str, now: int) -> Notice:
    return Notice(
        what="enforcement-undelivered",
        key=once_an_hour(name, now),
        severity=Severity.CRITICAL,
        title=f"The enforcer {name} could not be told of a decision",
        text=(
            f"Decision {message.about} was not delivered: {error}. More may follow, and are told again in an hour. "
            f'What it did not get can be sent again: miniwatch enforcers retry {name} --reason "…"'
        ),
        time=now,
        look=f"miniwatch decisions show {message.about}",
    )
