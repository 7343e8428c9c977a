"""Alerts to one member of a Prometheus Alertmanager cluster, by its API v2.

An incident's episode is one alert there, known by its labels. It stands until `hold_s` after it was last sent, so it is sent again and again until it
is over (`KeptUp`), and then for some more minutes as one that has ended: a member that had forgotten it, or never believed us, knows it again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from monitor.moments import stamp
from monitor.notifiers import Patience, Receipt
from monitor.notifiers.alert import told_line, told_text
from monitor.notifiers.posting import Poster
from monitor.notifiers.wording import is_over, paragraphs
from monitor.one_line import one_line
from monitor.stores import Message
from playbooks.clocks import Clock
from playbooks.incident import Incident

PATH: Final = "/api/v2/alerts"
ALERTS_PER_POST: Final = 200
NOTICE_S: Final = 3_600
"""For how long a notice stands; nobody says that it is over."""

MICROSECONDS: Final = 1_000_000


class Member:
    """One member, by its own address: a cluster's members are told each for itself."""

    def __init__(
        self,
        url: str,
        clock: Callable[[], int],
        *,
        username: str = "",
        password: str = "",
        timeout_s: float = 10.0,
        hold_s: float = 900.0,
        patience: Patience | None = None,
        ca_file: str = "",
    ) -> None:
        auth = (username, password) if username else None
        address = url.rstrip("/") + PATH
        self._poster = Poster(
            address,
            clock,
            timeout_s=timeout_s,
            secrets=[password],
            auth=auth,
            outlives_mistakes=True,
            ca_file=ca_file,
        )
        self._clock = clock
        self._hold_us = int(hold_s * MICROSECONDS)
        self._patience = patience or Patience()

    @property
    def patience(self) -> Patience:
        return self._patience

    @property
    def at_once(self) -> int:
        return 2

    def send(self, message: Message) -> Receipt:
        told = msgspec.json.decode(message.body)
        return self._post([self._alert(told) if "incident" in told else self._notice(message, told)])

    def keep_up(self, episodes: Sequence[tuple[Clock, Incident]]) -> int:
        """Send again what is open and what has just ended; how many posts that took. Raises `NotifierError`, and then sends no more."""
        posts = 0
        for start in range(0, len(episodes), ALERTS_PER_POST):
            self._post([self._standing(*one) for one in episodes[start : start + ALERTS_PER_POST]])
            posts += 1
        return posts

    def close(self) -> None:
        self._poster.close()

    def _post(self, alerts: Sequence[dict[str, Any]]) -> Receipt:
        return self._poster.post(msgspec.json.encode(alerts), {})

    def _alert(self, told: dict[str, Any]) -> dict[str, Any]:
        incident, who, now = told["incident"], told["who"], self._clock()
        ends = now if is_over(told) else now + self._hold_us
        return {
            "labels": labels(incident["id"], told["episode"], who["scope"], who["value"]),
            "annotations": _annotations(incident["title"], paragraphs(told), incident["look"]),
            "startsAt": min(incident["opened"], stamp(ends)),
            "endsAt": stamp(ends),
        }

    def _standing(self, clock: Clock, incident: Incident) -> dict[str, Any]:
        """An episode as the record has it."""
        entity, look = incident.entity, f"miniwatch incidents show {incident.id}"
        ends = clock.stopped if clock.stopped is not None else self._clock() + self._hold_us
        text = f"{clock.episode.value}, risk {incident.risk:.0f} of 100, {incident.findings} findings\n{look}"
        return {
            "labels": labels(incident.id, clock.episode.value, entity.scope.value, told_text(entity.value)),
            "annotations": _annotations(told_line(incident.title), text, look),
            "startsAt": stamp(min(incident.opened, ends)),
            "endsAt": stamp(ends),
        }

    def _notice(self, message: Message, told: dict[str, Any]) -> dict[str, Any]:
        now = self._clock()
        return {
            "labels": {
                "alertname": "MiniwatchNotice",
                "what": told["what"],
                "notice": told_line(message.key.rpartition(f"{told['what']}:")[2]),
                "severity": told["severity"],
            },
            "annotations": _annotations(told["title"], one_line(told["text"]), told["look"]),
            "startsAt": stamp(now),
            "endsAt": stamp(now + NOTICE_S * MICROSECONDS),
        }


def labels(incident: str, episode: str, scope: str, value: str) -> dict[str, str]:
    """What an alert is known by: none of it changes while the episode lasts. Who it is about is one line, whatever they are called."""
    return {
        "alertname": "MiniwatchIncident",
        "incident": incident,
        "severity": episode,
        "scope": scope,
        "entity": told_line(value),
    }


def _annotations(summary: str, description: str, look: str) -> dict[str, str]:
    return {"summary": one_line(summary), "description": description, "look": look}
