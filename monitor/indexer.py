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

from monitor.claim import Claim
from monitor.kept import Kept
from monitor.stores import Fence, Fenced, StoreError
from monitor.stores.elasticsearch import EVENTS, FINDINGS, SearchError, SearchSettings
from monitor.stores.elasticsearch.cluster import last_turn_there, prepare, version_of
from monitor.stores.elasticsearch.connection import Connection
from monitor.stores.elasticsearch.documents import Documents
from monitor.stores.elasticsearch.events import SETTLE_S, EventFollower, Step
from monitor.stores.elasticsearch.findings import FindingFollower
from monitor.stores.indexed import FINDINGS_LEASE, Unattended, folder_lease
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
from monitor.unattended import UNATTENDED_S, UnattendedWatch, folder_told

POLL_S: Final = 1.0
"""Wait before looking again when nothing was left; small turns that come meanwhile go together."""

REST_S_MIN: Final = 1.0
"""Longest rest after a first failure; it doubles with every further one, up to `rest_s_max`, and chance shortens each by up to a half."""

LAG_S: Final = 5.0
"""Between two looks at how much is left."""


@dataclass(frozen=True, slots=True)
class SearchHealth:
    """How the search is, for probes: what is wrong, how far it is behind, and what nobody brings there."""

    error: str | None
    events_behind: int
    findings_behind: int
    behind_s: float
    unattended: tuple[Unattended, ...] = ()

    def words(self) -> tuple[str, ...]:
        """A sentence for each thing that is wrong."""
        left = [
            f"search: nobody indexes {one.events:,} events of the archive folder {folder_told(one)}"
            for one in self.unattended
        ]
        if self.error is None:
            return tuple(left)
        behind = f"{self.events_behind} events and {self.findings_behind} findings behind for {self.behind_s:.0f} s"
        return f"search: {self.error}; {behind}", *left


