"""Who comes to lead has in force what the record says then, not what it said when the process began."""

import io
import json
import threading

import numpy as np
import pytest
from made_models import add, of_another_version

from monitor.app import health_of, held_of, open_daemon
from monitor.config import load_config
from monitor.content.model_changing import ACTIVATE, change_of
from monitor.kept import Kept
from monitor.models.shelf import ModelShelf
from monitor.partitions import answering
from monitor.partitions.answering import AGAIN_S, BEGIN_S, LEASE, LEASE_S
from monitor.process import Role
from monitor.rules.lineup import RULES
from monitor.stores import StoreError
from monitor.stores.models import ModelState
from monitor.telemetry import Telemetry

NOW = 1_900_000_000_000_000
RULE = """
title: Says {word}
id: 7b1d3c52-64ce-4b0f-9a87-0f5f0f2d0001
logsource: {{product: miniprogram, service: log}}
detection:
  selection: {{message|contains: {word}}}
  condition: selection
"""
LINE = '{{"@timestamp":"2026-03-02T08:00:00Z","event.dataset":"miniprogram.log","message":"{}"}}\n'


class Scene:
    """A process that has led and stands by, and a record that another may change meanwhile."""

    def __init__(self, folder):
        self.rules = folder / "rules"
        self.write("alpha")
        keys = {"rules.builtin": False, "rules.folders": [str(self.rules)], "playbooks.builtin": False}
        overrides = {"data_dir": str(folder / "data"), "http.listen": "", **keys}
        config = load_config(None, {"MINIWATCH_PEOPLE__KEY": "5e" * 32}, overrides)
        self.kept, self.log = Kept.open(config.data_dir), io.StringIO()
        self.store = self.kept.store
        self.add(1, ModelState.ACTIVE)
        self.add(2)
        telemetry = Telemetry(level="info", log_format="json", stream=self.log)
        self.opened = open_daemon(config, telemetry, role=Role.RESPOND, clock=lambda: NOW)
        self.daemon = self.opened.__enter__()
        self.pipeline = self.daemon.pipeline
        self.pipeline.woken.set()
        self.pipeline.recover()
        self.turn()
        assert self.pipeline.leads
        self.other = self.store.seize(LEASE, "another", NOW, 60.0)
        self.pipeline._renewed_at = 0.0
        self.turn()
        assert not self.pipeline.leads
        self.log.truncate(self.log.seek(0))

    def write(self, word, *, hit=None):
        (self.rules / "one").mkdir(parents=True, exist_ok=True)
        (self.rules / "one.yml").write_text(RULE.format(word=word))
        (self.rules / "one" / "hit.jsonl").write_text(LINE.format(hit or word))
        (self.rules / "one" / "miss.jsonl").write_text(LINE.format("nothing"))

    def add(self, number, state=ModelState.TRAINED, **more):
        return add(self.store, number, state, number, **more)

    def activate(self, number):
        """As the one that leads does."""
        self.store.change_models(*change_of(ModelShelf(self.store.models()), ACTIVATE, str(number), "a", "r", NOW))

    def turn(self):
        self.pipeline.woken.set()
        self.pipeline.turn()

    def lead(self):
        """Let the other go, and this one take over."""
        self.store.give_up(self.other)
        self.turn()

    @property
    def model(self):
        """The number of the model that is asked."""
        return next(r.number for r in self.store.models() if r.digest == self.pipeline.lineup.learned.asked.model)

    @property
    def titles(self):
        assert [one.id for one in self.pipeline.lineup.rules] == [one.id for one in self.daemon.rules.rules]
        return [rule.title for rule in self.pipeline.lineup.rules]

    def events(self):
        return [line["event"] for line in map(json.loads, self.log.getvalue().splitlines())]

    def written(self):
        """Whether the record says that what this process has is in force."""
        return self.store.controls(RULES)[-1].digest == self.pipeline.lineup.digest


@pytest.fixture
def scene(tmp_path):
    scene = Scene(tmp_path)
    yield scene
    scene.opened.__exit__(None, None, None)
    scene.kept.store.close()


def test_what_another_put_in_force_meanwhile_is_in_force_before_the_first_turn(scene):
    scene.activate(2)
    scene.write("beta")
    assert (scene.model, scene.titles) == (1, ["Says alpha"])
    scene.lead()
    assert scene.pipeline.leads
    assert (scene.model, scene.titles) == (2, ["Says beta"])
    assert scene.daemon.reloader.in_force.models.active.digest == scene.pipeline.lineup.learned.asked.model
    assert scene.written()
    assert scene.events()[-2:] == ["reloaded", "lead_taken"]


