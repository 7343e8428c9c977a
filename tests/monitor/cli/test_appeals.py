import shutil

import pytest

ADDED = ["decisions", "add", "throttle", "--app", "wx01", "--target", "login", "--limit", "60", "--per", "1m"]


@pytest.fixture
def town(miniwatch, tmp_path):
    """A copy of the simulated day, in which decisions may be lifted."""
    shutil.copytree(miniwatch.folder / "data", tmp_path / "data")
    copied = type(miniwatch)(tmp_path)
    copied.summary = miniwatch.summary
    return copied


def filed(town):
    """A decision that a person added, and an appeal against it."""
    (decision,) = town.rows(*ADDED, "--for", "24h", "--reason", "A storm")
    said = ["--by", "dev-7", "--statement", "We have fixed it"]
    (appeal,) = town.rows("appeals", "file", decision["id"][:12], *said)
    return decision, appeal


def test_an_appeal_is_filed_shown_and_told_with_its_decision(town):
    decision, appeal = filed(town)
    assert (appeal["state"], appeal["decision"], appeal["appellant"]) == ("filed", decision["id"], "dev-7")
    assert [row["id"] for row in town.rows("appeals", "list", "--state", "filed")] == [appeal["id"]]
    assert town.rows("appeals", "list", "--decision", decision["id"][:12], "--state", "granted") == []
    assert appeal["id"][:12] in town.here("appeals", "list", "--app", "wx01").stdout
    assert "We have fixed it" in town.here("appeals", "show", appeal["id"][:8]).stdout
    assert town.rows("decisions", "show", decision["id"])[0]["appeals"] == [appeal]
    assert f"{appeal['id'][:12]}: filed" in town.here("decisions", "show", decision["id"]).stdout
    assert f"{appeal['id'][:12]}: filed" in town.here("explain", decision["id"]).stdout


def test_a_granted_appeal_lifts_the_decision(town):
    decision, appeal = filed(town)
    key = appeal["id"][:12]
    assert "not looked at" in town.here("appeals", "grant", key, "--reason", "yes", code=1).stderr
    town.here("appeals", "review", key, "--reason", "I look")
    town.here("appeals", "grant", key, "--reason", "They are right")
    assert town.rows("decisions", "show", decision["id"])[0]["state"] == "revoked"
    assert "They are right" in town.here("explain", decision["id"]).stdout
    assert town.here("audit", "verify")


def test_one_that_is_withdrawn_or_rejected_by_who_added_it_leaves_the_decision(town):
    decision, appeal = filed(town)
    town.here("appeals", "withdraw", appeal["id"], "--reason", "They asked")
    (again,) = town.rows("appeals", "file", decision["id"], "--by", "dev-7", "--statement", "Yet again")
    town.here("appeals", "review", again["id"], "--reason", "I look")
    told = town.here("appeals", "reject", again["id"], "--reason", "It is in its code", code=1).stderr
    assert "another person rejects the appeal" in told
    assert town.rows("decisions", "show", decision["id"])[0]["state"] == "active"
    assert [row["state"] for row in town.rows("appeals", "list")] == ["reviewing", "withdrawn"]


def test_what_is_only_replayed_harms_nobody(town):
    decision = town.rows("decisions", "list", "--mode", "replay", "--limit", "1")[0]
    said = ["--by", "dev-7", "--statement", "We have fixed it"]
    assert "harms nobody" in town.here("appeals", "file", decision["id"], *said, code=1).stderr
