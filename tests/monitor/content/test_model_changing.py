"""Models in a running daemon: what can be asked is taken, what cannot leaves everything as it is, what tells of too much is taken back."""

import io
import json
import secrets
import sqlite3
import threading

import pytest
from made_models import add, of_another_version

from detectors.finding import RuleRef
from monitor.config import load_config
from monitor.content.compiling import compiled
from monitor.content.in_force import Installed
from monitor.content.model_changing import ACTIVATE, FINDINGS_MIN, ROLLBACK, SWITCHED_OFF, TRY, ModelChanger
from monitor.content.reload import Reloader
from monitor.models.opening import OpenedModels
from monitor.models.shelf import ModelShelf
from monitor.moments import DAY_US, HOUR_US
from monitor.packs.shelf import Shelf
from monitor.requests import Answer, Requests
from monitor.rules.lineup import Taken
from monitor.stores import Turn
from monitor.stores.models import ModelState
from monitor.stores.record import Request
from monitor.telemetry import Telemetry
from monitor.testing import scratch_store, stored_finding

ACTIVE = ModelState.ACTIVE
WEBHOOKS = [
    {"name": name, "url": "http://127.0.0.1:9/", "min_severity": least}
    for name, least in {"oncall": "high", "boss": "critical"}.items()
]


class Scene:
    """An installation with a changer of models, and a pipeline that takes up at once what it is offered."""

    def __init__(self, folder, **keys):
        words = {"data_dir": str(folder), "rules.builtin": False, "playbooks.builtin": False}
        self.config = load_config(None, {}, {**words, **keys})
        self.store = scratch_store(folder)
        self.now, self.apps, self.log = 100 * DAY_US, 1_000, io.StringIO()
        self.turn = 0
        telemetry = Telemetry(level="info", log_format="json", stream=self.log)
        installed = Installed(self.config, self.store.pack_content, models=OpenedModels(self.store.content))
        self.reloader = Reloader(
            installed.load(Shelf(()), self.shelf),
            lambda: installed.load(Shelf(()), self.shelf),
            lambda found: compiled(self.config, found),
            self.take_up,
            lambda _: None,
            telemetry,
        )
        self.lineup = None
        self.full = ""  # why nothing can be taken up
        self.changer = ModelChanger(
            self.config, self.store, installed, self.reloader, lambda: self.now, telemetry, lambda: self.apps
        )

    def take_up(self, offer):
        if self.full:
            offer.refused(self.full)
        elif offer.claim():
            self.lineup = offer.lineup
            offer.enter()
            offer.taken(Taken(7, {}))

    def add(self, number, state=ModelState.TRAINED, **more):
        self.now += 1
        return add(self.store, number, state, self.now, **more)

    def ask(self, kind, number=None):
        """Ask as the command does: by the digest."""
        self.now += 1
        subject = "models" if number is None else next(r.digest for r in self.store.models() if r.number == number)
        asked = Request(
            id=secrets.token_hex(4), kind=kind, subject=subject, reason="why", actor="operator:me", created=self.now
        )
        self.store.ask(asked)
        answer = self.changer.do(asked)
        if answer.done:
            assert json.loads(self.store.answer_of(asked.id))["done"], "answered in the same moment"
        else:
            assert self.store.answer_of(asked.id) is None
        return answer

    def tell(self, row, count, *, at=None, shadow=False):
        """Have a model find so many apps."""
        self.turn += 1
        rule = RuleRef("learned.all", row.digest[:16])
        found = [
            stored_finding(f"{self.turn}.{n}", self.now if at is None else at, kind="learned", shadow=shadow)
            for n in range(count)
        ]
        self.store.commit(Turn(number=self.turn, findings=[_of(one, rule) for one in found]))

    def look_after(self, hours):
        self.now += int(hours * HOUR_US)
        self.changer.look()

    @property
    def shelf(self):
        return ModelShelf(self.store.models())

    @property
    def standing(self):
        return {row.number: row.state.value for row in self.store.models()}

    @property
    def asked(self):
        """Numbers of the models that the lineup asks: in force, tried."""
        numbers = {row.digest: row.number for row in self.store.models()}
        learned = self.lineup.learned if self.lineup is not None else None
        found = (learned.asked.model, learned.asked.tried) if learned is not None else ("", "")
        return tuple(numbers.get(digest) for digest in found)

    def entries(self):
        return [link.entry for link in self.store.audit_entries()]

    def events(self):
        return [json.loads(line)["event"] for line in self.log.getvalue().splitlines()]

    def notices(self):
        return [(one.message.channel, json.loads(one.message.body)) for one in self.store.due_messages(2**60, 10)]

    def left(self):
        """All that a refusal must leave as it was."""
        return self.standing, self.asked, self.store.models(), self.reloader.in_force, len(self.entries())


