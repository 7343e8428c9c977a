"""The outbox: whatever one receiver does, and however much waits for it, messages to another are looked at within a round."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import outbox
from monitor.notifiers import NotifierError, Patience, Receipt
from monitor.outbox import OutboxWorker
from monitor.stores import Message, Turn
from monitor.stores.record import Record
from monitor.telemetry import Telemetry
from monitor.testing import scratch_store

DUE_MAX = 12


class Receiver(NamedTuple):
    """How much waits for somebody since when, and what they do with it."""

    waiting: int
    since: int
    answers: str


class Carrier:
    """Does with every message what its receiver does."""

    def __init__(self, answers: str, at_once: int = 1) -> None:
        self.answers, self.at_once, self.tried = answers, at_once, 0
        self.patience = Patience(attempts_max=99)

    def send(self, message: Message) -> Receipt:  # noqa: ARG002 - the protocol's
        self.tried += 1
        if self.answers == "takes":
            return Receipt("HTTP 200")
        raise NotifierError(self.answers, retryable=self.answers == "is down")

    def close(self) -> None:
        """Nothing to cut off."""


receivers = st.builds(
    Receiver,
    waiting=st.integers(1, 3 * DUE_MAX),
    since=st.integers(0, 5),
    answers=st.sampled_from(["takes", "is down", "refuses"]),
)


def _waiting(store: Record, number: int, channel: str, receiver: Receiver) -> None:
    keys = [f"{channel}:{each}" for each in range(receiver.waiting)]
    messages = [Message(key=key, channel=channel, body=b"{}", created=receiver.since) for key in keys]
    store.commit(Turn(number=number, messages=messages))


def _round(store: Record, carriers: dict[str, Carrier]) -> None:
    worker = OutboxWorker(store, carriers, lambda: 10, Telemetry(stream=io.StringIO()), chance=lambda: 1.0)
    try:
        worker.work()
    finally:
        worker.stop(0.0)


@settings(max_examples=25)
@given(st.lists(receivers, min_size=1, max_size=5))
def test_every_receiver_is_told_something_within_a_round(tmp_path_factory, told: Sequence[Receiver]):
    store = scratch_store(tmp_path_factory.mktemp("record"))
    carriers = {f"webhook:{number}": Carrier(receiver.answers) for number, receiver in enumerate(told)}
    for number, (channel, receiver) in enumerate(zip(carriers, told, strict=True), 1):
        _waiting(store, number, channel, receiver)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(outbox, "DUE_MAX", DUE_MAX)
        _round(store, carriers)
    store.close()
    assert all(carrier.tried for carrier in carriers.values())


def test_a_page_does_not_wait_behind_fifteen_hundred_for_an_enforcer_that_is_down(tmp_path):
    store = scratch_store(tmp_path)
    carriers = {"enforcer:platform": Carrier("is down", at_once=4), "pagerduty:security": Carrier("takes")}
    _waiting(store, 1, "enforcer:platform", Receiver(1500, 0, ""))
    _waiting(store, 2, "pagerduty:security", Receiver(1, 5, ""))
    _round(store, carriers)
    assert store.messages_waiting()["enforcer:platform"] == (1500, 0)
    assert "pagerduty:security" not in store.messages_waiting()
    store.close()
