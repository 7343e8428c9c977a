"""The outbox: everything due is sent, tried again with growing waits, or given up aloud."""

from __future__ import annotations

import io
import threading
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import durable
from monitor.notifiers import NotifierError, Patience, Receipt
from monitor.outbox import OutboxWorker, backoff_s
from monitor.stores import Message, StoreError
from monitor.stores.record import NotFound
from monitor.telemetry import Telemetry

SECOND = 1_000_000


@dataclass
class Row:
    message: Message
    attempts: int = 0
    next_attempt: int = 0
    state: str = "pending"
    note: str = ""


@dataclass
class Rows:
    """The outbox's part of a store, in memory; `refuse` makes its methods fail, by name."""

    rows: dict[str, Row] = field(default_factory=dict)
    refuse: set[str] = field(default_factory=set)

    def add(self, key: str, channel: str = "webhook:ops") -> None:
        self.rows[key] = Row(Message(key=key, channel=channel, body=b"{}", created=0))

    def _check(self, name: str) -> None:
        if name in self.refuse:
            raise StoreError("disk full", retryable=True)

    def due_messages(self, now: int, limit: int) -> list[Row]:
        self._check("due")
        due = [row for row in self.rows.values() if row.state == "pending" and row.next_attempt <= now]
        return sorted(due, key=lambda row: row.next_attempt)[:limit]

    def message_sent(self, key: str, receipt: str, now: int) -> None:
        self._check("sent")
        row = self.rows[key]
        row.state, row.note, row.next_attempt = "sent", receipt, now

    def message_failed(self, key: str, error: str, next_attempt: int, *, dead: bool, given_up=None) -> None:  # noqa: ARG002 - the protocol's
        self._check("failed")
        row = self.rows[key]
        row.attempts += 1
        row.note, row.next_attempt, row.state = error, next_attempt, "dead" if dead else "pending"


class Carrier:
    """A notifier that does what `outcomes` says, one after another, then succeeds."""

    def __init__(self, *outcomes: Exception, patience: Patience | None = None):
        self.outcomes = list(outcomes)
        self.patience = patience or Patience(attempts_max=3, backoff_s_min=4.0, backoff_s_max=100.0)
        self.sent: list[str] = []
        self.at_once = 1
        self.closed = threading.Event()

    def send(self, message: Message) -> Receipt:
        self.sent.append(message.key)
        if self.outcomes:
            raise self.outcomes.pop(0)
        return Receipt("HTTP 200")

    def close(self) -> None:
        self.closed.set()


class Desk:
    """A worker with all that it works on."""

    def __init__(self, *outcomes: Exception, **channels: Carrier):
        self.now = 0
        self.rows, self.carrier = Rows(), Carrier(*outcomes)
        self.telemetry = Telemetry(stream=io.StringIO())
        carriers = {"webhook:ops": self.carrier} | {f"webhook:{name}": carrier for name, carrier in channels.items()}
        self.worker = OutboxWorker(self.rows, carriers, lambda: self.now, self.telemetry, chance=lambda: 1.0)

    def count(self, outcome: str) -> float | None:
        labels = {"channel": "webhook:ops", "outcome": outcome}
        return self.telemetry.registry.get_sample_value("miniwatch_deliveries_total", labels)


def _busy(wait_s: float | None = None) -> NotifierError:
    return NotifierError("HTTP 503", retryable=True, retry_after_s=wait_s)


def test_a_due_message_is_sent_once_and_its_receipt_kept():
    desk = Desk()
    desk.rows.add("k1")
    assert desk.worker.work()
    assert not desk.worker.work()
    assert desk.carrier.sent == ["k1"]
    assert (desk.rows.rows["k1"].state, desk.rows.rows["k1"].note) == ("sent", "HTTP 200")
    assert desk.count("sent") == 1


def test_waits_double_until_the_message_is_given_up_aloud():
    desk = Desk(_busy(), _busy(), _busy())
    desk.rows.add("k1")
    tried = []
    for second in range(60):
        desk.now = second * SECOND
        if desk.worker.work():
            tried.append(second)
    assert tried == [0, 4, 12]
    assert desk.rows.rows["k1"].state == "dead"
    assert (desk.count("failed"), desk.count("dead")) == (2, 1)


def test_a_receiver_that_asks_for_a_longer_wait_gets_it():
    desk = Desk(_busy(wait_s=50.0))
    desk.rows.add("k1")
    desk.worker.work()
    assert desk.rows.rows["k1"].next_attempt == 50 * SECOND


def test_a_final_refusal_and_an_unknown_channel_are_dead_at_once():
    desk = Desk(NotifierError("HTTP 404", retryable=False))
    desk.rows.add("k1")
    desk.rows.add("k2", "webhook:gone")
    desk.worker.work()
    assert [(row.state, row.note) for row in desk.rows.rows.values()] == [
        ("dead", "HTTP 404"),
        ("dead", "no webhook:gone is configured"),
    ]


