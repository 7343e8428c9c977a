"""Windows of devices, people and addresses, whose events lie in many partitions, say what they would over one."""

import random

import pytest
from partition_site import Site, log_of, told_lines, whole_lineup

from detectors.sigma.parting import abroad
from monitor.intake.timeline import BEGINNING
from monitor.partitions.windows import Origins
from monitor.testing.logs import MemoryHits

HITS = "calls.miniwatch-hits"


@pytest.fixture(scope="module")
def lineup():
    return whole_lineup()


@pytest.fixture(scope="module")
def lines():
    return told_lines(5, 6_000)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, lines, lineup):
    site = Site(tmp_path_factory.mktemp("one"), log_of(lines, 1), lineup)
    site.read_alone()
    far = set(abroad(lineup().rules))
    assert sum(rule in far for _, _, rule, _ in site.findings()) > 3
    return site


@pytest.mark.parametrize(("partitions", "counting"), [(1, 1), (4, 1), (4, 3)])
def test_they_do_not_depend_on_partitions(tmp_path, lines, lineup, undisturbed, partitions, counting):
    site = Site(tmp_path, log_of(lines, partitions), lineup, hits=MemoryHits(HITS, counting))
    assert site.read_and_counted() == undisturbed.findings()


@pytest.mark.drawn(2)
@pytest.mark.parametrize("seed", range(4))
def test_who_dies_over_them_changes_nothing(tmp_path, lines, lineup, undisturbed, seed):
    chance = random.Random(seed)
    site = Site(tmp_path, log_of(lines, 3), lineup, rows_max=250, hits=MemoryHits(HITS, 2))
    worker, group = site.worker("a")
    counter, of_hits = site.counter("a")
    group.assign(*site.log.partitions)
    of_hits.assign(*site.hits.names)
    zombies = []
    for round_ in range(40):
        for one in (worker, counter, *chance.sample(zombies, min(len(zombies), 1))):
            if chance.random() < 0.8:
                one.look()
        if chance.random() < 0.2:
            zombies.append(worker)
            worker, group = site.worker(f"b{round_}")
            group.assign(*site.log.partitions)
        if chance.random() < 0.2:
            zombies.append(counter)
            counter, of_hits = site.counter(f"c{round_}")
            of_hits.assign(*site.hits.names)
    (worker, group), (counter, of_hits) = site.worker("last"), site.counter("last")  # a zombie may have taken up again
    group.assign(*site.log.partitions)
    of_hits.assign(*site.hits.names)
    while worker.look():
        counter.look()
    site.read_out(worker)
    while counter.look():
        pass
    assert site.findings() == undisturbed.findings()


def test_one_partition_far_ahead_of_the_others_changes_nothing(tmp_path, lines, lineup, undisturbed):
    site = Site(tmp_path, log_of(lines, 3), lineup, hits=MemoryHits(HITS, 2))
    (worker, group), (counter, of_hits) = site.worker("a"), site.counter("a")
    of_hits.assign(*site.hits.names)
    for name in site.log.partitions:
        group.assign(name)
        while worker.look():
            counter.look()
    site.read_out(worker)
    while counter.look():
        pass
    assert site.findings() == undisturbed.findings()


def test_event_time_has_come_as_far_as_where_it_is_least_far():
    origins = Origins(lateness=2_000_000)
    origins.tell("calls/0", 3, 50_000_000, 0)
    origins.tell("calls/1", 3, 90_000_000, 0)
    assert origins.watermark == BEGINNING, "nobody knows how far the third is"
    origins.tell("calls/2", 3, 70_000_000, 0)
    assert origins.watermark == 50_000_000
    origins.tell("calls/0", 3, 40_000_000, 100_000_000)
    assert origins.watermark == 70_000_000, "all that was there at 100 s has been taken"
    origins.tell("calls/2", 3, 95_000_000, 0)
    assert origins.watermark == 90_000_000


def told_by(*marks, origins):
    """What each of the partitions says, whose watermarks these are."""
    found = Origins(lateness=2_000_000)
    for number, mark in enumerate(marks):
        found.tell(f"calls/{number}", origins[number], mark, 0)
    return found


def test_a_partition_that_was_added_is_waited_for_as_soon_as_one_that_is_there_knows_of_it():
    assert told_by(50, 90, origins=[2, 2]).watermark == 50
    assert told_by(50, 90, origins=[2, 3]).watermark == BEGINNING
    assert told_by(50, 90, 20, origins=[2, 3, 3]).watermark == 20


def test_partitions_that_are_no_longer_there_are_not_waited_for():
    origins = told_by(50, 90, 20, 30, origins=[4, 4, 4, 4])
    assert origins.watermark == 20
    origins.tell("calls/0", 2, 60, 0)
    assert origins.watermark == 20, "the other may be right"
    origins.tell("calls/1", 2, 90, 0)
    assert origins.watermark == 60
