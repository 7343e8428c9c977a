"""The search behind a real Elasticsearch: whatever dies, every event and finding is in it once."""

from __future__ import annotations

import http.client
import io
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import msgspec
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from searched import ids
from server import until

from monitor.clock import now_us
from monitor.indexer import Indexer
from monitor.kept import Kept
from monitor.stores import StoreError, Turn
from monitor.stores.elasticsearch import SearchError, SearchSettings
from monitor.stores.elasticsearch.cluster import look, prepare, version_of
from monitor.stores.elasticsearch.connection import Connection
from monitor.stores.elasticsearch.documents import Documents
from monitor.stores.elasticsearch.events import EventFollower
from monitor.stores.elasticsearch.findings import FindingFollower
from monitor.stores.elasticsearch.reading import SearchReader
from monitor.stores.record import Query
from monitor.telemetry import Telemetry
from monitor.testing.search import BULK, Says, stub_node
from monitor.testing.stores import stored_finding

pytestmark = pytest.mark.live

DAY_US = 86_400_000_000
BEGIN = 1_772_000_000_000_000
_SPACES = iter(range(1_000))


def _line(n, **more):
    event = {"@timestamp": "2026-02-25T06:13:20Z", "event": {"id": f"e{n}", "dataset": "miniprogram.api"}}
    return json.dumps({**event, "miniprogram": {"app_id": f"wx{n % 7}"}, "user": {"id": f"u{n % 50}"}, **more})


def _frame(lines, first=0, partition="file:events"):
    rows = len(lines)
    return pl.DataFrame(
        {
            "_time": [BEGIN + n for n in range(first, first + rows)],
            "_arrival": [BEGIN + n for n in range(first, first + rows)],
            "_watermark": [BEGIN] * rows,
            "_hash": [2**63 + n for n in range(rows)],
            "_line": lines,
            "_partition": [partition] * rows,
            "_position": [1000 * n for n in range(first, first + rows)],
            "_late": [n % 5 == 0 for n in range(rows)],
            "_future": [False] * rows,
            "_duplicate": [False] * rows,
            "event.id": [f"e{n}" for n in range(first, first + rows)],
            "event.dataset": ["miniprogram.api"] * rows,
            "miniprogram.app_id": [f"wx{n % 7}" for n in range(first, first + rows)],
        },
        schema_overrides={"_hash": pl.UInt64},
    )


@pytest.fixture
def kept(tmp_path):
    kept = Kept.open(tmp_path / "data")
    yield kept
    kept.store.close()


def _commit(kept, turns, rows, **more):
    """Turns of events as the pipeline leaves them."""
    last = kept.store.last_turn()
    for turn in range(last + 1, last + turns + 1):
        frame = _frame([_line(n) for n in range(turn * rows, (turn + 1) * rows)], turn * rows)
        kept.store.commit(Turn(number=turn, segments=kept.archive.write(turn, frame), **more))


def _keys(url, **more):
    given = {"namespace": f"t{next(_SPACES)}", "replicas": 0, "timeout_s": 10.0, "rest_s_max": 2.0, "refresh_s": 1.0}
    return SearchSettings(urls=(url,), **{**given, **more})


def _follower(kept, keys, **more):
    connection = Connection(keys)
    documents = Documents(kept.store.installation(), keys.namespace)
    given = {"clock": now_us, "going_on": lambda: True, "pause": time.sleep, "broken": print, "settle_s": 0.0}
    given |= {"store": kept.store, "archive": kept.archive, "connection": connection, "documents": documents}
    return EventFollower(**{**given, **more})


def _drain(follower):
    with ThreadPoolExecutor(2) as pool:
        steps = []
        while (step := follower.step(pool)) is not None:
            steps.append(step)
        return steps


def _sources(connection, what="events"):
    stream = connection.settings.stream(what)
    connection.ask("POST", f"/{stream}/_refresh")
    hits = connection.ask("POST", f"/{stream}/_search", {"size": 1000}).read(dict)["hits"]["hits"]
    return {hit["_source"]["miniwatch"]["id"]: hit["_source"] for hit in hits}


