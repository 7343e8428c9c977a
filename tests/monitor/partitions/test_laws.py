"""Findings of a log do not depend on how many partitions it has, who works on them, or who dies while doing so."""

import random
from dataclasses import replace
from unittest.mock import Mock

import msgspec
import pytest
from partition_site import Site, local_lineup, log_of, told_lines

from monitor.partitions.leaving import CLOCKS_US
from monitor.partitions.pipeline import PartitionPipeline
from monitor.stores.pipeline_side import PipelineSide
from monitor.surroundings.news import moment_of
from monitor.testing.logs import LogSource, MemoryGroup, MemoryLog


@pytest.fixture(scope="module")
def lineup():
    return local_lineup()


@pytest.fixture(scope="module")
def lines():
    return told_lines(7, 6_000)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, lines, lineup):
    site = Site(tmp_path_factory.mktemp("one"), log_of(lines, 1), lineup)
    worker, group = site.worker("a")
    group.assign("kafka:calls/0")
    site.read_out(worker)
    worker.close()
    assert site.ledger() == (len(lines), 0)
    assert len(site.findings()) > 50
    return site


@pytest.mark.parametrize("at_once", [90, 10_000])
@pytest.mark.parametrize("partitions", [2, 8])
def test_findings_do_not_depend_on_the_number_of_partitions(tmp_path, lines, lineup, undisturbed, partitions, at_once):
    site = Site(tmp_path, log_of(lines, partitions), lineup)
    site.log.at_once = at_once
    worker, group = site.worker("a")
    group.assign(*site.log.partitions)
    site.read_out(worker)
    assert site.findings() == undisturbed.findings()
    assert site.ledger() == (len(lines), 0)
    assert site.archived() == undisturbed.archived()


@pytest.mark.drawn(2)
@pytest.mark.parametrize("seed", range(6))
def test_who_works_on_a_partition_and_dies_over_it_changes_nothing(tmp_path, lines, lineup, undisturbed, seed):
    chance = random.Random(seed)
    site = Site(tmp_path, log_of(lines, 3), lineup, rows_max=300)
    site.log.at_once = chance.choice((60, 10_000))  # turns of several partitions at once, or of one

    def new_worker(name):  # turns of another size than before, and memory that is in snapshots or must be learnt again
        return site.worker(name, chance.choice((120, 300, 700)), chance.choice((0.0, 1e9)))

    workers = [new_worker(f"w{number}") for number in range(3)]
    owner = {}
    for _ in range(30):
        partition = chance.choice(list(site.log.partitions))
        before, after = owner.get(partition), chance.randrange(len(workers))
        if before is not None and before != after:
            kind = chance.choice(["revoke", "lose", "zombie"])
            if kind == "revoke":
                workers[before][1].revoke(partition)
                workers[before][0].look()
            elif kind == "lose":
                workers[before][1].lose(partition)
                workers[before][0].look()
        if before != after:
            owner[partition] = after
            workers[after][1].assign(partition)
        for worker, _ in chance.sample(
            workers, 2
        ):  # one that has lost a partition without knowing goes on, and is refused
            worker.look()
        if chance.random() < 0.2:  # killed, and another in its place
            dead = chance.randrange(len(workers))
            workers[dead] = new_worker(f"w{dead} again")
            workers[dead][1].assign(*(name for name, who in owner.items() if who == dead))
    last, group = site.worker("last")
    group.assign(*site.log.partitions)
    site.read_out(last)
    assert site.ledger() == (len(lines), 0)
    assert site.findings() == undisturbed.findings()
    assert site.archived() == undisturbed.archived()
    assert {one.path for one in site.kept.store.segments()} <= {
        path.relative_to(site.kept.archive.folder).as_posix() for path in site.kept.archive.folder.glob("*/*")
    }
    left = [msgspec.json.encode(row.stream) for row in site.kept.store.detected({}, 10_000)]
    assert len(left) > 3


