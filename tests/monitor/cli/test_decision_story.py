"""What ``miniwatch explain`` tells of a decision."""

import json

from monitor.cli.opening import actor

WHY = ("--reason", "it must be")


def story(run, key):
    told = json.loads(run.here("explain", key, "-o", "json").stdout)
    return {part["title"]: dict(part["lines"]) for part in told["story"]}


def test_it_tells_what_would_have_been_without_the_rule(miniwatch):
    acting = miniwatch.rows("decisions", "list", "--state", "active")
    row = next(one for one in acting if one["rule"])
    told = story(miniwatch, row["id"])[f"Without rule {row['rule'][:8]}"]
    assert told["verdict"].startswith(("this act would not have come about", "the same act would have come about"))
    assert any(row["type"] in act for act in told["in force with it"])
    assert "decided again by the playbooks of today" in told["rests on"]


def test_a_rule_that_alone_led_to_an_act_is_what_it_hangs_on(miniwatch):
    verdicts = []
    for row in miniwatch.rows("decisions", "list", "--state", "active"):
        rules = {
            one["rule"]["id"]
            for one in miniwatch.rows("findings", "list", "--scope", row["scope"], "--value", row["value"])
        }
        if rules == {row["rule"]}:
            told = story(miniwatch, row["id"])[f"Without rule {row['rule'][:8]}"]
            verdicts.append((told["verdict"], told["in force without it"]))
    assert verdicts
    assert set(verdicts) == {("this act would not have come about", "nothing")}


def test_it_tells_what_was_done_to_it_by_whom_and_why(fresh):
    fresh.here("decisions", "add", "remove", "--app", "wx1", "--for", "7d", *WHY)
    (row,) = fresh.rows("decisions", "list")
    fresh.here("decisions", "revoke", row["id"], "--reason", "all is well")
    done = list(story(fresh, row["id"])["What was done to it, by the audit"].values())
    assert any(f"by {actor()}: all is well (active → revoked)" in line for line in done)
    assert len(story(fresh, row["id"])["What was done to it, by the audit"]) >= 1


def test_of_a_ban_that_waits_it_says_who_may_approve_it_and_what_becomes_of_it(fresh):
    fresh.here("decisions", "add", "ban", "--app", "wx1", "--for", "30d", *WHY)
    (row,) = fresh.rows("decisions", "list")
    told = story(fresh, row["id"])["What that means"]
    assert told["who may approve it"].startswith(f"another person than {actor()}, who asked for it: ")
    assert f"miniwatch decisions approve {row['id'][:12]}" in told["who may approve it"]
    assert told["if nobody answers"] == "it lapses, and nothing is done"
    assert "a token of a responder" in told["who may take it back"]
