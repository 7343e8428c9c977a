"""Models in the record: numbered as they come, files and stories kept within bounds, and what was found that none may learn from."""

import sqlite3

import msgspec
import pytest
from made_models import ENTRY, row, story

from detectors.finding import Entity, RuleRef, Scope, Severity
from monitor.audit import AuditEntry
from monitor.sealing import Seal
from monitor.stores import Message, Turn, models
from monitor.stores.models import FILES_KEPT, STORIES_KEPT, ModelState
from monitor.stores.record import NotFound, Reply, Request
from monitor.stores.sqlite import sqlite_store
from monitor.stores.undos import Marking, UndoAsked, Verdict
from monitor.testing import scratch_store, stored_finding
from playbooks.correction import Correction


@pytest.fixture
def store(tmp_path):
    opened = scratch_store(tmp_path)
    yield opened
    opened.close()


def add(store, name, state=ModelState.TRAINED, since=1, **more):
    """A model whose digest is a name, and its file a word with that name."""
    return store.add_model(row(0, state, since, digest=name, **more), file(name), ENTRY)


def file(name):
    return b"file of " + name.encode()


def with_files(store):
    return {row.digest for row in store.models() if store.content(row.digest) is not None}


def change(store, *changed, **more):
    entry = AuditEntry(time=2, actor="operator:ada", action="model.activate", subject="model 1", reason="r")
    store.change_models(
        [msgspec.structs.replace(row, state=state, since=at) for row, state, at in changed], entry, **more
    )


def test_models_are_numbered_as_they_come(store):
    assert [add(store, name).number for name in "zay"] == [1, 2, 3]
    assert {row.digest: row.number for row in store.models()} == {"z": 1, "a": 2, "y": 3}
    entries = [link.entry for link in store.audit_entries() if link.entry.action == "model.train"]
    assert [entry.subject for entry in entries] == ["model 1", "model 2", "model 3"]


def test_a_model_comes_back_as_it_was_added(store, tmp_path):
    told = story(
        before=row().story.figures, refused="it finds too little", drift={"events": 0.5}, experts={"shop": (7, 2)}
    )
    added = add(store, "a", ModelState.WITHDRAWN, 9, story=told, created=5, bytes=77)
    assert store.models() == [added]
    assert (added.story, added.created, added.since, added.bytes) == (told, 5, 9, 77)
    again = sqlite_store(tmp_path / "miniwatch.db", seal=Seal(bytes(32)))
    assert (again.models(), again.content("a")) == ([added], file("a"))
    again.close()


def test_those_that_came_to_their_state_last_are_first(store):
    one, two, three = add(store, "a", since=5), add(store, "b", since=7), add(store, "c", since=5)
    assert [row.digest for row in store.models()] == ["b", "c", "a"]
    change(store, (one, ModelState.ACTIVE, 8))
    assert [row.digest for row in store.models()] == ["a", "b", "c"]
    assert {two.digest, three.digest} <= {row.digest for row in store.models()}


def test_a_file_is_had_by_its_digest_and_nothing_else_is(store):
    add(store, "a")
    assert store.content("a") == file("a")
    assert store.content("b") is store.content("") is None


def test_a_refused_model_has_a_story_and_no_file(store):
    add(store, "a", ModelState.REFUSED)
    assert (store.models()[0].state, store.content("a")) == (ModelState.REFUSED, None)


def test_what_cannot_be_unpacked_is_given_as_it_is(store, tmp_path):
    add(store, "a")
    with sqlite3.connect(tmp_path / "miniwatch.db") as connection:
        connection.execute("UPDATE models SET content = ?", (b"junk",))
    assert store.content("a") == b"junk"


def test_a_file_that_unpacks_to_more_than_a_model_may_have_is_cut(store, monkeypatch):
    monkeypatch.setattr(models, "FILE_BYTES_MAX", 1 << 20)
    store.add_model(row(0, digest="a"), bytes(64 << 20), ENTRY)
    assert len(store.content("a")) == 1 << 20


def test_files_of_the_newest_are_kept_and_always_of_those_in_use(store):
    add(store, "active", ModelState.ACTIVE, 1)
    add(store, "tried", ModelState.CANDIDATE, 1)
    names = [f"n{number}" for number in range(6)]
    for number, name in enumerate(names):
        add(store, name, since=10 + number)
    assert with_files(store) == {"active", "tried", *names[-FILES_KEPT:]}
    assert len(store.models()) == 8


