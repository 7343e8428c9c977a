"""Alerts to PagerDuty, by its Events API v2.

An incident's episode is one alert there, by its ``dedup_key``; every further message about it is a trigger of the same key, which is added to the
alert. Acknowledged and over it is by the same key, too. A notice is an alert of its own, for somebody to resolve.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

import msgspec

from monitor.notifiers import NotifierError, Patience, Receipt
from monitor.notifiers.alert import Occasion
from monitor.notifiers.posting import Poster
from monitor.notifiers.wording import headline
from monitor.one_line import one_line
from monitor.stores import Message

SUMMARY_CHARACTERS_MAX: Final = 1024
"""What the API takes; of a source, a group and a class it names no bound, and gets no more either."""

DETAILS_MAX: Final = 5
"""Decisions and findings that are told of; the body of an event has at most 512 KiB."""

SEVERITIES: Final = {
    "critical": "critical",
    "high": "error",
    "medium": "warning",
    "low": "info",
    "informational": "info",
}

ACTIONS: Final = {
    Occasion.ACKNOWLEDGED.value: "acknowledge",
    Occasion.CLOSED.value: "resolve",
    Occasion.SUPERSEDED.value: "resolve",
}


class PagerDuty:
    """One integration of a service, known by its routing key."""

    def __init__(
        self,
        url: str,
        routing_key: str | None,
        clock: Callable[[], int],
        *,
        timeout_s: float = 10.0,
        patience: Patience | None = None,
        ca_file: str = "",
    ) -> None:
        secrets = [routing_key or ""]
        self._poster = Poster(url, clock, timeout_s=timeout_s, secrets=secrets, outlives_mistakes=True, ca_file=ca_file)
        self._routing_key = routing_key
        self._patience = patience or Patience()

    @property
    def patience(self) -> Patience:
        return self._patience

    @property
    def at_once(self) -> int:
        return 2

    def send(self, message: Message) -> Receipt:
        if self._routing_key is None:
            raise NotifierError("no routing key is configured", retryable=True)
        event = {"routing_key": self._routing_key, **event_of(message)}
        return self._poster.post(msgspec.json.encode(event), {})

    def close(self) -> None:
        self._poster.close()


def event_of(message: Message) -> dict[str, Any]:
    """The event of a message, but for the routing key."""
    told = msgspec.json.decode(message.body)
    if "incident" not in told:
        return _notice(message, told)
    incident = told["incident"]
    who = {name: value and one_line(value) for name, value in told["who"].items()}
    event: dict[str, Any] = {
        "event_action": ACTIONS.get(told["occasion"], "trigger"),
        "dedup_key": dedup_key(incident["id"], told["episode"]),
        "client": "Miniwatch",
    }
    if event["event_action"] != "trigger":
        return event
    details = {
        "who": who,
        "incident": {name: incident[name] for name in ("id", "risk", "tier", "opened", "due", "findings", "look")},
        "clock": told["clock"],
        "decisions": [
            {name: one.get(name) for name in ("type", "state", "reason", "until", "undo", "approve", "before_approval")}
            for one in told["decisions"][-DETAILS_MAX:]
        ],
        "why": [
            {"title": one_line(one["title"]), "severity": one["severity"], "events": one["events"]}
            for one in told["why"][-DETAILS_MAX:]
        ],
    }
    payload = {
        "summary": headline(told)[:SUMMARY_CHARACTERS_MAX],
        "severity": SEVERITIES[told["episode"]],
        "source": f"{who['scope']} {who['value']}"[:SUMMARY_CHARACTERS_MAX],
        "timestamp": incident["last_finding"],
        "component": who["scope"],
        "group": (who["owner"] or who["value"])[:SUMMARY_CHARACTERS_MAX],
        "class": (one_line(incident["tags"][0]) if incident["tags"] else "incident")[:SUMMARY_CHARACTERS_MAX],
        "custom_details": details,
    }
    return {**event, "payload": payload}


def dedup_key(incident: str, episode: str) -> str:
    """What an alert is known by: one for each incident and episode."""
    return hashlib.sha256(f"{incident}|{episode}".encode()).hexdigest()


def _notice(message: Message, told: dict[str, Any]) -> dict[str, Any]:
    return {
        "event_action": "trigger",
        "dedup_key": hashlib.sha256(message.key.encode()).hexdigest(),
        "client": "Miniwatch",
        "payload": {
            "summary": headline(told)[:SUMMARY_CHARACTERS_MAX],
            "severity": SEVERITIES[told["severity"]],
            "source": "miniwatch",
            "timestamp": told["time"],
            "class": told["what"],
            "custom_details": {"text": one_line(told["text"]), "look": one_line(told["look"])},
        },
    }
