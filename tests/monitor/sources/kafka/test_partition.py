"""A topic's partitions as sources, without a broker."""

import itertools
import time

import pytest

from monitor.sources import Position, UnreadReason
from monitor.sources.kafka import NotOurs
from monitor.sources.kafka.group import Group
from monitor.sources.kafka.lag import Told
from monitor.sources.kafka.settings import Address, KafkaSettings
from monitor.testing import SOURCE_LINE_BYTES_MAX, check_source
from monitor.testing.kafka import MemoryClient, MemoryTopic, laid_as_messages, messages_of

PLACE = "kafka:events/0"


@pytest.fixture
def opened():
    """Groups that are closed at the end."""
    groups = []

    def open_group(topic, group="", settings=None, line_bytes_max=SOURCE_LINE_BYTES_MAX, until_end=False, pace_s=0.0):
        client = MemoryClient(topic)
        address = Address(("memory:1",), "events", group=group)
        one = Group(
            address,
            settings or KafkaSettings(),
            lambda: client,
            until_end=until_end,
            line_bytes_max=line_bytes_max,
            pace_s=pace_s,
        )
        groups.append(one)
        return one, client

    yield open_group
    for one in groups:
        one.close()


def waited(holds, seconds=5.0):
    until = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.002)
    return found


def lines(source, count, stored=None):
    """So many lines, and the last batch."""
    source.open(stored)
    raw = waited(lambda: source.read(1 << 20, 0.05))
    while raw.data.count(b"\n") < count:
        raw = raw.joined(waited(lambda: source.read(1 << 20, 0.05)))
    return raw.data, raw


def test_every_law_of_a_source_holds(opened):
    def make(content):
        group, _ = opened(MemoryTopic({0: messages_of(content)}), until_end=True)
        group.poll(5.0)
        source = group.source(PLACE)
        read = source.read
        # The battery takes None for "nothing yet": here it is given what the thread is about to fetch.
        source.read = lambda size, wait_s, most=50_000: read(size, max(wait_s, 0.05), most)
        close = source.close
        source.close = lambda: (close(), group.close())
        return source

    check_source(make, laid=laid_as_messages)


def test_all_partitions_are_ours_and_those_that_are_added(opened, monkeypatch):
    monkeypatch.setattr("monitor.sources.kafka.group.TOPIC_S", 0.01)
    topic = MemoryTopic({0: [b"a"], 1: [b"b"]})
    group, _ = opened(topic)
    assert group.poll(5.0).assigned == (PLACE, "kafka:events/1")
    topic.logs = {**topic.logs, 2: [b"c"]}
    assert waited(lambda: group.poll(0.1).assigned) == ("kafka:events/2",)
    assert lines(group.source("kafka:events/2"), 1)[0] == b"c\n"


def test_a_run_to_the_end_reads_no_partition_that_is_added(opened, monkeypatch):
    monkeypatch.setattr("monitor.sources.kafka.group.TOPIC_S", 0.01)
    topic = MemoryTopic({0: [b"a"]})
    group, client = opened(topic, until_end=True)
    assert group.poll(5.0).assigned == (PLACE,)
    topic.logs = {**topic.logs, 1: [b"b"]}
    waited(lambda: group.partition_count == 2)
    assert group.poll(0.05).assigned == ()
    assert client.owned == {0}


def test_a_partition_that_is_added_is_read_from_its_beginning_wherever_reading_begins(opened, monkeypatch):
    monkeypatch.setattr("monitor.sources.kafka.group.TOPIC_S", 0.01)
    topic = MemoryTopic({0: [b"old"]})
    group, _ = opened(topic, settings=KafkaSettings(start_at="latest"))
    group.poll(5.0)
    source = group.source(PLACE)
    source.open(None)
    waited(lambda: source.lag_bytes == 0)
    topic.logs = {0: [b"old", b"new"], 1: [b"first"]}
    assert waited(lambda: group.poll(0.1).assigned) == ("kafka:events/1",)
    assert lines(group.source("kafka:events/1"), 1)[0] == b"first\n"
    assert waited(lambda: source.read(1 << 20, 0.05)).data == b"new\n"


def test_a_revoked_partition_gives_nothing_more_and_is_waited_for(opened):
    group, client = opened(MemoryTopic({0: [b"a"] * 20, 1: [b"b"]}), group="g")
    waited(lambda: client.membership)
    client.grant(0, 1)
    assert waited(lambda: group.poll(0.1).assigned) == (PLACE, "kafka:events/1")
    source = group.source(PLACE)
    assert lines(source, 20)[0] == b"a\n" * 20
    client.take_back(0)
    assert waited(lambda: group.poll(0.1).revoked) == (PLACE,)
    assert source.read(1 << 20, 0.0) is None
    assert not group.is_released([0])
    group.release([PLACE])
    assert group.is_released([0])