def _of(finding, rule):
    return finding.__class__(**{**{name: getattr(finding, name) for name in finding.__struct_fields__}, "rule": rule})


@pytest.fixture
def scene(tmp_path):
    """One model in force, a second just trained."""
    scene = Scene(tmp_path, webhooks=WEBHOOKS)
    scene.add(1)
    assert scene.ask(ACTIVATE, 1).done
    scene.add(2)
    yield scene
    scene.store.close()


def test_a_model_is_put_in_force_with_actor_and_reason(scene):
    assert (scene.standing, scene.asked) == ({1: "active", 2: "trained"}, (1, None))
    entry = next(entry for entry in scene.entries() if entry.action == "model.activate")
    row = scene.shelf.active
    assert (entry.actor, entry.subject, entry.reason, entry.before, entry.after) == (
        "operator:me",
        "model 1",
        "why",
        "",
        f"model 1 ({row.digest[:16]}) is in force",
    )
    assert scene.events()[-1] == "model_changed"


def test_through_its_trial_into_force_and_back(scene):
    answer = scene.ask(TRY, 2)
    assert "is tried; from turn 7 on" in answer.said
    assert (scene.standing, scene.asked) == ({1: "active", 2: "candidate"}, (1, 2))
    assert scene.ask(ACTIVATE, 2).done
    assert (scene.standing, scene.asked) == ({1: "retired", 2: "active"}, (2, None))
    assert scene.ask(ROLLBACK).done
    assert (scene.standing, scene.asked) == ({1: "active", 2: "withdrawn"}, (1, None))
    assert scene.ask(ROLLBACK).done
    assert (scene.standing, scene.asked) == ({1: "withdrawn", 2: "withdrawn"}, (None, None))
    assert scene.ask(ROLLBACK).problems == ("no model is in force, so there is nothing to go back from",)


def test_what_was_done_is_not_done_twice_after_a_kill(scene):
    assert scene.ask(ACTIVATE, 2).done
    scene.add(3)
    assert scene.ask(ACTIVATE, 3).done
    assert scene.ask(ROLLBACK).done  # and here the daemon is killed, before it says so
    Requests(scene.store, lambda: scene.now, dict.fromkeys((TRY, ACTIVATE, ROLLBACK), scene.changer.do)).look()
    assert scene.standing == {1: "retired", 2: "active", 3: "withdrawn"}


@pytest.mark.parametrize("kind", [TRY, ACTIVATE])
def test_a_model_that_cannot_be_used_leaves_all_as_it_was(scene, kind):
    scene.add(3, file=of_another_version(scene.store.content(scene.shelf.named("2").digest)))
    before = scene.left()
    answer = scene.ask(kind, 3)
    assert not answer.done
    assert "sklearn 0.1" in answer.problems[0]
    assert "miniwatch model train" in answer.problems[0]
    assert scene.left() == (*before[:-1], before[-1] + 1), "and the question, in the audit"
    assert scene.events()[-1] == "model_change_refused"


@pytest.mark.parametrize("state", [ModelState.REFUSED, ModelState.ACTIVE])
def test_what_may_not_follow_is_refused(scene, state):
    number = 1
    if state is ModelState.REFUSED:
        number = scene.add(3, state).number
    before = scene.left()
    assert not scene.ask(ACTIVATE, number).done
    assert scene.left()[:-1] == before[:-1]


def test_a_model_that_is_not_taken_up_does_not_change_the_record(scene):
    scene.full = "the disk is full"
    before = scene.left()
    assert "the disk is full" in scene.ask(ACTIVATE, 2).problems[0]
    assert scene.left()[:-1] == before[:-1]


def test_one_that_was_spoilt_while_it_was_tried_does_not_come_into_force_though_that_is_known(tmp_path):
    scene = Scene(tmp_path)
    scene.add(1, ModelState.CANDIDATE)
    _spoil(tmp_path, 1)
    again = Scene.__new__(Scene)
    again.__dict__.update(scene.__dict__)
    installed = Installed(scene.config, scene.store.pack_content, models=OpenedModels(scene.store.content))
    again.reloader.in_force = installed.load(Shelf(()), scene.shelf)
    assert again.reloader.in_force.models.problems
    assert not again.ask(ACTIVATE, 1).done
    assert again.standing == {1: "candidate"}
    scene.store.close()


