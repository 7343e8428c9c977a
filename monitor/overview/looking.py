"""Looks at a running daemon from beside it, again and again: what it costs has a bound, however much is kept and whatever comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from detectors.finding import Finding
from monitor.moments import HOUR_US, MICROSECONDS
from monitor.overview import Busiest, Lag, Overview, Rates, SourceLag, Standing, Waiting
from monitor.overview.busiest import BusiestApps
from monitor.overview.pages import DaemonPages, Silent, Told
from monitor.stores.record import Query
from monitor.stores.sql import SqlStore
from monitor.stores.standing_now import Figures
from monitor.telemetry import metrics
from monitor.telemetry.meter import Metric
from monitor.telemetry.page import MetricsPage

RATE_S: Final = 10.0
"""Rates are those of so many seconds: turns come in bursts, and a second alone would jump."""

LATELY_US: Final = HOUR_US
"""What is counted as lately."""

SECONDS_MAX: Final = 5.0
"""How long one question to the record may take; beyond, it is given up."""

REST: Final = 9
"""After a look nobody asks for so many times as long as it took: looking takes a tenth of one processor at most."""

HALF: Final = 0.5
MOST: Final = 0.99


class _Totals(msgspec.Struct, frozen=True):
    """What has come so far, at a moment of a clock that nobody sets."""

    at_s: float
    events: int
    dead_letters: int
    findings: int
    decisions: int
    committed: Mapping[float, float]  # events by the bound within which they were committed


class Looker:
    """Looks at one installation. `running` says whether a daemon is at work there, and since when."""

    def __init__(
        self,
        store: SqlStore,
        pages: DaemonPages,
        busiest: BusiestApps,
        running: Callable[[], tuple[bool, int | None]],
        clock: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._store = store
        self._pages = pages
        self._busiest = busiest
        self._running = running
        self._clock = clock
        self._monotonic = monotonic
        self._totals: deque[_Totals] = deque()
        self._turn: int | None = None
        self._found = 0
        self._took_s = 0.0

    @property
    def rest_s(self) -> float:
        """How long to leave the record alone before the next look."""
        return self._took_s * REST

    def look(self, apps: int, findings: int) -> Overview:
        """How it stands, with so many apps and findings at most. Raises `StoreError` where the record cannot be read."""
        begun = self._monotonic()
        try:
            return self._looked(apps, findings)
        finally:
            self._took_s = self._monotonic() - begun

    def _looked(self, apps: int, findings: int) -> Overview:
        now = self._clock()
        told, silent = self._ask()
        figures = self._figures(now)
        page = told.metrics if told is not None else MetricsPage()
        self._remember(figures, page)
        return Overview(
            time=now,
            standing=self._standing(told, silent),
            rates=self._rates(),
            lines=figures.lines,
            findings_lately=figures.findings_lately,
            decisions_lately=figures.decisions_lately,
            decisions_waiting=figures.decisions_waiting,
            lag=self._lag(page) if told is not None else None,
            outbox=_outbox(figures, now),
            busiest=self._busiest.look(now, apps) if apps else Busiest(events=0, apps=()),
            findings=self._newest(findings),
        )

    def _ask(self) -> tuple[Told | None, str]:
        try:
            return self._pages.ask(), ""
        except Silent as silent:
            return None, str(silent)

    def _standing(self, told: Told | None, silent: str) -> Standing:
        running, since = self._running()
        if told is None:
            return Standing(running=running, since=since, silent=silent)
        built = told.metrics.of(metrics.BUILD.name)
        return Standing(
            running=running,
            since=since,
            version=built[0].labels.get("version", "") if built else "",
            status=told.ready.status,
            reasons=told.ready.reasons,
            held=told.ready.held,
            degraded=told.ready.degraded,
        )

    def _figures(self, now: int) -> Figures:
        """What the record says. Findings are counted from the turn of the first look on."""
        if self._turn is None:
            self._turn = self._store.last_turn()
        figures = self._store.figures(self._turn, now - LATELY_US, SECONDS_MAX)
        self._turn = figures.turn
        self._found += figures.findings
        return figures

    def _newest(self, limit: int) -> Sequence[Finding]:
        if not limit:
            return ()
        return list(self._store.findings(Query(limit=limit, seconds_max=SECONDS_MAX)))

    # Rates

    def _remember(self, figures: Figures, page: MetricsPage) -> None:
        totals = _Totals(
            self._monotonic(),
            figures.lines["received"],
            figures.lines["dead_lettered"],
            self._found,
            figures.decisions,
            _buckets(page, metrics.EVENT_LATENCY),
        )
        if self._totals and self._totals[-1].events > totals.events:
            self._totals.clear()  # another record stands there, as after a restore
        self._totals.append(totals)
        while len(self._totals) > 2 and totals.at_s - self._totals[1].at_s >= RATE_S:
            self._totals.popleft()

    def _rates(self) -> Rates | None:
        first, last = self._totals[0], self._totals[-1]
        over_s = last.at_s - first.at_s
        if over_s <= 0:
            return None
        return Rates(
            over_s=over_s,
            events=(last.events - first.events) / over_s,
            dead_letters=(last.dead_letters - first.dead_letters) / over_s,
            findings=(last.findings - first.findings) / over_s,
            decisions=(last.decisions - first.decisions) / over_s,
        )

    # Lag

    def _lag(self, page: MetricsPage) -> Lag:
        failing = page.by(metrics.SOURCE_FAILING.name, "source")
        behind = page.by(metrics.SOURCE_LAG.name, "source")
        sources = [
            SourceLag(
                source=name,
                bytes=round(behind[name]) if name in behind else None,
                failing=bool(failing.get(name)),
            )
            for name in sorted(behind.keys() | failing.keys())
        ]
        sources.sort(key=lambda one: (not one.failing, -(one.bytes or 0)))
        first, last = self._totals[0].committed, self._totals[-1].committed
        lately = {bound: last[bound] - first.get(bound, 0.0) for bound in sorted(last)}
        return Lag(
            sources=tuple(sources),
            spool_bytes=round(page.value(metrics.SPOOL_BYTES.name) or 0),
            input_age_s=page.value(metrics.INPUT_AGE.name) or 0.0,
            half_within_s=_within(lately, HALF),
            most_within_s=_within(lately, MOST),
        )


def _buckets(page: MetricsPage, timing: Metric) -> dict[float, float]:
    """A histogram by the bounds of its buckets."""
    return {float(bound): count for bound, count in page.by(f"{timing.name}_bucket", "le").items()}


def _within(buckets: Mapping[float, float], share: float) -> float | None:
    """The least bound within which such a share of all lies; None where nothing came, or the daemon began anew meanwhile."""
    most = max(buckets.values(), default=0.0)
    if most <= 0 or min(buckets.values()) < 0:
        return None
    return next(bound for bound, count in buckets.items() if count >= most * share)


def _outbox(figures: Figures, now: int) -> tuple[Waiting, ...]:
    """What waits, of the channel whose oldest message has waited longest first."""
    waiting = [
        Waiting(channel=channel, messages=count, oldest_s=max(0.0, (now - made) / MICROSECONDS))
        for channel, (count, made) in figures.messages.items()
    ]
    return tuple(sorted(waiting, key=lambda one: -one.oldest_s))
