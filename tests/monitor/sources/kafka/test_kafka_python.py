"""The inner parts of kafka-python that our reading stands on are as we know them; without a broker."""

import inspect
import struct
import time
from functools import partial
from types import SimpleNamespace

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.cluster import ClusterMetadata
from kafka.consumer.fetcher import Fetcher
from kafka.consumer.subscription_state import SubscriptionState
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.coordinator.heartbeat import Heartbeat
from kafka.net.selector import NetworkSelector
from kafka.record import MemoryRecords
from kafka.record.memory_records import MemoryRecordsBuilder
from kafka.structs import OffsetAndMetadata

from monitor.sources.kafka.client import Expelled
from monitor.sources.kafka.kafka_python import KafkaPythonClient, _Records, options_of
from monitor.sources.kafka.settings import Address, KafkaSettings


def records(values):
    builder = MemoryRecordsBuilder(2, 0, 1 << 20)
    for value in values:
        builder.append(1_000, None, value)
    builder.close()
    return MemoryRecords(bytes(builder.buffer()))


def consumer_of(coordinator):
    """A consumer that has nothing."""
    return SimpleNamespace(_coordinator=coordinator, poll=lambda *_: {}, assignment=set, paused=set)


def test_the_fetcher_unpacks_by_the_class_that_we_replace():
    assert "self.PartitionRecords(" in inspect.getsource(Fetcher._parse_fetched_data)
    theirs = inspect.signature(Fetcher.PartitionRecords.__init__).parameters
    ours = set(inspect.signature(_Records.__init__).parameters) - {"message_bytes_max"}
    assert set(theirs) == ours


def test_the_fetcher_asks_of_it_nothing_that_ours_lacks():
    asked = {"take", "drain", "topic_partition", "next_fetch_offset", "leader_epoch", "bytes_read"}
    ours = _Records(0, TopicPartition("t", 0), records([b"a"]), message_bytes_max=10)
    assert all(hasattr(ours, name) for name in asked)
    source = inspect.getsource(Fetcher)
    source = source[: source.index("class PartitionRecords")]
    for variable in ("part", "partition_records", "_next_partition_records", "parked"):
        for name in source.split(f" {variable}.")[1:]:
            word = name.split("(")[0].split()[0].strip(",:)")
            assert word in asked, f"{variable}.{word}"


def test_what_it_takes_stands_in_for_their_records():
    ours = _Records(1, TopicPartition("t", 0), records([b"a", b"b", b"c"]), message_bytes_max=10)
    assert ours
    (piece,) = ours.take(5)
    assert (piece.data, ours.next_fetch_offset) == (b"b\nc\n", 3)
    assert ours.take(5) == []
    assert not ours


@pytest.mark.parametrize("length", [1 << 30, 5, 0, -1, -12, -(1 << 31)])
@pytest.mark.parametrize("size", [None, 8, 40])
def test_a_first_batch_whose_length_is_spoilt_passes_the_fetcher_s_own_looks(length, size):
    spoilt = bytearray(records([b"a", b"b"])._buffer)
    struct.pack_into(">i", spoilt, 8, length)
    place = TopicPartition("t", 0)
    fetcher = Fetcher.__new__(Fetcher)
    fetcher._subscriptions = SubscriptionState("none")
    fetcher._subscriptions.assign_from_user([place])
    fetcher._subscriptions.seek(place, OffsetAndMetadata(0, "", -1))
    fetcher.config = Fetcher.DEFAULT_CONFIG
    fetcher._isolation_level, fetcher._on_partition_records_drain = None, lambda _drained: None
    fetcher.PartitionRecords = partial(_Records, message_bytes_max=10)
    answer = SimpleNamespace(
        error_code=0,
        high_watermark=2,
        diverging_epoch=None,
        records=bytes(spoilt[:size]),
        aborted_transactions=None,
        preferred_read_replica=-1,
    )
    fetched = SimpleNamespace(
        topic_partition=place, fetched_offset=0, partition_data=answer, metric_aggregator=None, response_version=16
    )
    (piece,) = fetcher._parse_fetched_data(fetched).take(5)
    assert piece.unread
    assert piece.next_offset == (2 if size is None else 1)