def _spoil(folder, number):
    with sqlite3.connect(folder / "miniwatch.db") as connection:
        connection.execute("UPDATE models SET content = ? WHERE number = ?", (b"junk", number))


def test_one_step_back_is_to_the_last_one_that_can_be_used(scene, tmp_path):
    scene.ask(ACTIVATE, 2)
    scene.add(3)
    scene.ask(ACTIVATE, 3)
    _spoil(tmp_path, 2)
    scene.changer._installed._models._opened.clear()
    assert scene.ask(ROLLBACK).done
    assert (scene.standing, scene.asked) == ({1: "active", 2: "retired", 3: "withdrawn"}, (1, None))


def test_where_nothing_can_be_gone_back_to_none_is_asked(scene, tmp_path):
    scene.ask(ACTIVATE, 2)
    _spoil(tmp_path, 1)
    scene.changer._installed._models._opened.clear()
    assert scene.ask(ROLLBACK).done
    assert (scene.standing, scene.asked) == ({1: "retired", 2: "withdrawn"}, (None, None))


def tried(scene, hours, drift):
    """Whether a model that has been tried for so many hours comes into force."""
    scene.ask(TRY, 2)
    if drift:
        scene.store.note_drift(scene.shelf.candidate.digest, {"events": 0.1})
    scene.look_after(hours)
    return scene.standing[2] == "active"


def test_by_the_clock_a_model_comes_into_force_when_its_trial_is_over(scene):
    assert not tried(scene, 71.9, drift=True)
    scene.look_after(0.2)
    assert (scene.standing, scene.asked) == ({1: "retired", 2: "active"}, (2, None))
    entry = scene.entries()[-1]
    assert (entry.actor, entry.action, entry.reason) == (
        "system:schedule",
        "model.activate",
        "72 hours of trial are over",
    )


def test_without_a_whole_day_that_was_looked_at_it_does_not(scene):
    assert not tried(scene, 1_000, drift=False)
    scene.store.note_drift(scene.shelf.candidate.digest, {"events": 0.1})
    scene.changer.look()
    assert scene.standing[2] == "active"


@pytest.mark.parametrize(("shadow_h", "comes"), [(2.0, True), (0.0, False)])
def test_how_long_a_trial_is_is_configured_and_0_is_for_ever(tmp_path, shadow_h, comes):
    scene = Scene(tmp_path, **{"models.shadow_h": shadow_h})
    scene.add(1, ACTIVE)
    scene.add(2)
    assert tried(scene, 2.1, drift=True) is comes
    scene.store.close()


def test_a_trial_that_is_too_loud_does_not_come_into_force(scene):
    scene.ask(TRY, 2)
    scene.store.note_drift(scene.shelf.candidate.digest, {"events": 0.1})
    scene.now += 73 * HOUR_US
    scene.tell(scene.shelf.candidate, FINDINGS_MIN + 1, shadow=True)
    scene.changer.look()
    assert (scene.standing, scene.asked) == ({1: "active", 2: "withdrawn"}, (1, None))
    (notice,) = [one for _, one in scene.notices()]
    assert notice["title"] == "Model 2 was taken back by itself"


def test_a_model_that_tells_of_too_much_is_taken_back_and_told_once(scene):
    scene.ask(ACTIVATE, 2)
    row = scene.shelf.active
    scene.look_after(1)
    assert (scene.standing[2], scene.notices()) == ("active", [])
    scene.tell(row, FINDINGS_MIN + 1)
    scene.changer.look()
    assert (scene.standing, scene.asked) == ({1: "active", 2: "withdrawn"}, (1, None))
    entry = scene.entries()[-1]
    assert (entry.actor, entry.action, entry.subject) == ("system:model-watch", "model.rollback", "model 2")
    assert "it told of 11 apps in 1 h, where 10 are the most" in entry.reason
    assert scene.events()[-2:] == ["model_changed", "model_returned"] or scene.events()[-1] == "model_returned"
    ((channel, notice),) = scene.notices()
    assert channel == "webhook:oncall", "for the other it is not grave enough"
    assert (notice["what"], notice["severity"]) == ("model-returned", "high")
    assert (notice["title"], notice["look"]) == ("Model 2 was taken back by itself", "miniwatch model list")
    assert "it told of 11 apps" in notice["text"].lower()
    assert notice["text"].endswith("What was in force before it is in force.")
    scene.changer.look()
    assert (len(scene.notices()), scene.standing[1]) == (1, "active")


