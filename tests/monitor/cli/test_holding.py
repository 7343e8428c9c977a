"""The stop switch, windows of maintenance, and rules moved to shadow and back."""

import json

from detectors.event import END_OF_TIME
from monitor.clock import now_us
from monitor.holding import held_words, in_shadow, shadow, stopped
from monitor.kept import Kept
from monitor.stores import StandingKind
from monitor.testing.stores import stored_decision, whole_turn
from playbooks.decision import DecisionState, Reason

WHY = ("--reason", "Something is off")


def record(fresh):
    return Kept.open(fresh.folder / "data").store


def actions(fresh):
    return [(row["action"], row["subject"], row["reason"]) for row in fresh.rows("audit", "list")]


def test_a_pause_is_in_the_record_until_somebody_resumes(fresh):
    fresh.here("pause", *WHY)
    stop = stopped(record(fresh), now_us())
    assert (stop.reason, stop.expires) == ("Something is off", END_OF_TIME)
    assert "Something is off" in fresh.here("resume", "--reason", "Mended").stderr
    assert stopped(record(fresh), now_us()) is None
    told = [(action, why) for action, _subject, why in actions(fresh)]
    assert ("acts.pause", "Something is off") in told
    assert ("acts.resume", "Mended") in told


def test_a_pause_may_end_by_itself(fresh):
    fresh.here("pause", *WHY, "--for", "2h")
    store, now = record(fresh), now_us()
    assert stopped(store, now) is not None
    assert stopped(store, now + 7_201_000_000) is None


def test_who_resumes_what_is_not_paused_is_told(fresh):
    fresh.here("pause", *WHY)
    fresh.here("resume", *WHY)
    assert "acts are not paused" in fresh.here("resume", *WHY, code=1).stderr


def test_a_reason_drives_no_terminal(fresh):
    fresh.here("pause", "--reason", "\x1b[2J\nActs begin again.")
    assert "by operator" in (told := fresh.here("decisions", "list").stderr)
    assert r"\x1b[2J\nActs begin again." in told


def test_a_reason_is_asked_for(fresh):
    fresh.here("pause", "--reason", " ", code=2)


def test_lists_of_decisions_doctor_and_probes_say_that_acts_are_paused(fresh):
    fresh.here("pause", *WHY)
    assert "Acts are paused since" in fresh.here("decisions", "list").stderr
    signs = json.loads(fresh.here("doctor", "-o", "json").stdout)
    (acts,) = [sign for sign in signs if sign["what"] == "acts"]
    assert acts["state"] == "warning"
    assert "Something is off" in acts["found"]
    (held,) = held_words(record(fresh), now_us())
    assert held.endswith(": Something is off")


def test_a_window_of_maintenance_is_about_one_entity_or_everything(fresh):
    fresh.here("maintenance", "add", "--app", "wx01", "--until", "4h", *WHY)
    fresh.here("maintenance", "add", "--from", "1h", "--until", "4h", *WHY)
    rows = fresh.rows("maintenance", "list")
    assert [(row["scope"], row["value"]) for row in rows] == [("AppId", "wx01"), ("", "")]
    assert "everything" in fresh.here("maintenance", "list").stdout
    fresh.here("maintenance", "remove", rows[0]["id"][:6], *WHY)
    assert len(fresh.rows("maintenance", "list")) == 1
    fresh.here("maintenance", "add", "--from", "4h", "--until", "1h", *WHY, code=2)


def test_windows_of_the_configuration_are_listed_too(fresh):
    windows = (
        '[[maintenance]]\nbegins = "2026-01-01T00:00:00Z"\nends = "2999-01-01T00:00:00Z"\nreason = "For ever new"\n'
    )
    (fresh.folder / "config.toml").write_text(windows)
    fresh.here("pause", *WHY)
    rows = fresh.rows("maintenance", "list", "--config", str(fresh.folder / "config.toml"))
    assert [(row["id"], row["reason"]) for row in rows] == [("config.1", "For ever new")]


def test_a_rule_is_moved_to_shadow_and_back_with_a_reason(fresh):
    rule = fresh.rows("rules", "list")[0]["id"]
    fresh.here("rules", "shadow", rule, *WHY)
    assert list(in_shadow(record(fresh), now_us())) == [rule]
    listed = {row["id"]: row["in_shadow"] for row in fresh.rows("rules", "list")}
    assert listed[rule] == "Something is off"
    assert "in shadow" in fresh.here("rules", "list").stdout
    assert "is in shadow" in fresh.here("decisions", "list").stderr
    fresh.here("rules", "shadow", rule, *WHY, code=1)
    fresh.here("rules", "unshadow", rule[:8], "--reason", "Mended")
    assert in_shadow(record(fresh), now_us()) == {}
    fresh.here("rules", "unshadow", rule, *WHY, code=1)
    assert [action for action, subject, _ in actions(fresh) if subject == rule] == ["rule.shadow", "rule.unshadow"]


def test_a_rule_that_is_gone_can_be_taken_out_of_shadow(fresh):
    fresh.here("pause", *WHY)
    shadow(record(fresh), "gone-rule", "system:guards", "the hour's budget is spent", now_us())
    fresh.here("rules", "unshadow", "gone-rule", "--reason", "It is gone")
    assert [one.kind for one in record(fresh).standings(now_us())] == [StandingKind.PAUSE]


def test_doctor_says_what_our_own_state_held_back_lately(fresh):
    now, why = now_us(), "App a: removed, for 7 days; held, because the input is 99 seconds late."
    held = stored_decision("d1", now, now + 10**9, state=DecisionState.HELD, reason=Reason.HELD_HEALTH, explanation=why)
    before = stored_decision(
        "d2", now - 2 * 3600 * 10**6, now + 10**9, state=DecisionState.HELD, reason=Reason.HELD_HEALTH
    )
    store = fresh.store()
    (row,) = (row for row in fresh.rows("doctor") if row["what"] == "acts")
    assert (row["state"], row["found"]) == ("ok", "not paused")
    store.commit(whole_turn(1, decisions=[held, before], segments=[], messages=[]))
    (row,) = (row for row in fresh.rows("doctor") if row["what"] == "acts")
    assert row["state"] == "warning"
    assert row["found"] == "1 act of the last hour held for our own state: the input is 99 seconds late"
