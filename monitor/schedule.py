"""Work by the clock beside the stream: retention at its hour, compaction, expiry and the like, each at its interval."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC
from typing import Any, Final

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from monitor.telemetry import Telemetry
from monitor.telemetry.jobs import JobDone, JobFailed, JobKnown, JobMissed

JOBS_AT_ONCE_MAX: Final = 4
"""Jobs that run side by side; each job has at most one run under way."""

LATE_S_MAX: Final = 3600
"""A daily job that could not begin within this time of its hour is missed; told, and run the next day."""

Job = Callable[[], object]


class Schedule:
    """Runs jobs in threads of its own. A job that raises is told and counted, and runs again at its next time.

    Runs that were missed while the machine slept are made up for by one run, not by many.
    """

    def __init__(self, telemetry: Telemetry, monotonic: Callable[[], float]) -> None:
        self._telemetry = telemetry
        self._monotonic = monotonic
        self._stopping = False
        self._under_way = 0
        self._idle = threading.Condition()
        self._scheduler: Any = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(JOBS_AT_ONCE_MAX)},
            job_defaults={"coalesce": True, "max_instances": 1},
        )
        self._scheduler.add_listener(self._missed, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)

    def every(self, name: str, interval_s: float, job: Job, *, may_take_long: bool = False) -> None:
        """Run a job again and again; the first run is one interval from the start.

        `may_take_long`: that the run before is still at it is nothing to tell.
        """
        self._scheduler.add_job(
            self._guarded(name, _one_at_a_time(job) if may_take_long else job),
            "interval",
            seconds=interval_s,
            max_instances=2 if may_take_long else 1,
            id=name,
            misfire_grace_time=max(1, int(interval_s)),
        )
        self._telemetry.emit(JobKnown(job=name))

    def daily(self, name: str, hour_utc: int, job: Job) -> None:
        """Run a job once a day, at this hour."""
        self._scheduler.add_job(
            self._guarded(name, job), "cron", hour=hour_utc, minute=0, id=name, misfire_grace_time=LATE_S_MAX
        )
        self._telemetry.emit(JobKnown(job=name))

    def start(self) -> None:
        self._scheduler.start()

    def stop(self, wait_s: float = 1.0) -> None:
        """Begin no further job, and wait this long for those under way; they must bear being cut off at exit."""
        if not self._scheduler.running:
            return
        self._stopping = True
        self._scheduler.shutdown(wait=False)
        with self._idle:
            self._idle.wait_for(lambda: self._under_way == 0, wait_s)

    def _guarded(self, name: str, job: Job) -> Job:
        def run() -> None:
            with self._idle:
                if self._stopping:
                    return
                self._under_way += 1
            try:
                self._run(name, job)
            finally:
                with self._idle:
                    self._under_way -= 1
                    self._idle.notify_all()

        return run

    def _run(self, name: str, job: Job) -> None:
        began = self._monotonic()
        try:
            job()
        except Exception as error:  # noqa: BLE001 - one job's trouble is told, and is not the others'
            self._telemetry.emit(JobFailed(job=name, error=f"{type(error).__name__}: {error}"))
        else:
            self._telemetry.emit(JobDone(job=name, seconds=round(self._monotonic() - began, 3)))

    def _missed(self, event: JobEvent) -> None:
        self._telemetry.emit(JobMissed(job=event.job_id))


def _one_at_a_time(job: Job) -> Job:
    """The job; where it is under way already, nothing."""
    under_way = threading.Lock()

    def run() -> None:
        if under_way.acquire(blocking=False):
            try:
                job()
            finally:
                under_way.release()

    return run