def test_a_partition_that_is_taken_away_before_it_is_opened_is_not_ours(opened):
    group, client = opened(MemoryTopic({0: [b"a"]}), group="g")
    waited(lambda: client.membership)
    client.grant(0)
    waited(lambda: group.poll(0.1).assigned)
    source = group.source(PLACE)
    client.take_back(0)
    waited(lambda: group.poll(0.1).revoked)
    with pytest.raises(NotOurs):
        source.open(None)


def test_a_partition_that_is_not_released_in_time_is_taken_all_the_same(opened):
    group, client = opened(MemoryTopic(), group="g", settings=KafkaSettings(release_s_max=0.05))
    waited(lambda: client.membership)
    client.grant(0)
    waited(lambda: group.poll(0.1).assigned)
    client.take_back(0)
    waited(lambda: group.poll(0.1).revoked)
    waited(lambda: group.is_released([0]))


def test_what_was_fetched_ahead_is_bounded(opened):
    topic = MemoryTopic({0: [b"x" * 60] * 500})
    group, client = opened(topic, settings=KafkaSettings(buffer_bytes_max=1000))
    group.poll(5.0)
    source = group.source(PLACE)
    source.open(None)
    waited(lambda: 0 in client.paused and client.places.get(0))
    held = client.places[0]
    assert held * 61 <= 1000 + 7 * 61
    data = b""
    while data.count(b"\n") < 500:
        data += waited(lambda: source.read(300, 0.05)).data
    assert source.lag_bytes == 0


def test_what_retention_deleted_is_told_once_and_reading_goes_on(opened):
    topic = MemoryTopic({0: [b"%d" % number for number in range(100)]}, {0: 60})
    group, _ = opened(topic)
    group.poll(5.0)
    data, last = lines(group.source(PLACE), 40, Position(PLACE, 10 << 20))
    assert data.startswith(b"60\n")
    assert [(one.position >> 20, one.messages, one.reason) for one in last.unread] == [(10, 50, UnreadReason.GONE)]
    again, last = lines(group.source(PLACE), 40, Position(PLACE, 60 << 20, last.cursor))
    assert again == data
    assert not last.unread


def test_a_shorter_log_is_told_and_its_lines_stand_at_new_positions(opened):
    topic = MemoryTopic({0: [b"%d" % number for number in range(10)]})
    group, _ = opened(topic)
    group.poll(5.0)
    source = group.source(PLACE)
    _, last = lines(source, 10)
    topic.logs[0] = topic.logs[0][:4]
    told = waited(lambda: source.read(1 << 20, 0.05))
    assert [one.reason for one in told.unread] == [UnreadReason.TRUNCATED]
    topic.logs[0] += [b"new"]
    new = waited(lambda: source.read(1 << 20, 0.05))
    assert new.data == b"new\n"
    assert new.positions(new.messages.begins)[0] >= last.end
    source.open(Position(PLACE, new.end, new.cursor))
    topic.logs[0] += [b"newer"]
    assert waited(lambda: source.read(1 << 20, 0.05)).data == b"newer\n"


def test_another_topic_by_the_same_name_is_told_and_read_from_its_beginning(opened, monkeypatch):
    monkeypatch.setattr("monitor.sources.kafka.group.TOPIC_S", 0.01)
    topic = MemoryTopic({0: [b"old"] * 5})
    group, _ = opened(topic)
    group.poll(5.0)
    source = group.source(PLACE)
    _, last = lines(source, 5)
    topic.id, topic.logs = "second", {0: [b"new"] * 9}
    told = waited(lambda: source.read(1 << 20, 0.05))
    assert [one.reason for one in told.unread] == [UnreadReason.RECREATED]
    data = told.data
    while data.count(b"\n") < 9:
        after = waited(lambda: source.read(1 << 20, 0.05))
        data += after.data
    assert data == b"new\n" * 9
    assert told.unread[0].position == last.end


def test_while_kafka_cannot_be_asked_the_source_says_why(opened):
    topic = MemoryTopic({0: [b"a"]}, refusal="no broker answers")
    group, _ = opened(topic)
    waited(lambda: group.trouble)
    topic.refusal = None
    assert waited(lambda: group.poll(0.1).assigned) == (PLACE,)
    assert lines(group.source(PLACE), 1)[0] == b"a\n"
    assert group.source(PLACE).missing is None


