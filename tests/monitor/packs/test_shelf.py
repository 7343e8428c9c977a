"""Which pack may follow which, and where each stands then."""

import pytest

from monitor.packs.manifest import PackRefused
from monitor.packs.shelf import Shelf, Stage
from monitor.stores.record import PackRow, PackState


def offered(version, name="rules"):
    return PackRow(
        digest=f"d{version}", name=name, version=version, signer="s", state=PackState.OFFERED, stage="", since=0
    )


class Scene:
    """A shelf on which one step follows another."""

    def __init__(self):
        self.shelf, self.now = Shelf(()), 0

    def move(self, version, stage, **more):
        self.now += 1
        row = next((row for row in self.shelf.rows if row.version == version), offered(version, **more))
        self.shelf = self.shelf.after(self.shelf.moved(row, Stage(stage), self.now))

    def back(self):
        self.now += 1
        self.shelf = self.shelf.after(self.shelf.returned(self.now))

    @property
    def standing(self):
        return {row.version: f"{row.state} {row.stage}" for row in self.shelf.rows}


@pytest.fixture
def scene():
    scene = Scene()
    scene.move(1, "live")
    return scene


def test_a_pack_comes_through_its_stages(scene):
    for stage in ("shadow", "canary"):
        scene.move(2, stage)
        assert scene.standing == {1: "active live", 2: f"candidate {stage}"}
    scene.move(2, "live")
    assert scene.standing == {1: "retired live", 2: "active live"}


@pytest.mark.parametrize(("version", "name", "why"), [(1, "rules", "in force already"), (2, "others", "of its name")])
def test_what_may_not_follow_is_refused(scene, version, name, why):
    with pytest.raises(PackRefused, match=why):
        scene.move(version, "live", name=name)


def test_an_older_pack_is_refused_also_one_that_was_in_force(scene):
    scene.move(5, "live")
    for version in (1, 3):
        with pytest.raises(PackRefused, match=f"version {version} is not newer than 5"):
            scene.move(version, "shadow")


def test_a_pack_does_not_go_back_in_its_stages(scene):
    scene.move(2, "canary")
    for stage in ("shadow", "canary"):
        with pytest.raises(PackRefused, match="later one only"):
            scene.move(2, stage)


def test_a_newer_candidate_takes_the_place_of_the_one_before(scene):
    scene.move(2, "shadow")
    scene.move(3, "shadow")
    assert scene.standing == {1: "active live", 2: "withdrawn shadow", 3: "candidate shadow"}


def test_going_back_takes_the_last_step_first(scene):
    scene.move(2, "live")
    scene.move(3, "canary")
    scene.back()
    assert scene.standing == {1: "retired live", 2: "active live", 3: "withdrawn canary"}
    scene.back()
    assert scene.standing == {1: "active live", 2: "withdrawn live", 3: "withdrawn canary"}
    scene.back()
    assert scene.shelf.active is None
    with pytest.raises(PackRefused, match="nothing to go back from"):
        scene.back()