def test_a_notifier_with_a_mistake_of_its_own_costs_a_try_and_no_more():
    desk = Desk(KeyError("oops"))
    desk.rows.add("k1")
    desk.worker.work()
    assert desk.rows.rows["k1"].note == "KeyError('oops')"
    assert desk.rows.rows["k1"].state == "pending"


def test_a_failing_channel_rests_and_the_others_go_on():
    down = Carrier(*[_busy()] * 99)
    desk = Desk(down=down)
    for number in range(5):
        desk.rows.add(f"a{number}", "webhook:down")
        desk.rows.add(f"b{number}")
    desk.worker.work()
    assert down.sent == ["a0"]
    assert len(desk.carrier.sent) == 5


def test_a_receipt_that_cannot_be_recorded_is_kept_and_nothing_is_sent_twice():
    desk = Desk()
    desk.rows.add("k1")
    desk.rows.refuse = {"sent"}
    assert not desk.worker.work()
    assert not desk.worker.work()
    desk.rows.refuse = set()
    desk.worker.work()
    assert desk.carrier.sent == ["k1"]
    assert desk.rows.rows["k1"].state == "sent"


def test_a_message_whose_row_has_gone_meanwhile_stalls_nothing():
    desk = Desk()
    desk.rows.add("k1")
    desk.rows.message_sent = lambda key, _receipt, _now: (_ for _ in ()).throw(NotFound("message", key))
    desk.worker.work()
    del desk.rows.message_sent
    desk.rows.rows.pop("k1")
    desk.rows.add("k2")
    assert desk.worker.work()
    assert desk.rows.rows["k2"].state == "sent"


@pytest.mark.parametrize("method", ["due", "sent", "failed"])
def test_the_worker_outlives_a_store_that_refuses(method: str):
    desk = Desk(_busy())
    desk.rows.refuse = {method}
    desk.rows.add("k1")
    assert not (desk.worker.work() and method != "sent")
    desk.rows.refuse = set()
    for second in range(20):
        desk.now = second * SECOND
        desk.worker.work()
    assert desk.rows.rows["k1"].state == "sent"


@pytest.mark.parametrize(("dies_at", "sends"), [("send:webhook", 1), ("send:webhook:done", 2)])
def test_dying_around_a_send_means_sending_the_same_key_again(monkeypatch, dies_at: str, sends: int):
    desk, names = Desk(), []

    def watch(name: str) -> None:
        names.append(name)
        if name == dies_at and names.count(name) == 1:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(durable, "observer", watch)
    desk.rows.add("k1")
    desk.worker.work()
    desk.now = 10 * SECOND
    desk.worker.work()
    assert desk.carrier.sent == ["k1"] * sends
    assert desk.rows.rows["k1"].state == "sent"


def test_the_thread_delivers_what_it_is_woken_for_and_stops_promptly():
    desk = Desk()
    desk.worker.start()
    desk.rows.add("k1")
    desk.worker.wake()
    until = time.monotonic() + 5
    while desk.rows.rows["k1"].state != "sent" and time.monotonic() < until:
        time.sleep(0.01)
    began = time.monotonic()
    desk.worker.stop()
    assert desk.rows.rows["k1"].state == "sent"
    assert time.monotonic() - began < 1


def test_stopping_does_not_wait_for_a_receiver_that_hangs():
    class Hanging(Carrier):
        def send(self, message: Message) -> Receipt:
            self.sent.append(message.key)
            self.closed.wait(20)
            raise _busy()

    hanging = Hanging()
    desk = Desk(hanging=hanging)
    desk.rows.add("k1", "webhook:hanging")
    desk.worker.start()
    while not hanging.sent:
        time.sleep(0.01)
    began = time.monotonic()
    desk.worker.stop(wait_s=0.2)
    assert time.monotonic() - began < 2
    assert desk.rows.rows["k1"].attempts == 0


def test_delivering_all_ends_when_nothing_is_due_or_the_store_is_stuck():
    desk = Desk()
    for number in range(3):
        desk.rows.add(f"k{number}")
    assert desk.worker.deliver_all(5)
    assert len(desk.carrier.sent) == 3
    desk.rows.refuse = {"due"}
    assert not desk.worker.deliver_all(5)


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0.1, 10), st.floats(10, 1000))
def test_a_wait_lies_between_nothing_and_the_cap(attempt, chance, least, most):
    patience = Patience(backoff_s_min=least, backoff_s_max=most)
    assert 0 <= backoff_s(patience, attempt, chance) <= most
    assert backoff_s(patience, attempt, 1.0) <= backoff_s(patience, attempt + 1, 1.0)
