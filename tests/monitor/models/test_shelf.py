"""Which model may follow which: one is in force at most, one is tried at most, and one step back is always the one before."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from made_models import row, story

from monitor.models.shelf import ModelRefused, ModelShelf, standing
from monitor.stores.models import ModelState


def model(number, state=ModelState.TRAINED, since=0, **more):
    return row(number, state, since, digest=f"{number:064x}"[::-1], **more)


class Scene:
    """A shelf on which one step follows another, in the order in which a record gives its rows."""

    def __init__(self, count=4):
        self.shelf, self.now = ModelShelf([model(number) for number in range(1, count + 1)]), 0

    def row(self, number):
        return next(row for row in self.shelf.rows if row.number == number)

    def take(self, changed):
        rows = sorted(self.shelf.after(changed).rows, key=lambda row: (row.since, row.number), reverse=True)
        self.shelf = ModelShelf(rows)

    def do(self, what, number):
        self.now += 1
        self.take(getattr(self.shelf, what)(self.row(number), self.now))

    def back(self):
        self.now += 1
        self.take(self.shelf.returned(self.now))

    @property
    def standing(self):
        return {row.number: row.state.value for row in self.shelf.rows if row.state is not ModelState.TRAINED}


@pytest.fixture
def scene():
    scene = Scene()
    scene.do("activated", 1)
    return scene


def test_a_model_is_tried_and_comes_into_force(scene):
    scene.do("tried", 2)
    assert scene.standing == {1: "active", 2: "candidate"}
    scene.do("activated", 2)
    assert scene.standing == {1: "retired", 2: "active"}
    assert (scene.shelf.active.number, scene.shelf.candidate) == (2, None)


def test_one_that_is_tried_takes_the_place_of_the_one_before(scene):
    scene.do("tried", 2)
    scene.do("tried", 3)
    assert scene.standing == {1: "active", 2: "withdrawn", 3: "candidate"}


def test_what_is_tried_stays_tried_when_another_comes_into_force(scene):
    scene.do("tried", 2)
    scene.do("activated", 3)
    assert scene.standing == {1: "retired", 2: "candidate", 3: "active"}


def test_going_back_takes_the_last_step_first(scene):
    scene.do("activated", 2)
    scene.do("tried", 3)
    scene.back()
    assert scene.standing == {1: "retired", 2: "active", 3: "withdrawn"}
    scene.back()
    assert scene.standing == {1: "active", 2: "withdrawn", 3: "withdrawn"}
    scene.back()
    assert scene.shelf.active is None
    with pytest.raises(ModelRefused, match="nothing to go back from"):
        scene.back()


def test_one_that_was_given_up_can_be_asked_for_again(scene):
    scene.do("activated", 2)
    scene.back()
    scene.do("tried", 2)
    assert scene.standing == {1: "active", 2: "candidate"}


@pytest.mark.parametrize("what", ["tried", "activated"])
@pytest.mark.parametrize(
    ("state", "why"),
    [(ModelState.REFUSED, "was refused after its training: it finds 3%"), (ModelState.ACTIVE, "is in force already")],
)
def test_what_may_not_be_is_refused(what, state, why):
    asked = model(1, state, story=story(refused="it finds 3%"))
    with pytest.raises(ModelRefused, match=why):
        getattr(ModelShelf([asked]), what)(asked, 1)


def test_what_is_tried_is_not_tried_once_more():
    asked = model(1, ModelState.CANDIDATE)
    with pytest.raises(ModelRefused, match="is tried already"):
        ModelShelf([asked]).tried(asked, 1)


def test_a_model_is_named_by_number_or_by_how_its_digest_begins():
    twin = row(3, digest="abcdef0" + "0" * 57), row(4, digest="abcdef1" + "0" * 57)
    shelf = ModelShelf([row(1, digest="123456" + "0" * 58), row(12, digest="9" * 64), *twin])
    assert shelf.named("1").number == 1
    assert shelf.named("12").number == 12
    assert shelf.named("123456").number == 1
    assert shelf.named("abcdef1").number == 4
    assert shelf.named("9" * 64).number == 12
    for wrong in ("2", "99999", "abcdef", "abcde", "fffffff", ""):
        with pytest.raises(ModelRefused, match="miniwatch model list"):
            shelf.named(wrong)


def test_how_models_stand_is_told_with_their_digests():
    rows = [model(1, ModelState.ACTIVE), model(2, ModelState.RETIRED)]
    assert standing(rows) == f"model 1 ({rows[0].digest[:16]}) is in force; model 2 ({rows[1].digest[:16]}) is retired"


class Asking(RuleBasedStateMachine):
    """Whatever is asked, in whatever order."""

    def __init__(self):
        super().__init__()
        self.scene = Scene(3)
        self.scene.shelf = ModelShelf([*self.scene.shelf.rows, model(9, ModelState.REFUSED)])
        self.forced = []  # who was in force, as people would remember it

    def _ask(self, what, number):
        before = self.scene.shelf
        try:
            self.scene.do(what, number)
        except ModelRefused:
            assert self.scene.shelf is before
        else:
            assert number != 9
            if what == "activated":
                self.forced = [one for one in self.forced if one != number] + [number]
            elif number in self.forced:
                self.forced.remove(number)

    @rule(number=st.sampled_from([1, 2, 3, 9]))
    def tried(self, number):
        self._ask("tried", number)

    @rule(number=st.sampled_from([1, 2, 3, 9]))
    def activated(self, number):
        self._ask("activated", number)

    @precondition(lambda self: self.scene.shelf.active or self.scene.shelf.candidate)
    @rule()
    def back(self):
        was_tried = self.scene.shelf.candidate is not None
        self.scene.back()
        if not was_tried:
            self.forced.pop()

    @invariant()
    def at_most_one_of_each(self):
        counts = Counter(row.state for row in self.scene.shelf.rows)
        assert counts[ModelState.ACTIVE] <= 1
        assert counts[ModelState.CANDIDATE] <= 1
        assert len({row.digest for row in self.scene.shelf.rows}) == len(self.scene.shelf.rows) == 4

    @invariant()
    def the_one_in_force_and_those_before_it_are_those_that_people_remember(self):
        shelf = self.scene.shelf
        assert [row.number for row in reversed(shelf.before)] == self.forced[:-1]
        assert (shelf.active.number if shelf.active else None) == (self.forced[-1] if self.forced else None)


TestAsking = Asking.TestCase
TestAsking.settings = settings(max_examples=40, stateful_step_count=20)
