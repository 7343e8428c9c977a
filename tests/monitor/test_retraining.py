"""Models trained by the clock: when one is due, and what is told of the process that trains it, however that ends."""

import io
import json
import sys
import threading
import time

import pytest
from made_models import add, file_of, of_another_version

from monitor import retraining
from monitor.config import load_config
from monitor.models.loading import NO_MODELS, load_models
from monitor.models.opening import OpenedModels
from monitor.models.shelf import ModelShelf
from monitor.moments import DAY_US
from monitor.retraining import Retraining, training_command
from monitor.schedule import Schedule
from monitor.stores.models import ModelState
from monitor.telemetry import Telemetry
from monitor.testing import scratch_store

NOW = 1_000 * DAY_US


class Scene:
    """What trains, by a command that is given, in a record where models can be."""

    def __init__(self, folder, code="", **keys):
        self.config = load_config(None, {}, {"data_dir": str(folder), **keys})
        self.store, self.log, self.leads = scratch_store(folder), io.StringIO(), True
        self.telemetry = Telemetry(level="info", log_format="json", stream=self.log)
        command = [sys.executable, "-c", code]
        self.asked = NO_MODELS
        self.retraining = Retraining(
            command, self.config, self.store, self.telemetry, lambda: NOW, lambda: self.leads, lambda: self.asked
        )

    def told(self):
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    def look(self):
        self.retraining.look()
        return self.told()

    @property
    def trainings(self):
        """How many ended well, and how many did not, as the metric has it."""
        value = self.telemetry.registry.get_sample_value
        return tuple(value("miniwatch_model_trainings_total", {"outcome": one}) or 0 for one in ("done", "failed"))


@pytest.fixture
def made(tmp_path):
    scenes = []

    def scene(code="", **keys):
        scenes.append(Scene(tmp_path, code, **keys))
        return scenes[-1]

    yield scene
    for one in scenes:
        one.store.close()


def test_the_first_is_due_at_once(made):
    assert made().retraining.is_due()


@pytest.mark.parametrize(
    ("days", "every", "is_due"), [(7.0, 7, True), (6.6, 7, True), (6.4, 7, False), (0.0, 7, False), (1.0, 1, True)]
)
@pytest.mark.parametrize("state", [ModelState.ACTIVE, ModelState.REFUSED])
def test_the_next_is_due_when_the_last_is_so_many_days_old_whatever_became_of_it(made, days, every, is_due, state):
    scene = made(**{"models.train_every_days": every})
    add(scene.store, 1, since=int(NOW - 30 * DAY_US))
    add(scene.store, 2, state, since=int(NOW - days * DAY_US))
    assert scene.retraining.is_due() is is_due


def test_when_none_is_due_none_is_trained(made):
    scene = made("raise SystemExit(3)")
    add(scene.store, 1, since=NOW)
    assert scene.look() == []


def test_who_does_not_lead_trains_none(made):
    scene = made("raise SystemExit(3)")
    scene.leads = False
    assert scene.look() == []


def open_here(scene):
    """As a daemon does at its start."""
    scene.asked = load_models(ModelShelf(scene.store.models()), OpenedModels(scene.store.content))


@pytest.fixture
def unusable(made):
    """The model in force was trained yesterday, by a library that is not here any more."""
    scene = made("print('Model 2: learned')")
    yesterday = int(NOW - DAY_US)
    add(scene.store, 1, ModelState.ACTIVE, since=yesterday, file=of_another_version(file_of(1)))
    open_here(scene)
    return scene


def test_where_the_model_in_force_cannot_be_asked_one_is_trained_at_once_and_once(unusable):
    assert unusable.look() == [], "by its usual time none is due"
    unusable.retraining.look_for_owed()
    unusable.retraining.look_for_owed()
    assert unusable.trainings == (1, 0)


def test_who_does_not_lead_owes_none(unusable):
    unusable.leads = False
    unusable.retraining.look_for_owed()
    assert unusable.trainings == (0, 0)


def test_none_is_owed_where_one_was_trained_since(unusable):
    add(unusable.store, 2, ModelState.CANDIDATE, since=NOW)
    open_here(unusable)
    assert unusable.retraining.owed() == ""


