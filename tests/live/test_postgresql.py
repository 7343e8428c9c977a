"""The record in a real PostgreSQL: the same laws as in SQLite, and what only a server can do to it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from cutting import Cutting
from sqlalchemy import select, text

from detectors.finding import Entity, Scope, Severity
from monitor.alerts import Channel
from monitor.audit import verify
from monitor.responding.clocks_told import ClockWatch
from monitor.responding.tending import close, note
from monitor.sealing import Seal
from monitor.stores import AppRecord, Mark, Progress, StoreError, Turn
from monitor.stores.clocks import Episodes
from monitor.stores.finding_parts import put_findings
from monitor.stores.postgresql import PostgresqlAt, PostgresqlDatabase
from monitor.stores.postgresql_standing import standing
from monitor.stores.record import Query, TooSlow
from monitor.stores.rows import put
from monitor.stores.sql import SqlStore
from monitor.stores.tables import metadata
from monitor.stores.undos import Marking, UndoAsked, Verdict
from monitor.testing import (
    check_store,
    scratch_store,
    store_state,
    stored_decision,
    stored_finding,
    stored_incident,
    whole_turn,
)
from monitor.testing.retention import check_retention
from playbooks.clocks import Targets, begun
from playbooks.correction import Correction

HOUR_S = 3600.0
EVERY = dict.fromkeys(Severity, 100)
TARGETS = Targets(acknowledge_s=EVERY, respond_s=EVERY, resolve_s=EVERY)


def database_at(url, **more):
    return PostgresqlDatabase(PostgresqlAt(url=url, **more))


def opened(url, **more):
    return SqlStore(database_at(url, **more), seal=Seal(bytes(32)))


@pytest.fixture
def url(postgres):
    return postgres.database()


@pytest.fixture
def store(url):
    store = opened(url)
    yield store
    store.close()


@pytest.fixture
def other(store):
    """The same record, as another process has it."""
    other = opened(store._database.engine.url.set(drivername="postgresql").render_as_string())
    yield other
    other.close()


def ask(url, *statements):
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            found = connection.execute(statement)
        return found.fetchall() if found.description else []


def test_the_record_in_postgresql_keeps_the_laws_of_stores(postgres):
    check_store(lambda: opened(postgres.database()))


def test_retention_deletes_in_postgresql_what_it_deletes_in_sqlite(postgres):
    check_retention(lambda: opened(postgres.database()))


def test_marks_are_kept_counted_and_forgotten_as_in_sqlite(store):
    store.commit(Turn(number=1, findings=[stored_finding("a"), stored_finding("b", rule="r2", kind="learned")]))
    for number, (key, verdict, expires) in enumerate([("a", Verdict.BENIGN_KNOWN, 2_000), ("b", Verdict.TRUE, 1_500)]):
        marking = Marking(findings=(key,), verdict=verdict, expires=expires)
        asked = UndoAsked(id=f"u{number}", what=marking, because="b", reason="r", actor="operator:ada", now=1_000)
        store.undo(asked, lambda _gathered: Correction())
    assert [one.finding for one in store.marks_in_force(1_500)] == ["a"]
    assert [(one.rule, one.kind, one.verdict, one.findings) for one in store.judged()] == [
        ("r2", "learned", Verdict.TRUE, 1),
        ("rule", "rule", Verdict.BENIGN_KNOWN, 1),
    ]
    store.forget_findings(500, 1_600)
    assert [one.id for one in store.findings()] == ["a"]


def test_clocks_run_out_and_are_stopped_as_in_sqlite(store, tmp_path):
    left = scratch_store(tmp_path)
    for record in (store, left):
        incident = stored_incident("i1", severity=Severity.HIGH)
        record.commit(Turn(number=1, time=0, incidents=[incident], clocks=begun("i1", Severity.HIGH, [], TARGETS, 0)))
        channel = Channel("pagerduty:a", Severity.LOW)
        ClockWatch(record, [channel], lambda: 80_000_000).look()
        note(record, "i1", text="it\0 leaks", actor="operator:ann", now=90_000_000, name="n1")
        close(record, "i1", actor="operator:ann", reason="done", now=200_000_000, channels=[channel])
    assert store.clocks_of(["i1"]) == left.clocks_of(["i1"])
    assert store.clock_counts() == left.clock_counts()
    assert store.settled_clocks(0) == left.settled_clocks(0)
    assert len(store.settled_clocks(0)) == 3
    assert store.words_about(["i1"])[0] == left.words_about(["i1"])[0]
    every, late = Episodes(ended_after=0), Episodes(ended_after=0, unanswered=True)
    assert store.episodes(every, 10) == left.episodes(every, 10)
    assert store.count_episodes(late) == left.count_episodes(late)
    assert not store.has_due_clocks(2**62)
    left.close()


def test_the_migrations_make_the_tables_that_the_code_knows(store):
    with store._database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_every_text_is_sorted_by_its_bytes_whatever_the_language_of_the_database(url):
    opened(url).close()
    columns = "SELECT count(*) FILTER (WHERE collation_name = 'C'), count(*) FROM information_schema.columns"
    ((sorted_so, all_of_them),) = ask(url, f"{columns} WHERE table_schema = 'public' AND data_type = 'text'")
    assert sorted_so == all_of_them > 100


def test_two_that_start_at_once_make_the_tables_once(url):
    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(lambda _: opened(url), range(4)))
    stores[0].commit(whole_turn(1))
    assert {store.last_turn() for store in stores} == {1}
    for store in stores:
        store.close()


def test_a_change_of_the_schema_waits_for_who_writes_and_nobody_writes_as_before_from_then_on(url):
    before, hasty, newer = opened(url), opened(url, lock_s_max=0.2), database_at(url)
    begun, end = threading.Event(), threading.Event()

    def change():
        with newer.upgrading() as connection:
            begun.set()
            assert end.wait(20)
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with ThreadPoolExecutor(2) as threads:
        with before._database.writing("turn", "a stream"):
            changed = threads.submit(change)
            assert not begun.wait(0.5), "one is writing, who knows of no change"
        assert begun.wait(5)
        with pytest.raises(StoreError, match=r"longer than store\.lock_s_max") as refusal:
            hasty.commit(whole_turn(1))
        assert refusal.value.retryable
        end.set()
        changed.result(20)
        for wanted in (lambda: hasty.commit(whole_turn(1)), lambda: opened(url)):
            with pytest.raises(StoreError, match="made by a newer Miniwatch"):
                wanted()
    for one in (before, hasty, newer):
        one.close()


def test_texts_with_the_character_nul_come_back_as_they_were(store):
    odd = ["a\x00b", "a\x01b", "a\x01\x01", "a", "\x00", "a\x00\x01\x02"]
    findings = [stored_finding(f"f{n}", n, entity=Entity(Scope.DEVICE, value)) for n, value in enumerate(odd)]
    store.commit(Turn(number=1, findings=findings, progress=[Progress(partition="file:\x00", end=1)]))
    assert {one.entity.value for one in store.findings()} == set(odd)
    assert [one.id for one in store.findings(Query(scope="DeviceId", value="a\x00b"))] == ["f0"]
    assert list(store.progress()) == ["file:\x00"]
    with store._database.reading() as connection:
        column = metadata.tables["findings"].c.value
        assert list(connection.execute(select(column).order_by(column)).scalars()) == sorted(odd)


def test_a_protected_app_is_found_in_a_registry_with_odd_lines(store):
    lines = ['{"developer_id": "d", "protected": true, "name": "\\u0000"}', '{"developer_id": "d\\\\u0000"}']
    store.import_apps([AppRecord(app_id=f"wx{n}", as_of=1, document=one) for n, one in enumerate(lines)], "ann", 1)
    with store.acting() as acting:
        assert (acting.protected_app_of("d", 5), acting.protected_app_of("e", 5)) == ("wx0", None)


def test_the_clock_of_a_lease_is_the_servers(store, other):
    fence = store.take("respond", "ann", 0, HOUR_S)
    assert other.take("respond", "bob", 2**60, HOUR_S) is None
    assert store.renew(fence, 2**60, HOUR_S)


def test_a_list_that_takes_too_long_is_given_up(store):
    with pytest.raises(TooSlow), store._database.reading(0.05) as connection:
        connection.execute(text("SELECT pg_sleep(5)"))
    assert store.last_turn() == 0


def test_a_turn_whose_commit_went_unanswered_is_written_once(postgres, url):
    way = Cutting(postgres.port)
    store = opened(url.replace(f":{postgres.port}/", f":{way.port}/"))
    store.commit(whole_turn(1))
    turn = whole_turn(2)
    way.lose(b"COMMIT\0")  # not what a transaction of READ COMMITTED begins with
    with pytest.raises(StoreError, match="does not answer") as refusal:
        store.commit(turn)
    assert refusal.value.retryable
    assert way.cut.wait(5)
    store.commit(turn)  # it was written; nobody could know
    undisturbed = opened(postgres.database())
    for number in (1, 2):
        undisturbed.commit(whole_turn(number))
    assert store_state(store) == store_state(undisturbed)
    store.close()
    undisturbed.close()
    way.close()


def test_numbers_places_and_the_audit_have_one_order_whoever_writes(store, other):
    def write(number):
        of = (store, other)[number % 2]
        with of.acting() as acting:
            acting.write([stored_decision(f"d{number}")], whole_turn(number).audit)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(write, range(60)))
    changes = store.decision_changes(0, 100)
    assert [one.changed for one in changes] == list(range(1, 61))
    assert sorted(one.number for one in changes) == list(range(1, 61))
    assert (verify(store.audit_entries()).broken, store.rulings_version()) == (None, 60)


def test_streams_write_beside_one_another_and_their_parts_of_a_finding_add_up(store, other):
    fences = [store.seize(f"events/{n}", "ann", 0, HOUR_S) for n in range(2)]

    def write(of, fence):
        for number in range(40):
            with of._database.writing("turn", fence.name) as connection:
                parts = [stored_finding(f"f{n}", number) for n in (number % 3, 9, (number + 1) % 3)]
                put_findings(connection, parts)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(write, (store, other), fences))
    assert sum(one.evidence.count for one in store.findings()) == 2 * 40 * 3


def test_a_stream_does_not_wait_for_another(store, other):
    fences = [store.seize(f"events/{n}", "ann", 0, HOUR_S) for n in range(2)]
    mark = Mark(watermark=1, inputs="b")
    with store._database.writing("turn", fences[0].name):
        other.commit(Turn(number=1, stream="events/1", fence=fences[1], mark=mark, findings=[stored_finding()]))
    assert store.of_stream("events/1").last_turn() == 1


def test_what_waits_for_a_writer_that_stands_still_is_refused_and_may_be_tried_again(store, url):
    hasty = opened(url, lock_s_max=0.2)
    with (
        store._database.writing("operator"),
        pytest.raises(StoreError, match=r"longer than store\.lock_s_max") as refusal,
    ):
        hasty.commit(whole_turn(1))
    assert refusal.value.retryable
    hasty.commit(whole_turn(1))
    hasty.close()


def test_a_process_that_stands_still_after_many_rows_holds_others_up_no_longer_than_it_may(url, monkeypatch):
    monkeypatch.setattr("monitor.stores.postgresql.IDLE_S_MAX", 1)
    still, other = opened(url), opened(url)
    rows = [{"key": f"k{number}", "value": ""} for number in range(9)]

    def stand_still():
        with still._database.writing("turn") as connection:
            put(connection, metadata.tables["meta"], rows)
            other.commit(whole_turn(1))

    with pytest.raises(StoreError, match="stood still"):
        stand_still()
    assert other.last_turn() == 1
    still.close()
    other.close()


def test_what_another_process_commits_is_heard_of(store, other):
    heard = threading.Event()
    store.on_commit(heard.set)
    assert heard.wait(5), "what was committed before is looked at"
    heard.clear()
    other.commit(whole_turn(1))
    assert heard.wait(5)


def test_a_server_that_goes_and_comes_back_is_found_again(fresh_postgres):
    store, other = (opened(fresh_postgres.url) for _ in range(2))
    heard = threading.Event()
    store.on_commit(heard.set)
    store.commit(whole_turn(1))
    for stop in (fresh_postgres.stop, fresh_postgres.kill):
        number = store.last_turn() + 1
        stop()
        with pytest.raises(StoreError) as refusal:
            store.commit(whole_turn(number))
        assert refusal.value.retryable, refusal.value
        heard.clear()
        assert heard.wait(5), "while nothing can be heard the listeners look by themselves"
        fresh_postgres.start()
        store.commit(whole_turn(number))
        assert other.last_turn() == number
    assert heard.wait(5)
    heard.clear()
    other.commit(whole_turn(number + 1))
    assert heard.wait(5)
    store.close()
    other.close()


def test_a_server_that_stands_still_is_not_waited_for_for_ever(fresh_postgres):
    store = opened(fresh_postgres.url, statement_s_max=1.0, connect_s_max=2.0)
    store.commit(whole_turn(1))
    fresh_postgres.pause()
    with pytest.raises(StoreError, match="does not answer") as refusal:
        store.commit(whole_turn(2))
    assert refusal.value.retryable
    fresh_postgres.resume()
    store.commit(whole_turn(2))
    assert store.last_turn() == 2
    store.close()


def test_another_programs_database_and_a_newer_schema_are_refused(url):
    ask(url, "CREATE TABLE recipes (name text)")
    with pytest.raises(StoreError, match="another program: it has the tables recipes"):
        opened(url)
    ask(url, "DROP TABLE recipes")
    opened(url).close()
    ask(url, "UPDATE alembic_version SET version_num = '9999'")
    for act in (opened, lambda at: standing(database_at(at))):
        with pytest.raises(StoreError, match="schema 9999, made by a newer Miniwatch") as refusal:
            act(url)
        assert not refusal.value.retryable


def test_what_keeps_one_out_is_said_in_words(postgres, url):
    ask(url, "DROP ROLE IF EXISTS guest", "CREATE ROLE guest LOGIN")
    guest = url.replace("miniwatch@", "guest@")
    refused = {
        url.replace("made_", "absent_"): ("does not know the database", False),
        url.replace("miniwatch@", "nobody_there@"): ("does not know the role", False),
        url.replace(f":{postgres.port}/", ":1/"): ("does not answer", True),
        f"{url}?sslmode=require": ("speaks no TLS", False),
        f"{url}?nonsense=1": ("an option that there is not", False),
        guest: ("the role guest may not make tables in the schema public", False),
    }
    for at, (words, is_retryable) in refused.items():
        with pytest.raises(StoreError, match=words) as refusal:
            standing(database_at(at))
        assert refusal.value.retryable == is_retryable
    assert "no tables yet" in standing(database_at(url))
    opened(url).close()
    ask(url, "GRANT SELECT ON alembic_version TO guest")
    with pytest.raises(StoreError, match="the role guest may not SELECT in the table appeals"):
        standing(database_at(guest))


def test_an_older_copy_that_was_put_back_has_all_begin_anew(postgres, store, tmp_path):
    fence = store.seize("events/0", "ann", 0, HOUR_S)
    store.commit(whole_turn(1))
    url, dump = store._database.name, tmp_path / "record.dump"
    dump.touch(0o666)
    tmp_path.chmod(0o777)
    postgres._run("pg_dump", "--format=custom", f"--file={postgres.folder / 'record.dump'}", url)
    store.commit(whole_turn(2))
    lost = store.last_decision_change()
    postgres._run("pg_restore", "--clean", "--if-exists", f"--dbname={url}", postgres.folder / "record.dump")
    store.begin_anew(whole_turn(3).audit[0])
    assert store.last_turn() == 1
    assert (store.decision_floor() >= lost, store.decision_changes(lost, 9)[0].decision.id) == (True, "d1")
    assert store.take("events/0", "ann", 0, HOUR_S).epoch > fence.epoch
    assert verify(store.audit_entries()).broken is None


def test_a_record_opened_for_reading_refuses_every_write(store, url):
    store.commit(whole_turn(1))
    reader = SqlStore(PostgresqlDatabase(PostgresqlAt(url=url), read_only=True), seal=Seal(bytes(32)))
    assert store_state(reader) == store_state(store)
    assert reader.figures(0, 0, 5.0) == store.figures(0, 0, 5.0)
    assert reader.figures(0, 0, 5.0).findings == 1
    with pytest.raises(StoreError, match="read-only"):
        reader.commit(whole_turn(2))
    reader.close()
