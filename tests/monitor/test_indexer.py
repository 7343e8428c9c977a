"""The indexer of each process: events go to the search from the disk on which they lie, once, by one process of those that share it."""

import io
import json
import time
from functools import partial

import polars as pl
import pytest

from monitor.clock import now_us
from monitor.indexer import Indexer
from monitor.kept import Kept
from monitor.recall import KEPT
from monitor.stores import Fenced, Turn
from monitor.stores.archive import Archive
from monitor.stores.elasticsearch import SearchSettings
from monitor.telemetry import Telemetry
from monitor.testing.search import KeepingNode, stub_node
from monitor.testing.stores import stored_finding

BEGIN = 1_772_000_000_000_000
EVENTS, FINDINGS = "logs-miniwatch.events-default", "logs-miniwatch.findings-default"


@pytest.fixture
def node():
    keeping = KeepingNode()
    with stub_node(keeping) as node:
        keeping.url = node.url
        keeping.node = node
        yield keeping


@pytest.fixture
def machines(tmp_path):
    """Two machines, each with a disk of its own, on one record."""
    one = Kept.open(tmp_path / "one")
    two = Kept(one.places, one.seal, one.store, Archive(tmp_path / "two" / "archive", KEPT))
    one.note_folder(1)
    two.note_folder(1)
    yield one, two
    one.store.close()


def _frame(first, rows, partition):
    numbers = range(first, first + rows)
    return pl.DataFrame(
        {
            "_time": [BEGIN + n for n in numbers],
            "_arrival": [BEGIN + n for n in numbers],
            "_watermark": [BEGIN] * rows,
            "_hash": list(numbers),
            "_line": [json.dumps({"@timestamp": "2026-02-25T06:13:20Z", "event": {"id": f"e{n}"}}) for n in numbers],
            "_partition": [partition] * rows,
            "_position": [1000 * n for n in numbers],
            "_late": [False] * rows,
            "_future": [False] * rows,
            "_duplicate": [False] * rows,
            "event.id": [f"{partition}-e{n}" for n in numbers],
        },
        schema_overrides={"_hash": pl.UInt64},
    )


def _work(kept, stream, turn, rows=10, **more):
    """One turn of a stream, by the machine that has this disk."""
    archive = kept.archive.of_stream(stream, 1)
    segments = archive.write(turn, _frame(turn * 1000, rows, stream))
    kept.store.of_stream(stream).commit(Turn(number=turn, stream=stream, segments=segments, **more))


def _indexer(kept, node, holder="one:1", log=None, **more):
    given = {"answers": False, "settle_s": 0.0, "poll_s": 0.02, **more}
    settings = SearchSettings(urls=(node.url,))
    return Indexer(kept, settings, Telemetry(stream=log or io.StringIO()), now_us, holder, **given)


def _take_up(indexer):
    for claim in indexer.claims.values():
        claim.look()


def _drain(indexer):
    _take_up(indexer)
    while indexer.work():
        pass


