"""Appeals over the API: filed once, answered by who may."""

from test_acts import ADDED, WHY, _post

from detectors.finding import Entity, Scope
from monitor.responding.adding import add
from monitor.tokens import Role
from playbooks.action import Throttle

APP = Entity(Scope.APP, "wx01")
SLOW = Throttle(duration_s=3_600, target="login", limit=60, per_s=60)
FILED = {"appellant": "dev-7", "statement": "We have fixed it"}


def test_an_appeal_is_filed_once_looked_at_and_granted(fresh):
    made = _post(fresh, "decisions", ADDED, status=201)["decision"]
    body, headers = {**FILED, "decision": made["id"][:8]}, {"Idempotency-Key": "a1"}
    first = _post(fresh, "appeals", body, status=201, **headers)
    assert _post(fresh, "appeals", body, status=200, **headers) == first
    assert _post(fresh, "appeals", {**body, "appellant": "x"}, status=422, **headers)["why"] == "other-content"
    assert _post(fresh, "appeals", body, status=409)["why"] == "too-many"
    path = f"appeals/{first['id'][:8]}"
    assert fresh.get(path) == first
    assert fresh.get(f"decisions/{made['id']}")["appeals"] == [first]
    assert _post(fresh, f"{path}/grant", WHY, Role.APPROVER, status=409)["why"] == "not-waiting"
    _post(fresh, f"{path}/review", WHY, Role.RESPONDER, status=403)
    assert _post(fresh, f"{path}/review", WHY, Role.APPROVER)["state"] == "reviewing"
    assert _post(fresh, f"{path}/grant", WHY, Role.APPROVER)["state"] == "granted"
    assert fresh.get(f"decisions/{made['id']}")["state"] == "revoked"
    assert [one["state"] for one in fresh.walk("appeals", state="granted", decision=made["id"][:8])] == ["granted"]


def test_who_added_a_decision_does_not_reject_the_appeal(fresh):
    made = _post(fresh, "decisions", ADDED, Role.ADMIN, status=201)["decision"]
    key = _post(fresh, "appeals", {**FILED, "decision": made["id"]}, status=201)["id"]
    _post(fresh, f"appeals/{key}/review", WHY, Role.APPROVER)
    assert _post(fresh, f"appeals/{key}/reject", WHY, Role.ADMIN, status=403)["why"] == "second-person"


def test_another_person_rejects(fresh):
    made = add(fresh.store, APP, SLOW, actor="operator:alice", reason="A storm", now=fresh.now).decision
    key = _post(fresh, "appeals", {**FILED, "decision": made.id}, status=201)["id"]
    _post(fresh, f"appeals/{key}/review", WHY, Role.APPROVER)
    assert _post(fresh, f"appeals/{key}/reject", WHY, Role.APPROVER)["state"] == "rejected"
    assert fresh.get(f"decisions/{made.id}")["state"] == "active"


def test_one_is_withdrawn_once(fresh):
    made = _post(fresh, "decisions", ADDED, status=201)["decision"]
    key = _post(fresh, "appeals", {**FILED, "decision": made["id"]}, status=201)["id"]
    assert _post(fresh, f"appeals/{key}/withdraw", WHY)["state"] == "withdrawn"
    _post(fresh, f"appeals/{key}/withdraw", WHY, status=409)
    _post(fresh, "appeals/zzz/withdraw", WHY, status=404)
