"""What a person does to decisions at the command line."""

import pytest

from monitor.cli.opening import actor
from monitor.clock import now_us
from monitor.stores import Turn
from playbooks.action import Remove
from playbooks.decision import DecisionState, Reason
from playbooks.testing import decision

SLOW = ("add", "throttle", "--app", "wx1", "--target", "login", "--limit", "60", "--per", "1m", "--for", "24h")
WHY = ("--reason", "it must be")


@pytest.fixture
def decisions(fresh):
    """``miniwatch decisions …`` on an empty folder; gives what it says to people."""

    def run(*arguments, code=0):
        return fresh.here("decisions", *arguments, code=code).stderr

    run.rows = lambda *filters: fresh.rows("decisions", "list", *filters)
    run.fresh = fresh
    return run


def test_an_act_is_added_listed_and_revoked(decisions):
    told = decisions(*SLOW, *WHY)
    (row,) = decisions.rows("--state", "active")
    assert told.startswith("In force until ")
    assert f"{row['id'][:12]}: throttle of login, AppId wx1, active (live)" in told
    assert (row["parameters"], row["origin"]) == ({"limit": 60, "per_s": 60}, actor())
    assert (
        decisions("revoke", row["id"][:6], *WHY)
        == f"Revoked {row['id'][:12]}: throttle of login, AppId wx1, revoked (live).\n"
    )


def test_what_is_in_force_already_is_said(decisions):
    decisions(*SLOW, *WHY)
    assert decisions(*SLOW, *WHY).startswith("Nothing was changed: ")
    assert "In its place before: " in decisions(*(word if word != "60" else "9" for word in SLOW), *WHY)


def test_a_ban_is_asked_for_and_who_asked_cannot_approve_it(decisions):
    told = decisions("add", "ban", "--app", "wx1", "--for", "30d", *WHY)
    (row,) = decisions.rows("--waiting")
    assert f"miniwatch decisions approve {row['id'][:12]}" in told
    assert (row["state"], row["reason"]) == ("awaiting-approval", "held-approval")
    assert row["answer_by"].endswith("Z")
    refused = decisions("approve", row["id"], *WHY, code=1)
    assert refused == f"miniwatch: {actor().removeprefix('operator:')} asked for this ban: it needs a second person\n"
    assert "Rejected" in decisions("reject", row["id"], *WHY)
    assert decisions.rows("--waiting") == []


def held(fresh, answer_by, key, reason=Reason.HELD_EVIDENCE):
    made = decision(
        Remove(duration_s=7 * 86_400),
        id=key * 32,
        value=f"wx{key}",
        reason=reason,
        state=DecisionState.HELD,
        answer_by=answer_by,
        time=answer_by - 86_400_000_000,
        expires=answer_by + 86_400_000_000,
    )
    store = fresh.store()
    store.commit(Turn(number=store.last_turn() + 1, decisions=[made]))
    store.close()
    return made.id


def test_the_queue_is_shown_with_the_most_urgent_first_and_answered(decisions):
    decisions(*SLOW, *WHY)
    later, sooner = (
        held(decisions.fresh, now_us() + hours * 3_600_000_000, key) for hours, key in ((9, "b"), (2, "a"))
    )
    assert [row["id"] for row in decisions.rows("--waiting")] == [sooner, later]
    table = decisions.fresh.here("decisions", "list", "--waiting").stdout
    assert table.splitlines()[0].split("  ")[0] == "ID"
    assert "ANSWER BY (UTC)" in table
    assert "held-evidence" in table
    assert "Answer by (UTC)" in decisions.fresh.here("decisions", "show", later).stdout
    assert "In force until" in decisions("approve", later, *WHY)
    assert "leave other filters out" in decisions("list", "--waiting", "--app", "wx1", code=2)