@pytest.fixture
def proxy(elasticsearch):
    """A node in front of the real one; `lost(asked)` says of which request the answer is lost after it was carried out."""
    target = urlsplit(elasticsearch.url)

    class Proxy:
        lost = staticmethod(lambda _asked: False)
        delay_s = 0.0

    def answer(asked):
        time.sleep(Proxy.delay_s if BULK in asked.path else 0.0)
        connection = http.client.HTTPConnection(target.hostname, target.port)
        connection.request(asked.method, asked.path, asked.body or None, {
            name: value for name, value in asked.headers.items() if name.lower() in ("content-type", "accept")
        })  # fmt: skip
        got = connection.getresponse()
        body = got.read()
        connection.close()
        if Proxy.lost(asked):
            return Says(504, {"error": "the answer was lost"})
        return Says(got.status, body, {"Content-Type": got.headers.get("content-type", "application/json")})

    with stub_node(answer) as node:
        Proxy.url = node.url
        Proxy.node = node
        yield Proxy


def test_every_archived_event_is_in_the_search_once(elasticsearch, kept):
    _commit(kept, 3, 700)
    follower = _follower(kept, _keys(elasticsearch.url))
    prepare(follower.connection)
    assert sum(step.rows for step in _drain(follower)) == 2100
    assert sorted(ids(follower.connection)) == sorted(f"e{n}" for n in range(700, 2800))
    assert follower.reached().place == 3


def test_the_line_stands_in_the_document_as_it_is(elasticsearch, kept):
    _commit(kept, 1, 2)
    follower = _follower(kept, _keys(elasticsearch.url))
    prepare(follower.connection)
    _drain(follower)
    source = _sources(follower.connection)["e3"]
    line = json.loads(_line(3))
    assert {name: source[name] for name in line} == line
    assert source["data_stream"] == {
        "type": "logs", "dataset": "miniwatch.events", "namespace": follower.connection.settings.namespace,
    }  # fmt: skip


HOSTILE = [
    _line(0, user="a text where ECS has an object"),
    _line(1, event={"id": {"nested": 1}}),
    '{"@timestamp":"2026-02-25T06:13:20Z","miniwatch":{"id":"mine"}}',
    '{"@timestamp":"2026-02-25T06:13:20Z","data_stream":{"type":"x"}}',
    '{"@timestamp":"not a time"}',
    "{}",
    '{"@timestamp":"2026-02-25T06:13:20Z","a":{"b":1},\n"c":2}',
    '{"@timestamp":"2026-02-25T06:13:20Z"}\n{"delete":{"_id":"x"}}',
    '{"":1,"@timestamp":"2026-02-25T06:13:20Z"}',
    '{"@timestamp":1772000000000,"http":{"request":{"headers":["x"]}}}',
    _line(10, source={"ip": "no address"}),
    _line(11, message="x" * 40_000, api="y" * 40_000),
    _line(12, http={"response": {"status_code": "two hundred"}}),
    _line(13, **{f"unknown{n}": n for n in range(2000)}),
]


def test_hostile_lines_are_searchable_too_and_the_mapping_does_not_grow(elasticsearch, kept):
    frame = _frame(HOSTILE).with_columns(
        pl.when(pl.col("event.id") == "e5").then(pl.lit('e5"\n\\')).otherwise(pl.col("event.id")).alias("event.id")
    )
    kept.store.commit(Turn(number=1, segments=kept.archive.write(1, frame)))
    follower = _follower(kept, _keys(elasticsearch.url))
    prepare(follower.connection)
    (step,) = _drain(follower)
    assert step.set_aside == 0
    found = _sources(follower.connection)
    assert set(found) == set(frame["event.id"])
    lines = {row["event.id"]: row["_line"] for row in frame.iter_rows(named=True)}
    plain = {key: source["miniwatch"]["line"] for key, source in found.items() if "line" in source["miniwatch"]}
    assert plain == {key: lines[key] for key in plain}
    assert step.plain == len(plain) >= 7
    mapping = follower.connection.ask("GET", f"/{follower.stream}/_mapping").body
    assert b"unknown1" not in mapping


