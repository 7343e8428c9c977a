"""New rules and playbooks are taken whole, or not at all: whatever is wrong with them, those before stay."""

import io
import json
import shutil
import threading

import pytest

from monitor.content.folder_watch import FolderWatch
from monitor.content.in_force import InForce
from monitor.content.reload import Reloader
from monitor.playbook_files import load_playbooks
from monitor.requests import Answer, Requests
from monitor.rules import RuleFolder, load_rules
from monitor.rules.lineup import Lineup, Taken
from monitor.sealing import Seal
from monitor.stores.record import Request
from monitor.stores.sqlite import sqlite_store
from monitor.telemetry import Telemetry

RULE = """
title: {name}
id: 7b1d3c52-64ce-4b0f-9a87-0f5f0f2d{number:04d}
logsource: {{product: miniprogram, service: log}}
detection:
  selection: {{message|contains: {word}}}
  condition: selection
"""
LINE = '{{"@timestamp":"2026-03-02T08:00:00Z","event.dataset":"miniprogram.log","message":"{}"}}\n'


def write(folder, name, number, word="alpha", hit=None):
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yml").write_text(RULE.format(name=name, number=number, word=word))
    (folder / name / "hit.jsonl").write_text(LINE.format(hit or word))
    (folder / name / "miss.jsonl").write_text(LINE.format("nothing"))


class Scene:
    """A reloader over one folder, and a pipeline that takes up what it is offered when the test says so."""

    def __init__(self, folder):
        self.folder, self.log, self.taken, self.offers = folder, io.StringIO(), [], []
        self.is_busy = False
        self.reloader = Reloader(
            self.load(),
            self.load,
            lambda found: Lineup.of(found.rules.rules, 1000),
            self.offered,
            self.taken.append,
            Telemetry(level="info", log_format="json", stream=self.log),
        )

    def load(self):
        return InForce(load_rules([RuleFolder(self.folder)]), load_playbooks([self.folder.with_name("playbooks")]))

    def offered(self, offer):
        self.offers.append(offer)
        if not self.is_busy and offer.claim():
            offer.enter()
            offer.taken(Taken(7, {"file:a": 90}))

    @property
    def titles(self):
        return [rule.title for rule in self.reloader.in_force.rules.rules]

    def events(self):
        return [json.loads(line)["event"] for line in self.log.getvalue().splitlines()]


@pytest.fixture
def scene(tmp_path):
    write(tmp_path / "rules", "one", 1)
    write(tmp_path / "rules", "two", 2)
    return Scene(tmp_path / "rules")


def test_what_has_changed_is_taken_and_counted(scene):
    write(scene.folder, "one", 1, word="beta")
    write(scene.folder, "three", 3)
    shutil.rmtree(scene.folder / "two")
    (scene.folder / "two.yml").unlink()
    done = scene.reloader.reload("test")
    assert (done.turn, done.rules, done.added, done.changed, done.removed, done.problems) == (7, 2, 1, 1, 1, ())
    assert scene.titles == ["one", "three"]
    assert scene.taken == [scene.reloader.in_force]
    assert scene.events() == ["reloaded"]


def broken(scene):
    (scene.folder / "one.yml").write_text("title: [")


def failing(scene):
    write(scene.folder, "one", 1, word="gamma", hit="other")


def twinless(scene):
    (scene.folder / "new.yml").write_text(RULE.format(name="new", number=9, word="x"))


def gone(scene):
    shutil.rmtree(scene.folder)


def not_text(scene):
    (scene.folder / "two.yml").write_bytes(b"\xff\xfe\x00")


def bad_playbook(scene):
    folder = scene.folder.with_name("playbooks")
    folder.mkdir()
    (folder / "answer.yaml").write_text("name: [")


@pytest.mark.parametrize("spoil", [broken, failing, twinless, gone, not_text, bad_playbook])
def test_whatever_is_wrong_the_old_rules_stay(scene, spoil):
    before = scene.reloader.in_force
    write(scene.folder, "three", 3)
    spoil(scene)
    assert scene.reloader.reload("test").problems
    assert (scene.reloader.in_force, scene.offers, scene.taken) == (before, [], [])
    assert scene.events()[-1] == "reload_failed"


def test_an_error_of_ours_while_reading_is_told_and_the_old_rules_stay(scene, monkeypatch):
    monkeypatch.setattr(scene.reloader, "_load", lambda: 1 / 0)
    assert scene.reloader.reload("test").problems == ("ZeroDivisionError: division by zero",)
    assert scene.titles == ["one", "two"]


def test_what_was_wrong_before_does_not_stand_in_the_way(tmp_path):
    write(tmp_path, "one", 1, hit="wrong from the beginning")
    scene = Scene(tmp_path)
    write(tmp_path, "two", 2)
    assert scene.reloader.reload("test").problems == ()
    assert scene.titles == ["two"]


def test_what_is_given_up_is_not_taken_later(scene, monkeypatch):
    monkeypatch.setattr("monitor.content.reload.TAKEN_S_MAX", 0.01)
    scene.is_busy = True
    write(scene.folder, "three", 3)
    assert "has not ended" in scene.reloader.reload("test").problems[0]
    assert not scene.offers[0].claim()
    assert scene.titles == ["one", "two"]


def test_what_is_being_taken_is_waited_for(scene, monkeypatch):
    monkeypatch.setattr("monitor.content.reload.TAKEN_S_MAX", 0.01)
    scene.is_busy = True
    write(scene.folder, "three", 3)

    def slowly(offer):
        assert offer.claim()
        offer.enter()
        threading.Timer(0.2, offer.taken, [Taken(9, {})]).start()

    monkeypatch.setattr(scene.reloader, "_offer", slowly)
    assert scene.reloader.reload("test").turn == 9


def test_a_change_is_noticed_once_it_is_over(tmp_path):
    write(tmp_path, "one", 1)
    watch = FolderWatch([tmp_path, tmp_path / "not-there"])
    assert not watch.has_changed()
    write(tmp_path, "two", 2)
    assert not watch.has_changed()
    assert watch.has_changed()
    assert not watch.has_changed()
    (tmp_path / "one" / "hit.jsonl").write_text(LINE.format("alpha two"))
    (tmp_path / "notes.txt").touch()
    assert [watch.has_changed() for _ in range(3)] == [False, True, False]


def test_a_change_of_a_pipeline_is_noticed(tmp_path):
    pipeline = tmp_path / "fields.yml"
    watch = FolderWatch([], [pipeline])
    pipeline.write_text("transformations: []")
    assert [watch.has_changed() for _ in range(3)] == [False, True, False]


def test_requests_are_answered_once_whatever_comes_of_them(tmp_path):
    store = sqlite_store(tmp_path / "miniwatch.db", seal=Seal(bytes(32)))
    handlers = {"good": lambda request: Answer(done=True, said=f"{request.subject} done"), "bad": lambda _: 1 / 0}
    for number, kind in enumerate(["good", "bad", "unheard-of"]):
        store.ask(Request(id=kind, kind=kind, subject="it", reason="why", actor="operator:me", created=number))
    desk = Requests(store, lambda: 5, handlers)
    desk.look()
    answers = {kind: json.loads(store.answer_of(kind)) for kind in ("good", "bad", "unheard-of")}
    assert [answer["done"] for answer in answers.values()] == [True, False, False]
    assert answers["bad"]["problems"] == ["ZeroDivisionError: division by zero"]
    assert store.open_requests() == []
    acts = [(link.entry.actor, link.entry.action) for link in store.audit_entries()]
    assert acts[:1] + acts[3:4] == [("operator:me", "good"), ("system:daemon", "good.done")]
    store.close()
