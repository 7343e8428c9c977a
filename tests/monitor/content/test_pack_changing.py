"""Packs in a running daemon: what is sound is taken, what is not leaves everything as it is, what runs away is taken back."""

import io
import json
import secrets

import pytest

from detectors.finding import Entity, Evidence, Finding, RuleRef, Scope, Severity
from monitor.audit import AuditEntry
from monitor.config import load_config
from monitor.content.in_force import Installed
from monitor.content.pack_changing import ACTIVATE, ROLLBACK, PackChanger
from monitor.content.reload import Reloader
from monitor.packs.archive import described, opened, sealed
from monitor.packs.manifest import FORMAT, Bounds, Manifest
from monitor.packs.shelf import Shelf
from monitor.requests import Requests
from monitor.rules.lineup import Lineup, Taken
from monitor.rules.suspending import Suspensions
from monitor.sealing import Seal
from monitor.signing import SigningKey, fingerprint
from monitor.stores.operating import PACKS_KEPT
from monitor.stores.record import PackRow, PackState, Request
from monitor.stores.sqlite import sqlite_store
from monitor.telemetry import Telemetry

KEY, OTHER = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)
ID = "7b1d3c52-64ce-4b0f-9a87-0f5f0f2d0001"
RULE = """
title: Says {word}
id: {id}
logsource: {{product: miniprogram, service: log}}
detection:
  selection: {{message|contains: {word}}}
  condition: selection
"""
LINE = '{{"@timestamp":"2026-03-02T08:00:00Z","event.dataset":"miniprogram.log","message":"{}"}}\n'
HOUR_US = 3_600_000_000


def pack(version, word, *, key=KEY, hit=None, name="rules", bounds=None):
    texts = {
        "rules/one.yml": RULE.format(word=word, id=ID),
        "rules/one/hit.jsonl": LINE.format(hit or word),
        "rules/one/miss.jsonl": LINE.format("nothing"),
    }
    files = {path: text.encode() for path, text in texts.items()}
    said = {"format": FORMAT, "name": name, "version": version, "created": 0, "signer": fingerprint(key.public)}
    return sealed(Manifest(**said, files=described(files), bounds=bounds), files, key)


class Scene:
    """An installation with a changer of packs, and a pipeline that takes up at once what it is offered."""

    def __init__(self, folder, **keys):
        words = {"data_dir": str(folder), "rules.builtin": False, "playbooks.builtin": False}
        self.config = load_config(None, {}, {**words, "packs.trusted_keys": [KEY.public], **keys})
        self.store = sqlite_store(folder / "miniwatch.db", seal=Seal(bytes(32)))
        self.now, self.log = HOUR_US, io.StringIO()
        telemetry = Telemetry(level="info", log_format="json", stream=self.log)
        installed = Installed(self.config, self.store.pack_content)
        self.reloader = Reloader(
            installed.load(self.shelf),
            lambda: installed.load(self.shelf),
            lambda found: Lineup.of(found.rules.rules, 1000, found.trial),
            self.take_up,
            lambda _: None,
            telemetry,
        )
        self.suspensions = Suspensions(telemetry, lambda: self.now)
        self.changer = PackChanger(
            self.config, self.store, installed, self.reloader, lambda: self.now, telemetry, self.suspensions
        )

    def take_up(self, offer):
        if offer.claim():
            offer.enter()
            offer.taken(Taken(7, {}))

    def run_away(self):
        """Have the watched rules find more than was foreseen."""
        self.changer.look()
        self.find(6, events=10)
        self.changer.look()

    def told(self):
        """What waits to be sent, by channel."""
        return {one.message.channel: json.loads(one.message.body) for one in self.store.due_messages(2**60, 10)}

    @property
    def shelf(self):
        return Shelf(self.store.packs())

    @property
    def standing(self):
        return {
            row.version: f"{row.state} {row.stage}" for row in self.shelf.rows if row.state is not PackState.OFFERED
        }

    @property
    def titles(self):
        return [rule.title for rule in self.reloader.in_force.rules.rules]

    def activate(self, data, stage="live"):
        """Offer a pack without any check, and ask for it as the command does."""
        self.now += 1
        good, content = data if isinstance(data, tuple) else (data, data)
        found = opened(good, [KEY.public, OTHER.public])
        row = PackRow(
            digest=found.digest,
            name=found.manifest.name,
            version=found.manifest.version,
            signer="",
            state=PackState.OFFERED,
            stage="",
            since=0,
        )
        entry = AuditEntry(time=0, actor="a", action="offer", subject="s", reason="")
        self.store.add_pack(row, content, entry)
        return self.changer.activate(self.request(ACTIVATE, f"{found.digest} {stage}"))

    def back(self):
        self.now += 1
        return self.changer.roll_back(self.request(ROLLBACK, "packs"))

    def request(self, kind, subject):
        key = secrets.token_hex(4)
        asked = Request(id=key, kind=kind, subject=subject, reason="why", actor="operator:me", created=self.now)
        self.store.ask(asked)
        return asked

    def find(self, count, *, events=0, rule=ID):
        finding = Finding(
            id="f",
            time=0,
            first_event=0,
            last_event=0,
            detector="sigma",
            kind="rule",
            rule=RuleRef(rule, "v"),
            entity=Entity(Scope.APP, "wx1"),
            severity=Severity.LOW,
            title="t",
            evidence=Evidence(count=1),
        )
        self.changer.note(events, [finding] * count)

    def events(self):
        return [json.loads(line)["event"] for line in self.log.getvalue().splitlines()]


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    assert scene.activate(pack(3, "alpha")).done
    yield scene
    scene.store.close()


