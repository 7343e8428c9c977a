"""Carries what the record says must leave: each message is sent until its receipt is recorded, or given up aloud.

A message is sent at least once and always under the same key. Where we die between sending and recording the receipt,
it is sent again, and the receiver recognises it by the key.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final, Protocol

from monitor.durable import boundary
from monitor.moments import MICROSECONDS
from monitor.notifiers import Notifier, NotifierError, Patience, Receipt
from monitor.stores import GivenUp, Message, StoreError
from monitor.stores.record import NotFound
from monitor.telemetry import Telemetry
from monitor.telemetry.upkeep import DeliveryDead, DeliveryFailed, DeliverySent, OutboxLooked, OutboxStalled

DUE_MAX: Final = 1000
"""Messages taken from the record in one round, shared evenly among the channels for which something is due."""

ROUND_S_MAX: Final = 5.0
"""After this long a round starts no further sends, so that new messages of other channels are seen."""

SENDS_MAX: Final = 16
"""Sends under way at once, of all channels together."""

POLL_S: Final = 1.0
"""Wait before looking again when nothing was due and nobody called `wake`."""

UNREACHED_S: Final = 600.0
"""After a channel has taken nothing for this long, others are told."""

ERROR_CHARACTERS_MAX: Final = 500


class Due(Protocol):
    """A message and how often it has been tried before."""

    @property
    def message(self) -> Message: ...
    @property
    def attempts(self) -> int: ...


class OutboxStore(Protocol):
    """The part of the record that the outbox works on.

    `due_messages` gives the first of each channel before the second of any. `message_failed` counts one more attempt.
    """

    def due_messages(self, now: int, limit: int) -> Sequence[Due]: ...
    def message_sent(self, key: str, receipt: str, now: int) -> None: ...
    def message_failed(
        self, key: str, error: str, next_attempt: int, *, dead: bool, given_up: GivenUp = ...
    ) -> None: ...


class OutboxWorker:
    """One thread that takes due messages and sends them, as many of a channel side by side as it takes, channels too.

    Of messages that must not overtake one another only the first is ever due. After a failure that can pass, a channel
    rests for the remainder of the round: one silent receiver holds up neither the others nor itself by time-outs in a row.
    `given_up` says what follows when a message is given up, by message, error and time; `unreached`, who else is told then, and when a
    channel has taken nothing for `UNREACHED_S`.
    """

    def __init__(
        self,
        store: OutboxStore,
        notifiers: Mapping[str, Notifier],
        clock: Callable[[], int],
        telemetry: Telemetry,
        chance: Callable[[], float] | None = None,
        given_up: Callable[[Message, str, int], GivenUp] = lambda _message, _error, _now: GivenUp(),
        leads: Callable[[], bool] = lambda: True,
        unreached: Callable[[Message, str, int], Sequence[Message]] = lambda _message, _error, _now: (),
    ) -> None:
        self._store = store
        self._notifiers = notifiers
        self._clock = clock
        self._telemetry = telemetry
        self._chance = chance or random.SystemRandom().random
        self._unrecorded: dict[str, Receipt] = {}  # sent, but the store could not be told yet; at most DUE_MAX
        self._given_up = given_up
        self._unreached = unreached
        self._failing_since: dict[str, int] = {}  # by channel, until it takes something; the time of the first failure
        self.leads = leads
        self._stalled = False
        self._stop_by = float("inf")
        self._stopping = threading.Event()
        self._wake = threading.Event()
        wanted = sum(notifier.at_once for notifier in notifiers.values())
        self._pool = ThreadPoolExecutor(max(1, min(SENDS_MAX, wanted)), "outbox-send")
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something new, so that it need not wait for the next look."""
        self._wake.set()

    def stop(self, wait_s: float = 1.0) -> None:
        """Start no further send, and wait this long for those under way; one cut off is sent again next time."""
        self._stop_by = time.monotonic() + wait_s
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(wait_s + 0.5)
        for notifier in self._notifiers.values():
            notifier.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def deliver_all(self, wait_s: float) -> bool:
        """Work until nothing is due, without the thread: for runs that read to an end and then leave.

        False when that took too long or the store could not be used.
        """
        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            if not self.work():
                return not self._stalled
        return False

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self.work():
                self._wake.wait(POLL_S)
                self._wake.clear()

    def work(self) -> bool:
        """One round. False when there was nothing to do, or the store cannot be used just now."""
        self._stalled = False
        if not self.leads():  # another process sends what is due
            return False
        try:
            self._record_receipts()
            due = self._store.due_messages(self._clock(), DUE_MAX)
        except (StoreError, OSError) as error:
            self._stall(error)
            return False
        self._telemetry.emit(OutboxLooked(due=len(due)))
        return bool(due) and self._round(due) and not self._stalled

    def _stall(self, error: Exception) -> None:
        self._stalled = True
        self._telemetry.emit(OutboxStalled(error=str(error)))

    def _record_receipts(self) -> None:
        for key, receipt in list(self._unrecorded.items()):
            with contextlib.suppress(NotFound):  # its row is gone, and with it the need for a receipt
                self._store.message_sent(key, receipt.detail, self._clock())
            del self._unrecorded[key]

    def _round(self, due: Sequence[Due]) -> bool:
        """Send what is due, a queue a channel. What was sent is collected even when the store fails meanwhile."""
        queues: dict[str, deque[Due]] = defaultdict(deque)
        for item in due:
            queues[item.message.channel].append(item)
        until = time.monotonic() + ROUND_S_MAX
        sending: dict[Future[tuple[Receipt, float]], Due] = {}
        for channel, queue in queues.items():
            notifier = self._notifiers.get(channel)
            for _ in range(notifier.at_once if notifier is not None else 1):
                self._send_next(queue, sending)
        settled = 0
        while sending and time.monotonic() < self._stop_by:
            done, _ = wait(sending, timeout=0.1, return_when=FIRST_COMPLETED)
            for future in done:
                item = sending.pop(future)
                settled += 1
                queue = queues[item.message.channel]
                if not self._settle(item, future) or self._stalled:
                    queue.clear()
                if time.monotonic() < until and not self._stopping.is_set():
                    self._send_next(queue, sending)
        return settled > 0

    def _send_next(self, queue: deque[Due], sending: dict[Future[tuple[Receipt, float]], Due]) -> None:
        if queue:
            item = queue.popleft()
            sending[self._pool.submit(self._send, item.message)] = item

    def _send(self, message: Message) -> tuple[Receipt, float]:
        """In a thread of the pool; everything that touches the store stays in the worker's own."""
        notifier = self._notifiers.get(message.channel)
        if notifier is None:
            raise NotifierError(f"no {message.channel} is configured", retryable=False)
        kind = message.channel.partition(":")[0]
        boundary(f"send:{kind}")
        began = time.monotonic()
        receipt = notifier.send(message)
        boundary(f"send:{kind}:done")
        return receipt, time.monotonic() - began

    def _settle(self, item: Due, future: Future[tuple[Receipt, float]]) -> bool:
        """Record what became of a send; False when its channel had better rest."""
        error = future.exception()
        try:
            if error is None:
                self._succeed(item, *future.result())
                return True
            if not isinstance(error, NotifierError):  # a notifier's own mistake costs its message, not the worker
                error = NotifierError(repr(error), retryable=True)
            self._fail(item, error)
        except (StoreError, OSError) as refused:
            self._stall(refused)
            return False
        return not error.retryable

    def _succeed(self, item: Due, receipt: Receipt, seconds: float) -> None:
        message = item.message
        self._failing_since.pop(message.channel, None)
        self._unrecorded[message.key] = receipt
        sent = DeliverySent(
            channel=message.channel,
            message=message.key,
            attempt=item.attempts + 1,
            seconds=round(seconds, 3),
            age_s=max(0.0, (self._clock() - message.created) / MICROSECONDS),
        )
        self._telemetry.emit(sent)
        self._record_receipts()

    def _fail(self, item: Due, error: NotifierError) -> None:
        message, attempt = item.message, item.attempts + 1
        text = str(error)[:ERROR_CHARACTERS_MAX]
        notifier = self._notifiers.get(message.channel)
        patience = notifier.patience if notifier is not None else Patience()
        now = self._clock()
        if not error.retryable:
            self._failing_since.pop(message.channel, None)  # it answers, but will not have this
        if not error.retryable or attempt >= patience.attempts_max:
            follows = self._given_up(message, text, now)
            others = (*follows.messages, *self._unreached(message, text, now))
            follows = GivenUp(messages=others, audit=follows.audit)
            self._store.message_failed(message.key, text, now, dead=True, given_up=follows)
            dead = DeliveryDead(channel=message.channel, message=message.key, attempt=attempt, error=text)
            self._telemetry.emit(dead)
            return
        wait_s = max(backoff_s(patience, attempt, self._chance()), error.retry_after_s or 0.0)
        since = self._failing_since.setdefault(message.channel, now)
        is_unreached = now - since >= UNREACHED_S * MICROSECONDS
        others = tuple(self._unreached(message, text, now)) if is_unreached else ()
        again = now + int(wait_s * MICROSECONDS)
        self._store.message_failed(message.key, text, again, dead=False, given_up=GivenUp(messages=others))
        failed = DeliveryFailed(
            channel=message.channel, message=message.key, attempt=attempt, error=text, retry_s=round(wait_s, 3)
        )
        self._telemetry.emit(failed)


def backoff_s(patience: Patience, attempt: int, chance: float) -> float:
    """The wait after the `attempt`-th failure: anything from nothing to a bound that doubles each time, up to a cap."""
    bound = min(patience.backoff_s_max, patience.backoff_s_min * 2.0 ** min(attempt - 1, 60))
    return bound * chance