def test_refused_models_take_no_place_of_files(store):
    add(store, "old", since=1)
    for number in range(FILES_KEPT + 1):
        add(store, f"n{number}", ModelState.REFUSED, 10 + number)
    assert with_files(store) == {"old"}


def test_the_one_that_was_in_force_last_can_be_gone_back_to_after_any_number_of_trials(store):
    add(store, "older", ModelState.RETIRED, 1)
    add(store, "before", ModelState.RETIRED, 2)
    add(store, "active", ModelState.ACTIVE, 2)
    for number in range(6):
        add(store, f"n{number}", ModelState.WITHDRAWN, 10 + number)
    assert with_files(store) == {"before", "active", "n3", "n4", "n5"}


def test_a_change_of_states_lets_go_too(store):
    rows = [add(store, f"n{number}", since=number) for number in range(FILES_KEPT)]
    first, tried = add(store, "active", ModelState.ACTIVE, 1), add(store, "tried", ModelState.CANDIDATE, 1)
    change(store, (tried, ModelState.ACTIVE, 50), (first, ModelState.WITHDRAWN, 50))
    assert with_files(store) == {"active", "tried", *(row.digest for row in rows[1:])}


def test_stories_of_the_newest_are_kept_and_numbers_are_not_used_again(store, monkeypatch):
    monkeypatch.setattr(models, "STORIES_KEPT", 4)
    add(store, "active", ModelState.ACTIVE, 1)
    add(store, "tried", ModelState.CANDIDATE, 1)
    for number in range(7):
        add(store, f"n{number}", ModelState.REFUSED, 10 + number)
    assert sorted(row.digest for row in store.models()) == ["active", "n3", "n4", "n5", "n6", "tried"]
    assert add(store, "next").number == 10
    assert STORIES_KEPT >= FILES_KEPT


def test_models_change_together_with_word_answer_and_entry(store):
    one, two = add(store, "a", ModelState.ACTIVE), add(store, "b", ModelState.CANDIDATE)
    asked = Request(id="q", kind="models.activate", subject="b", reason="r", actor="operator:ada", created=1)
    store.ask(asked)
    message = Message(key="m", channel="webhook:oncall", body=b"{}", created=2)
    answered = AuditEntry(time=2, actor="operator:ada", action="models.activate.done", subject="b", reason="r")
    reply = Reply(request="q", answer="{}", time=2, entry=answered)
    change(store, (two, ModelState.ACTIVE, 9), (one, ModelState.RETIRED, 9), messages=[message], reply=reply)
    assert {row.digest: (row.state, row.since) for row in store.models()} == {
        "a": (ModelState.RETIRED, 9),
        "b": (ModelState.ACTIVE, 9),
    }
    assert [one.message.key for one in store.due_messages(2**60, 10)] == ["m"]
    assert store.answer_of("q") == "{}"
    assert [link.entry.action for link in store.audit_entries()][-2:] == ["model.activate", "models.activate.done"]


def test_of_a_change_that_cannot_be_nothing_is_done(store):
    one = add(store, "a", ModelState.ACTIVE)
    entries = len(list(store.audit_entries()))
    message = Message(key="m", channel="webhook:oncall", body=b"{}", created=2)
    with pytest.raises(NotFound):
        change(store, (one, ModelState.RETIRED, 9), (row(digest="gone"), ModelState.ACTIVE, 9), messages=[message])
    assert store.models() == [one]
    assert store.due_messages(2**60, 10) == []
    assert len(list(store.audit_entries())) == entries


def test_drift_is_noted_beside_the_story(store):
    added, other = add(store, "a", story=story(left_out=9)), add(store, "b")
    store.note_drift("a", {"events": 0.25, "login": 0.0})
    store.note_drift("gone", {"events": 1.0})
    found = {row.digest: row for row in store.models()}
    assert found["b"] == other
    assert found["a"].story == msgspec.structs.replace(added.story, drift={"events": 0.25, "login": 0.0})
    assert (found["a"].state, found["a"].since, store.content("a")) == (added.state, added.since, file("a"))


def learned(key, time, rule="learned.shop", version="v", **more):
    made = stored_finding(key, time, kind="learned", detector="learned", **more)
    return msgspec.structs.replace(made, rule=RuleRef(rule, version))


