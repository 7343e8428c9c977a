"""Another version of the program beside this one: what it has written is refused or passed over in order, never half understood."""

import io
import sqlite3
from base64 import b64encode

import msgspec
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from partition_site import Site, local_lineup, log_of, told_lines, whole_lineup

from detectors.sigma.parting import SENT
from monitor import snapshots
from monitor.partitions.sending import Hits, decoded, rows_of
from monitor.stores import StoreError
from monitor.testing.logs import MemoryHits

HITS = "calls.miniwatch-hits"


@pytest.fixture(scope="module")
def lines():
    return told_lines(7, 2_000)


def test_a_worker_whose_record_a_newer_version_has_changed_stops_in_order(tmp_path, lines):
    site = Site(tmp_path, log_of(lines, 2), local_lineup(), rows_max=300)
    worker, group = site.worker("a")
    group.assign(*site.log.partitions)
    worker.look()
    before = site.kept.store.progress(), site.findings()
    with sqlite3.connect(tmp_path / "miniwatch.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="made by a newer Miniwatch") as refusal:
        worker.look()
    assert not refusal.value.retryable
    worker.close()
    assert (site.kept.store.progress(), site.findings()) == before


def test_a_snapshot_of_another_version_is_refused_and_the_log_read_instead(tmp_path, lines, monkeypatch):
    site = Site(tmp_path, log_of(lines, 1), local_lineup(), rows_max=300)
    worker, group = site.worker("a")
    group.assign(*site.log.partitions)
    worker.look()
    monkeypatch.setattr(snapshots, "FORMAT", snapshots.FORMAT + 1)
    again, taking_over = site.worker("b")
    taking_over.assign(*site.log.partitions)
    again.change()
    ((name, stream),) = again.streams.items()
    assert stream.snapshot_turn == 0, "none was taken"
    assert stream.position == worker.streams[name].position
    site.read_out(again)
    assert site.ledger() == (len(lines), 0)


def message(**more):
    told = Hits(installation="i", origin="kafka:calls/0", origins=1, end=5, watermark=1, as_of=0)
    return msgspec.json.encode({**msgspec.to_builtins(told), **more})


def test_what_another_version_says_beside_in_a_message_of_hits_is_passed_over():
    assert decoded(message(newer="whatever")).end == 5


@pytest.mark.parametrize(
    "line",
    [message(rows="AAAA", detector="sigma"), message(origin="nobody"), message(end="five"), b"{}", b"\xff", b"[]"],
)
def test_a_message_that_is_none_of_hits_is_a_dead_letter_and_the_rest_goes_on(tmp_path, lines, line):
    site = Site(tmp_path, log_of(lines, 1), whole_lineup(), hits=MemoryHits(HITS, 1))
    (worker, group), (counter, of_hits) = site.worker("a"), site.counter("a")
    site.hits.write(0, line + b"\n")
    group.assign(*site.log.partitions)
    of_hits.assign(*site.hits.names)
    while worker.look():
        counter.look()
    site.read_out(worker)
    while counter.look():
        pass
    account = site.kept.store.progress()[site.hits.names[0]]
    assert (account.dead_lettered, account.imbalance) == (1, 0)
    assert counter.streams[site.hits.names[0]].watermark > 0


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 255)), max_size=4), st.integers(0, 5_000))
@example([(1032, 0)], 0)  # Polars panics
def test_spoilt_hits_are_refused_whatever_became_of_them(changes, end):
    whole = pl.DataFrame({name: pl.Series([None] * 50, dtype=kind) for name, kind in SENT.items()})
    raw = io.BytesIO()
    whole.write_ipc_stream(raw, compression="lz4")
    spoilt = bytearray(raw.getvalue()[: end or None])
    for place, byte in changes:
        spoilt[place % len(spoilt)] = byte
    told = decoded(message(rows=b64encode(spoilt).decode()))
    try:
        assert rows_of(told).schema == SENT
    except ValueError:
        return


def test_hits_with_other_columns_are_a_dead_letter(tmp_path, lines):
    site = Site(tmp_path, log_of(lines[:10], 1), whole_lineup(), hits=MemoryHits(HITS, 1))
    counter, of_hits = site.counter("a")
    of_hits.assign(*site.hits.names)
    counter.change()
    (stream,) = counter.streams.values()
    wider = io.BytesIO()
    SENT.to_frame().with_columns(more=0).write_ipc_stream(wider)
    rows = b64encode(wider.getvalue()).decode()
    site.hits.write(0, message(detector="sigma", rows=rows, installation=stream.installation) + b"\n")
    counter.look()
    (letter,) = site.kept.store.dead_letters()
    assert "its hits have the columns" in letter.detail
