"""However brokers fail and however often we die: whoever reads the topic of decisions from its beginning has what is in force."""

from __future__ import annotations

import io
import json
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor import durable
from monitor.enforcers import slot_of
from monitor.enforcers.catching_up import CatchingUp
from monitor.enforcers.topic import Publication, key_of, publishing, value_of
from monitor.enforcers.undelivered import giving_up
from monitor.responding.lifting import revoke
from monitor.stores import Turn
from monitor.stores.deciding import nothing
from monitor.stores.record import DeliveryState
from monitor.telemetry import Telemetry
from monitor.testing import scratch_store, stored_decision
from monitor.testing.topics import MemoryTopic
from monitor.topics.decisions import DecisionsFeed
from monitor.topics.publisher import Publisher
from playbooks.decision import Act, DecisionState, Mode

SECOND = 1_000_000
HOUR_S = 3600
TO = Publication(name="gateways")


class Killed(BaseException):
    """The process is gone."""


class Scene:
    """A record, a topic and who writes it, on a clock of their own."""

    def __init__(self, folder: Path, to: Publication = TO) -> None:
        self.now, self.turn, self.made, self.to = 1_000 * SECOND, 0, 0, to
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.store = scratch_store(folder, tell=publishing([to], lambda: self.now))
        self.topic = MemoryTopic()
        self.log = io.StringIO()
        self.start()

    def start(self) -> None:
        """One that knows nothing of the one before."""
        telemetry = Telemetry(stream=self.log)
        clock = lambda: self.now  # noqa: E731
        CatchingUp(self.store, [], clock, [self.to]).look()
        self.feed = DecisionsFeed(self.store, self.to, HOUR_S, clock, telemetry, giving_up([]))
        self.publisher = Publisher(self.feed, self.topic, telemetry, lambda: 1.0, lambda: self.now / SECOND)

    def decide(self, slot: int, seconds: int = 600, **more) -> str:
        """A new decision in a slot; it supersedes the one that is in force there."""
        self.made += 1
        self.turn += 1
        value = f"wx{slot}"
        new = stored_decision(f"d{self.made}", self.now, self.now + seconds * SECOND, value=value, **more)
        old = [each for each in self.in_force() if slot_of(each) == slot_of(new)]
        superseded = [msgspec.structs.replace(each, state=DecisionState.SUPERSEDED) for each in old]
        self.store.commit(Turn(number=self.turn, time=self.now, decisions=[*superseded, new]))
        return new.id

    def in_force(self):
        return self.store.decisions_in_force(-1, [Mode.LIVE])

    def revoke(self, slot: int) -> None:
        for each in self.in_force():
            if each.value == f"wx{slot}":
                revoke(self.store, each.id, actor="operator:a", reason="b", now=self.now)

    def expire(self, seconds: int) -> None:
        self.now += seconds * SECOND
        self.store.expire_decisions(self.now)

    def die_after_writing(self) -> None:
        """What is under way is taken, and no receipt of it is kept."""

        def observe(name: str) -> None:
            if name == "send:topic:done":
                raise Killed

        earlier, durable.observer = durable.observer, observe
        try:
            with suppress(Killed):
                self.publisher.work()
        finally:
            durable.observer = earlier
        self.start()

    def elsewhere(self, do) -> None:
        """A command changes the record whose configuration names no topic."""
        told, self.store = self.store, scratch_store(self.folder, tell=nothing)
        try:
            do()
        finally:
            self.store.close()
            self.store = told
        CatchingUp(self.store, [], lambda: self.now, [self.to]).look()

    def settle(self) -> None:
        """Brokers are well from now on."""
        self.topic.script.clear()
        self.topic.refuses = ""
        for _ in range(4):
            self.expire(61)
            self.write()

    def write(self) -> None:
        while self.publisher.work() is not None:
            pass

    def expected(self) -> dict[str, dict]:
        return {key_of(slot_of(each)): json.loads(value_of(each)) for each in self.in_force() if self.to.takes(each)}

    def check(self) -> None:
        assert {key: json.loads(value) for key, value in self.topic.state().items()} == self.expected()


def settled(folder, to: Publication = TO) -> Scene:
    scene = Scene(folder, to)
    scene.settle()
    return scene


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("decide"), st.integers(0, 3), st.sampled_from([5, 60, 600])),
        st.tuples(st.just("revoke"), st.integers(0, 3)),
        st.tuples(st.just("revoke elsewhere"), st.integers(0, 3)),
        st.tuples(st.just("decide elsewhere"), st.integers(0, 3)),
        st.tuples(st.just("expire"), st.sampled_from([1, 10, 100])),
        st.tuples(st.just("write"), st.sampled_from(["taken", "down", "half", "unanswered", "broken"])),
        st.tuples(st.just("die")),
        st.tuples(st.just("restart")),
        st.tuples(st.just("recreate"), st.integers(0, 5)),
    ),
    max_size=30,
)


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_whatever_happens_the_topic_comes_to_what_is_in_force(steps):
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder))
        for word, *rest in steps:
            match word, rest:
                case "decide", (slot, seconds):
                    scene.decide(slot, seconds)
                case "decide elsewhere", (slot,):
                    scene.elsewhere(lambda slot=slot: scene.decide(slot))
                case "revoke", (slot,):
                    scene.revoke(slot)
                case "revoke elsewhere", (slot,):
                    scene.elsewhere(lambda slot=slot: scene.revoke(slot))
                case "expire", (seconds,):
                    scene.expire(seconds)
                case "write", (how,):
                    scene.topic.script[:] = [how]
                    scene.publisher.work()
                case "die", ():
                    scene.die_after_writing()
                case "restart", ():
                    scene.start()
                case "recreate", (keep,):
                    scene.topic.recreated(keep)
        scene.settle()
        scene.check()
        scene.store.close()


