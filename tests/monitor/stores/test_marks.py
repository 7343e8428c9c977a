"""Marks in the record: how many say what of which rule, until when they are input, and how long what they are about is kept."""

import sqlite3

import pytest
from earlier import record_of_schema

from monitor.listing.feedback import precision_of_detector, precisions
from monitor.moments import DAY_US
from monitor.sealing import Seal
from monitor.stores import Turn
from monitor.stores.sqlite import sqlite_store
from monitor.stores.undos import Marking, UndoAsked, Verdict
from monitor.testing import scratch_store, stored_finding
from playbooks.correction import Correction
from playbooks.precision import Precision

FOUND = {
    "a": stored_finding("a", rule="r1"),
    "b": stored_finding("b", rule="r1"),
    "c": stored_finding("c", rule="r1"),
    "d": stored_finding("d", rule="r2"),
    "e": stored_finding("e", rule="m1", kind="learned", detector="forest"),
    "f": stored_finding("f", rule="m2", kind="learned", detector="forest"),
}


@pytest.fixture
def store(tmp_path):
    opened = scratch_store(tmp_path)
    opened.commit(Turn(number=1, findings=list(FOUND.values())))
    yield opened
    opened.close()


def mark(store, verdict, *findings, expires=2_000, now=1_000):
    marking = Marking(findings=findings, verdict=verdict, expires=expires)
    asked = UndoAsked(id=f"u{now}", what=marking, because="b", reason="r", actor="operator:ada", now=now)
    store.undo(asked, lambda _gathered: Correction())


def test_precision_is_of_each_rule_each_detector_and_each_kind(store):
    mark(store, Verdict.TRUE, "a", "b", "e")
    mark(store, Verdict.FALSE, "c", "f")
    mark(store, Verdict.BENIGN_KNOWN, "d")
    said = precisions(store)
    assert said.rules == {
        "r1": Precision(true=2, false=1),
        "r2": Precision(benign_known=1),
        "m1": Precision(true=1),
        "m2": Precision(false=1),
    }
    assert said.detectors == {
        "sigma": Precision(true=2, false=1, benign_known=1),
        "forest": Precision(true=1, false=1),
    }
    assert said.kinds == {"rule": said.detectors["sigma"], "learned": said.detectors["forest"]}
    assert precision_of_detector(store, "forest") == Precision(true=1, false=1)
    assert precision_of_detector(store, "none such") == Precision()


def test_a_mark_counts_for_precision_after_it_has_expired_and_as_it_was_last_said(store):
    mark(store, Verdict.FALSE, "a")
    mark(store, Verdict.TRUE, "a", now=1_100, expires=1_200)
    assert store.marks_in_force(1_199)[0].verdict is Verdict.TRUE
    assert store.marks_in_force(1_200) == []
    assert precisions(store).rules == {"r1": Precision(true=1)}


def test_marks_with_one_word_can_be_asked_for(store):
    mark(store, Verdict.TRUE, "a")
    mark(store, Verdict.BENIGN_KNOWN, "e")
    assert [one.finding for one in store.marks_in_force(0, Verdict.BENIGN_KNOWN)] == ["e"]


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        (None, Verdict.BENIGN_KNOWN, True),
        (Verdict.BENIGN_KNOWN, None, True),
        (Verdict.BENIGN_KNOWN, Verdict.TRUE, True),
        (None, Verdict.TRUE, False),
        (Verdict.FALSE, None, False),
    ],
)
def test_what_decisions_rest_on_changes_with_what_is_called_benign(store, before, after, changes):
    if before is not None:
        mark(store, before, "a")
    version = store.rulings_version()
    mark(store, after, "a", now=1_100)
    assert (store.rulings_version() != version) is changes


def test_a_finding_is_kept_as_long_as_its_mark_is_input(store):
    mark(store, Verdict.BENIGN_KNOWN, "a")
    mark(store, Verdict.TRUE, "b", expires=1_500)
    store.forget_findings(500, 1_600)
    assert [one.id for one in store.findings()] == ["a"]
    assert set(store.finding_marks(["a", "b"])) == {"a"}
    store.forget_findings(500, 2_000)
    assert (list(store.findings()), dict(store.finding_marks(["a", "b"])), store.judged()) == ([], {}, [])


def test_marks_of_before_are_input_for_half_a_year_from_when_they_were_made(tmp_path):
    path = tmp_path / "miniwatch.db"
    record_of_schema(path, "0020")
    with sqlite3.connect(path) as connection:
        row = "INSERT INTO finding_marks (finding, verdict, undo, reason, actor, time) VALUES (?, ?, ?, 'r', 'a', 7)"
        connection.executemany(row, [("f1", "false", None), ("f2", None, "u1")])
    opened = sqlite_store(path, seal=Seal(bytes(32)))
    marks = opened.finding_marks(["f1", "f2"])
    assert (marks["f1"].expires, marks["f2"].expires) == (7 + 180 * DAY_US, None)
    opened.close()
