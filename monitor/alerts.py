"""Which alerts a turn brings: for every incident in which something was decided or that is new, to every channel it concerns.

Beside these there are alerts of clocks that run out and of what people do to an incident, and notices: what people on call should know of the
installation itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from detectors.finding import Finding, Severity
from monitor.notifiers.alert import Occasion, Word, alert_body
from monitor.notifiers.channels import ALERTMANAGER, KEEPS_ALERTS
from monitor.notifiers.notice import Notice
from monitor.stores import Message
from playbooks.clocks import Clock, ClockKind, moved_on
from playbooks.decision import Decision
from playbooks.incident import Incident
from playbooks.known import Outcome


@dataclass(frozen=True, slots=True)
class Channel:
    """Who is told of incidents from some severity on: an outbox channel. `is_second`: only of those that nobody acknowledged in time."""

    name: str
    min_severity: Severity
    is_second: bool = False

    @property
    def keeps_alerts(self) -> bool:
        """Whether whoever is told keeps one alert for each incident and episode."""
        return self.name.partition(":")[0] in KEEPS_ALERTS

    def hears_of(self, severity: Severity, *, is_unanswered: bool = False) -> bool:
        """Whether it is told of something of this severity; `is_unanswered`: that was not acknowledged in time."""
        return severity.rank >= self.min_severity.rank and (is_unanswered or not self.is_second)


def alerts(
    outcome: Outcome,
    fresh: Sequence[Finding],
    channels: Sequence[Channel],
    created: int,
    episodes: Mapping[str, Severity] | None = None,
    risen: Mapping[str, Sequence[Clock]] | None = None,
) -> list[Message]:
    """The messages of a turn; `fresh` are its new findings, `created` is when, in microseconds.

    `episodes` says in which episode an incident is, where that is not the one of its own severity, which an undo can lower: whoever keeps alerts hears of
    it in the one that is told to be over in the end. `risen` are incidents that have become more severe, with the clocks of the episode that is over with that.
    """
    decisions = _by_incident(outcome.decisions)
    by_id = {finding.id: finding for finding in fresh}
    findings: dict[str, list[Finding]] = {}
    for word in outcome.considered:
        if word.incident is not None:
            findings.setdefault(word.incident, []).append(by_id[word.finding])
    messages = []
    for incident in outcome.incidents:
        decided, before = decisions.get(incident.id, []), (risen or {}).get(incident.id, ())
        is_new = incident.findings == len(findings.get(incident.id, ()))
        if before:
            messages += _come_due(incident, before, channels, created)
            messages += _superseded(incident, [moved_on(clock, created)[0] for clock in before], channels, created)
        if not (decided or is_new or before):
            continue
        reason = Occasion.OPENED if is_new or not decided else Occasion.DECIDED
        told = Word(occasion=reason, episode=(episodes or {}).get(incident.id))
        body = alert_body(incident, decided, findings.get(incident.id, ()), told)
        occasion = decided[-1].id if decided else "opened"
        occasion = f"{incident.severity.value}:{occasion}" if before and not decided else occasion
        messages += [
            _message(channel, incident, occasion, body, created)
            for channel in channels
            if channel.hears_of(incident.severity)
        ]
    return messages


def _come_due(incident: Incident, before: Sequence[Clock], channels: Sequence[Channel], now: int) -> list[Message]:
    """What had come due of the episode before and was not told: nobody looks at its clocks any more."""
    return [
        message
        for clock in before
        for share in moved_on(clock, now)[1]
        for message in clock_alerts(
            incident, clock, share, channels, unanswered=was_unanswered(before, clock.at(share))
        )
    ]


def _superseded(
    incident: Incident, before: Sequence[Clock], channels: Sequence[Channel], created: int
) -> list[Message]:
    """For those who keep alerts: that of the episode before is over."""
    episode = before[0].episode
    body = alert_body(incident, (), (), Word(occasion=Occasion.SUPERSEDED, episode=episode))
    return [
        _message(channel, incident, f"{episode.value}:{Occasion.SUPERSEDED.value}", body, created)
        for channel in channels
        if channel.keeps_alerts and channel.hears_of(episode, is_unanswered=is_unanswered(before))
    ]


def was_unanswered(episode: Sequence[Clock], at: int) -> bool:
    """Whether by then it had been owed that somebody acknowledge the episode, and nobody had in time."""
    return any(
        clock.kind is ClockKind.ACKNOWLEDGE and clock.due <= at and (clock.stopped is None or clock.stopped > clock.due)
        for clock in episode
    )


def is_unanswered(clocks: Sequence[Clock]) -> bool:
    """Whether nobody acknowledged an episode in time, by its clocks."""
    return any(clock.kind is ClockKind.ACKNOWLEDGE and clock.breached is not None for clock in clocks)


def clock_alerts(
    incident: Incident, clock: Clock, share: int, channels: Sequence[Channel], *, unanswered: bool
) -> list[Message]:
    """What is told when a share of a clock's time is over: the same whenever it is looked."""
    occasion = Occasion.BREACHED if share == 100 else Occasion.WARNED
    body = alert_body(incident, (), (), Word(occasion=occasion, episode=clock.episode, clock=clock, share=share))
    key = f"{clock.episode.value}:{clock.kind.value}:{share}"
    return [
        _message(channel, incident, key, body, clock.at(share))
        for channel in channels
        if channel.hears_of(clock.episode, is_unanswered=unanswered)
    ]


def tended_alerts(
    incident: Incident, word: Word, clocks: Sequence[Clock], channels: Sequence[Channel], now: int
) -> list[Message]:
    """What is told when a person has acknowledged or closed an incident; `clocks` are those of its latest episode."""
    if not clocks:
        return []
    episode = clocks[0].episode
    body = alert_body(incident, (), (), msgspec.structs.replace(word, episode=episode))
    return [
        _message(channel, incident, f"{episode.value}:{word.occasion.value}", body, now)
        for channel in channels
        if channel.hears_of(episode, is_unanswered=is_unanswered(clocks))
        and not (word.occasion is Occasion.ACKNOWLEDGED and channel.name.startswith(f"{ALERTMANAGER}:"))
    ]


def _message(channel: Channel, incident: Incident, occasion: str, body: bytes, created: int) -> Message:
    """A message; those of one incident to who keeps alerts never overtake one another."""
    return Message(
        key=f"{channel.name}:{incident.id}:{occasion}",
        channel=channel.name,
        body=body,
        created=created,
        line=incident.id if channel.keeps_alerts else "",
    )


def notices(notice: Notice, channels: Sequence[Channel]) -> list[Message]:
    """The messages of a notice, to every channel that it concerns."""
    return [
        Message(
            key=f"{channel.name}:{notice.what}:{notice.key}",
            channel=channel.name,
            body=notice.body,
            created=notice.time,
        )
        for channel in channels
        if channel.hears_of(notice.severity)
    ]


def _by_incident(decisions: Sequence[Decision]) -> dict[str, list[Decision]]:
    grouped: dict[str, list[Decision]] = {}
    for decision in decisions:
        if decision.incident is not None:
            grouped.setdefault(decision.incident, []).append(decision)
    return grouped
