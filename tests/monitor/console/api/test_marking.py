"""Marks over the API: by the same rules as on the command line, with who said it in the audit."""

from datetime import datetime

import pytest

from monitor.moments import DAY_US, micros
from monitor.stores import Turn
from monitor.testing import stored_finding
from monitor.tokens import Role


def _post(site, path, body, role=Role.RESPONDER, status=200):
    answer = site.ask(f"/api/v1/{path}", role, "POST", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def _often(site):
    """The findings of a rule about one entity that was found several times."""
    by_pair = {}
    for row in site.walk("findings", limit=500):
        by_pair.setdefault((row["rule"]["id"], row["entity"]["value"]), []).append(row)
    return max(by_pair.values(), key=len)


def _said(site, key):
    return {row["finding"]: row for row in site.walk("marks")}.get(key)


@pytest.mark.parametrize("verdict", ["true", "false", "benign-known"])
def test_each_word_is_kept_with_its_end_and_taken_back(changeable, verdict):

    key = _often(changeable)[0]["id"]
    body = {"findings": [key[:12]], "verdict": verdict, "reason": "Looked at"}
    _post(changeable, "findings/mark", body)
    row = _said(changeable, key)
    assert (row["verdict"], row["reason"], row["detector"], row["kind"]) == (verdict, "Looked at", "sigma", "rule")
    assert micros(datetime.fromisoformat(row["expires"])) == changeable.now + 180 * DAY_US
    _post(changeable, "findings/mark", {**body, "for_s": 60})
    assert micros(datetime.fromisoformat(_said(changeable, key)["expires"])) == changeable.now + 60_000_000
    entry = list(changeable.store.audit_entries())[-1].entry
    marks = [one.entry for one in changeable.store.audit_entries() if one.entry.action == "finding.mark"]
    assert (marks[-1].subject, marks[-1].actor.partition(" ")[2]) == (key, "(on-call)")
    assert marks[-1].after.startswith(f"{verdict} until ")
    assert entry.reason == "Looked at"
    _post(changeable, "findings/mark", {**body, "verdict": None})
    assert _said(changeable, key) is None


def test_what_an_exception_would_silence_is_told_and_nothing_is_done(changeable):
    one, *others = _often(changeable)
    _post(changeable, "findings/mark", {"findings": [others[0]["id"]], "verdict": "true", "reason": "Seen"})
    before = (list(changeable.store.decisions()), changeable.walk("undos"), changeable.walk("exceptions"))
    said = changeable.get(f"findings/{one['id'][:12]}/exception", Role.VIEWER)
    assert (said["findings"], said["true"], said["rule"]) == (len(others), 1, one["rule"]["id"])
    assert (list(changeable.store.decisions()), changeable.walk("undos"), changeable.walk("exceptions")) == before
    assert changeable.ask("/api/v1/findings/zzz/exception").status_code == 404


def test_precision_is_told_of_the_rules_that_were_marked(changeable):
    rows = _often(changeable)
    _post(changeable, "findings/mark", {"findings": [rows[0]["id"]], "verdict": "false", "reason": "No"})
    rule = changeable.get(f"rules/{rows[0]['rule']['id']}")
    assert (rule["feedback"]["precision"], rule["feedback"]["marked"]) == (0.0, 1)
    listed = {row["id"]: row["feedback"] for row in changeable.walk("rules", limit=500)}
    assert listed[rule["id"]] == rule["feedback"]
    assert None in listed.values()


def test_an_exception_may_be_of_what_is_in_no_rule_file(changeable):

    learned = stored_finding("m" * 32, rule="forest/7", kind="learned", detector="forest")
    changeable.store.commit(Turn(number=changeable.store.last_turn() + 1, findings=[learned]))
    body = {"rule": "forest/7", "scope": "AppId", "value": "wx1", "for_s": 60, "reason": "Known"}
    assert _post(changeable, "exceptions", body, status=201)["rule"] == "forest/7"
    _post(changeable, "exceptions", {**body, "rule": "forest/8"}, status=422)


def test_a_viewer_marks_nothing(changeable):
    body = {"findings": [_often(changeable)[0]["id"]], "verdict": "false", "reason": "No"}
    _post(changeable, "findings/mark", body, Role.VIEWER, status=403)