def test_who_takes_over_remembers_what_was_remembered_ticks_included(tmp_path, lines, lineup):
    site = Site(tmp_path, log_of(lines, 2), lineup, rows_max=400)
    worker, group = site.worker("a")
    group.assign(*site.log.partitions)
    for round_ in range(5):
        worker.look()
        for stream in worker.streams.values():
            stream.settings = replace(stream.settings, snapshot_s=0.0 if round_ == 1 else 1e9)
            if round_ == 3:
                stream.tick()
    again, taking_over = site.worker("b")
    taking_over.assign(*site.log.partitions)
    again.change()
    for name, stream in worker.streams.items():
        other = again.streams[name]
        assert (other.watermark, other.turn_number, other.position) == (
            stream.watermark,
            stream.turn_number,
            stream.position,
        )
        for mine, theirs in zip(stream.lineup.detectors, other.lineup.detectors, strict=True):
            for frame, remembered in mine.snapshot().items():
                assert remembered.sort(remembered.columns).equals(
                    theirs.snapshot()[frame].sort(remembered.columns), null_equal=True
                ), frame


def test_one_who_is_stopped_while_learning_again_keeps_nothing_of_it(tmp_path, lines, lineup, undisturbed):
    site = Site(tmp_path, log_of(lines, 1), lineup, rows_max=400, snapshot_s=1e9)
    worker, group = site.worker("a")
    group.assign(*site.log.partitions)
    for _ in range(6):
        worker.look()
    asked = []
    opener = replace(site.opener("b"), stopping=lambda: asked.append(1) or len(asked) > 4)
    stopped, group = site._worker(opener.partition, MemoryGroup(site.log))
    group.assign(*site.log.partitions)
    stopped.change()
    stopped.close()
    assert len(asked) > 4
    assert list(site.kept.store.of_stream("kafka:calls/0").snapshot_places()) == []
    last, group = site.worker("c")
    group.assign(*site.log.partitions)
    site.read_out(last)
    assert site.findings() == undisturbed.findings()


def test_what_was_seen_and_not_committed_is_not_kept(tmp_path, lines, lineup, undisturbed, monkeypatch):
    site = Site(tmp_path, log_of(lines, 2), lineup, rows_max=400, snapshot_s=1e9)
    worker, group = site.worker("a")
    group.assign(*site.log.partitions)
    for _ in range(4):
        worker.look()
    with monkeypatch.context() as broken:
        broken.setattr(type(site.kept.store), "commit_together", Mock(side_effect=RuntimeError))
        with pytest.raises(RuntimeError):
            worker.look()
    worker.close()
    last, group = site.worker("b")
    group.assign(*site.log.partitions)
    site.read_out(last)
    assert site.findings() == undisturbed.findings()
    assert site.ledger() == (len(lines), 0)


def test_a_partition_of_which_nothing_can_be_read_harms_none_that_has_its_turn_with_it(
    tmp_path, lines, lineup, undisturbed
):
    log = log_of(lines, 2)
    broken = [(at, b'{"broken\n') for at, _, _ in lines[::20]]
    site = Site(tmp_path, MemoryLog({**log.partitions, "kafka:calls/2": broken, "kafka:calls/3": []}), lineup)
    site.log.at_once = 60
    worker, group = site.worker("a")
    group.assign(*site.log.partitions)
    site.read_out(worker)
    assert site.findings() == undisturbed.findings()
    assert site.ledger() == (len(lines) + len(broken), 0)
    assert site.archived() == undisturbed.archived()


def test_who_has_lost_one_partition_commits_its_turns_of_the_others(tmp_path, lines, lineup, undisturbed):
    site = Site(tmp_path, log_of(lines, 3), lineup, rows_max=1_000)
    site.log.at_once = 50
    worker, group = site.worker("a")
    group.assign(*site.log.partitions)
    worker.look()
    other, taking = site.worker("b")
    taking.assign("kafka:calls/1")
    other.look()
    before = {one.name: one.turn for one in site.kept.store.streams()}
    worker.look()
    after = {one.name: one.turn for one in site.kept.store.streams()}
    assert {name: after[name] - before[name] for name in after} == {
        "kafka:calls/0": 1,
        "kafka:calls/1": 0,
        "kafka:calls/2": 1,
    }
    assert sorted(worker.streams) == ["kafka:calls/0", "kafka:calls/2"]
    taking.assign("kafka:calls/0", "kafka:calls/2")
    site.read_out(other)
    assert site.findings() == undisturbed.findings()
    assert site.archived() == undisturbed.archived()


