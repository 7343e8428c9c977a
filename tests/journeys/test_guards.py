"""Every row of the table in docs/guards.md: an attack on the innocent, run through the real daemon, and what stops it."""

import errno
import json
import re
import threading
from datetime import UTC, datetime
from pathlib import Path

import journey
import pytest
from journey import configured, daemon, refusing, watched
from sqlalchemy import select

from detectors.finding import Entity, Scope
from monitor.holding import in_shadow, pause, stopped, unshadow
from monitor.kept import Kept
from monitor.registry import parse_registry
from monitor.responding.adding import add
from monitor.responding.answering import approve
from monitor.responding.refusals import ActRefused, No
from monitor.stores import tables
from monitor.stream.committing import TurnCommitter
from monitor.surroundings.condition import ClockWatch
from playbooks.action import Ban
from playbooks.decision import DecisionState, Mode, Reason, Tier

DOCS = Path(__file__).parents[2] / "docs" / "guards.md"
NOW = journey.NOW
SECOND = 1_000_000
DAY = 86_400 * SECOND
RULE = """\
title: {word} was seen
id: 00000000-0000-4000-8000-0000000000{number:02}
logsource: {{product: miniprogram, service: log}}
detection:
  selection: {{event.action: {word}}}
  condition: selection
level: {level}
custom: {{miniwatch: {{entity: {entity}, proof: true}}}}
"""
LADDER = """\
name: ladder
title: What is done at once
priority: 1
steps:
  - {tier: warn, when: {risk: 1}, actions: [{type: warn, deadline: 24h}]}
  - {tier: throttle, when: {risk: 40}, actions: [{type: throttle, limit: 60, per: 1m, for: 1h}]}
  - {tier: remove, when: {risk: 70}, actions: [{type: remove, for: 7d}]}
  - {tier: ban, when: {risk: 99}, actions: [{type: ban, for: 30d}]}
"""
EVENT = '{{"@timestamp":{ms},"event":{{"id":"{id}","dataset":"miniprogram.{dataset}","action":"{action}"}},"miniprogram":{{"app_id":"{app}"}},"user":{{"id":"{user}"}},"source":{{"ip":"{address}"}}}}\n'


def event(number, action="poison", app="wx01", user="u", address="203.0.113.7", at=NOW, dataset="log"):
    return EVENT.format(
        ms=at // 1000, id=f"{action}-{number}-{at}", action=action, app=app, user=user, address=address, dataset=dataset
    )


