import json
import shutil
from pathlib import Path

import pytest

from detectors.finding import Entity, Scope
from monitor.cli.opening import record
from monitor.cli.undoing import SHOWN_MAX, present_policy
from monitor.clock import now_us


@pytest.fixture
def town(miniwatch, tmp_path):
    """A copy of the simulated day, in which things may be undone."""
    shutil.copytree(miniwatch.folder / "data", tmp_path / "data")
    copied = type(miniwatch)(tmp_path)
    copied.summary = miniwatch.summary
    return copied


def busiest(town):
    """The rule with the most decisions in force."""
    rows = town.rows("decisions", "list", "--state", "active")
    rules = [row["rule"] for row in rows]
    return max(set(rules), key=rules.count)


def test_an_undo_lifts_what_a_rule_brought_about_and_lists_each(town):
    rule = busiest(town)
    (undo,) = town.rows("decisions", "undo", "--rule", rule, "--since", "2020-01-01", "--reason", "It is wrong")
    assert undo["lifted"] > 0
    assert not [row for row in town.rows("decisions", "list", "--rule", rule) if row["state"] == "active"]
    fates = {row["id"]: row["fate"] for row in undo["decisions"]}
    (shown,) = town.rows("undos", "show", undo["id"])
    assert {row["id"]: row["fate"] for row in shown["decisions"]} == fates
    lifted = [key for key, fate in fates.items() if fate in ("lifted", "released")]
    audited = [row["subject"] for row in town.rows("audit", "list") if row["action"] == "decision.undo"]
    assert set(lifted) <= set(audited)
    assert town.here("audit", "verify")
    assert [row["id"] for row in town.rows("undos", "list")] == [undo["id"]]
    assert "It is wrong" in town.here("undos", "show", undo["id"][:6]).stdout


def test_a_dry_run_says_what_would_be_and_changes_nothing(town):
    rule = busiest(town)
    arguments = ["decisions", "undo", "--rule", rule, "--since", "2020-01-01", "--reason", "Perhaps"]
    before = town.rows("decisions", "list")
    (foreseen,) = town.rows(*arguments, "--dry-run")
    assert foreseen["dry_run"]
    assert town.rows("decisions", "list") == before
    assert town.rows("undos", "list") == []
    (undo,) = town.rows(*arguments)
    counts = ("findings", "lifted", "released", "waiting", "kept")
    assert [undo[name] for name in counts] == [foreseen[name] for name in counts]
    told = town.here(*arguments, code=3).stderr
    assert "there is nothing to undo" in told


def test_a_rule_is_undone_by_its_files_name_too(town):
    (row,) = (row for row in town.rows("rules", "list") if row["id"] == busiest(town))
    arguments = ["decisions", "undo", "--since", "2020-01-01", "--reason", "Perhaps", "--dry-run", "--rule"]
    name = Path(row["path"]).stem
    assert town.rows(*arguments, name)[0]["findings"] == town.rows(*arguments, row["id"])[0]["findings"] > 0
    assert town.rows("findings", "list", "--rule", name) == town.rows("findings", "list", "--rule", row["id"])
    assert town.rows("decisions", "list", "--rule", name) == town.rows("decisions", "list", "--rule", row["id"])
    assert "there is no rule zzz" in town.here("findings", "list", "--rule", "zzz", code=2).stderr


def test_a_finding_marked_as_false_no_longer_counts_and_can_be_unmarked(town):
    decision = town.rows("decisions", "list", "--state", "active", "--limit", "1")[0]
    key = decision["finding"]
    town.here("findings", "mark", key[:10], "false", "--reason", "A test of theirs")
    listed = town.here("findings", "list", "--limit", "1000").stdout.splitlines()
    assert [" false " in line for line in listed if line.startswith(key[:12])] == [True]
    assert "it does not count" in town.here("findings", "show", key).stdout
    assert town.rows("decisions", "show", decision["id"])[0]["state"] == "revoked"
    town.here("findings", "mark", key, "none", "--reason", "It was right after all")
    assert "Marked" not in town.here("findings", "show", key).stdout
    told = town.here("findings", "mark", key, "wrong", "--reason", "-", code=2).stderr
    assert "'wrong' is not one of 'true', 'false', 'benign-known', 'none'" in told


def test_a_long_undo_shows_the_first_decisions(town):
    told = town.here(
        "decisions", "undo", "--rule", busiest(town), "--since", "2020-01-01", "--reason", "-", "--dry-run"
    )
    assert len(told.stdout.splitlines()) <= SHOWN_MAX + 1
    assert "Would be undone" in told.stderr


def test_what_is_asked_for_after_an_undo_goes_by_the_registry_as_it_is_now(fresh):
    app = {"app_id": "wx1", "as_of": "2020-01-01T00:00:00Z", "developer_id": "d1", "protected": True}
    version = {"version": "1.2", "status": "released", "release": "2020-01-01T00:00:00Z"}
    line = json.dumps({**app, "versions": [version]}).encode()
    fresh.here("apps", "import", "-", stdin=line)
    with record(None, fresh.folder / "data") as opened:
        policy = present_policy(opened)
    assert policy.protected == {Entity(Scope.APP, "wx1")}
    assert policy.owners_of_protected == {Entity(Scope.DEVELOPER, "d1")}
    assert policy.released("wx1", now_us()) == "1.2"
