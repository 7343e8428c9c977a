"""Where events of an app are in any partition, findings are those of one process; workers that take it otherwise do not work beside others."""

import random
from functools import partial

import pytest
from by_hand import correlation, detector_of, ids
from partition_site import NOW, Site, spread_log, told_lines, whole_lineup

from detectors.sigma.parting import abroad
from monitor.partitions.keying import HELD_S, KeyedOtherwise, Keying
from monitor.rules.lineup import Lineup
from monitor.testing.logs import MemoryHits
from monitor.testing.stores import scratch_store

HITS = "calls.miniwatch-hits"


@pytest.fixture(scope="module")
def lineup():
    return partial(whole_lineup(), keyed_by="")


@pytest.fixture(scope="module")
def lines():
    return told_lines(5, 10_000, apps=10, duration_s=3600, kinds=None)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, lines, lineup):
    site = Site(tmp_path_factory.mktemp("one"), spread_log(lines, 1, random.Random(0)), lineup)
    site.read_alone()
    local = {rule.id for rule in lineup().rules if rule.is_correlation} - set(abroad(lineup().rules))
    assert sum(rule in local for _, _, rule, _ in site.findings()) > 10, "windows of apps have something to say"
    return site


@pytest.mark.parametrize(("partitions", "counting"), [(1, 1), (2, 2), (8, 3)])
def test_events_of_an_app_may_be_in_any_partition(tmp_path, lines, lineup, undisturbed, partitions, counting):
    log = spread_log(lines, partitions, random.Random(partitions))
    site = Site(tmp_path, log, lineup, hits=MemoryHits(HITS, counting))
    assert site.read_and_counted() == undisturbed.findings()
    assert site.ledger()[0] == len(lines)
    assert set(site.archived()) == set(undisturbed.archived())


def test_who_counts_dies_and_another_counts_on(tmp_path, lines, lineup, undisturbed):
    chance = random.Random(2)
    site = Site(tmp_path, spread_log(lines, 3, chance), lineup, rows_max=250, hits=MemoryHits(HITS, 2))
    worker, group = site.worker("a")
    group.assign(*site.log.partitions)
    for round_ in range(20):
        counter, of_hits = site.counter(f"c{round_}")
        of_hits.assign(*site.hits.names)
        worker.look()
        counter.look()
    assert site.read_and_counted() == undisturbed.findings()


def test_an_event_that_comes_again_in_another_partition_is_counted_once_by_windows(
    tmp_path, lines, lineup, undisturbed
):
    chance = random.Random(1)
    again = [line for line in lines if chance.random() < 0.2]
    log = spread_log(sorted([*lines, *again], key=lambda line: line[0]), 4, chance)
    site = Site(tmp_path, log, lineup, rows_max=400, hits=MemoryHits(HITS, 2))
    windows = {rule.id for rule in lineup().rules if rule.is_correlation}
    found = [one for one in site.read_and_counted() if one[2] in windows]
    assert found == [one for one in undisturbed.findings() if one[2] in windows]


def test_workers_take_a_topic_to_be_keyed_alike_until_all_are_gone(tmp_path):
    times = [NOW]
    store = scratch_store(tmp_path)
    Keying(store, "calls", "miniprogram.app_id", lambda: times[0]).say()
    Keying(store, "calls", "miniprogram.app_id", lambda: times[0]).say()
    Keying(store, "others", "", lambda: times[0]).say()
    with pytest.raises(KeyedOtherwise, match=r"is ''; other workers on this record take the topic to be keyed by mini"):
        Keying(store, "calls", "", lambda: times[0]).say()
    times[0] += round(HELD_S * 1_000_000)
    Keying(store, "calls", "", lambda: times[0]).say()
    with pytest.raises(KeyedOtherwise, match="keyed by nothing"):
        Keying(store, "calls", "miniprogram.app_id", lambda: times[0]).say()
    store.close()


def test_a_worker_that_stood_still_and_comes_back_to_others_is_refused(tmp_path, monkeypatch):
    times = [NOW]
    store = scratch_store(tmp_path)
    stood_still = Keying(store, "calls", "miniprogram.app_id", lambda: times[0])
    stood_still.say()
    times[0] += 60_000_000
    Keying(store, "calls", "", lambda: times[0]).say()
    monkeypatch.setattr(stood_still, "_said_at", -60.0)
    with pytest.raises(KeyedOtherwise):
        stood_still.say()
    store.close()


def test_what_several_rules_read_of_one_event_is_no_repeat(tmp_path):
    both = detector_of(correlation("temporal", "a b")).rules
    line = b'{"@timestamp":"2026-03-02T00:00:01Z","event":{"id":"1","action":"ab","dataset":"miniprogram.api"},"miniprogram":{"app_id":"wx1"}}\n'
    log = spread_log([(NOW, "wx1", line)], 1, random.Random(0))
    site = Site(tmp_path, log, partial(Lineup.of(both, 1000).again, keyed_by=""), hits=MemoryHits(HITS, 1))
    assert [rule for _, _, rule, _ in site.read_and_counted()] == [ids()["rule"]]