def test_a_node_killed_in_the_middle_of_bulks_loses_and_doubles_nothing(fresh_elasticsearch, kept):
    _commit(kept, 20, 1000)
    keys = _keys(fresh_elasticsearch.url, bulk_bytes_max=64 * 1024, refresh_s=30.0)
    telemetry = Telemetry(stream=io.StringIO(), level="debug")
    indexer = Indexer(kept, keys, telemetry, now_us, rest_s_min=0.1)
    kills = 0
    try:
        indexer.start()
        for _ in range(3):
            until(lambda: indexer._error is None and indexer._ready, 120)
            time.sleep(0.15)
            fresh_elasticsearch.kill()
            kills += 1
            _commit(kept, 5, 1000)
            fresh_elasticsearch.start()
        until(lambda: indexer._ready and not indexer._left(), 120)
    finally:
        indexer.stop()
    there = ids(Connection(keys))
    assert len(there) == len(set(there)) == 35_000
    assert kills == 3


def test_a_roll_over_between_a_bulk_without_an_answer_and_its_repeat_doubles_nothing(elasticsearch, kept, proxy):
    _commit(kept, 2, 500)
    follower = _follower(kept, _keys(proxy.url, bulk_bytes_max=64 * 1024))
    prepare(follower.connection)
    with ThreadPoolExecutor(2) as pool:
        proxy.lost = lambda asked: BULK in asked.path
        with pytest.raises(SearchError):
            follower.step(pool)
        direct = Connection(msgspec.structs.replace(follower.connection.settings, urls=(elasticsearch.url,)))
        assert 0 < len(ids(direct)) < 1000
        assert direct.ask("POST", f"/{follower.stream}/_rollover").status == 200
        proxy.lost = lambda _asked: False
        steps = _drain(follower)
    assert sum(step.doubles for step in steps) > 0
    there = ids(direct)
    assert len(there) == len(set(there)) == 1000


def test_a_roll_over_between_our_own_death_and_the_next_start_doubles_nothing(elasticsearch, kept, proxy):
    _commit(kept, 4, 500)
    keys = _keys(proxy.url, bulk_bytes_max=64 * 1024)
    first = _follower(kept, keys)
    prepare(first.connection)
    bulks = []
    proxy.lost = lambda asked: BULK in asked.path and (bulks.append(1) or len(bulks) > 3)
    with ThreadPoolExecutor(2) as pool, pytest.raises(SearchError):
        first.step(pool)
    proxy.lost = lambda _asked: False
    direct = Connection(msgspec.structs.replace(keys, urls=(elasticsearch.url,)))
    assert direct.ask("POST", f"/{first.stream}/_rollover").status == 200
    _commit(kept, 1, 500)
    _drain(_follower(kept, keys))  # of the first one nothing is left but what the record has
    there = ids(direct)
    assert len(there) == len(set(there)) == 2500


def test_a_record_that_knows_less_than_the_search_doubles_nothing(elasticsearch, kept):
    _commit(kept, 3, 500)
    keys = _keys(elasticsearch.url)
    follower = _follower(kept, keys)
    prepare(follower.connection)
    _drain(follower)
    assert follower.connection.ask("POST", f"/{follower.stream}/_rollover").status == 200
    kept.store.put_indexed(
        msgspec.structs.replace(follower.reached(), place=0, since="", sent_until=0)
    )  # an older backup
    indexer = Indexer(kept, keys, Telemetry(stream=io.StringIO()), now_us, settle_s=0.0)
    for claim in indexer.claims.values():
        claim.look()
    while indexer.work():
        pass
    indexer.stop()
    there = ids(Connection(keys))
    assert len(there) == len(set(there)) == 1500


def test_a_record_that_refuses_while_turns_are_read_loses_none_of_them(elasticsearch, kept, monkeypatch):
    _commit(kept, 1, 500)
    follower = _follower(kept, _keys(elasticsearch.url))
    prepare(follower.connection)
    turns, troubles = follower._next_turn, iter([False, True])

    def next_turn():
        if next(troubles, False):
            raise StoreError("the database is locked", retryable=True)
        return turns()

    monkeypatch.setattr(EventFollower, "_next_turn", lambda _self: next_turn())
    with ThreadPoolExecutor(2) as pool, pytest.raises(StoreError):
        follower.step(pool)
    _drain(follower)
    assert len(ids(follower.connection)) == 500