def test_the_model_that_tells_of_too_much_is_the_one_that_goes(scene):
    """Another is tried meanwhile, and is not to blame."""
    scene.tell(scene.shelf.active, FINDINGS_MIN + 1)
    scene.ask(TRY, 2)
    scene.look_after(0.1)
    assert (scene.standing, scene.asked) == ({1: "withdrawn", 2: "candidate"}, (None, 2))
    assert scene.entries()[-1].subject == "model 1"
    ((_, notice),) = scene.notices()
    assert notice["title"] == "Model 1 was taken back by itself"
    assert "No model is in force now: miniwatch model train." in notice["text"]


@pytest.mark.parametrize(
    ("count", "apps", "hours", "stays"),
    [
        (FINDINGS_MIN, 10, 24, True),  # 1 a day is afforded for a thousand apps or fewer, and ten times as many at most
        (FINDINGS_MIN + 1, 10, 24, False),
        (50, 5_000, 24, True),
        (51, 5_000, 24, False),
        (51, 5_000, 48, False),  # the last day counts, and not the one before
        (26, 5_000, 12, False),
        (25, 5_000, 12, True),
    ],
)
def test_how_much_is_too_much(scene, count, apps, hours, stays):
    scene.apps = apps
    row = scene.shelf.active
    scene.now = row.since + hours * HOUR_US
    scene.tell(row, count)
    scene.changer.look()
    assert (scene.standing[1] == "active") is stays


def test_what_was_told_before_a_model_came_to_its_state_or_a_day_ago_counts_no_more(scene):
    row = scene.shelf.active
    scene.tell(row, 100, at=row.since - 1)
    scene.look_after(1)
    assert scene.standing[1] == "active"
    scene.tell(row, 100)
    scene.look_after(24.1)
    assert scene.standing[1] == "active"


def test_what_cannot_be_taken_back_stays_and_nobody_is_told_that_it_was(scene):
    scene.ask(ACTIVATE, 2)
    scene.look_after(1)
    scene.tell(scene.shelf.active, 100)
    scene.full = "the disk is full"
    scene.changer.look()
    assert (scene.standing, scene.notices()) == ({1: "retired", 2: "active"}, [])
    assert "model_returned" not in scene.events()
    scene.full = ""
    scene.changer.look()
    assert (scene.standing, len(scene.notices())) == ({1: "active", 2: "withdrawn"}, 1)


def test_where_models_are_switched_off_none_is_opened(tmp_path):
    scene = Scene(tmp_path, **{"models.enabled": False})
    scene.add(1, ACTIVE)
    _spoil(tmp_path, 1)
    assert scene.reloader.reload("why").problems == ()
    assert scene.asked == (None, None)
    scene.store.close()


def test_where_models_are_switched_off_none_is_tried_or_put_in_force(tmp_path):
    scene = Scene(tmp_path, **{"models.enabled": False})
    scene.add(1)
    for kind in (TRY, ACTIVATE):
        answer = scene.ask(kind, 1)
        assert (answer.done, answer.problems) == (False, (SWITCHED_OFF,))
    scene.changer.look()
    assert scene.standing == {1: "trained"}
    assert scene.asked == (None, None)
    scene.store.close()


def test_what_is_wrong_with_a_rule_meanwhile_keeps_no_model_in_force(scene, monkeypatch):
    monkeypatch.setattr(Installed, "rules", lambda *_: pytest.fail("rules are no matter of models"))
    assert scene.ask(ACTIVATE, 2).done
    assert scene.ask(ROLLBACK).done
    assert (scene.standing, scene.asked) == ({1: "active", 2: "withdrawn"}, (1, None))


def test_a_reload_waits_until_the_record_says_what_was_taken_up(scene, monkeypatch):
    change = scene.store.change_models
    waits = threading.Thread(target=scene.reloader.reload, args=("a folder has changed",))

    def changed(*given):
        waits.start()
        waits.join(0.2)
        assert waits.is_alive()
        change(*given)

    monkeypatch.setattr(scene.store, "change_models", changed)
    assert scene.ask(ACTIVATE, 2).done
    waits.join(10)
    assert (scene.standing, scene.asked) == ({1: "retired", 2: "active"}, (2, None))


def test_a_trial_begins_with_nothing_looked_at(scene):
    scene.store.note_drift(next(row.digest for row in scene.store.models() if row.number == 2), {"apis": 0.1})
    assert scene.ask(TRY, 2).done
    assert scene.shelf.candidate.story.drift == {}


def test_an_answer_says_what_was_done(scene):
    asked = scene.ask(TRY, 2)
    assert isinstance(asked, Answer)
    assert asked.said.startswith("model 2 (")
