"""A daemon under a supervisor: it says when it is ready and that it stops, gives signs of life while its pipeline moves, and tells people how it is.

Signs of life come from a thread that asks nothing but when the pipeline last moved: a database that does not answer holds up no sign,
and a pipeline that stands still gives none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from monitor.app import health_of
from monitor.console.health import Bounds, Health, is_alive, why_not_ready
from monitor.counting import counted
from monitor.front import health_bounds
from monitor.supervision.supervisor import Supervisor
from monitor.telemetry import upkeep

if TYPE_CHECKING:
    from monitor.app import Daemon
    from monitor.config import Config
    from monitor.detecting import Detecting
    from monitor.pipeline import Pipeline
    from monitor.telemetry import Telemetry
    from monitor.workforce import Workforce

LOOK_S_MAX: Final = 5.0
"""How old what people are shown may be."""

START_S: Final = 60.0
"""How much longer than its supervisor expects a daemon may take to be ready, from its last sign of life on."""


@contextmanager
def watched_daemon(
    supervisor: Supervisor, daemon: Daemon, workforce: Workforce | None = None
) -> Iterator[Callable[[Pipeline], None]]:
    """Within this a daemon's supervisor is told how it stands, its workers with it. What is given is to be called after each turn: from the
    first one on, once all workers are at work too, the daemon is ready.
    """
    _tell_untold(supervisor, daemon.telemetry)
    supervisor.status("Starting: bringing memory up to the record")
    daemon.reloader.during = supervisor.reloading

    def turned(_pipeline: Pipeline) -> None:
        if workforce is None or workforce.is_ready:
            supervisor.ready()

    def age_s() -> float:
        return max(daemon.age_s, workforce.age_s if workforce is not None else 0.0)

    def doing() -> str:
        pipeline = daemon.pipeline
        does = daemon.config.mode if pipeline.leads else "stands by"
        parts = [f"{does}, turn {pipeline.turn_number:,}"]
        parts += [counted(len(pipeline.intakes), "source")] if pipeline.intakes else []
        parts += [counted(workforce.count, "worker")] if workforce is not None else []
        return ", ".join([*parts, *_behind([intake.source.lag_bytes for intake in pipeline.intakes])])

    bounds = health_bounds(daemon.config.http)
    with watched(supervisor, age_s, lambda: health_of(daemon), doing, bounds, daemon.stopping):
        yield turned
        supervisor.ready()  # all there was to read is read: it was, and is done


@contextmanager
def watched_worker(supervisor: Supervisor, worker: Detecting) -> Iterator[None]:
    """Within this a worker's supervisor is told how it stands."""
    _tell_untold(supervisor, worker.telemetry)

    def doing() -> str:
        lags = [lag for each in worker.workers for lag in each.lags.values()]
        return ", ".join([counted(len(worker.streams()), "partition"), *_behind(lags)])

    bounds = health_bounds(worker.config.http)
    with watched(supervisor, lambda: worker.age_s, worker.health, doing, bounds, worker.stopping):
        yield


@contextmanager
def watched_workforce(supervisor: Supervisor, workforce: Workforce, config: Config) -> Iterator[None]:
    """Within this the supervisor of a process that only starts workers is told how they stand."""
    bounds = health_bounds(config.http)

    def health() -> Health:
        return Health(heartbeat_age_s=workforce.age_s)

    def doing() -> str:
        return f"{workforce.at_work} of {counted(workforce.count, 'worker')} at work"

    with watched(supervisor, lambda: workforce.age_s, health, doing, bounds, workforce.stopping):
        yield


def _tell_untold(supervisor: Supervisor, telemetry: Telemetry) -> None:
    supervisor.untold = lambda reason: telemetry.emit(upkeep.SupervisorUntold(reason=reason))


def _behind(lags: Sequence[int | None]) -> list[str]:
    known = [lag for lag in lags if lag is not None]
    return [f"{counted(sum(known), 'byte')} behind"] if known else []


@contextmanager
def watched(
    supervisor: Supervisor,
    age_s: Callable[[], float],
    health: Callable[[], Health],
    doing: Callable[[], str],
    bounds: Bounds,
    stopping: threading.Event,
) -> Iterator[None]:
    """Within this the supervisor is told how it stands, until `stopping` is set or it is left. `age_s` is that of the last sign of life,
    `doing` what people are told beside whether all is well.
    """
    left = threading.Event()

    def is_moving() -> bool:
        return is_alive(Health(heartbeat_age_s=age_s()), bounds)

    def give_signs() -> None:
        every_s = LOOK_S_MAX if supervisor.period_s is None else supervisor.period_s / 2
        while not (stopping.wait(every_s) or left.is_set()):
            if not is_moving():
                continue
            if not supervisor.is_ready:
                supervisor.wait(START_S)
            elif supervisor.period_s is not None:
                supervisor.alive()
        supervisor.stopping()

    def tell_people() -> None:
        while not left.wait(LOOK_S_MAX if supervisor.is_ready else 0.1) and not stopping.is_set():
            if supervisor.is_ready:
                supervisor.status(words())

    def words() -> str:
        try:
            return told(health(), bounds, doing())
        except Exception as error:  # noqa: BLE001 - whatever keeps us from saying how it is, is said
            return f"How it is cannot be told: {type(error).__name__}: {error}"

    if not supervisor.is_there:
        yield
        return
    threads = [threading.Thread(target=each, name="supervision", daemon=True) for each in (give_signs, tell_people)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        left.set()
        supervisor.stopping()


def told(health: Health, bounds: Bounds, doing: str) -> str:
    """How a daemon is, in a line: whether it does its work and if not why, what is held back, what does not work beside it."""
    reasons = [words for _, words in why_not_ready(health, bounds)]
    parts = [f"Not ready: {'; '.join(reasons)}" if reasons else "Ready", doing]
    held = health.held()
    parts += [f"held: {'; '.join(held)}"] if held else []
    parts += [f"degraded: {'; '.join(health.degraded)}"] if health.degraded else []
    return " | ".join(parts)