class Platform:
    """A daemon's folder, rules and playbook, and what it reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rules = folder / "rules"
        self.books = folder / "books"
        self.read = 0
        self.book(LADDER)
        self.keys = {"guards__new_rule_h": 0.0}

    def book(self, text):
        self.books.mkdir(exist_ok=True)
        (self.books / "ladder.yaml").write_text(text)

    def rule(self, word, number=1, level="high", entity="AppId"):
        twin = self.rules / word
        twin.mkdir(parents=True, exist_ok=True)
        (self.rules / f"{word}.yml").write_text(RULE.format(word=word, number=number, level=level, entity=entity))
        (twin / "hit.jsonl").write_text(event(0, word))
        (twin / "miss.jsonl").write_text(event(0, "calm"))
        return f"00000000-0000-4000-8000-0000000000{number:02}"

    def config(self, source):
        webhook = {"name": "oncall", "url": "http://127.0.0.1:9/", "min_severity": "low", "attempts_max": 1}
        keys = {
            "rules__builtin": False,
            "playbooks__builtin": False,
            "rules__folders": [str(self.rules)],
            "playbooks__folders": [str(self.books)],
            "webhooks": [webhook],
        }
        return configured(self.folder / "data", [source], **{**keys, **self.keys})

    def run(self, lines, *, now=NOW, deliver=True, opened=lambda _daemon: None):
        """Read lines as they come, at a time, until there are no more."""
        self.read += 1
        source = self.folder / f"events-{self.read}.ndjson"
        source.write_text("".join(lines))
        with daemon(self.config(source), now=now, until_end=False, deliver=deliver) as running:
            opened(running)
            running.run()

    def store(self):
        return Kept.open(self.folder / "data").store

    def register(self, **line):
        records, problems = parse_registry([json.dumps(line).encode()], NOW - DAY)
        assert not problems
        self.store().import_apps(records, "operator:ann", NOW - DAY)

    def decisions(self, mode=Mode.LIVE):
        return [one for one in self.store().decisions() if one.mode is mode][::-1]

    def acted(self):
        return [one for one in self.decisions() if one.reason is Reason.PLAYBOOK]

    def reasons(self, tier):
        return {one.reason for one in self.decisions() if one.tier is tier}

    def notices(self):
        with self.store()._database.reading() as connection:  # also those that were given up: nobody listens
            told = [json.loads(body) for body in connection.execute(select(tables.outbox.c.body)).scalars()]
        return [one["what"] for one in told if one["schema"] == "miniwatch.notice/1"]


@pytest.fixture
def platform(tmp_path):
    return Platform(tmp_path)


def row(text):
    """The attack stands in the table."""
    assert text in DOCS.read_text()


def apps(count, action="poison", **fields):
    return [event(number, action, app=f"wx{number:05}", **fields) for number in range(count)]


def test_a_poisoned_rule_that_matches_every_app_acts_so_often_and_is_then_in_shadow(platform):
    row("A poisoned rule matches every app")
    rule = platform.rule("poison")
    platform.keys["budgets__rule_per_h"] = 20
    platform.run(apps(500))
    assert len(platform.acted()) == 20
    assert platform.reasons(Tier.THROTTLE) == {Reason.PLAYBOOK, Reason.HELD_RULE_BUDGET}
    assert list(in_shadow(platform.store(), NOW)) == [rule]
    assert "rule-in-shadow" in platform.notices()
    assert [entry.entry.actor for entry in platform.store().audit_entries() if entry.entry.action == "rule.shadow"] == [
        "system:guards"
    ]


def test_a_rule_in_shadow_stays_there_over_a_restart_and_others_act_on(platform):
    rule = platform.rule("poison")
    platform.rule("other", number=2)
    platform.keys["budgets__rule_per_h"] = 5
    platform.run(apps(10))
    platform.run(
        [*apps(5, at=NOW + 7_200 * SECOND), event(1, "other", app="wx9", at=NOW + 7_200 * SECOND)],
        now=NOW + 7_200 * SECOND,
    )
    later = [one for one in platform.acted() if one.time > NOW]
    assert [one.value for one in later] == ["wx9"]
    unshadow(platform.store(), rule, "operator:ann", "It was a real wave", NOW)
    platform.run([event(3, app="wx7", at=NOW + 7_300 * SECOND)], now=NOW + 7_300 * SECOND)
    assert "wx7" in {one.value for one in platform.acted()}


def test_a_poisoned_rule_among_many_active_apps_acts_on_a_small_part_of_them(platform):
    row("A poisoned rule matches every app")
    platform.rule("poison")
    platform.keys |= {"budgets__rule_share_max": 0.01, "budgets__apps_min": 500}
    before = [event(n, "calm", app=f"wx{n:05}", user=f"u{n}", at=NOW - 2_400 * SECOND) for n in range(1_000)]
    tick = [event(1, "calm", at=NOW - 300 * SECOND)]
    platform.run([*before, *tick, *apps(200)])
    assert 5 <= len(platform.acted()) <= 15


def test_a_new_rule_only_warns_and_one_that_would_act_often_is_in_shadow(platform):
    row("A rule that was activated a minute ago is wrong")
    rule = platform.rule("poison")
    platform.keys = {"guards__new_rule_h": 1.0, "guards__new_rule_acts_max": 3}
    platform.run(apps(20))
    assert {one.tier for one in platform.acted()} == {Tier.WARN}
    assert len(platform.acted()) == 4
    assert list(in_shadow(platform.store(), NOW)) == [rule]


def test_a_spoofed_flood_that_names_a_protected_app_does_nothing_to_it_or_its_owner(platform):
    row("A spoofed flood names a protected app")
    platform.rule("poison", level="critical")
    platform.rule("owner", number=2, entity="DeveloperId", level="critical")
    platform.register(app_id="wx01", developer_id="dev1", protected=True)
    flood = [event(n, at=NOW + n * 60 * SECOND) for n in range(8)]
    owner = event(1, "owner").replace('"app_id":"wx01"', '"app_id":"wx02","developer_id":"dev1"')
    platform.run([*flood, owner])
    assert platform.acted() == []
    assert {one.reason for one in platform.decisions()} == {Reason.HELD_PROTECTED}


def test_a_replayed_month_of_logs_leads_to_warnings_at_most(platform):
    row("A month of logs is replayed")
    platform.rule("poison", level="critical")
    platform.run(apps(30, at=NOW - 30 * DAY))
    assert {one.tier for one in platform.acted()} == {Tier.WARN}
    assert platform.reasons(Tier.REMOVE) == {Reason.HELD_HEALTH}


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_after_a_clock_jump_of_a_day_nothing_above_a_warning_begins(platform, jump):
    row("The clock jumps by a day")
    platform.rule("poison")

    def jumped(running):
        watch = ClockWatch(NOW, 0.0, 60.0, 0)
        assert watch.off_s(NOW + jump, 1.0) == pytest.approx(86_400, abs=2)
        running.pipeline.around.condition._watch = watch

    platform.run(apps(10, at=NOW + jump), now=NOW + jump, opened=jumped)
    assert {one.tier for one in platform.acted()} == {Tier.WARN}
    assert any("clock is off by" in one.explanation for one in platform.decisions())


def test_a_clock_that_is_put_back_while_we_are_down_is_found_by_what_was_written(platform):
    row("The clock jumps by a day")
    platform.rule("poison")
    platform.keys["budgets__throttle_per_h"] = 3
    platform.run(apps(3))
    platform.run([event(1, app="wx9", at=NOW - DAY)], now=NOW - DAY)
    assert [one.reason for one in platform.decisions() if one.value == "wx9" and one.tier is Tier.THROTTLE] == [
        Reason.HELD_HEALTH
    ]


def test_two_approvals_by_one_person_ban_nobody(platform):
    row("One person approves their own ban")
    platform.rule("poison", level="critical")
    platform.run([event(n, at=NOW + n * 60 * SECOND) for n in range(6)], now=NOW + 400 * SECOND)
    bans = [one for one in platform.decisions() if one.tier is Tier.BAN]
    assert bans
    assert {one.state for one in bans} == {DecisionState.AWAITING_APPROVAL}
    store, asked_for = platform.store(), {"actor": "operator:ann", "reason": "So it must be", "now": NOW}
    asked = add(store, Entity(Scope.APP, "wx77"), Ban(duration_s=86_400), **asked_for).decision
    for _ in range(2):
        with pytest.raises(ActRefused) as refused:
            approve(store, asked.id, **asked_for)
        assert refused.value.why is No.SECOND_PERSON
    assert store.decision(asked.id).state is DecisionState.AWAITING_APPROVAL


def test_an_address_that_many_share_is_throttled_for_a_while_and_never_removed(platform):
    row("An address that many share is banned")
    platform.rule("poison", level="critical", entity="Ip")
    crowd = [event(n, "calm", user=f"u{n}") for n in range(60)]
    alone = event(1, address="203.0.113.99")
    platform.run([*crowd, event(1), alone])
    shared, single = ([one for one in platform.decisions() if one.value.endswith(end)] for end in (".7", ".99"))
    assert [(one.tier, one.reason) for one in shared] == [
        (Tier.REMOVE, Reason.HELD_SHARED),
        (Tier.THROTTLE, Reason.PLAYBOOK),
    ]
    assert [(one.tier, one.reason) for one in single] == [(Tier.REMOVE, Reason.PLAYBOOK)]


def test_our_own_refusals_are_archived_and_no_detector_sees_them(platform):
    row("Our own refusals come back as events")
    text = RULE.format(word="refuse", number=1, level="critical", entity="AppId").replace("log}", "gateway}")
    platform.rule("refuse")
    (platform.rules / "refuse.yml").write_text(text)
    (platform.rules / "refuse" / "hit.jsonl").write_text(event(0, "refuse", dataset="gateway"))
    platform.run([event(n, "refuse", dataset="gateway") for n in range(50)])
    assert list(platform.store().findings()) == []
    assert sum(segment.rows for segment in platform.store().segments()) == 50


def test_a_stream_that_can_hardly_be_read_leads_to_warnings_at_most(platform):
    row("A sender's new format makes every second line unreadable")
    platform.rule("poison")
    platform.keys["guards__dead_letter_lines_min"] = 10
    platform.run(["{not json\n"] * 20 + apps(10))
    assert {one.tier for one in platform.acted()} == {Tier.WARN}


def test_what_was_decided_before_the_record_stalled_is_decided_again(platform):
    row("The disk hangs, and acts come when they are old")
    platform.rule("poison")
    platform.keys["guards__store_stalled_s_max"] = 1.0
    refused = refusing(lambda name, passed: name == "commit:turn" and passed <= 4, errno.ENOSPC)
    with watched(refused):
        platform.run([event(1)])
    assert platform.reasons(Tier.THROTTLE) == {Reason.HELD_HEALTH}
    assert {one.tier for one in platform.acted()} == {Tier.WARN}
    assert "guard-tripped" in platform.notices()


def test_an_act_that_would_last_longer_than_a_machine_may_decide_waits_for_a_person(platform):
    row("A playbook says 200 days where 2 were meant")
    platform.rule("poison")
    platform.book(LADDER.replace("for: 1h", "for: 200d"))
    platform.run([event(1)])
    assert platform.reasons(Tier.THROTTLE) == {Reason.HELD_DURATION}


def test_while_acts_are_paused_none_begins_over_a_restart_too(platform):
    row("Something goes wrong that no guard knows")
    platform.rule("poison")
    pause(platform.store(), "operator:ann", "Something is off", NOW)
    for batch in range(2):
        platform.run([event(batch, app=f"wx{batch}")])
    assert platform.acted() == []
    assert {one.reason for one in platform.decisions()} == {Reason.HELD_PAUSED}
    assert stopped(platform.store(), NOW).reason == "Something is off"


def test_a_pause_that_comes_while_a_turn_is_being_decided_holds(platform, monkeypatch):
    row("Something goes wrong that no guard knows")
    platform.rule("poison")
    decided = TurnCommitter.decided

    def decide_while_somebody_pauses(committer, fresh, orders):
        outcome = decided(committer, fresh, orders)
        if fresh and stopped(platform.store(), NOW) is None:
            writer = threading.Thread(target=pause, args=(platform.store(), "operator:ann", "Now", NOW))
            writer.start()
            writer.join()
        return outcome

    monkeypatch.setattr(TurnCommitter, "decided", decide_while_somebody_pauses)
    platform.run(apps(5))
    assert {one.reason for one in platform.decisions()} == {Reason.HELD_PAUSED}


@pytest.mark.parametrize("begins", [NOW - DAY, NOW + DAY])
def test_in_a_window_of_maintenance_acts_are_held(platform, begins):
    row("The platform is being worked on")
    platform.rule("poison")
    told = [datetime.fromtimestamp(at / SECOND, UTC).isoformat() for at in (begins, begins + 2 * DAY)]
    platform.keys["maintenance"] = [{"begins": told[0], "ends": told[1], "reason": "A new gateway"}]
    platform.run([event(1)])
    expected = Reason.HELD_MAINTENANCE if begins < NOW else Reason.PLAYBOOK
    assert platform.reasons(Tier.THROTTLE) == {expected}


def test_every_row_of_the_table_is_tried_here():
    table = DOCS.read_text().partition("| attack")[2]
    attacks = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)[1:]
    own = Path(__file__).read_text()
    assert attacks
    assert [attack for attack in attacks if f'row("{attack}")' not in own] == []
