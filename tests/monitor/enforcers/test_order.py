"""However a receiver fails and however often we die: in the end it has just what is in force, and none of it out of order."""

from __future__ import annotations

import io
import tempfile
from contextlib import suppress
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from receiving import Penalties

from monitor import durable
from monitor.enforcers import Enforcer
from monitor.enforcers.telling import telling
from monitor.notifiers import NotifierError, Patience, Receipt
from monitor.notifiers.alert import told_time
from monitor.outbox import OutboxWorker
from monitor.responding.lifting import revoke
from monitor.stores import Message, Turn
from monitor.stores.record import DeliveryState
from monitor.stores.sql import SqlStore
from monitor.telemetry import Telemetry
from monitor.testing import scratch_store, stored_decision
from playbooks.decision import DecisionState, Mode

SECOND = 1_000_000
ENFORCER = Enforcer(name="platform")


class Killed(BaseException):
    """The process is gone."""


class Flaky:
    """Hands what it can to the receiver; `script` says of each send whether it is taken, refused before or after that."""

    def __init__(self, receiver: Penalties, script: list[str]) -> None:
        self.receiver, self.script = receiver, script
        self.patience = Patience(attempts_max=10_000, backoff_s_min=4.0, backoff_s_max=16.0)
        self.at_once = 3

    def send(self, message: Message) -> Receipt:
        outcome = self.script.pop(0) if self.script else "taken"
        if outcome == "refused":
            raise NotifierError("HTTP 503", retryable=True)
        self.receiver.take(message.key, message.body)
        if outcome == "unanswered":
            raise NotifierError("ReadTimeout", retryable=True)
        return Receipt("HTTP 204")

    def close(self) -> None:
        """Nothing to cut off."""


class Scene:
    """A record, its worker and a receiver, on a clock of their own."""

    def __init__(self, folder: Path) -> None:
        self.now, self.turn, self.made = 1_000 * SECOND, 0, 0
        self.store: SqlStore = scratch_store(folder, tell=telling([ENFORCER], lambda: self.now))
        self.receiver = Penalties()
        self.script: list[str] = []
        self.chances: list[float] = []
        self.start()

    def start(self) -> None:
        """A worker that knows nothing of the one before."""
        carrier = Flaky(self.receiver, self.script)
        chance = lambda: self.chances.pop() if self.chances else 1.0  # noqa: E731
        telemetry = Telemetry(stream=io.StringIO())
        self.worker = OutboxWorker(self.store, {ENFORCER.channel: carrier}, lambda: self.now, telemetry, chance)

    def stop(self) -> None:
        self.worker.stop(0.0)

    def decide(self, slot: int, seconds: int) -> None:
        """A new decision in a slot; it supersedes the one that is in force there."""
        self.made += 1
        self.turn += 1
        value = f"wx{slot}"
        new = stored_decision(f"d{self.made}", self.now, self.now + seconds * SECOND, value=value)
        old = [each for each in self.in_force() if each.value == value]
        superseded = [msgspec.structs.replace(each, state=DecisionState.SUPERSEDED) for each in old]
        self.store.commit(Turn(number=self.turn, time=self.now, decisions=[*superseded, new]))

    def in_force(self):
        return self.store.decisions_in_force(-1, [Mode.LIVE])

    def revoke(self, slot: int) -> None:
        for each in self.in_force():
            if each.value == f"wx{slot}":
                revoke(self.store, each.id, actor="operator:a", reason="b", now=self.now)

    def work(self) -> None:
        self.worker.work()

    def die_after_sending(self) -> None:
        """What is under way is taken, and no receipt of it is kept."""

        def observe(name: str) -> None:
            if name == "commit:outbox":
                raise Killed

        earlier, durable.observer = durable.observer, observe
        try:
            with suppress(Killed):
                self.worker.work()
        finally:
            durable.observer = earlier
        self.stop()
        self.start()

    def settle(self) -> None:
        """The receiver is well from now on."""
        self.script.clear()
        for _ in range(3):
            self.now += 20 * SECOND
            while self.worker.work():
                pass

    def check(self) -> None:
        expected = {each.id: told_time(each.expires) for each in self.in_force()}
        assert self.receiver.in_force == expected
        for decision in {key for key, _ in self.receiver.taken}:
            states = [state for key, state in self.receiver.taken if key == decision]
            assert states in (["active"], ["active", states[-1]])


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("decide"), st.integers(0, 1), st.integers(5, 200)),
        st.tuples(st.just("revoke"), st.integers(0, 1)),
        st.tuples(st.just("expire")),
        st.tuples(st.just("work")),
        st.tuples(st.just("die")),
        st.tuples(st.just("pass"), st.integers(1, 30)),
        st.tuples(
            st.just("fail"), st.lists(st.sampled_from(["refused", "unanswered", "taken"]), min_size=1, max_size=4)
        ),
    ),
    min_size=4,
    max_size=25,
)


def _play(scene: Scene, steps) -> None:
    for step, *more in steps:
        match step:
            case "decide":
                scene.decide(*more)
            case "revoke":
                scene.revoke(*more)
            case "expire":
                scene.store.expire_decisions(scene.now)
            case "work":
                scene.work()
            case "die":
                scene.die_after_sending()
            case "pass":
                scene.now += more[0] * SECOND
            case "fail":
                scene.script.extend(more[0])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, chances=st.lists(st.floats(0, 1), max_size=40))
def test_in_the_end_the_receiver_has_just_what_is_in_force(steps, chances):
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder))
        scene.chances.extend(chances)
        try:
            _play(scene, steps)
            scene.settle()
            scene.check()
        finally:
            scene.stop()
            scene.store.close()


def test_an_add_that_is_tried_again_after_its_del_came_up_does_not_revive_it(tmp_path):
    scene = Scene(tmp_path)
    scene.script.extend(["refused"])
    scene.decide(0, 100)
    scene.work()
    scene.revoke(0)
    scene.work()
    assert scene.receiver.taken == []  # the del waits for the add
    scene.settle()
    assert scene.receiver.taken == [("d1", "active"), ("d1", "revoked")]
    scene.stop()


def test_an_act_that_a_longer_one_supersedes_is_never_without_either(tmp_path):
    scene = Scene(tmp_path)
    scene.decide(0, 100)
    scene.decide(0, 1000)
    scene.settle()
    assert scene.receiver.taken == [("d1", "active"), ("d2", "active"), ("d1", "superseded")]
    scene.stop()


def test_one_line_that_waits_holds_up_no_other(tmp_path):
    scene = Scene(tmp_path)
    scene.script.extend(["refused"])
    scene.decide(0, 100)
    scene.work()
    scene.decide(1, 100)
    scene.work()
    assert scene.receiver.taken == [("d2", "active")]
    scene.stop()


def test_receipts_tell_since_when_an_enforcer_has_a_decision(tmp_path):
    scene = Scene(tmp_path)
    scene.decide(0, 100)
    (waiting,) = scene.store.deliveries_about("d1")
    scene.settle()
    scene.revoke(0)
    begun, ended = scene.store.deliveries_about("d1")
    assert (waiting.state, begun.state, ended.state) == (
        DeliveryState.PENDING,
        DeliveryState.SENT,
        DeliveryState.PENDING,
    )
    assert (begun.receipt, begun.sent) == ("HTTP 204", 1_020 * SECOND)
    scene.stop()