def test_what_a_model_told_is_counted_from_a_time_of_events_on(store):
    findings = [
        learned("a", 99),
        learned("b", 100),
        learned("c", 500, "learned.all", shadow=True),
        learned("d", 500, version="w"),
        learned("e", 500, "learnedXshop"),
        stored_finding("f", 500, rule="rule"),
    ]
    store.commit(Turn(number=1, findings=findings))
    assert [store.told_of("v", since) for since in (0, 99, 100, 101, 501)] == [3, 3, 2, 1, 0]
    assert (store.told_of("w", 0), store.told_of("none", 0)) == (1, 0)


NOW = 1_000


def mark(store, verdict, *findings, expires=NOW + 1, now=10):
    marking = Marking(findings=findings, verdict=verdict, expires=expires)
    asked = UndoAsked(id=f"u{now}", what=marking, because="b", reason="r", actor="operator:ada", now=now)
    store.undo(asked, lambda _gathered: Correction())


def about(app, key="f", time=100, **more):
    made = stored_finding(key, time, **more)
    return msgspec.structs.replace(made, entity=Entity(Scope.APP, app))


def found_in(store, since=0, until=1_000, now=NOW):
    return sorted(app for app, _, _ in store.found_in(since, until, now))


@pytest.mark.parametrize(
    ("finding", "verdict", "expires", "is_found"),
    [
        ({}, None, 0, True),
        ({"severity": Severity.MEDIUM}, None, 0, True),
        ({"severity": Severity.LOW}, None, 0, False),
        ({"kind": "statistical"}, None, 0, True),
        ({"kind": "integrity", "severity": Severity.CRITICAL}, None, 0, True),
        ({"kind": "learned", "severity": Severity.CRITICAL}, None, 0, False),
        ({"kind": "learned"}, Verdict.TRUE, NOW + 1, True),
        ({"severity": Severity.INFORMATIONAL}, Verdict.TRUE, NOW + 1, True),
        ({"severity": Severity.INFORMATIONAL}, Verdict.TRUE, NOW, False),
        ({}, Verdict.TRUE, NOW + 1, True),
        ({}, Verdict.FALSE, NOW + 1, False),
        ({}, Verdict.FALSE, NOW, True),
        ({}, Verdict.BENIGN_KNOWN, NOW + 1, False),
        ({}, Verdict.BENIGN_KNOWN, NOW, True),
        ({"kind": "learned"}, Verdict.FALSE, NOW + 1, False),
    ],
)
def test_what_may_not_be_learned_from(store, finding, verdict, expires, is_found):
    store.commit(Turn(number=1, findings=[about("wx1", "f", **finding), about("wx2", "other", severity=Severity.LOW)]))
    if verdict is not None:
        mark(store, verdict, "f", expires=expires)
    assert found_in(store) == (["wx1"] if is_found else [])


def test_a_verdict_that_is_taken_back_counts_no_more(store):
    store.commit(Turn(number=1, findings=[about("wx1")]))
    mark(store, Verdict.FALSE, "f")
    mark(store, None, "f", now=11, expires=None)
    assert found_in(store) == ["wx1"]


def test_only_what_is_about_apps_is_found(store):
    device = msgspec.structs.replace(about("wx1"), entity=Entity(Scope.DEVICE, "d1"))
    store.commit(Turn(number=1, findings=[device]))
    assert found_in(store) == []


@pytest.mark.parametrize(
    ("since", "until", "is_found"),
    [(200, 300, True), (250, 260, True), (0, 201, True), (0, 200, False), (299, 500, True), (300, 500, False)],
)
def test_what_was_found_between_two_times(store, since, until, is_found):
    one = msgspec.structs.replace(about("wx1", time=250), first_event=200, last_event=299)
    store.commit(Turn(number=1, findings=[one]))
    assert list(store.found_in(since, until, NOW)) == ([("wx1", 200, 299)] if is_found else [])


def test_each_of_several_findings_about_an_app_has_its_span(store):
    store.commit(Turn(number=1, findings=[about("wx1", "a", 100), about("wx1", "b", 300), about("wx2", "c", 300)]))
    assert sorted(store.found_in(0, 1_000, NOW)) == [("wx1", 100, 100), ("wx1", 300, 300), ("wx2", 300, 300)]
