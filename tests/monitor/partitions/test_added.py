"""Partitions that are added, that nothing is ever written to, or to which nearly everything is: findings are those of one process."""

import random
from functools import partial

import pytest
from partition_site import Site, spread_log, told_lines, whole_lineup

from monitor.testing.logs import MemoryHits, MemoryLog

HITS = "calls.miniwatch-hits"


@pytest.fixture(scope="module")
def lineup():
    return partial(whole_lineup(), keyed_by="")


@pytest.fixture(scope="module")
def lines():
    return told_lines(5, 8_000, apps=10, duration_s=3600, kinds=None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, lines, lineup):
    site = Site(tmp_path_factory.mktemp("one"), spread_log(lines, 1, random.Random(0)), lineup)
    site.read_alone()
    assert len(site.findings()) > 50
    return site


class Running:
    """One worker on a site, with what it counts."""

    def __init__(self, site):
        self.site = site
        (self.worker, self.group), (self.counter, of_hits) = site.worker("a"), site.counter("a")
        of_hits.assign(*site.hits.names)

    def read(self, *partitions):
        """All that is there by now."""
        self.group.assign(*partitions)
        while self.worker.look():
            self.counter.look()

    def findings(self):
        self.site.read_out(self.worker)
        while self.counter.look():
            pass
        return self.site.findings()


def test_partitions_that_are_added_are_read_from_their_beginning_and_counted_with_the_others(
    tmp_path, lines, lineup, undisturbed
):
    log = spread_log(lines[:4000], 2, random.Random(1))
    running = Running(Site(tmp_path, log, lineup, rows_max=400, hits=MemoryHits(HITS, 2)))
    running.read(*log.partitions)
    more = spread_log(lines[4000:], 5, random.Random(2))
    for name, records in more.partitions.items():
        log.partitions.setdefault(name, []).extend(records)
    again, group = running.site.worker("b")  # who reads what was added, and goes on with the others
    running.worker, running.group = again, group
    running.read(*list(log.partitions)[:2])
    running.read(*list(log.partitions)[2:])
    assert running.findings() == undisturbed.findings()
    assert running.site.ledger()[0] == len(lines)
    assert set(running.site.archived()) == set(undisturbed.archived())


def test_a_partition_that_nothing_was_ever_written_to_holds_nothing_up(tmp_path, lines, lineup, undisturbed):
    log = spread_log(lines, 3, random.Random(3))
    idle = MemoryLog({**log.partitions, "kafka:calls/3": []})
    running = Running(Site(tmp_path, idle, lineup, hits=MemoryHits(HITS, 2)))
    running.read(*idle.partitions)
    assert running.findings() == undisturbed.findings()
    assert {mark > 0 for stream in running.counter.streams.values() for mark in [stream.watermark]} == {True}


@pytest.mark.parametrize("hot", [0, 3])
def test_nine_in_ten_events_in_one_partition_change_nothing(tmp_path, lines, lineup, undisturbed, hot):
    chance = random.Random(hot)
    found = {f"kafka:calls/{number}": [] for number in range(4)}
    for arrived, _, line in lines:
        found[f"kafka:calls/{hot if chance.random() < 0.9 else chance.randrange(4)}"].append((arrived, line))
    running = Running(Site(tmp_path, MemoryLog(found), lineup, rows_max=500, hits=MemoryHits(HITS, 2)))
    running.read(*found)
    assert running.findings() == undisturbed.findings()