def test_a_pack_is_put_in_force_with_actor_and_reason(scene):
    assert (scene.titles, scene.standing) == (["Says alpha"], {3: "active live"})
    entry = next(link.entry for link in scene.store.audit_entries() if link.entry.action == "pack.live")
    assert (entry.actor, entry.action, entry.subject, entry.reason, entry.after) == (
        "operator:me",
        "pack.live",
        "pack rules 3",
        "why",
        "pack rules 3 is in force",
    )


def test_what_was_done_is_answered_in_the_same_moment_so_that_a_kill_has_no_step_back_done_twice(scene):
    assert scene.activate(pack(4, "beta")).done
    assert scene.activate(pack(5, "gamma")).done
    assert scene.back().done  # and here the daemon is killed, before it says so
    handlers = {ROLLBACK: scene.changer.roll_back, ACTIVATE: scene.changer.activate}
    Requests(scene.store, lambda: scene.now, handlers).look()
    assert scene.standing == {3: "retired live", 4: "active live", 5: "withdrawn live"}


def flipped(version, word):
    """A pack in whose stored bytes one bit is another."""
    data = pack(version, word)
    spoilt = bytearray(data)
    spoilt[data.index(word.encode())] ^= 1
    return data, bytes(spoilt)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (pack(2, "beta"), "version 2 is not newer than 3"),
        (pack(4, "beta", key=OTHER), "none of the trusted keys"),
        (pack(4, "beta", hit="gamma"), "must match and does not"),
        (flipped(4, "beta"), "Bad CRC-32"),
        (pack(4, "beta", name="others"), "of its name"),
    ],
    ids=["older", "wrong key", "failing twin", "flipped bit", "another name"],
)
@pytest.mark.parametrize("stage", ["live", "shadow"])
def test_what_is_not_sound_is_refused_and_the_old_stays(scene, data, why, stage):
    before = scene.reloader.in_force
    answer = scene.activate(data, stage)
    assert not answer.done
    assert why in " ".join(answer.problems)
    assert scene.reloader.in_force is before
    assert scene.standing == {3: "active live"}


def test_through_the_stages_and_back(scene):
    data = pack(4, "beta")
    for stage in ("shadow", "canary"):
        assert scene.activate(data, stage).done
        assert scene.titles == ["Says alpha"]
        assert scene.reloader.in_force.trial.tried == {ID}
    assert scene.reloader.in_force.trial.share == pytest.approx(0.1)
    assert scene.activate(data, "live").done
    assert (scene.titles, scene.reloader.in_force.trial) == (["Says beta"], None)
    assert scene.back().done
    assert (scene.titles, scene.standing) == (["Says alpha"], {4: "withdrawn live", 3: "active live"})
    assert scene.back().done
    assert scene.titles == []
    assert scene.back().problems == ("no pack is in force, so there is nothing to go back from",)


def test_by_schedule_a_pack_goes_on_when_its_time_is_over(tmp_path):
    scene = Scene(tmp_path, **{"packs.shadow_h": 2.0, "packs.canary_h": 1.0})
    scene.activate(pack(1, "alpha"), "shadow")
    seen = []
    for _ in range(4):
        scene.now += HOUR_US
        scene.changer.look()
        seen.append(scene.standing[1])
    assert seen == ["candidate shadow", "candidate canary", "active live", "active live"]
    assert [link.entry.actor for link in scene.store.audit_entries()][-2:] == ["system:schedule"] * 2
    scene.store.close()


BOUNDS = Bounds(findings_min=1, findings_max=5, events=1000)
WEBHOOKS = [
    {"name": name, "url": "http://127.0.0.1:9/", "min_severity": least}
    for name, least in {"oncall": "high", "boss": "critical"}.items()
]


