"""What people do over the API: by the rules of responding, once, with the token's name in the audit."""

import pytest

from monitor.stores import AppRecord
from monitor.tokens import Role

THROTTLE = {"type": "throttle", "duration_s": 3600, "target": "login", "limit": 60, "per_s": 60}
ADDED = {"scope": "AppId", "value": "wx01", "act": THROTTLE, "reason": "A storm"}
BAN = {**ADDED, "act": {"type": "ban", "duration_s": 86_400}}
WHY = {"reason": "Looked at"}


def _post(site, path, body, role=Role.RESPONDER, status=200, **headers):
    answer = site.ask(f"/api/v1/{path}", role, "POST", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json()


def _audited(site):
    return [
        (entry.entry.action, entry.entry.actor.partition(" ")[2], entry.entry.reason)
        for entry in site.store.audit_entries()
    ]


def test_an_act_is_added_seen_and_lifted(fresh):
    made = _post(fresh, "decisions", ADDED, status=201)
    assert (made["changed"], made["decision"]["state"], made["decision"]["target"]) == (True, "active", "login")
    key = made["decision"]["id"]
    assert fresh.get(f"decisions/{key}") == {**made["decision"], "enforcement": [], "appeals": []}
    lifted = _post(fresh, f"decisions/{key[:8]}/revoke", WHY)
    assert [one["state"] for one in lifted["decisions"]] == ["revoked"]
    assert "has ended already" in _post(fresh, f"decisions/{key}/revoke", WHY, status=409)["message"]
    acts = [one for one in _audited(fresh) if one[0].startswith("decision.")]
    assert acts == [("decision.add", "(on-call)", "A storm"), ("decision.revoke", "(on-call)", "Looked at")]


def test_the_same_again_changes_nothing_and_says_so(fresh):
    first = _post(fresh, "decisions", ADDED, status=201)
    assert _post(fresh, "decisions", ADDED, status=200) == {**first, "changed": False}


def test_a_key_that_comes_again_is_one_decision_also_after_it_was_lifted(fresh):
    headers = {"Idempotency-Key": "2026-1"}
    first = _post(fresh, "decisions", ADDED, status=201, **headers)["decision"]
    _post(fresh, f"decisions/{first['id']}/revoke", WHY)
    again = _post(fresh, "decisions", ADDED, status=200, **headers)
    assert (again["decision"]["id"], again["decision"]["state"]) == (first["id"], "revoked")
    other = {**ADDED, "value": "wx02"}
    assert _post(fresh, "decisions", other, status=422, **headers)["why"] == "other-content"
    assert _post(fresh, "decisions", other, Role.ADMIN, status=201, **headers)  # another token's key
    assert len(list(fresh.store.decisions())) == 2


def test_a_ban_needs_another_person_who_may_approve(fresh):
    asked = _post(fresh, "decisions", BAN, status=201)["decision"]
    assert asked["state"] == "awaiting-approval"
    path = f"decisions/{asked['id']}/approve"
    _post(fresh, path, WHY, Role.RESPONDER, status=403)
    refused = _post(fresh, path, WHY, Role.APPROVER, status=403)  # a token of the same name
    assert refused["why"] == "second-person"
    other = fresh.named("bob", Role.APPROVER)
    answer = fresh.client.post(f"/api/v1/{path}", json=WHY, headers={"Authorization": f"Bearer {other}"})
    assert (answer.status_code, answer.json()["decision"]["state"]) == (201, "active")
    assert _post(fresh, path, WHY, Role.ADMIN, status=409)["why"] == "not-waiting"


def test_what_waits_is_rejected(fresh):
    asked = _post(fresh, "decisions", BAN, status=201)["decision"]
    assert _post(fresh, f"decisions/{asked['id']}/reject", WHY, Role.APPROVER)["state"] == "rejected"


def test_what_is_protected_or_exempt_is_not_acted_on(fresh):
    fresh.store.import_apps([AppRecord(app_id="wx01", as_of=0, document='{"protected":true}')], "operator:ann", 1)
    assert _post(fresh, "decisions", ADDED, status=409)["why"] == "protected"
    exempted = {"scope": "AppId", "value": "wx02", "for_s": 3600, "reason": "Ours"}
    _post(fresh, "allowlists", exempted, status=201)
    assert _post(fresh, "decisions", {**ADDED, "value": "wx02"}, status=409)["why"] == "exempt"


def test_exempting_lifts_and_a_key_makes_it_once(fresh):
    _post(fresh, "decisions", ADDED, status=201)
    body = {"scope": "appid", "value": "wx01", "for_s": 3600, "reason": "Under repair"}
    assert "scope" in _post(fresh, "decisions/exempt", body, status=422)["message"]
    body["scope"] = "AppId"
    lifted = _post(fresh, "decisions/exempt", body, **{"Idempotency-Key": "1"})
    assert [one["state"] for one in lifted["decisions"]] == ["revoked"]
    again = _post(fresh, "decisions/exempt", body, **{"Idempotency-Key": "1"})
    assert again == {"decisions": [], "exemption": lifted["exemption"]}
    other = {**body, "value": "wx05"}
    assert _post(fresh, "decisions/exempt", other, status=422, **{"Idempotency-Key": "1"})["why"] == "other-content"
    assert len(fresh.walk("allowlists")) == 1


@pytest.mark.parametrize(
    ("name", "more"), [("allowlists", {}), ("exceptions", {"rule": "277df3d1"})], ids=["allowlists", "exceptions"]
)
def test_what_is_laid_down_is_listed_and_lifted(fresh, name, more):
    body = {"scope": "AppId", "value": "wx01", "for_s": 3600, "reason": "A test server", **more}
    laid = _post(fresh, name, body, status=201, **{"Idempotency-Key": "1"})
    assert _post(fresh, name, body, status=200, **{"Idempotency-Key": "1"}) == laid
    assert fresh.walk(name) == [laid]
    assert fresh.get(f"{name}/{laid['id'][:6]}") == laid
    assert _post(fresh, f"{name}/{laid['id'][:6]}/remove", WHY) == laid
    _post(fresh, f"{name}/{laid['id']}/remove", WHY, status=404)
    assert fresh.walk(name) == []


def test_an_exception_is_of_a_rule_that_there_is(fresh):
    body = {"rule": "zzz", "scope": "AppId", "value": "wx01", "for_s": 3600, "reason": "x"}
    assert _post(fresh, "exceptions", body, status=422)["message"] == "there is no rule zzz"


def test_acts_are_stopped_and_begin_again(fresh):
    assert fresh.get("pause") == {"stop": None}
    stop = _post(fresh, "pause", {"reason": "An attack on us"})
    assert (stop["expires"], stop["actor"].partition(" ")[2]) == (None, "(on-call)")
    assert fresh.get("pause") == {"stop": stop}
    _post(fresh, "resume", WHY)
    assert _post(fresh, "resume", WHY, status=409)["message"] == "acts are not paused"


def test_a_rule_is_moved_to_shadow_and_back(fresh):
    _post(fresh, "rules/277df3d1/shadow", {"reason": "Too many", "for_s": 60})
    (rule,) = [rule for rule in fresh.walk("rules") if rule["in_shadow"]]
    assert (rule["id"][:8], rule["in_shadow"]) == ("277df3d1", "Too many")
    _post(fresh, "rules/277df3d1/shadow", {"reason": "Too many"}, status=409)
    _post(fresh, "rules/277df3d1/unshadow", WHY)
    _post(fresh, "rules/277df3d1/unshadow", WHY, status=409)


def test_a_window_of_maintenance_is_opened_and_closed(fresh):
    body = {"for_s": 3600, "in_s": 60, "reason": "A new gateway"}
    laid = _post(fresh, "maintenance", body, status=201, **{"Idempotency-Key": "1"})
    assert _post(fresh, "maintenance", body, status=200, **{"Idempotency-Key": "1"}) == laid
    assert fresh.walk("maintenance") == [laid]
    _post(fresh, "maintenance", {**body, "scope": "AppId"}, status=422)
    _post(fresh, "maintenance", {**body, "scope": "AppId", "value": "wx1"}, status=201)
    _post(fresh, f"maintenance/{laid['id'][:8]}/remove", WHY)
    assert [one["value"] for one in fresh.walk("maintenance")] == ["wx1"]


def test_what_a_rule_brought_about_is_undone_in_bulk_once(changeable):
    rule = changeable.walk("decisions", state="active", mode="replay")[0]["rule"]
    body = {"rule": rule[:8], "since": "2026-01-01", "reason": "It matches everything"}
    foreseen = _post(changeable, "undos", {**body, "dry_run": True})
    done = _post(changeable, "undos", body)
    assert done["lifted"] + done["released"] > 0
    same = ("lifted", "released", "waiting", "kept", "findings", "decisions")
    assert {name: foreseen[name] for name in same if name != "decisions"} == {name: done[name] for name in same[:-1]}
    assert changeable.get(f"undos/{done['id'][:8]}") == done
    assert done["id"] in [one["id"] for one in changeable.walk("undos", limit=1)]
    assert "nothing to undo" in _post(changeable, "undos", body, status=409)["message"]
    assert _post(changeable, "undos", {**body, "rule": "zzz"}, status=422)["message"].startswith("there is no rule")
    assert "no time" in _post(changeable, "undos", {**body, "since": "soon"}, status=422)["message"]


def test_a_finding_is_marked_as_false_and_again(changeable):
    decision = changeable.walk("decisions", state="active", mode="replay")[0]
    body = {"findings": [decision["finding"]], "verdict": "false", "reason": "Our own test"}
    done = _post(changeable, "findings/mark", body)
    assert decision["id"] in [one["id"] for one in done["decisions"]]
    assert _post(changeable, "findings/mark", body)["lifted"] == 0
    _post(changeable, "findings/mark", {**body, "findings": ["zzz"]}, status=404)
    _post(changeable, "findings/mark", {**body, "findings": []}, status=422)


def test_people_are_acted_on_by_their_hash(fresh):
    body = {"scope": "OpenId", "value": "oPerson-1", "act": {"type": "captcha", "duration_s": 60}, "reason": "Bots"}
    made = _post(fresh, "decisions", body, status=201)
    assert made["decision"]["value"] == fresh.kept.people(fresh.config)("oPerson-1")
    assert "oPerson-1" not in str(made)
    assert all("oPerson-1" not in entry.entry.after for entry in fresh.store.audit_entries())


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "missing required field"),
        ({**ADDED, "reason": " "}, "reason"),
        ({**ADDED, "reason": "x" * 1001}, "reason"),
        ({**ADDED, "act": {"type": "kill", "duration_s": 1}}, "kill"),
        ({**ADDED, "act": {"type": "ban", "duration_s": 0}}, "duration_s is 0"),
        ({**ADDED, "act": {**THROTTLE, "limit": -1}}, "limit -1"),
        ({**ADDED, "more": 1}, "unknown field"),
        ({**ADDED, "scope": "Dataset"}, "nothing can be done to Dataset"),
        ({**ADDED, "scope": "Ip", "value": "1.2.3"}, "'1.2.3' is no address"),
        ({**ADDED, "value": "\u0000"}, "printable"),
        ([], "Expected `object`"),
        ("x", "Expected `object`"),
    ],
)
def test_what_is_wrong_with_a_body_is_told(fresh, body, told):
    assert told in _post(fresh, "decisions", body, status=422)["message"]
    assert list(fresh.store.decisions()) == []


def test_a_foreign_page_cannot_act_with_a_form(fresh):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = fresh.ask("/api/v1/pause", method="POST", content=b'{"reason":"x"}', headers={"Content-Type": kind})
        assert answer.status_code == 415
    assert fresh.get("pause") == {"stop": None}