def test_what_is_protected_says_what_comes_first_and_gives_no_command_that_is_refused(decisions):
    decisions.fresh.here("apps", "import", "-", stdin=b'{"app_id":"wxa","protected":true}\n')
    key = held(decisions.fresh, now_us() + 3_600_000_000, "a", Reason.HELD_PROTECTED)
    assert "the registry calls app wxa protected" in decisions("approve", key, *WHY, code=1)
    lift = "first lift its protection: import a line of the registry"
    queue = decisions.fresh.here("decisions", "list", "--waiting")
    assert f"held-protected: cannot be approved yet; {lift}" in queue.stderr
    for told in (decisions.fresh.here("explain", key).stdout, decisions.fresh.here("decisions", "show", key).stdout):
        assert lift.removeprefix("first ") in told
        assert "decisions approve" not in told


def test_an_update_is_forced_with_a_deadline(decisions):
    update = ("add", "force-update", "--app", "wx1", "--version-min", "2.1.0", "--deadline", "7d", "--for", "30d")
    decisions(*update, *WHY)
    (row,) = decisions.rows()
    assert row["parameters"]["version_min"] == "2.1.0"
    assert row["parameters"]["deadline"].endswith("Z")
    assert "--deadline" not in decisions.fresh.here("decisions", "show", row["id"]).stdout
    said = decisions("add", "force-update", "--app", "wx2", "--version-min", "latest", "--for", "1h", *WHY, code=1)
    assert "the registry names no released version of wx2" in said


def test_an_entity_is_exempted_and_nothing_can_be_added_then(decisions):
    decisions(*SLOW, *WHY)
    told = decisions("exempt", "--app", "wx1", "--for", "7d", *WHY)
    assert told.startswith("Revoked ")
    assert "Added exemption " in told
    assert "`miniwatch allowlists remove " in decisions(*SLOW, *WHY, code=1)
    assert "Nothing was in force on it" in decisions("exempt", "--app", "wx2", "--for", "7d", *WHY)


def test_revoking_can_hold_for_a_time(decisions):
    decisions(*SLOW, *WHY)
    (row,) = decisions.rows()
    assert "Added exemption " in decisions("revoke", row["id"], "--exempt-for", "12h", *WHY)
    assert decisions.fresh.rows("allowlists", "list")[0]["value"] == "wx1"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("add", "slow", "--app", "wx1", "--for", "1h"), "'slow' is none of warn, throttle"),
        (("add", "throttle", "--app", "wx1", "--for", "1h"), "throttle: it needs --limit"),
        (
            ("add", "remove", "--app", "wx1", "--for", "1h", "--limit", "1"),
            "remove: it has no --limit",
        ),
        (("add", "force-update", "--app", "wx1", "--for", "1h"), "force-update: it needs --version-min"),
        (("add", "force-update", "--app", "wx1", "--version-min", "x", "--for", "1h"), "numbers with dots between"),
        (("add", "remove", "--app", "wx1", "--for", "400d"), "more than a year"),
        (("add", "remove", "--app", "wx1", "--for", "0h"), "nothing or for ever"),
        (("add", "remove", "--for", "1h"), "say whom"),
        (("add", "remove", "--scope", "Host", "--value", "h", "--for", "1h"), "nothing can be done to Host"),
        (("exempt", "--app", "wx1"), "Missing option '--for'"),
    ],
)
def test_wrong_usage_says_what_is_wrong(decisions, arguments, told):
    said = decisions(*arguments, *WHY, code=1 if "Host" in arguments else 2)
    assert told in " ".join(said.replace("│", " ").split())


def test_who_acts_is_whom_the_system_knows(monkeypatch):
    known = actor()
    for name in ("SUDO_USER", "LOGNAME", "USER", "USERNAME", "LNAME"):
        monkeypatch.setenv(name, "somebody")
    monkeypatch.setattr("os.getuid", lambda: 54_321)
    assert actor() == "operator:uid 54321"
    monkeypatch.setattr("os.getuid", lambda: 0)
    assert actor() == "operator:somebody"
    monkeypatch.undo()
    assert actor() == known