def test_how_far_we_are_is_told_to_kafka_in_offsets(opened):
    group, client = opened(MemoryTopic({0: [b"a"] * 5}), group="g")
    waited(lambda: client.membership)
    client.grant(0)
    waited(lambda: group.poll(0.1).assigned)
    _, last = lines(group.source(PLACE), 5)
    group.commit({PLACE: last.end})
    assert waited(lambda: client.committed) == {0: 5}
    assert group.lag.look() == Told()
    client.uncommitted = "no right"
    group.commit({PLACE: last.end})
    assert waited(lambda: group.lag.look().failures) == 1


@pytest.mark.parametrize("fault", ["the id of the topic is not known for a while", "fetched for nobody"])
def test_what_was_fetched_and_let_go_is_fetched_again(opened, fault):
    content = b"".join(b'{"n":%d}\n' % number for number in range(500))
    group, client = opened(MemoryTopic({0: messages_of(content)}), until_end=True)
    polled, known, polls = client.poll, client.topic_id, iter(range(10_000))

    def poll(wait_s):
        found = polled(wait_s)
        is_last = any(one.what.next_offset == client.end(0) for one in found)
        return [] if fault == "fetched for nobody" and next(polls) % 5 == 2 and not is_last else found

    client.poll = poll
    if fault != "fetched for nobody":
        client.topic_id = lambda: "" if next(polls) % 5 == 2 else known()
    group.poll(5.0)
    assert lines(group.source(PLACE), 500)[0] == content


def test_what_was_not_fetched_yet_is_lag_whatever_it_weighs(opened):
    group, client = opened(MemoryTopic({0: [b"a", b"b"]}))
    client.poll = lambda wait_s: time.sleep(min(wait_s, 0.01)) or []
    group.poll(5.0)
    source = group.source(PLACE)
    source.open(None)
    assert waited(lambda: source.lag_bytes) == 2


def test_a_log_is_read_out_as_of_the_moment_of_which_all_was_taken(opened):
    topic = MemoryTopic({0: messages_of(b"a\nb\n")})
    group, _ = opened(topic)
    group.poll(5.0)
    source = group.source(PLACE)
    begun = time.monotonic()
    _, raw = lines(source, 2)
    known = waited(lambda: source.taken_as_of(raw.end))
    assert begun <= known <= time.monotonic()
    later = waited(lambda: (now := source.taken_as_of(raw.end)) > known and now)
    topic.logs[0].append(b"c\n")
    waited(lambda: source.lag_bytes)
    stood = source.taken_as_of(raw.end)
    time.sleep(0.05)
    assert source.taken_as_of(raw.end) == stood >= later
    assert stood < time.monotonic() - 0.04


def test_what_is_taken_in_part_is_not_read_out(opened):
    group, _ = opened(MemoryTopic({0: messages_of(b"a\nb\n")}))
    group.poll(5.0)
    source = group.source(PLACE)
    _, raw = lines(source, 2)
    waited(lambda: source.lag_bytes == 0)
    time.sleep(0.02)
    assert source.taken_as_of(raw.start) is None
    assert source.taken_as_of(raw.end) is not None


def told_polls(client):
    """When each fetch brought something."""
    polled, poll = [], client.poll

    def noting(wait_s):
        found = poll(wait_s)
        if found:
            polled.append(time.monotonic())
        return found

    client.poll = noting
    return polled


@pytest.mark.parametrize(("much", "paused"), [(1 << 20, True), (1, False)])
def test_fetches_that_bring_little_are_spaced_out(opened, monkeypatch, much, paused):
    monkeypatch.setattr("monitor.sources.kafka.group.MUCH_BYTES", much)
    group, client = opened(MemoryTopic({0: [b"{}"] * 21}), pace_s=0.25)
    polled = told_polls(client)
    group.poll(5.0)
    lines(group.source(PLACE), 21)
    assert len(polled) == 3
    assert all((after - before >= 0.25) is paused for before, after in itertools.pairwise(polled))


def test_messages_are_waited_for_only_while_none_is_there(opened):
    topic = MemoryTopic({0: []})
    group, _ = opened(topic)
    group.poll(5.0)
    group.source(PLACE).open(None)
    begun = time.monotonic()
    group.wait_for_messages(0.1)
    assert 0.1 <= time.monotonic() - begun < 5
    topic.logs[0].append(b"{}")
    group.wait_for_messages(30.0)
    group.wait_for_messages(30.0)
    assert time.monotonic() - begun < 20


def test_whoever_has_no_partition_waits_for_none_of_its_messages(opened):
    group, _ = opened(MemoryTopic({0: []}), group="g")
    begun = time.monotonic()
    group.wait_for_messages(30.0)
    assert time.monotonic() - begun < 20