def test_a_decision_is_written_as_programs_get_it_and_its_end_is_a_tombstone(tmp_path):
    scene = settled(tmp_path)
    scene.decide(1, type=Act.THROTTLE, target="getLocation")
    scene.settle()
    (begun,) = scene.topic.log
    assert begun.key == '["AppId","wx1","throttle","getLocation"]'
    assert json.loads(begun.value)["expires"].endswith("Z")
    assert begun.id.startswith("topic:gateways:d1:active:")
    scene.revoke(1)
    scene.settle()
    assert (scene.topic.log[-1].key, scene.topic.log[-1].value) == (begun.key, None)


def test_what_takes_the_place_of_another_needs_no_end_between(tmp_path):
    scene = settled(tmp_path)
    scene.decide(1, 60)
    scene.write()
    scene.decide(1, 600)
    scene.write()
    assert [json.loads(item.value)["id"] for item in scene.topic.log] == ["d1", "d2"]


def test_a_topic_that_was_deleted_is_written_anew_within_a_minute(tmp_path):
    scene = settled(tmp_path)
    for slot in range(3):
        scene.decide(slot)
    scene.settle()
    scene.topic.recreated()
    scene.settle()
    scene.check()
    assert len(scene.topic.log) == 3


def test_after_a_restore_what_the_record_no_longer_knows_is_ended(tmp_path):
    scene = settled(tmp_path / "one")
    scene.decide(1)
    scene.decide(2)
    scene.settle()
    restored = Scene(tmp_path / "two")
    restored.decide(2, 900)
    restored.topic = scene.topic
    restored.start()
    restored.settle()
    restored.check()


def test_keys_of_others_are_left_alone_and_counted(tmp_path):
    scene = Scene(tmp_path)
    scene.topic.log += [_foreign("theirs"), _foreign('["AppId", "wx1", "throttle", null]')]
    scene.settle()
    assert len(scene.topic.log) == 2
    assert json.loads(scene.log.getvalue().splitlines()[-1])["foreign"] == 2


def _foreign(key: str):
    from monitor.topics import Item  # noqa: PLC0415

    return Item("x", key, b"{}")


def test_a_record_that_no_broker_takes_is_given_up_aloud_and_written_when_a_person_asks(tmp_path):
    scene = settled(tmp_path)
    scene.decide(1, 90_000, explanation="x" * 1_100_000)
    scene.decide(2, 90_000)
    scene.settle()
    assert [json.loads(item.value)["id"] for item in scene.topic.log] == ["d2"]
    (dead,) = scene.store.deliveries_about("d1")
    assert (dead.state, dead.last_error) == (DeliveryState.DEAD, "the record is too large")
    assert [entry.entry.action for entry in scene.store.audit_entries()][-1] == "enforcement.undelivered"
    scene.start()
    scene.settle()
    assert len(scene.store.deliveries_about("d1")) == 1  # it is not tried again by itself
    scene.store.ask_comparison(TO.channel, "operator:ann", "brokers take more now", scene.now)
    scene.settle()
    assert [each.state for each in scene.store.deliveries_about("d1")] == [DeliveryState.DEAD]
    assert "brokers take more" in [entry.entry.reason for entry in scene.store.audit_entries()][-2]


def test_who_may_not_write_is_told_so_and_goes_on_by_itself_later(tmp_path):
    scene = settled(tmp_path)
    scene.decide(1)
    scene.topic.refuses = "not authorised"
    scene.now += 61 * SECOND
    waits = [scene.publisher.work() for _ in range(8)]
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]
    (waiting,) = scene.store.deliveries_about("d1")
    assert (waiting.state, waiting.last_error, waiting.attempts) == (DeliveryState.PENDING, "not authorised", 8)
    assert scene.publisher.trouble == "not authorised"
    scene.publisher.leads = lambda: False
    assert scene.publisher.trouble == ""  # it is another's to write
    scene.publisher.leads = lambda: True
    scene.settle()
    assert scene.publisher.trouble == ""
    scene.check()


def test_only_what_was_asked_for_is_written_and_asking_for_less_ends_the_rest(tmp_path):
    scene = settled(tmp_path)
    scene.decide(1, 90_000, type=Act.CAPTCHA)
    scene.decide(2, 90_000)
    scene.settle()
    assert len(scene.topic.state()) == 2
    scene.to = Publication(name="gateways", types=(Act.CAPTCHA,))
    scene.start()
    scene.settle()
    scene.check()
    assert len(scene.topic.state()) == 1


def test_more_than_is_written_at_once_is_written_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr("monitor.topics.publisher.BATCH_MAX", 7)
    scene = settled(tmp_path)
    for slot in range(50):
        scene.decide(slot, 90_000)
    scene.settle()
    assert [json.loads(item.value)["value"] for item in scene.topic.log] == [f"wx{slot}" for slot in range(50)]
