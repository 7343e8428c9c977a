"""Work by the clock: every job at its time, none in another's way."""

from __future__ import annotations

import io
import threading
import time

from monitor.schedule import Schedule
from monitor.telemetry import Telemetry


def _schedule() -> tuple[Schedule, Telemetry]:
    telemetry = Telemetry(stream=io.StringIO())
    return Schedule(telemetry, time.monotonic), telemetry


def _runs(telemetry: Telemetry, job: str, outcome: str) -> float:
    labels = {"task": job, "outcome": outcome}
    return telemetry.registry.get_sample_value("miniwatch_jobs_total", labels) or 0.0


def _until(condition, wait_s: float = 5.0) -> bool:
    end = time.monotonic() + wait_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_a_job_that_raises_is_counted_and_stops_neither_itself_nor_others():
    schedule, telemetry = _schedule()
    schedule.every("broken", 0.05, lambda: 1 / 0)
    schedule.every("sound", 0.05, lambda: None)
    schedule.start()
    assert _until(lambda: _runs(telemetry, "broken", "failed") >= 2 and _runs(telemetry, "sound", "done") >= 2)
    schedule.stop()


def _failing(telemetry: Telemetry, job: str) -> float | None:
    return telemetry.registry.get_sample_value("miniwatch_job_failing", {"task": job})


def test_what_is_to_be_done_by_the_clock_is_counted_from_zero():
    schedule, telemetry = _schedule()
    schedule.daily("retention", 3, lambda: None)
    schedule.every("often", 60, lambda: None)
    for job in ("retention", "often"):
        for outcome in ("done", "failed", "missed"):
            labels = {"task": job, "outcome": outcome}
            assert telemetry.registry.get_sample_value("miniwatch_jobs_total", labels) == 0
        assert _failing(telemetry, job) == 0


def test_a_job_is_told_as_failing_from_the_run_that_failed_until_one_succeeds():
    schedule, telemetry = _schedule()
    outcomes = iter([0, 1])
    schedule.every("mended", 0.05, lambda: 1 / next(outcomes, 1))
    assert _failing(telemetry, "mended") == 0
    told = []
    emit = telemetry.emit
    telemetry.emit = lambda happening: (emit(happening), told.append(_failing(telemetry, "mended")))
    schedule.start()
    assert _until(lambda: len(told) > 1)
    schedule.stop()
    assert told[:2] == [1, 0]


def test_a_job_that_may_take_long_is_not_started_again_and_that_is_not_told():
    schedule, telemetry = _schedule()
    running, release, started = [], threading.Event(), threading.Event()

    def slow() -> None:
        running.append(1)
        started.set()
        release.wait(5)

    schedule.every("slow", 0.05, slow, may_take_long=True)
    schedule.start()
    assert started.wait(5)
    time.sleep(0.4)
    assert (len(running), _runs(telemetry, "slow", "missed")) == (1, 0)
    release.set()
    assert _until(lambda: len(running) > 1)
    schedule.stop()


def test_a_job_still_running_is_not_started_again_and_that_is_told():
    schedule, telemetry = _schedule()
    running, release, started = [], threading.Event(), threading.Event()

    def slow() -> None:
        running.append(1)
        started.set()
        release.wait(5)

    schedule.every("slow", 0.05, slow)
    schedule.start()
    assert started.wait(5)
    assert _until(lambda: _runs(telemetry, "slow", "missed") >= 1)
    assert len(running) == 1
    release.set()
    schedule.stop()


def test_stopping_waits_its_bound_for_a_job_and_no_longer():
    schedule, _telemetry = _schedule()
    started, release = threading.Event(), threading.Event()

    def stuck() -> None:
        started.set()
        release.wait(10)

    schedule.every("stuck", 0.05, stuck)
    schedule.start()
    assert started.wait(5)
    began = time.monotonic()
    schedule.stop(wait_s=0.3)
    assert 0.2 < time.monotonic() - began < 2
    release.set()


def test_a_daily_job_is_planned_for_its_hour_in_utc():
    schedule, _telemetry = _schedule()
    schedule.daily("retention", 3, lambda: None)
    schedule.start()
    planned = schedule._scheduler.get_job("retention").next_run_time
    schedule.stop()
    assert (planned.hour, planned.minute, planned.utcoffset().total_seconds()) == (3, 0, 0)