def test_a_slow_node_costs_lag_and_nothing_else(kept, proxy):
    _commit(kept, 1, 300)
    space = {"namespace": f"t{next(_SPACES)}"}
    prepare(Connection(_keys(proxy.url, **space)))  # which may take longer
    follower = _follower(kept, _keys(proxy.url, timeout_s=3.0, **space))
    proxy.delay_s = 5.0
    with ThreadPoolExecutor(2) as pool, pytest.raises(SearchError, match="no answer in time"):
        follower.step(pool)
    proxy.delay_s = 0.0
    time.sleep(6.0)  # the first request is carried out after it was given up
    _drain(follower)
    there = ids(follower.connection)
    assert len(there) == len(set(there)) == 300


def test_a_full_disk_costs_lag_and_is_told(elasticsearch, kept):
    _commit(kept, 1, 300)
    keys = _keys(elasticsearch.url)
    follower = _follower(kept, keys)
    prepare(follower.connection)
    _drain(follower)
    index = f"/{follower.stream}/_settings"
    block = {"index.blocks.read_only_allow_delete": True}
    assert follower.connection.ask("PUT", index, block).status == 200
    _commit(kept, 1, 300)
    with ThreadPoolExecutor(2) as pool, pytest.raises(SearchError) as told:
        follower.step(pool)
    assert told.value.kind == "full"
    assert "disk usage exceeded flood-stage watermark" in str(told.value)
    follower.connection.ask("PUT", index, {"index.blocks.read_only_allow_delete": None})
    _drain(follower)
    assert len(ids(follower.connection)) == 600


def test_findings_are_written_over_as_they_grow_also_across_a_roll_over(elasticsearch, kept):
    kept.store.commit(Turn(number=1, findings=[stored_finding("f1"), stored_finding("f2", 200)]))
    keys = _keys(elasticsearch.url)
    connection = Connection(keys)
    prepare(connection)
    follower = FindingFollower(kept.store, connection, Documents(kept.store.installation(), keys.namespace), now_us)
    assert follower.step().rows == 2
    assert connection.ask("POST", f"/{follower.stream}/_rollover").status == 200
    kept.store.commit(Turn(number=2, findings=[stored_finding("f1", count=3), stored_finding("f3", 300)]))
    assert follower.step().rows == 2
    assert follower.step() is None
    found = _sources(connection, "findings")
    assert sorted(ids(connection, "findings")) == ["f1", "f2", "f3"]
    assert found["f1"]["miniwatch"]["count"] == 4
    assert found["f1"]["miniwatch"]["finding"] == json.loads(msgspec.json.encode(kept.store.finding("f1")))


def test_a_daemon_that_outlives_the_node_catches_up_alone(fresh_elasticsearch, kept):
    fresh_elasticsearch.stop()
    log = io.StringIO()
    telemetry = Telemetry(stream=log, log_format="json")
    indexer = Indexer(kept, _keys(fresh_elasticsearch.url), telemetry, now_us, rest_s_min=0.1)
    try:
        indexer.start()
        _commit(kept, 3, 300, findings=[stored_finding()])
        until(lambda: indexer._failures > 1)
        assert "cannot be reached" in indexer.health().words()[0]
        fresh_elasticsearch.start()
        until(lambda: indexer._ready and not indexer._left(), 60)
        assert indexer.health().words() == ()
    finally:
        indexer.stop()
    assert "search_failed" in log.getvalue()
    assert "search_recovered" in log.getvalue()
    assert len(ids(Connection(indexer.settings))) == 900


def _indexed(kept, keys):
    """All of it written, and a reader of it."""
    follower = _follower(kept, keys)
    prepare(follower.connection)
    _drain(follower)
    documents = Documents(kept.store.installation(), keys.namespace)
    findings = FindingFollower(kept.store, follower.connection, documents, now_us)
    while findings.step() is not None:
        pass
    for what in ("events", "findings"):
        follower.connection.ask("POST", f"/{keys.stream(what)}/_refresh")
    return SearchReader(follower.connection, kept.store.installation())


