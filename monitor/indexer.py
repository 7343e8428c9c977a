"""Brings what is kept to the search, behind the stream: a thread of its own, which the pipeline never waits for.

Where the search is down, slow, full or talks nonsense, it rests and tries again; that costs nothing but lag.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from monitor.kept import Kept
from monitor.stores import StoreError
from monitor.stores.elasticsearch import EVENTS, FINDINGS, SearchError, SearchSettings
from monitor.stores.elasticsearch.cluster import last_turn_there, prepare, version_of
from monitor.stores.elasticsearch.connection import Connection
from monitor.stores.elasticsearch.documents import Documents
from monitor.stores.elasticsearch.events import SETTLE_S, EventFollower, Step
from monitor.stores.elasticsearch.findings import FindingFollower
from monitor.stores.segment import SegmentBroken
from monitor.telemetry import Telemetry
from monitor.telemetry.searching import (
    SearchFailed,
    SearchLag,
    SearchReady,
    SearchRecovered,
    SearchSegmentBroken,
    SearchSetAside,
    SearchTemplateOdd,
    SearchWritten,
)

POLL_S: Final = 1.0
"""Wait before looking again when nothing was left; small turns that come meanwhile go together."""

REST_S_MIN: Final = 1.0
"""Longest rest after a first failure; it doubles with every further one, up to `rest_s_max`, and chance shortens each by up to a half."""

LAG_S: Final = 5.0
"""Between two looks at how much is left."""


@dataclass(frozen=True, slots=True)
class SearchHealth:
    """How the search is, for probes: what is wrong, and how far it is behind."""

    error: str | None
    events_behind: int
    findings_behind: int
    behind_s: float

    def word(self) -> str | None:
        """One sentence where something is wrong."""
        if self.error is None:
            return None
        behind = f"{self.events_behind} events and {self.findings_behind} findings behind for {self.behind_s:.0f} s"
        return f"search: {self.error}; {behind}"


@dataclass(slots=True)
class Indexer:
    """The thread that writes to the search."""

    kept: Kept
    settings: SearchSettings
    telemetry: Telemetry
    clock: Callable[[], int]
    chance: Callable[[], float] = field(default_factory=lambda: random.SystemRandom().random)
    rest_s_min: float = REST_S_MIN
    poll_s: float = POLL_S
    settle_s: float = SETTLE_S
    _stopping: threading.Event = field(default_factory=threading.Event)
    _failures: int = 0
    _failing_since: float = 0.0
    _error: str | None = None
    _ready: bool = False
    _told: set[tuple[str, str]] = field(default_factory=set)
    _behind: dict[str, int] = field(default_factory=lambda: {EVENTS: 0, FINDINGS: 0})
    _behind_since: dict[str, float] = field(default_factory=dict)
    _looked: float = float("-inf")
    _thread: threading.Thread = field(init=False)
    _pool: ThreadPoolExecutor = field(init=False)
    _installation: str = field(init=False)
    connection: Connection = field(init=False)
    events: dict[str, EventFollower] = field(default_factory=dict)  # by stream of turns
    findings: FindingFollower = field(init=False)

    def __post_init__(self) -> None:
        self.connection = Connection(self.settings)
        self._installation = self.kept.store.installation()
        documents = Documents(self._installation, self.settings.namespace)
        self.findings = FindingFollower(self.kept.store, self.connection, documents, self.clock)
        self._pool = ThreadPoolExecutor(self.settings.bulks_max, "search-bulk")
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, wait_s: float = 2.0) -> None:
        """Send nothing more; what is under way is found out about at the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(wait_s)
        self._pool.shutdown(wait=False, cancel_futures=True)
        for follower in self.events.values():
            follower.close()
        self.connection.close()

    def catch_up(self, wait_s: float) -> bool:
        """Wait until all is searchable, for a run that leaves at its end; False when the search fails or takes too long."""
        until = time.monotonic() + wait_s
        while time.monotonic() < until and self._error is None and self._thread.is_alive():
            if self._ready and not self._left():
                return True
            time.sleep(0.05)
        return False

    def health(self) -> SearchHealth:
        """How the search is."""
        since = min(self._behind_since.values(), default=time.monotonic())
        return SearchHealth(self._error, self._behind[EVENTS], self._behind[FINDINGS], time.monotonic() - since)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                did = self.work()
            except SearchError as error:
                self._rest(error.kind, error, error.rest_s)
            except StoreError as error:
                self._rest("store", error, 0.0)
            except Exception as error:  # noqa: BLE001 - a mistake of ours costs the search its lag, never the daemon
                self._rest("failing", error, 0.0)
            else:
                if not did:
                    self._stopping.wait(self.poll_s)

    def work(self) -> bool:
        """One step of each; False when nothing was left. Raises `SearchError` and `StoreError`."""
        if not self._ready:
            self._prepare()
        self._look()
        steps = [self._step(EVENTS, partial(each.step, self._pool)) for each in self._followers()]
        steps.append(self._step(FINDINGS, self.findings.step))
        self._well()
        return any(steps)

    def _prepare(self) -> None:
        version = version_of(self.connection)
        for odd in prepare(self.connection):
            if (odd.path, odd.standing) not in self._told:
                self._told.add((odd.path, odd.standing))
                told = SearchTemplateOdd(template=odd.name, standing=odd.standing, detail=odd.detail)
                self.telemetry.emit(told)
        self._ready = True
        self._look()
        words = ".".join(str(part) for part in version)
        self.telemetry.emit(SearchReady(version=words, events_behind=self._behind[EVENTS]))

    def _followers(self) -> list[EventFollower]:
        """One for each stream of turns; of a new one it is looked up what the search has of it already."""
        for turns in {"", *self.kept.store.archived_streams()} - set(self.events):
            there = last_turn_there(self.connection, self._installation, turns)
            follower = EventFollower(
                store=self.kept.store,
                archive=self.kept.archive.of_stream(turns, 0),
                connection=self.connection,
                documents=Documents(self._installation, self.settings.namespace, turns),
                clock=self.clock,
                going_on=lambda: not self._stopping.is_set(),
                pause=self._stopping.wait,
                broken=self._broken,
                settle_s=self.settle_s,
            )
            follower.distrust(there)
            self.events[turns] = follower
        return list(self.events.values())

    def _step(self, what: str, step: Callable[[], Step | None]) -> bool:
        begun = time.monotonic()
        done = step()
        if done is None:
            return False
        seconds = round(time.monotonic() - begun, 3)
        self.telemetry.emit(
            SearchWritten(what=what, documents=done.rows, plain=done.plain, doubles=done.doubles, seconds=seconds)
        )
        if done.set_aside:
            self.telemetry.emit(SearchSetAside(what=what, documents=done.set_aside))
        return True

    def _left(self) -> dict[str, int]:
        """What is kept and not searchable yet; kinds of which nothing is left are not in it."""
        return {what: left for what, left in self.kept.store.unindexed().items() if left}

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < LAG_S:
            return
        self._looked = now
        left = self._left()
        for what in (EVENTS, FINDINGS):
            self._behind[what] = left.get(what, 0)
            if what in left:
                self._behind_since.setdefault(what, now)
            else:
                self._behind_since.pop(what, None)
            seconds = round(now - self._behind_since.get(what, now), 1)
            self.telemetry.emit(SearchLag(what=what, documents=self._behind[what], seconds=seconds))

    def _rest(self, kind: str, error: Exception, wished_s: float) -> None:
        """Leave the search alone for a while: a time that doubles with every failure, within a bound."""
        if not self._failures:
            self._failing_since = time.monotonic()
        self._failures += 1
        self._ready = False
        bound = min(self.settings.rest_s_max, self.rest_s_min * 2.0 ** min(self._failures - 1, 60))
        rest_s = min(max(bound * (1 - self.chance() / 2), wished_s), self.settings.rest_s_max)
        self._error = str(error) or repr(error)
        told = SearchFailed(kind=kind, error=self._error, failures=self._failures, rest_s=round(rest_s, 3))
        self.telemetry.emit(told)
        try:
            self._look()
        except StoreError as refused:
            self._error = f"{self._error}; {refused}"
        self._stopping.wait(rest_s)

    def _well(self) -> None:
        if self._failures:
            self.telemetry.emit(SearchRecovered(seconds=round(time.monotonic() - self._failing_since, 1)))
        self._failures, self._error = 0, None

    def _broken(self, error: SegmentBroken) -> None:
        self.telemetry.emit(SearchSegmentBroken(error=str(error)))