@pytest.mark.parametrize(("days_ago", "owed"), [(0.5, False), (2, True)])
def test_one_that_was_refused_lately_is_not_tried_again_at_once(made, days_ago, owed):
    scene = made("print('Model 3: learned')")
    add(scene.store, 1, ModelState.ACTIVE, since=int(NOW - 9 * DAY_US), file=of_another_version(file_of(1)))
    add(scene.store, 2, ModelState.REFUSED, since=int(NOW - days_ago * DAY_US))
    open_here(scene)
    assert bool(scene.retraining.owed()) is owed


def test_none_is_owed_where_the_one_in_force_is_asked(made):
    scene = made("raise SystemExit(3)")
    add(scene.store, 1, ModelState.ACTIVE, since=NOW)
    add(scene.store, 2, ModelState.CANDIDATE, since=NOW, created=0, file=of_another_version(file_of(2)))
    open_here(scene)
    assert scene.asked.problems
    scene.retraining.look_for_owed()
    assert scene.trainings == (0, 0)


@pytest.mark.parametrize(
    ("code", "ended", "said", "level", "trainings"),
    [
        ("print('Model 4: learned')", None, "Model 4: learned", "info", (1, 0)),
        ("import sys; sys.stderr.write('too little\\n'); sys.exit(1)", 1, "too little", "warning", (0, 1)),
        ("import os; os.kill(os.getpid(), 9)", -9, "", "warning", (0, 1)),
    ],
    ids=["done", "failed", "killed"],
)
def test_how_it_ended_is_told(made, code, ended, said, level, trainings):
    scene = made(code)
    (told,) = scene.look()
    event = "model_trained" if ended is None else "training_failed"
    assert (told["event"], told.get("code"), told.get("said", ""), told["level"]) == (event, ended, said, level)
    assert scene.trainings == trainings


def test_of_many_words_the_last_are_told(made):
    (told,) = made("print('x' * 500_000 + 'the end')").look()
    assert told["said"].endswith("the end")
    assert len(told["said"]) <= retraining.SAID_CHARACTERS_MAX


SLEEPS = "import time; open('began', 'w').close(); time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"


@pytest.mark.parametrize(("code", "ended"), [(SLEEPS, -15), (STUBBORN, -9)], ids=["at a word", "by force"])
def test_one_that_is_under_way_is_ended_when_the_daemon_stops(made, monkeypatch, tmp_path, code, ended):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(retraining, "STOP_S_MAX", 0.2)
    monkeypatch.setattr(retraining, "LOOK_S", 0.1)
    scene = made(code)
    looking = threading.Thread(target=scene.look)
    looking.start()
    while not (tmp_path / "began").exists():
        time.sleep(0.02)
    scene.retraining.stop()
    looking.join(30)
    assert not looking.is_alive()
    (told,) = scene.told()
    assert (told["event"], told["code"]) == ("training_failed", ended)


def test_one_that_takes_too_long_is_ended(made, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(retraining, "TRAIN_S_MAX", 0.3)
    monkeypatch.setattr(retraining, "LOOK_S", 0.2)
    (told,) = made(SLEEPS).look()
    assert told["code"] == -15


@pytest.mark.parametrize(
    ("keys", "jobs"),
    [({}, 1), ({"models.enabled": False}, 0), ({"models.train_every_days": 0}, 0)],
)
def test_it_is_done_by_the_clock_unless_that_is_switched_off(made, keys, jobs):
    scene = made(**keys)
    schedule = _Noted()
    scene.retraining.enter(schedule)
    assert schedule.noted == [("train a model", 4), ("train a model that is owed", retraining.OWED_S)] * jobs


class _Noted(Schedule):
    def __init__(self):
        self.noted = []

    def daily(self, name, hour_utc, _job):
        self.noted.append((name, hour_utc))

    def every(self, name, interval_s, _job, *, may_take_long=False):
        assert may_take_long
        self.noted.append((name, interval_s))


def test_the_command_is_that_of_people_on_what_the_daemon_has(tmp_path):
    assert training_command(None, None)[-3:] == ["model", "train", "--scheduled"]
    command = training_command(tmp_path / "c.toml", tmp_path / "data")
    assert command[-4:] == ["--config", str(tmp_path / "c.toml"), "--data-dir", str(tmp_path / "data")]
    assert command[0] == sys.executable


def test_the_command_runs(made, tmp_path):
    (tmp_path / "none").mkdir()
    scene = made()
    scene.retraining._command = training_command(None, tmp_path / "none")
    (told,) = scene.look()
    assert told["code"] != 0
    assert "there is nothing in" in told["said"]