def _all(frames):
    return pl.concat(list(frames))


def test_events_are_read_as_the_archive_has_them(elasticsearch, kept):
    frame = _frame(HOSTILE)
    kept.store.commit(Turn(number=1, segments=kept.archive.write(1, frame)))
    _commit(kept, 3, 3000)
    reader = _indexed(kept, _keys(elasticsearch.url))
    archived = _all(kept.archive.replay(kept.store.segments()))
    found = _all(reader.events(newest_first=False))
    own = [name for name in found.columns if name.startswith("_") or name in ("event.id", "redaction.kinds")]
    assert_frame_equal(found.select(own), archived.select(own))
    assert found[len(HOSTILE) :].equals(archived[len(HOSTILE) :].select(found.columns).with_columns(
        pl.Series("user.id", [f"u{n % 50}" for n in range(6000, 15000)])
    ))  # fmt: skip
    assert _all(reader.events(limit=5))["event.id"].to_list() == archived["event.id"].reverse().head(5).to_list()


def test_events_are_found_by_their_fields_and_times(elasticsearch, kept):
    _commit(kept, 2, 700)
    lines = [_line(n, source={"ip": address}) for n, address in enumerate(["192.0.2.1", "no address", "192.0.2.1"])]
    ips = pl.Series("source.ip", ["192.0.2.1", "no address", "192.0.2.1"])
    kept.store.commit(Turn(number=3, segments=kept.archive.write(3, _frame(lines, 9000).with_columns(ips))))
    reader = _indexed(kept, _keys(elasticsearch.url))
    archived = _all(kept.archive.replay(kept.store.segments()))
    for where, begin, end in [
        ({"miniprogram.app_id": "wx3"}, None, None),
        ({"miniprogram.app_id": "wx3", "event.dataset": "miniprogram.api"}, BEGIN + 900, BEGIN + 1500),
        ({"source.ip": "192.0.2.1"}, None, None),
        ({"source.ip": "no address"}, None, None),
    ]:
        expected = archived.filter(*(pl.col(name) == value for name, value in where.items()))
        expected = expected.filter(pl.col("_time").is_between(begin or 0, end or DAY_US**2, closed="left"))
        found = _all(reader.events(where, since=begin, until=end, newest_first=False))
        assert found["event.id"].to_list() == expected["event.id"].to_list()
    assert list(reader.events({"event.action": "none"})) == []


def test_a_list_is_of_one_moment_however_long_it_is_read(elasticsearch, kept):
    _commit(kept, 3, 3000)
    keys = _keys(elasticsearch.url)
    reader = _indexed(kept, keys)
    pages = reader.events()
    first = next(pages)
    _commit(kept, 1, 3000)
    _indexed(kept, keys)
    assert first.height + sum(page.height for page in pages) == 9000
    assert sum(page.height for page in reader.events()) == 12_000


@pytest.mark.parametrize(
    "query", [Query(), Query(limit=2), Query(rule="other"), Query(severity_min="critical"), Query(since=200, until=300)]
)
def test_findings_are_read_as_the_record_has_them(elasticsearch, kept, query):
    many = [stored_finding(f"f{n}", 100 + n, rule="other" if n % 3 else "rule") for n in range(300)]
    many.append(stored_finding("worst", 500, severity="critical"))
    kept.store.commit(Turn(number=1, findings=[msgspec.convert(msgspec.to_builtins(one), type(one)) for one in many]))
    reader = _indexed(kept, _keys(elasticsearch.url))
    assert list(reader.findings(query)) == list(kept.store.findings(query)) != []


def test_an_installation_reads_what_is_its_own(elasticsearch, kept, tmp_path):
    other = Kept.open(tmp_path / "other")
    keys = _keys(elasticsearch.url)
    for one in (kept, other):
        _commit(one, 1, 100, findings=[stored_finding()])
    readers = [_indexed(one, keys) for one in (kept, other)]
    for reader in readers:
        assert sum(page.height for page in reader.events()) == 100
    other.store.close()


