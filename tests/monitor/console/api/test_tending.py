"""Incidents over the API: acknowledged, given, noted and closed, each once, by who may."""

import pytest
from test_acts import WHY, _post

from detectors.finding import Severity
from monitor.stores import Turn
from monitor.testing import stored_incident
from monitor.tokens import Role
from playbooks.clocks import Targets, begun

EVERY = dict.fromkeys(Severity, 3_600)
TARGETS = Targets(acknowledge_s=EVERY, respond_s=EVERY, resolve_s=EVERY)


@pytest.fixture
def town(fresh):
    incident = stored_incident("aa11", opened=fresh.now, severity=Severity.HIGH)
    clocks = begun("aa11", Severity.HIGH, [], TARGETS, fresh.now)
    fresh.store.commit(Turn(number=fresh.store.last_turn() + 1, time=fresh.now, incidents=[incident], clocks=clocks))
    return fresh


def test_an_incident_is_acknowledged_given_noted_and_closed(town):
    seen = _post(town, "incidents/aa/ack", {})
    assert (seen["stands"], [clock["state"] for clock in seen["clocks"]].count("met")) == ("acknowledged", 1)
    assert _post(town, "incidents/aa/ack", {}) == seen
    assert _post(town, "incidents/aa/assign", {"assignee": "carol"})["assignee"] == "carol"
    body, headers = {"text": "Their key has leaked"}, {"Idempotency-Key": "n1"}
    noted = _post(town, "incidents/aa/note", body, **headers)
    assert _post(town, "incidents/aa/note", body, **headers) == noted
    assert _post(town, "incidents/aa/note", {"text": "other"}, status=422, **headers)["why"] == "other-content"
    closed = _post(town, "incidents/aa/close", WHY)
    assert closed["stands"] == "closed"
    assert {clock["state"] for clock in closed["clocks"]} == {"met"}
    assert town.get("incidents/aa11") == closed
    assert _post(town, "incidents/aa/ack", {}, status=409)["why"] == "not-waiting"
    (row,) = town.walk("incidents", state="closed")
    assert (row["stands"], row["assignee"]) == ("closed", "carol")


def test_who_may_only_look_does_nothing(town):
    _post(town, "incidents/aa/ack", {}, Role.VIEWER, status=403)
    _post(town, "incidents/zzz/ack", {}, status=404)
    _post(town, "incidents/aa/close", {}, status=422)
