"""Alerts in CrowdSec's words: each is one live decision with what led to it, and the decision in it once it has begun."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from detectors.finding import Scope
from monitor.console.access import Refused
from monitor.console.crowdsec.decisions import scenario_of, told
from monitor.console.crowdsec.durations import read
from monitor.console.crowdsec.wanted import Wanted, wanted
from monitor.notifiers.alert import told_time
from monitor.stores.record import NumberedDecision, Record

ALERTS_MAX: Final = 10_000
"""Alerts in one answer."""

ALERTS: Final = 50
"""Where nothing is said."""

PAGE: Final = 500
LOOKED_AT_MAX: Final = 200_000


def alert(of: NumberedDecision, now: int, events: int) -> dict[str, Any]:
    """A decision as an alert."""
    decision = of.decision
    return {
        "id": of.number,
        "uuid": decision.id,
        "machine_id": decision.origin,
        "created_at": told_time(decision.time),
        "start_at": told_time(decision.time),
        "stop_at": told_time(decision.time),
        "scenario": scenario_of(decision),
        "scenario_hash": "",
        "scenario_version": "",
        "message": decision.explanation,
        "events_count": events,
        "capacity": 0,
        "leakspeed": "",
        "simulated": False,
        "remediation": True,
        "kind": "miniwatch",
        "source": {
            "scope": decision.scope.value,
            "value": decision.value,
            "ip": decision.value if decision.scope is Scope.ADDRESS else "",
            "range": decision.value if decision.scope is Scope.RANGE else "",
        },
        "events": [],
        "meta": [{"key": "state", "value": decision.state.value}],
        "decisions": [told(of, now)] if decision.has_begun else [],
    }


def events_of(record: Record, of: NumberedDecision) -> int:
    """How many events the finding behind it has; 1 where a person decided."""
    finding = record.finding(of.decision.finding) if of.decision.finding is not None else None
    return 1 if finding is None else finding.evidence.count


class Listed:
    """Which alerts a query wants; raises `Refused` for a span or number that is none."""

    def __init__(self, query: Mapping[str, str], now: int) -> None:
        names = {"type": "decision_type", "origins": "origin", "scenarios_containing": "scenario"}
        given = {name: query.get(theirs, query.get(name)) for name, theirs in names.items()}
        kept = {name: value for name, value in query.items() if name in {"scope", "value", "ip", "range", "contains"}}
        self.wanted: Wanted = wanted({**kept, **{name: value for name, value in given.items() if value}})
        self.since = max(now - _span(query.get("since")), 0) if query.get("since") else 0
        self.until = now - _span(query.get("until"))
        self.active = now if query.get("has_active_decision") == "true" else None
        self.limit = _limit(query.get("limit"))

    def of(self, record: Record) -> Iterator[NumberedDecision]:
        """The newest first."""
        before, given, looked_at = 2**62, 0, 0
        while page := record.newest_decisions(before, PAGE, self.since, active=self.active):
            for one in page:
                if one.decision.time <= self.until and self.wanted.takes(one.decision):
                    yield one
                    given += 1
                    if given >= self.limit:
                        return
            before, looked_at = page[-1].number, looked_at + len(page)
            if looked_at >= LOOKED_AT_MAX:
                return


def _span(text: str | None) -> int:
    seconds = read(text) if text else 0.0
    if seconds is None or seconds < 0:
        raise Refused(400, f"invalid duration '{(text or '')[:32]}'")
    return int(seconds * 1_000_000)


def _limit(text: str | None) -> int:
    if text is None:
        return ALERTS
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise Refused(400, "limit is a number")
    return min(int(text), ALERTS_MAX) or ALERTS_MAX