def test_a_daemon_that_is_killed_again_and_again_leaves_each_event_once(elasticsearch, tmp_path):
    lines = tmp_path / "events.ndjson"
    lines.write_text("".join(_line(n) + "\n" for n in range(30_000)))
    keys = {"urls": [elasticsearch.url], "namespace": f"t{next(_SPACES)}", "replicas": 0, "bulk_bytes_max": 65_536}
    told = "\n".join(f"{name} = {json.dumps(value)}" for name, value in keys.items())
    (tmp_path / "config.toml").write_text(f"[batch]\nrows_max = 2000\n[elasticsearch]\n{told}\n")
    program = [sys.executable, "-c", "from monitor.cli import main; main()", "run", "--config", "config.toml"]
    program += ["--source", f"file:{lines}", "--until-end", "--data-dir", "data"]
    direct = Connection(SearchSettings(urls=(elasticsearch.url,), namespace=keys["namespace"]))
    kills = 0
    for wanted in (1, 5_000, 12_000):
        with subprocess.Popen(program, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            until(lambda least=wanted, run=run: _count(direct) >= least or run.poll() is not None, 120)
            kills += run.poll() is None
            run.kill()
    assert subprocess.run(program, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    there = ids(direct)
    assert len(there) == len(set(there)) == 30_000
    assert kills == 3


def _count(connection):
    """Documents of events there are, also those that cannot be found yet."""
    stream = connection.settings.stream("events")
    try:
        connection.ask("POST", f"/{stream}/_refresh?ignore_unavailable=true")
        return connection.ask("POST", f"/{stream}/_count?ignore_unavailable=true").read(dict).get("count", 0)
    except SearchError:  # its index is being made
        return 0


def test_templates_are_put_once_and_what_others_made_is_left_alone(elasticsearch):
    connection = Connection(_keys(elasticsearch.url))
    assert {one.standing for one in look(connection)} == {"missing"}
    assert prepare(connection) == []
    assert {one.standing for one in look(connection)} == {"ours"}
    name = f"/_component_template/miniwatch-events-{connection.settings.namespace}"
    theirs = connection.ask("GET", f"{name}@mappings").read(dict)["component_templates"][0]["component_template"]
    for key in ("created_date_millis", "modified_date_millis"):
        theirs.pop(key, None)
    theirs["template"]["mappings"]["dynamic"] = "true"
    assert connection.ask("PUT", f"{name}@mappings", theirs).status == 200
    (odd,) = prepare(connection)
    assert (odd.standing, odd.detail) == ("changed", "template.mappings.dynamic")
    assert connection.ask("PUT", f"{name}@settings", {"template": {"settings": {}}}).status == 200
    with pytest.raises(SearchError, match="not ours"):
        prepare(connection)


def test_another_configuration_is_put_in_place(elasticsearch):
    keys = _keys(elasticsearch.url)
    prepare(Connection(keys))
    other = Connection(msgspec.structs.replace(keys, replicas=1, events_days=200))
    assert "configured otherwise" in {one.standing for one in look(other)}
    assert prepare(other) == []
    assert {one.standing for one in look(other)} == {"ours"}


def test_logsdb_takes_events_as_well(elasticsearch, kept):
    _commit(kept, 1, 300)
    follower = _follower(kept, _keys(elasticsearch.url, mode="logsdb"))
    prepare(follower.connection)
    _drain(follower)
    assert len(ids(follower.connection)) == 300


def test_the_version_is_known(elasticsearch):
    assert version_of(Connection(_keys(elasticsearch.url)))[0] >= 9


def test_two_threads_of_bulks_and_a_stop_leave_nothing_half_noted(elasticsearch, kept):
    _commit(kept, 4, 1000)
    keys = _keys(elasticsearch.url, bulk_bytes_max=64 * 1024)
    going = threading.Event()
    follower = _follower(kept, keys, going_on=lambda: not going.is_set())
    prepare(follower.connection)
    threading.Timer(0.05, going.set).start()
    _drain(follower)
    _drain(_follower(kept, keys))
    there = ids(follower.connection)
    assert len(there) == len(set(there)) == 4000