def test_a_partition_that_is_taken_away_before_it_is_begun_harms_nobody(tmp_path, lines, lineup):
    site = Site(tmp_path, log_of(lines[:500], 2), lineup)
    worker, group = site.worker("a")
    group.gone.add("kafka:calls/0")
    group.assign(*site.log.partitions)
    worker.look()
    assert list(worker.streams) == ["kafka:calls/1"]
    group.lose("kafka:calls/0")
    worker.look()
    group.gone.clear()
    worker.look()
    assert list(worker.streams) == ["kafka:calls/1"], "it is another's"


def test_who_came_last_is_told_before_a_partition_counts_as_read_out(tmp_path, lines, lineup, monkeypatch):
    site = Site(tmp_path, log_of(lines[:58], 1), lineup, rows_max=1)
    worker, group = site.worker("a")
    group.assign(*site.log.partitions)
    with monkeypatch.context() as unsure:
        unsure.setattr(PartitionPipeline, "is_read_out", False)  # that there is no more shows only later
        while worker.look():
            pass
    (stream,) = worker.streams.values()
    store, turn = site.kept.store, stream.turn_number
    assert store.told({}, store.streams(), 99)[-1].turn < turn
    assert stream.around.has_news
    stream.tell_quiet()
    assert (stream.turn_number, store.told({}, store.streams(), 99)[-1].turn) == (turn + 1, turn + 1)
    stream.tell_quiet()
    assert stream.turn_number == turn + 1


def test_partitions_that_have_their_turns_together_take_what_is_there_at_one_moment(
    tmp_path, lines, lineup, monkeypatch
):
    site = Site(tmp_path, log_of(lines, 3), lineup)
    site.log.at_once = 50
    worker, group = site.worker("a")
    group.assign(*site.log.partitions)
    worker.look()
    steps = []
    read, begin = LogSource.read, PartitionPipeline.begin
    monkeypatch.setattr(LogSource, "read", lambda self, *how: steps.append("read") or read(self, *how))
    monkeypatch.setattr(PartitionPipeline, "begin", lambda self: steps.append("begin") or begin(self))
    worker.look()
    assert steps == ["read"] * 3 + ["begin"] * 3


def test_no_more_partitions_take_what_is_there_than_may_have_their_turn(tmp_path, lines, lineup):
    site = Site(tmp_path, log_of(lines, 3), lineup, rows_max=60)
    site.log.at_once = 50
    worker, group = site.worker("a")
    group.assign(*site.log.partitions)
    taken = []
    for _ in range(3):
        before = {name: stream.position for name, stream in worker.streams.items()}
        worker.look()
        assert not any(stream.intakes[0].waiting for stream in worker.streams.values())
        taken.append({name for name, stream in worker.streams.items() if stream.position > before.get(name, 0)})
    assert [len(each) for each in taken] == [2, 2, 2]
    assert set().union(*taken) == set(site.log.partitions)


def test_before_a_moment_counts_as_read_out_all_who_came_by_until_then_are_told(tmp_path, lines, lineup):
    site = Site(tmp_path, log_of(lines[:300:5], 1), lineup, rows_max=1)
    site.log.tells = True  # the next line arrived long after the one before, and that is known with it
    worker, group = site.worker("a")
    group.assign(*site.log.partitions)
    waits = []
    while worker.look():
        (stream,), (state,) = worker.streams.values(), site.kept.store.streams()
        reached = moment_of(state.read_out - CLOCKS_US - stream.settings.bounds.lateness)
        waiting = (stream.around.neighbours.waiting, stream.around.activity.waiting)
        assert not any(one.has(reached) for one in waiting)
        waits.append(stream.around.has_news)
    assert {False, True} <= set(waits)


def test_the_record_is_asked_about_a_finding_only_once(tmp_path, lines, lineup, undisturbed, monkeypatch):
    site = Site(tmp_path, log_of(lines, 1), lineup, rows_max=90)
    asked = []
    known = PipelineSide.known_findings
    monkeypatch.setattr(PipelineSide, "known_findings", lambda self, ids: asked.extend(ids) or known(self, ids))
    site.read_alone()
    assert asked
    assert len(asked) == len(set(asked))
    assert site.findings() == undisturbed.findings()