def _until(condition, seconds=10.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "too late"
        time.sleep(0.01)


def test_each_machine_brings_what_is_on_its_disk_and_nothing_else(node, machines):
    one, two = machines
    _work(one, "events/0", 1)
    _work(two, "events/0", 2)  # the partition has moved
    _work(two, "events/1", 1)
    _work(one, "events/0", 3)  # and come back
    log = io.StringIO()
    first, second = _indexer(one, node, log=log), _indexer(two, node, "two:1")
    _drain(first)
    assert len(node.documents[EVENTS]) == 20
    assert one.store.unindexed_events() == {two.archive.name: 20}
    _drain(second)
    assert len(node.documents[EVENTS]) == node.created == 40
    assert one.store.unindexed_events() == {}
    assert "broken" not in log.getvalue(), "it looked for what lies on another disk"
    first.stop()
    second.stop()


def test_of_two_on_one_disk_one_does_it_and_the_other_goes_on_when_it_is_gone(node, machines):
    one, _ = machines
    _work(one, "events/0", 1)
    first, second = _indexer(one, node, "one:1"), _indexer(one, node, "one:2")
    _drain(first)
    _work(one, "events/0", 2)
    _drain(second)
    assert len(node.documents[EVENTS]) == 10, "both at once"
    first.stop()
    _drain(second)
    assert len(node.documents[EVENTS]) == node.created == 20
    second.stop()


def test_who_has_lost_the_folder_notes_nothing_more(node, machines):
    one, _ = machines
    _work(one, "events/0", 1)
    indexer = _indexer(one, node)
    _drain(indexer)
    place = one.store.indexed()
    one.store.seize(f"search:{one.archive.name}", "one:2", now_us(), 60.0)
    _work(one, "events/0", 5000)
    with pytest.raises(Fenced):
        indexer.work()
    assert one.store.indexed() == place
    indexer.stop()


def test_who_has_lost_the_folder_goes_on_once_it_is_his_again(node, machines):
    one, _ = machines
    indexer = _indexer(one, node)
    for claim in indexer.claims.values():
        claim.lease_s, claim.renew_s = 0.5, 0.05
    indexer.start()
    _work(one, "events/0", 1)
    _until(lambda: len(node.documents.get(EVENTS, ())) == 10)
    one.store.give_up(one.store.seize(f"search:{one.archive.name}", "one:2", now_us(), 60.0))
    _work(one, "events/0", 2)
    _until(lambda: one.store.unindexed_events() == {})
    assert node.created == 20
    indexer.stop()


def test_findings_are_brought_by_one_who_answers_and_by_no_worker(node, machines):
    one, two = machines
    one.store.commit(Turn(number=1, findings=[stored_finding("a")]))
    worker, responder, standing_by = (
        _indexer(one, node),
        _indexer(two, node, answers=True),
        _indexer(two, node, "two:2", answers=True),
    )
    _drain(worker)
    assert FINDINGS not in node.documents
    _drain(responder)
    _drain(standing_by)
    assert len(node.documents[FINDINGS]) == node.created == 1
    for each in (worker, responder, standing_by):
        each.stop()


def test_lag_is_told_of_what_is_this_process_s_to_bring(node, machines):
    one, two = machines
    node.node.answer = lambda _asked: KeepingNode()(_asked)._replace(is_elasticsearch=False)
    _work(one, "events/0", 1, 30)
    _work(two, "events/1", 1, 5)
    indexer = _indexer(one, node, poll_s=0.01, rest_s_min=0.01)
    indexer.start()
    _until(lambda: indexer.health().error is not None and indexer.health().events_behind == 30)
    (word,) = indexer.health().words()
    assert "; 30 events and 0 findings behind" in word
    indexer.stop()


def test_a_folder_that_nobody_indexes_is_told_by_who_brings_findings_until_somebody_does(node, machines):
    one, two = machines
    _work(two, "events/1", 1, 1500)
    responder = _indexer(one, node, answers=True, unattended_s=0.0)
    _drain(responder)
    (word,) = responder.health().words()
    assert word.startswith("search: nobody indexes 1,500 events of the archive folder ")
    assert word.endswith(str(two.archive.folder))
    worker = _indexer(two, node, "two:1")
    _take_up(worker)
    responder._looked = 0.0
    responder.work()
    assert responder.health().words() == ()
    worker.stop()
    responder.stop()


def test_who_brings_findings_no_more_says_nothing_of_folders_that_nobody_indexes(node, machines):
    one, two = machines
    _work(two, "events/1", 1, 1500)
    responder = _indexer(one, node, answers=True, unattended_s=0.0)
    _drain(responder)
    told = partial(responder.telemetry.registry.get_sample_value, "miniwatch_search_unattended")
    assert told() == 1500
    claim = responder.claims["findings"]
    one.store.seize(claim.name, "another", now_us(), 60.0)
    responder._looked = 0.0
    _drain(responder)
    assert told() == 0
    assert responder.health().words() == ()
    responder.stop()