def test_who_stands_by_says_so_and_holds_no_acts_for_how_well_it_sees(scene):
    scene.pipeline.around.condition.arrived(np.array([NOW - 86_400_000_000]))
    assert not health_of(scene.daemon).leads
    assert held_of(scene.daemon) == ()
    scene.lead()
    scene.pipeline.around.condition.arrived(np.array([NOW - 86_400_000_000]))
    assert health_of(scene.daemon).leads
    assert "nothing above a warning begins" in held_of(scene.daemon)[0]


def test_nobody_is_told_that_this_process_leads_while_it_still_reads(scene):
    seen = []
    catch_up = scene.pipeline.catch_up
    scene.pipeline.catch_up = lambda take_up: seen.append((scene.pipeline.leads, held(scene))) or catch_up(take_up)
    scene.lead()
    assert seen == [(False, BEGIN_S)]
    assert (scene.pipeline.leads, held(scene)) == (True, LEASE_S)


def held(scene):
    return (scene.store.held(LEASE, NOW).until - NOW) / 1_000_000


def test_rules_that_cannot_be_used_leave_those_before_and_are_told_and_tried_again(scene):
    scene.activate(2)
    scene.write("beta", hit="something else")
    scene.lead()
    assert scene.pipeline.leads
    assert (scene.model, scene.titles) == (2, ["Says alpha"]), "models come all the same"
    assert not scene.written(), "whoever follows the record stays with what it says"
    assert {"reload_refused", "reload_failed"} <= set(scene.events())
    scene.write("beta")
    scene.pipeline._renewed_at = 0.0
    scene.turn()
    assert scene.titles == ["Says alpha"], "not every moment"
    scene.pipeline._behind_at -= AGAIN_S
    scene.pipeline._renewed_at = 0.0
    scene.turn()
    assert (scene.titles, scene.written()) == (["Says beta"], True)
    assert scene.pipeline._behind_at is None


def test_what_goes_on_failing_is_tried_ever_more_seldom(scene):
    scene.write("beta", hit="something else")
    scene.lead()
    for waits in (AGAIN_S, 2 * AGAIN_S, 4 * AGAIN_S):
        assert scene.pipeline._again_s == waits
        scene.pipeline._behind_at -= waits
        scene.pipeline._renewed_at = 0.0
        scene.turn()


def test_who_reads_for_longer_than_its_lease_lasts_leads_if_nobody_else_wants_to(scene, monkeypatch):
    monkeypatch.setattr(answering, "BEGIN_S", 0.0)
    scene.lead()
    assert scene.pipeline.leads


def test_a_model_that_cannot_be_opened_here_leaves_the_one_before_it_and_is_told(scene):
    scene.add(3, file=of_another_version(scene.store.content(scene.store.models()[0].digest)))
    scene.activate(3)
    scene.lead()
    assert (scene.pipeline.leads, scene.model) == (True, 1)
    assert "model_change_refused" in scene.events()
    (word,) = map(str, scene.daemon.reloader.in_force.models.problems)
    assert word.startswith("model 3 is not used: ")


def test_whatever_fails_while_it_is_read_leaves_all_as_it_was(scene, monkeypatch):
    def failing(*_):
        raise OSError("no such folder")

    with monkeypatch.context() as patched:
        patched.setattr("monitor.content.in_force.Installed.load", failing)
        scene.lead()
    assert scene.pipeline.leads
    assert (scene.model, scene.titles) == (1, ["Says alpha"])
    assert "reload_failed" in scene.events()


def test_who_changes_what_is_in_force_just_now_is_not_waited_for(scene):
    """It waits for the pipeline itself."""
    with scene.daemon.reloader.alone():
        other = threading.Thread(target=scene.lead)
        other.start()
        other.join(30)
        assert not other.is_alive()
        assert not scene.pipeline.leads
    scene.turn()
    assert scene.pipeline.leads


def test_what_the_record_does_not_say_is_asked_for_once_more(scene, monkeypatch):
    def away(*_):
        raise StoreError("it is away", retryable=True)

    with monkeypatch.context() as patched:
        patched.setattr("monitor.stores.sql.SqlStore.models", away)
        scene.lead()
        assert not scene.pipeline.leads
    scene.activate(2)
    scene.turn()
    assert (scene.pipeline.leads, scene.model) == (True, 2)
