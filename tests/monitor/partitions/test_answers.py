"""What is decided about findings of several workers does not depend on how many they are, nor on who dies; one decides at a time."""

import io
import random
import sqlite3

import pytest
from partition_site import NOW, Site, local_lineup, log_of, told_lines

from monitor.app import open_daemon
from monitor.partitions import answering
from monitor.process import Role
from monitor.stores import Turn
from monitor.stores.streams import Streams
from monitor.telemetry import Telemetry


@pytest.fixture(scope="module")
def lines():
    return told_lines(11, 5_000)


@pytest.fixture(scope="module")
def lineup():
    return local_lineup()


class Answers:
    """A process that answers, on a site's record."""

    def __init__(self, site):
        self.opened = open_daemon(
            site.config,
            Telemetry(level="error", log_format="json", stream=io.StringIO()),
            role=Role.RESPOND,
            clock=lambda: NOW,
        )
        self.daemon = self.opened.__enter__()
        self.daemon.pipeline.recover()

    def work(self):
        pipeline = self.daemon.pipeline
        while True:
            before = pipeline.turn_number
            pipeline.turn()
            if pipeline.turn_number == before:
                return

    def close(self):
        self.daemon.pipeline.finish()
        self.opened.__exit__(None, None, None)


def answered(site):
    store = site.kept.store
    words = {one.finding: one for one in map(store.considered, [finding.id for finding in store.findings()])}
    decided = sorted((one.id, one.entity, one.type, one.target, one.tier, one.explanation) for one in store.decisions())
    with sqlite3.connect(site.config.data_dir / "miniwatch.db") as connection:
        order = connection.execute("SELECT finding FROM considered ORDER BY turn, place").fetchall()
    return decided, {key: (word.incident, word.decision, word.reason) for key, word in words.items()}, order


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, lines, lineup):
    site = Site(tmp_path_factory.mktemp("one"), log_of(lines, 1), lineup)
    worker, group = site.worker("a")
    group.assign("kafka:calls/0")
    site.read_out(worker)
    answers = Answers(site)
    answers.work()
    answers.close()
    found = answered(site)
    assert len(found[0]) > 5
    return found


@pytest.mark.drawn(1)
@pytest.mark.parametrize("seed", range(3))
def test_decisions_do_not_depend_on_who_detects_and_who_dies(tmp_path, lines, lineup, undisturbed, seed):
    chance = random.Random(seed)
    site = Site(tmp_path, log_of(lines, 4), lineup, rows_max=250)
    workers = [site.worker("a"), site.worker("b")]
    names = list(site.log.partitions)
    workers[0][1].assign(*names[:2])
    workers[1][1].assign(*names[2:])
    answers = Answers(site)
    for _ in range(25):
        chance.choice(workers)[0].look()
        answers.work()
        if chance.random() < 0.2:
            answers.close()
            answers = Answers(site)
        if chance.random() < 0.2:
            dead = chance.randrange(2)
            workers[dead] = site.worker(f"again {dead}")
            workers[dead][1].assign(*(names[:2] if dead == 0 else names[2:]))
    for worker, _ in workers:
        site.read_out(worker)
    answers.work()
    answers.close()
    assert answered(site) == undisturbed
    assert list(site.kept.store.detected({}, 10)) == []


def test_a_partition_of_which_nobody_has_spoken_for_a_day_holds_nobody_up_once_who_answers_has_watched(
    tmp_path, lines, lineup, monkeypatch
):
    site = Site(tmp_path, log_of(lines[:1500], 1), lineup)
    long_ago = NOW - 25 * 3_600_000_000
    site.kept.store.of_stream("kafka:before/0").commit(
        Turn(number=1, stream="kafka:before/0", time=long_ago, reached=1)
    )
    site.read_alone()
    answers = Answers(site)
    answers.work()
    assert site.kept.store.unanswered()[0] > 0
    monkeypatch.setattr(answering, "WATCHED_S", 0.0)
    answers.work()
    assert site.kept.store.unanswered() == (0, None)
    answers.close()


def test_who_stands_by_takes_over_and_the_other_writes_nothing_more(tmp_path, lines, lineup):
    site = Site(tmp_path, log_of(lines[:1500], 2), lineup)
    worker, group = site.worker("a")
    group.assign(*site.log.partitions)
    answers = Answers(site)
    pipeline = answers.daemon.pipeline
    pipeline.turn()
    assert pipeline.leads
    site.read_out(worker)
    site.kept.store.seize("respond", "another", NOW, 60.0)
    turn = pipeline.turn_number
    pipeline.turn()
    assert not pipeline.leads
    assert site.kept.store.last_turn() == turn
    answers.close()


def test_what_streams_have_left_is_read_only_where_one_has_gone_on(tmp_path, lines, lineup, monkeypatch):
    site = Site(tmp_path, log_of(lines[:900], 1), lineup, rows_max=300)
    worker, group = site.worker("a")
    group.assign(*site.log.partitions)
    answers = Answers(site)
    read, detected = [], Streams.detected
    monkeypatch.setattr(Streams, "detected", lambda self, *what: read.append(what) or detected(self, *what))
    for turns in (1, 2, 3):
        assert worker.look()
        answers.work()
        answers.daemon.pipeline.turn()
        answers.daemon.pipeline.turn()
        assert len(read) == turns
    answers.close()
