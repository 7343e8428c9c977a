"""One thread a topic: it takes what is due, writes it, and keeps at it for as long as that takes.

A topic has no number of tries after which everything is given up: what is due stays in the record until the brokers take it,
and it is told that they do not. Only a record that no broker would ever take is given up, by itself.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

from monitor.durable import boundary
from monitor.notifiers import Patience
from monitor.outbox import backoff_s
from monitor.stores import StoreError
from monitor.telemetry import Telemetry
from monitor.telemetry.upkeep import OutboxStalled, TopicFailed, TopicPublished, TopicReached
from monitor.topics import Item, Published, Taken, Topic, TopicTrouble

BATCH_MAX: Final = 1000
"""Records written at once."""

POLL_S: Final = 1.0
"""Wait before looking again when nothing was due and nobody called `wake`."""

CHECK_S: Final = 60.0
"""How soon it is seen that a topic was deleted and made again."""

PASSING: Final = Patience(backoff_s_min=0.5, backoff_s_max=30.0)
LASTING: Final = Patience(backoff_s_min=10.0, backoff_s_max=300.0)
"""Waits between tries: where the trouble may pass by itself, and where somebody has to mend something."""


class Feed(Protocol):
    """What is to be written to a topic, in the record. Any call may raise `StoreError`."""

    @property
    def channel(self) -> str: ...

    def reached(self, topic: Topic, known: bool, stopping: Callable[[], bool]) -> None:
        """The topic answers; `known` is false when it is another one than before, or looked at for the first time."""
        ...

    def due(self, limit: int) -> Sequence[Item]:
        """Records in the order in which they may be written, none twice of a key whose last outcome is not known."""
        ...

    def settle(self, items: Sequence[Item], published: Published) -> None:
        """Keep what became of records, so that none of those taken is due again."""
        ...

    def troubled(self, why: str) -> None:
        """Keep why nothing can be written now, for people who look."""
        ...


class Publisher:
    """Writes a feed to its topic."""

    def __init__(
        self,
        feed: Feed,
        topic: Topic,
        telemetry: Telemetry,
        chance: Callable[[], float] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feed = feed
        self._topic = topic
        self._telemetry = telemetry
        self._chance = chance or random.SystemRandom().random
        self._monotonic = monotonic
        self.leads: Callable[[], bool] = lambda: True
        self._trouble = ""
        self._known = ""  # the id of the topic that was written last
        self._check_at = 0.0
        self._failures = 0
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"publish {feed.channel}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something new, so that it need not wait for the next look."""
        self._wake.set()

    @property
    def channel(self) -> str:
        return self._feed.channel

    @property
    def trouble(self) -> str:
        """What keeps the topic from being written, in words; nothing while another process writes it."""
        return self._trouble if self.leads() else ""

    def ask_to_stop(self) -> None:
        """Write no further records."""
        self._stopping.set()
        self._wake.set()

    def stop(self, wait_s: float = 1.0) -> None:
        """Stop, and wait this long for records under way; what is not known to be taken is written again next time."""
        self.ask_to_stop()
        if self._thread.is_alive():
            self._thread.join(wait_s)
        if not self._thread.is_alive():
            self._topic.close()

    def write_all(self, until: float) -> bool:
        """Write until nothing is due, without the thread; False when that lasts too long or the topic cannot be written."""
        while self._monotonic() < until:
            if self.work() is None:
                return True
            if self.trouble:
                return False
        return False

    def _run(self) -> None:
        while not self._stopping.is_set():
            wait_s = self.work()
            if wait_s is None:
                self._wake.wait(POLL_S)
                self._wake.clear()
            elif wait_s:
                self._stopping.wait(wait_s)

    def work(self) -> float | None:
        """One round: how long to wait before the next, None where nothing was due."""
        if not self.leads():  # another process writes what is due
            return None
        try:
            done = self._round()
        except TopicTrouble as trouble:
            return self._failed(trouble)
        except (StoreError, OSError) as error:
            self._telemetry.emit(OutboxStalled(error=str(error)))
            return POLL_S
        except Exception as error:  # noqa: BLE001 - a mistake of the client's costs time, not the thread
            self._topic.close()
            return self._failed(TopicTrouble(repr(error)))
        return 0.0 if done else None

    def _round(self) -> bool:
        if self._monotonic() >= self._check_at:
            known = self._topic.check()
            if known != self._known or self._failures:
                self._telemetry.emit(TopicReached(channel=self._feed.channel))
            self._feed.reached(self._topic, known == self._known, self._stopping.is_set)
            self._known, self._failures, self._trouble = known, 0, ""
            self._check_at = self._monotonic() + CHECK_S
        items = self._feed.due(BATCH_MAX)
        if not items or self._stopping.is_set():
            return False
        boundary("send:topic")
        began = time.monotonic()
        published = self._topic.publish(items)
        boundary("send:topic:done")
        self._feed.settle(items, published)
        taken = sum(isinstance(outcome, Taken) for outcome in published.outcomes)
        if taken:
            seconds = round(time.monotonic() - began, 3)
            self._telemetry.emit(TopicPublished(channel=self._feed.channel, records=taken, seconds=seconds))
        if published.trouble is not None:
            raise published.trouble
        return True

    def _failed(self, trouble: TopicTrouble) -> float:
        self._failures += 1
        self._trouble = str(trouble)
        with suppress(StoreError, OSError):
            self._feed.troubled(self._trouble)
        self._check_at = 0.0  # before the next try it is seen what became of the topic
        patience = LASTING if trouble.lasting else PASSING
        wait_s = backoff_s(patience, self._failures, self._chance())
        told = TopicFailed(
            channel=self._feed.channel,
            error=str(trouble),
            lasting=trouble.lasting,
            attempt=self._failures,
            retry_s=round(wait_s, 3),
        )
        self._telemetry.emit(told)
        return wait_s
