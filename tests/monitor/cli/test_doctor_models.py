"""What `miniwatch doctor` says of models: whether the one in force can be asked, how old it is, and what became of those after it."""

import sqlite3

import msgspec
import pytest
from made_models import add, file_of, of_another_version, story

from monitor.clock import now_us
from monitor.kept import Kept
from monitor.moments import DAY_US
from monitor.stores.models import ModelState

ACTIVE, REFUSED = ModelState.ACTIVE, ModelState.REFUSED


class Scene:
    """A record with models that were trained some days ago."""

    def __init__(self, miniwatch):
        self.miniwatch = miniwatch
        self.kept = Kept.open(miniwatch.folder / "data")
        self.store, self.now = self.kept.store, now_us()

    def add(self, number, state, days=1.0, **more):
        return add(self.store, number, state, self.now - int(days * DAY_US), **more)

    def signs(self, *, code=0, config=""):
        """What is said of models, in the order in which it is said."""
        (self.miniwatch.folder / "config.toml").write_text(f'http.listen = ""\n{config}')  # others may listen there
        words = ("doctor", "-o", "ndjson", "--config", str(self.miniwatch.folder / "config.toml"))
        said = self.miniwatch.here(*words, code=code).stdout
        rows = [msgspec.json.decode(line) for line in said.splitlines()]
        return [(row["state"], row["found"], row["advice"]) for row in rows if row["what"] == "models"]


@pytest.fixture
def scene(fresh):
    made = Scene(fresh)
    yield made
    made.kept.store.close()


def test_of_models_that_are_as_they_should_be_it_is_said_how_old_they_are(scene):
    scene.add(1, ACTIVE, 5.1)
    scene.add(2, ModelState.CANDIDATE, 1.1)
    assert [(state, found) for state, found, _ in scene.signs()] == [
        ("ok", "model 1 is in force, 5 d 2 h old"),
        ("ok", "model 2 is tried, 1 d 2 h old"),
    ]


def test_nothing_is_said_where_there_are_none_or_they_are_switched_off(scene):
    assert scene.signs() == []
    scene.add(1, ACTIVE, file=of_another_version(file_of(1)))
    assert scene.signs(config="[models]\nenabled = false\n") == []


def test_a_model_that_was_altered_is_a_problem(scene):
    scene.add(1, ACTIVE)
    with sqlite3.connect(scene.miniwatch.folder / "data" / "miniwatch.db") as connection:
        connection.execute("UPDATE models SET content = ?", (b"junk",))
    ((state, found, advice),) = scene.signs(code=1)
    assert (state, found[:56]) == ("problem", "model 1 is in force and cannot be asked: it is not what ")
    assert "miniwatch model train" in advice


def test_a_model_of_other_versions_of_the_libraries_is_a_problem(scene):
    scene.add(1, ACTIVE, file=of_another_version(file_of(1)))
    ((state, found, _),) = scene.signs(code=1)
    assert state == "problem"
    assert "sklearn 0.1" in found


@pytest.mark.parametrize(("days", "every", "is_told"), [(8.9, 7, False), (9.1, 7, True), (50.0, 0, False)])
def test_a_training_that_is_missing_is_a_warning(scene, days, every, is_told):
    scene.add(1, ACTIVE, days)
    said = scene.signs(config=f"[models]\ntrain_every_days = {every}\n")
    warned = [found for state, found, _ in said if state == "warning"]
    assert bool(warned) is is_told
    assert all(one == "the last was trained 9 d 2 h ago, and one is to be every 7 days" for one in warned)


@pytest.mark.parametrize(("refused", "is_told"), [(2, False), (3, True)])
def test_trainings_that_are_refused_again_and_again_are_a_warning(scene, refused, is_told):
    scene.add(1, ACTIVE)
    for number in range(refused):
        scene.add(number + 2, REFUSED, story=story(refused="it finds 3%"))
    warned = [found for state, found, _ in scene.signs() if state == "warning"]
    assert warned == ["the last 3 that were trained were refused, the newest since it finds 3%"] * is_told


def test_categories_that_have_the_apps_for_a_forest_and_none_are_named(scene):
    listed = [("shop", 34), ("game", 34), ("chat", 33)]
    lines = [
        msgspec.json.encode({"app_id": f"wx{name}{number}", "category": name})
        for name, count in listed
        for number in range(count)
    ]
    scene.miniwatch.folder.joinpath("apps.ndjson").write_bytes(b"\n".join(lines) + b"\n")
    scene.miniwatch.here("apps", "import", str(scene.miniwatch.folder / "apps.ndjson"))
    scene.add(1, ACTIVE, story=story(experts={"all": (400, 50), "shop": (400, 50)}))
    ((state, found, _),) = scene.signs()
    assert (state, found.partition("; ")[2]) == ("ok", "without a forest of their own: game")
