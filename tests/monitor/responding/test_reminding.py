import json

from acting import BAN, DAY, HOUR, SLOW, added, held

from detectors.finding import Entity, Scope, Severity
from monitor.alerts import Channel
from monitor.responding.lifting import revoke
from monitor.responding.reminding import TOLD_MAX, Reminder
from playbooks.decision import Reason
from playbooks.testing import NOON

ON_CALL = Channel("webhook:oncall", Severity.MEDIUM)
MINUTE = 60 * 1_000_000


def told(store, now, *, before_s=4 * 3_600, channels=(ON_CALL,)):
    """The notices that are new after a look at this time."""
    earlier = {delivery.message.key for delivery in store.due_messages(2**62, 1_000)}
    Reminder(store, channels, before_s, lambda: now).look()
    new = [one.message for one in store.due_messages(2**62, 1_000) if one.message.key not in earlier]
    return [json.loads(message.body) for message in new]


def test_a_ban_that_a_person_asked_for_is_told_once(store):
    made = added(store, BAN).decision
    assert told(store, NOON + 5_000_000) == []
    (notice,) = told(store, NOON + MINUTE)
    assert (notice["what"], notice["severity"]) == ("decision-asked", "high")
    assert notice["title"] == "1 decision: asked for, and need another person"
    assert made.id[:12] in notice["text"]
    assert notice["look"] == "miniwatch decisions list --waiting"
    assert told(store, NOON + HOUR) == []


def test_what_lapses_soon_is_told_once_more(store):
    held(store, SLOW, reason=Reason.HELD_BUDGET)
    assert told(store, NOON + 19 * HOUR) == []
    (notice,) = told(store, NOON + 21 * HOUR)
    assert notice["what"] == "decision-unanswered"
    assert "App wx01 login limited to 60 in 1 minute, for 24 hours (held-budget), until" in notice["text"]
    assert told(store, NOON + 22 * HOUR) == []


def test_nobody_is_reminded_of_what_could_not_be_approved(store):
    held(store, SLOW, reason=Reason.HELD_PROTECTED)
    assert told(store, NOON + 21 * HOUR) == []


def test_nobody_is_reminded_before_half_of_the_time_is_over(store):
    held(store, SLOW, answer_by=NOON + 2 * HOUR)
    assert told(store, NOON + 59 * MINUTE) == []
    assert len(told(store, NOON + 61 * MINUTE)) == 1


def test_many_are_one_notice_that_names_a_few(store):
    for number in range(TOLD_MAX + 3):
        added(store, BAN, on=Entity(Scope.APP, f"wx{number}"))
    (notice,) = told(store, NOON + MINUTE)
    assert notice["title"].startswith(f"{TOLD_MAX + 3} decisions")
    assert notice["text"].endswith("and 3 more")


def test_where_nobody_is_to_be_told_nothing_leaves(store):
    added(store, BAN)
    assert told(store, NOON + MINUTE, channels=()) == []


def test_what_has_been_answered_is_not_told(store):
    made = held(store)
    with store.acting() as acting:
        acting.write([], [])
    revoke(store, made.id, actor="operator:bob", reason="no", now=NOON + HOUR)
    assert told(store, NOON + DAY - HOUR) == []
