"""Models as they are opened from the record: what is right is asked, and where it is not, the one that was in force before it, and that is told."""

import sqlite3
import zlib

import pytest
from made_models import add, file_of, of_another_version, row, small_model, with_a_foreign_type

from detectors.learned.model_file import digest_of
from monitor.models.loading import load_models
from monitor.models.opening import OPENED_MAX, OpenedModels, UnusableModel
from monitor.models.shelf import ModelShelf
from monitor.stores.models import ModelState
from monitor.testing import scratch_store

ACTIVE, RETIRED, CANDIDATE = ModelState.ACTIVE, ModelState.RETIRED, ModelState.CANDIDATE


@pytest.fixture
def store(tmp_path):
    opened = scratch_store(tmp_path)
    yield opened
    opened.close()


def loaded(store):
    return load_models(ModelShelf(store.models()), OpenedModels(store.content))


def in_its_place(tmp_path, number, content):
    """Let the disk hold something else for a model."""
    with sqlite3.connect(tmp_path / "miniwatch.db") as connection:
        connection.execute("UPDATE models SET content = ? WHERE number = ?", (content, number))


def packed_with(change):
    """A model's file as it is kept, with one byte of it another."""
    packed = bytearray(zlib.compress(file_of(2), 1))
    packed[change(len(packed))] ^= 1
    return bytes(packed)


def unpacked_with(change):
    file = bytearray(file_of(2))
    file[change(len(file))] ^= 1
    return zlib.compress(bytes(file), 1)


SPOILT = {
    "a byte altered": lambda: unpacked_with(lambda size: size // 2),
    "the last byte altered": lambda: unpacked_with(lambda size: size - 1),
    "a packed byte altered": lambda: packed_with(lambda size: size // 2),
    "its beginning altered": lambda: packed_with(lambda _size: 0),
    "its sum altered": lambda: packed_with(lambda size: size - 1),
    "truncated": lambda: zlib.compress(file_of(2), 1)[:-1_000],
    "truncated before it was packed": lambda: zlib.compress(file_of(2)[:-1_000], 1),
    "another's": lambda: zlib.compress(file_of(1), 1),
    "not there": lambda: b"",
}


def test_what_is_right_is_asked(store):
    rows = [add(store, 1, RETIRED), add(store, 2, ACTIVE), add(store, 3, CANDIDATE)]
    found = loaded(store)
    assert (found.active.digest, found.tried.digest, found.problems) == (rows[1].digest, rows[2].digest, ())
    assert found.active.learned_h == small_model().learned_h
    assert {*found.active.experts} == {*small_model().experts}


def test_without_models_none_is_asked(store):
    assert loaded(store).active is loaded(store).tried is None
    add(store, 1, RETIRED)  # and none comes back by itself
    assert loaded(store).active is None


@pytest.mark.parametrize("how", SPOILT)
def test_in_place_of_what_is_spoilt_the_one_before_is_asked_and_it_is_told(store, tmp_path, how):
    add(store, 1, RETIRED)
    add(store, 2, ACTIVE, 2)
    in_its_place(tmp_path, 2, SPOILT[how]())
    found = loaded(store)
    assert found.active.digest == digest_of(file_of(1))
    (problem,) = found.problems
    assert problem.model == "model 2"
    reason = "not in the record any more" if how == "not there" else "not what the record says"
    assert reason in problem.message
    assert str(problem).endswith("; model 1, which was in force before it, is asked in its place")


@pytest.mark.parametrize(
    ("made", "why"),
    [(of_another_version, "sklearn 0.1"), (with_a_foreign_type, "no model is made of")],
    ids=["of another version", "with a foreign type"],
)
def test_what_the_record_has_whole_and_cannot_be_used_is_told_too(store, made, why):
    add(store, 1, RETIRED)
    add(store, 2, ACTIVE, 2, file=made(file_of(2)))
    found = loaded(store)
    assert found.active.digest == digest_of(file_of(1))
    assert why in found.problems[0].message
    assert "model 1, which was in force before it" in found.problems[0].message


def test_the_last_one_before_that_can_be_used_is_asked(store, tmp_path):
    for number, state in ((1, RETIRED), (2, RETIRED), (3, RETIRED), (4, ACTIVE)):
        add(store, number, state, number)
    for number in (3, 4):
        in_its_place(tmp_path, number, b"")
    found = loaded(store)
    assert found.active.digest == digest_of(file_of(2))
    assert [problem.model for problem in found.problems] == ["model 4", "model 3"]
    assert "model 2, which was in force before it" in found.problems[0].message


def test_where_none_is_left_none_is_asked(store, tmp_path):
    add(store, 1, ModelState.WITHDRAWN)  # given up: it does not come back
    for number, state in ((2, RETIRED), (3, ACTIVE)):
        add(store, number, state, number)
        in_its_place(tmp_path, number, b"")
    found = loaded(store)
    assert found.active is None
    assert [problem.model for problem in found.problems] == ["model 3", "model 2"]
    assert all("in its place" not in str(problem) for problem in found.problems)


def test_nothing_stands_for_one_that_is_tried(store, tmp_path):
    for number, state in ((1, RETIRED), (2, ACTIVE), (3, CANDIDATE)):
        add(store, number, state, number)
    in_its_place(tmp_path, 3, b"")
    found = loaded(store)
    assert (found.active.digest, found.tried) == (digest_of(file_of(2)), None)
    assert [str(problem) for problem in found.problems] == [
        "model 3 is not used: it is not in the record any more; train anew: miniwatch model train"
    ]


def test_a_model_is_read_once_while_it_is_asked_for():
    asked = []
    files = {digest_of(file_of(number)): file_of(number) for number in range(1, OPENED_MAX + 2)}

    def content(digest):
        asked.append(digest)
        return files[digest]

    models = OpenedModels(content)
    first, *others = files
    assert models(first) is models(first)
    for digest in others:
        models(digest)
    assert asked == [*files]
    models(first)  # it had made room
    models(others[-1])
    assert asked == [*files, first]


def test_what_could_not_be_opened_is_tried_anew():
    files = {}
    models, wanted = OpenedModels(files.get), row(1).digest
    with pytest.raises(UnusableModel, match="miniwatch model train"):
        models(wanted)
    files[wanted] = file_of(1)
    assert models(wanted).digest == wanted