@pytest.mark.parametrize("stage", ["shadow", "canary", "live"])
@pytest.mark.parametrize(
    ("counts", "why"),
    [([(6, 10)], "6 findings in 10 events; more than 5 in 1000"), ([(2, 1000), (0, 1000)], "fewer than 1 in 1000")],
    ids=["too many", "too few"],
)
def test_a_pack_whose_findings_leave_their_bounds_is_taken_back_and_told(scene, stage, counts, why):
    assert scene.activate(pack(4, "beta", bounds=BOUNDS), stage).done
    scene.changer.look()
    for findings, events in counts:
        scene.find(findings, events=events)
        scene.find(100, events=0, rule="another")
    scene.changer.look()
    assert (scene.titles, scene.reloader.in_force.trial) == (["Says alpha"], None)
    assert scene.standing[3] == "active live"
    entry = [link.entry for link in scene.store.audit_entries()][-1]
    assert (entry.actor, entry.action) == ("system:pack-watch", "pack.rollback")
    assert why in entry.reason
    assert scene.events()[-1] == "pack_returned"
    scene.find(100, events=5000)
    scene.changer.look()
    assert scene.standing[3] == "active live"


def test_the_people_on_call_are_told_once_of_a_pack_that_was_taken_back(tmp_path):
    scene = Scene(tmp_path, webhooks=WEBHOOKS)
    scene.activate(pack(3, "alpha"))
    scene.activate(pack(4, "beta", bounds=BOUNDS))
    assert scene.told() == {}
    scene.run_away()
    told = scene.told()
    assert list(told) == ["webhook:oncall"], "for the other it is not grave enough"
    notice = told["webhook:oncall"]
    assert (notice["schema"], notice["what"], notice["severity"]) == ("miniwatch.notice/1", "pack-returned", "high")
    assert (notice["title"], notice["look"]) == ("Pack rules 4 was taken back by itself", "miniwatch rules packs")
    assert "6 findings in 10 events" in notice["text"]
    scene.changer.look()
    assert scene.told() == told
    scene.store.close()


def test_the_people_on_call_are_told_once_of_a_pack_that_cannot_be_taken_back(tmp_path, monkeypatch):
    scene = Scene(tmp_path, webhooks=WEBHOOKS)
    scene.activate(pack(4, "beta", bounds=BOUNDS))
    monkeypatch.setattr(scene.reloader, "_offer", lambda offer: offer.refused("the disk is full"))
    scene.run_away()
    scene.changer.look()
    assert scene.standing[4] == "active live"
    assert {name: notice["what"] for name, notice in scene.told().items()} == {
        "webhook:oncall": "pack-not-returned",
        "webhook:boss": "pack-not-returned",
    }
    assert "the disk is full" in scene.told()["webhook:boss"]["text"]
    assert [link.entry.action for link in scene.store.audit_entries()].count("pack.stuck") == 1
    scene.store.close()


def test_a_pack_whose_trial_a_fault_has_ended_is_taken_back_and_goes_on_by_no_schedule(tmp_path):
    scene = Scene(tmp_path, webhooks=WEBHOOKS, **{"packs.shadow_h": 1.0})
    scene.activate(pack(4, "beta"), "shadow")
    scene.suspensions.tried[ID] = "rule one is no longer tried: it brought out a fault"
    scene.now += HOUR_US
    scene.changer.look()
    assert scene.standing[4] == "withdrawn shadow"
    assert "it brought out a fault" in scene.told()["webhook:oncall"]["text"]
    scene.store.close()


def test_a_pack_within_its_bounds_stays(scene):
    scene.activate(pack(4, "beta", bounds=BOUNDS))
    scene.changer.look()
    for _ in range(10):
        scene.find(5, events=1000)
    scene.changer.look()
    assert scene.standing[4] == "active live"


def test_only_the_latest_of_what_is_over_is_kept(scene, tmp_path):
    for version in range(4, 20):
        assert scene.activate(pack(version, f"word{version}")).done
    assert len(scene.store.packs()) == 1 + PACKS_KEPT
    assert len([*(tmp_path / "packs").iterdir()]) == 1


def test_a_pack_that_is_no_longer_trusted_is_not_used_at_the_next_start(scene, tmp_path):
    config = load_config(None, {}, {"data_dir": str(tmp_path), "rules.builtin": False, "playbooks.builtin": False})
    found = Installed(config, scene.store.pack_content).load(scene.shelf)
    assert found.rules.rules == ()
    assert "no key is trusted" in found.rules.problems[0].message