@pytest.mark.parametrize("name", ["_fetcher", "_subscription"])
def test_the_consumer_has_its_parts_by_the_names_that_we_use(name):
    assert f"self.{name} = " in inspect.getsource(KafkaConsumer.__init__)


def test_a_place_may_have_a_leader_epoch():
    state = SubscriptionState("none")
    state.assign_from_user([TopicPartition("t", 0)])
    state.seek(TopicPartition("t", 0), OffsetAndMetadata(5, "", 3))
    assert state.position(TopicPartition("t", 0)).leader_epoch == 3


def test_what_asks_for_topics_can_be_told_to_make_none():
    cluster = ClusterMetadata()
    cluster.config["allow_auto_create_topics"] = False
    cluster.set_topics(["t"])
    assert cluster.metadata_request().allow_auto_topic_creation is False


@pytest.mark.parametrize("rejoining", [True, False])
def test_a_rebalance_that_the_coordinator_forgets_is_brought_to_its_end(rejoining):
    asked = []
    coordinator = SimpleNamespace(
        rejoining=rejoining, need_rejoin=lambda: False, request_rejoin=lambda: asked.append(1), stable=lambda: False
    )
    client = KafkaPythonClient.__new__(KafkaPythonClient)
    client._heard, client._stuck = {}, {}
    client._consumer = consumer_of(coordinator)
    assert client.poll(0.0) == []
    assert bool(asked) == rejoining


def test_the_coordinator_knows_of_a_rebalance_by_the_names_that_we_use():
    source = inspect.getsource(ConsumerCoordinator.__mro__[1])
    assert "self.rejoining = True" in source
    assert "self.rejoin_needed = True" in inspect.getsource(ConsumerCoordinator.request_rejoin)
    assert "rejoining" not in inspect.getsource(ConsumerCoordinator.need_rejoin)  # once it is, ours is not needed


@pytest.mark.parametrize(("group", "known_as"), [("workers", "worker-1"), ("", None)])
def test_who_only_asks_has_no_name_in_a_group(group, known_as):
    address = Address(("127.0.0.1:9092",), "calls", group, "kafka-python", "ndjson")
    options = options_of(address, KafkaSettings(group_instance_id="worker-1"))
    assert options["group_instance_id"] == known_as


@pytest.mark.parametrize(("stable", "expired"), [(True, True), (True, False), (False, True)])
def test_who_hears_nothing_for_a_session_is_no_member_any_more(stable, expired):
    coordinator = SimpleNamespace(rejoining=False, stable=lambda: stable)
    coordinator.heartbeat = SimpleNamespace(session_timeout_expired=lambda: expired)
    client = KafkaPythonClient.__new__(KafkaPythonClient)
    client._heard, client._stuck = {}, {}
    client._address, client._settings = Address(("memory:1",), "events", "g"), KafkaSettings()
    client._consumer = consumer_of(coordinator)
    if stable and expired:
        with pytest.raises(Expelled, match="group g has not answered for"):
            client.poll(0.0)
    else:
        assert client.poll(0.0) == []


def test_the_coordinator_knows_of_heartbeats_by_the_names_that_we_use():
    assert callable(ConsumerCoordinator.stable)
    assert "self.heartbeat = " in inspect.getsource(ConsumerCoordinator.__mro__[1].__init__)
    assert callable(Heartbeat.session_timeout_expired)


def test_the_loop_of_the_client_does_not_warn_of_what_waits_for_turns():
    client = SimpleNamespace()
    KafkaPythonClient._made(client, bootstrap_servers=["127.0.0.1:1"]).close()
    assert client._net.config["slow_task_threshold_secs"] == 0


def test_a_task_that_takes_long_is_warned_of_unless_the_threshold_is_nothing(caplog):
    async def slow():
        begun = time.monotonic()
        while time.monotonic() - begun < 0.02:
            pass

    for threshold in (0.01, 0):
        caplog.clear()
        net = NetworkSelector(slow_task_threshold_secs=threshold)
        net.run(slow)
        net.close()
        assert ("threshold" in caplog.text) == bool(threshold)