@dataclass(slots=True)
class Indexer:
    """The thread that writes to the search: events of this process's archive folder, and `answers` findings too.

    Of all processes that could, one does it at a time. `holder` is this one's name; `alone` as for `Claim`.
    """

    kept: Kept
    settings: SearchSettings
    telemetry: Telemetry
    clock: Callable[[], int]
    holder: str = "indexer"
    answers: bool = True
    alone: bool = False
    chance: Callable[[], float] = field(default_factory=lambda: random.SystemRandom().random)
    rest_s_min: float = REST_S_MIN
    poll_s: float = POLL_S
    settle_s: float = SETTLE_S
    unattended_s: float = UNATTENDED_S
    _stopping: threading.Event = field(default_factory=threading.Event)
    _failures: int = 0
    _failing_since: float = 0.0
    _error: str | None = None
    _ready: bool = False
    _told: set[tuple[str, str]] = field(default_factory=set)
    _behind: dict[str, int] = field(default_factory=lambda: {EVENTS: 0, FINDINGS: 0})
    _behind_since: dict[str, float] = field(default_factory=dict)
    _looked: float = float("-inf")
    _unattended: UnattendedWatch = field(init=False)
    _thread: threading.Thread = field(init=False)
    _pool: ThreadPoolExecutor = field(init=False)
    _installation: str = field(init=False)
    connection: Connection = field(init=False)
    claims: dict[str, Claim] = field(init=False)  # by what it is that is brought
    events: dict[str, EventFollower] = field(default_factory=dict)  # by stream of turns
    findings: FindingFollower | None = None
    _events_fence: Fence | None = None

    def __post_init__(self) -> None:
        self.connection = Connection(self.settings)
        self._installation = self.kept.store.installation()
        names = {EVENTS: folder_lease(self.kept.archive.name)} | ({FINDINGS: FINDINGS_LEASE} if self.answers else {})
        self.claims = {
            what: Claim(self.kept.store, name, self.holder, self.clock, alone=self.alone)
            for what, name in names.items()
        }
        self._unattended = UnattendedWatch(self.telemetry, self.unattended_s)
        self._pool = ThreadPoolExecutor(self.settings.bulks_max, "search-bulk")
        self._thread = threading.Thread(target=self._run, name="indexer", daemon=True)

    def start(self) -> None:
        for claim in self.claims.values():
            claim.start()
        self._thread.start()

    def stop(self, wait_s: float = 2.0) -> None:
        """Send nothing more; what is under way is found out about at the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(wait_s)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._let_go()
        for claim in self.claims.values():
            claim.stop()
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
        now = time.monotonic()
        since = min(self._behind_since.values(), default=now)
        unattended = self._unattended.lasting(now)
        return SearchHealth(self._error, self._behind[EVENTS], self._behind[FINDINGS], now - since, unattended)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                did = self.work()
            except Fenced:  # another does it now; the claim learns of it by itself
                self._let_go()
                self._stopping.wait(self.poll_s)
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
        """One step of each that is ours to do; False when nothing was left. Raises `SearchError` and `StoreError`."""
        if not self._take_up():
            self._failures, self._error, self._ready = 0, None, False
            self._look()
            return False
        if not self._ready:
            self._prepare()
        self._look()
        steps = [self._step(EVENTS, partial(each.step, self._pool)) for each in self._followers()]
        if self.findings is not None:
            steps.append(self._step(FINDINGS, self.findings.step))
        self._well()
        return any(steps)

    def _take_up(self) -> bool:
        """Begin with what has become ours, and leave what is another's now; whether anything is ours."""
        fences = {what: claim.fence for what, claim in self.claims.items()}
        if fences[EVENTS] != self._events_fence:
            self._leave_events()
            self._events_fence, self._looked = fences[EVENTS], float("-inf")
        ours = fences.get(FINDINGS)
        if self.findings is not None and self.findings.fence != ours:
            self.findings = None
        if ours is not None and self.findings is None:
            documents = Documents(self._installation, self.settings.namespace)
            self.findings = FindingFollower(self.kept.store, self.connection, documents, self.clock, ours)
        return any(fences.values())

    def _let_go(self) -> None:
        self._leave_events()
        self._events_fence = self.findings = None

    def _leave_events(self) -> None:
        for follower in self.events.values():
            follower.close()
        self.events = {}

    def _goes_on(self) -> bool:
        return not self._stopping.is_set() and self.claims[EVENTS].fence == self._events_fence

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
        """Those of streams of turns of which something is left; of a new one it is looked up what the search has of it already."""
        if self._events_fence is None:
            return []
        last = self.kept.store.archived_streams(self.kept.archive.name)
        for turns in set(last) - set(self.events):
            there = last_turn_there(self.connection, self._installation, turns)
            follower = EventFollower(
                store=self.kept.store,
                archive=self.kept.archive.of_stream(turns, 0),
                connection=self.connection,
                documents=Documents(self._installation, self.settings.namespace, turns),
                clock=self.clock,
                going_on=self._goes_on,
                pause=self._stopping.wait,
                broken=self._broken,
                settle_s=self.settle_s,
                fence=self._events_fence,
            )
            follower.distrust(min(there, last[turns]))
            self.events[turns] = follower
        return [one for turns, one in self.events.items() if one.is_behind(last.get(turns, 0))]

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
        """What is ours, is kept and not searchable yet; kinds of which nothing is left are not in it."""
        left: dict[str, int] = {}
        if self.claims[EVENTS].fence is not None:
            left[EVENTS] = self.kept.store.unindexed_events().get(self.kept.archive.name, 0)
        if FINDINGS in self.claims and self.claims[FINDINGS].fence is not None:
            left[FINDINGS] = self.kept.store.unindexed_findings()
        return {what: count for what, count in left.items() if count}

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
        brings = FINDINGS in self.claims and self.claims[FINDINGS].fence is not None
        self._unattended.look(self.kept.store.unattended(self.clock()) if brings else (), now)

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
