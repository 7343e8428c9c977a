"""What becomes of work by the clock, one record each."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from monitor.telemetry import metrics
from monitor.telemetry.happening import Happening, Level

if TYPE_CHECKING:
    from monitor.telemetry.meter import Meter


class JobKnown(Happening, frozen=True, kw_only=True):
    """A job is done by the clock from now on: its counters are there, so that the first failure is seen as one."""

    level: ClassVar[Level] = "debug"
    job: str

    def count(self, meter: Meter) -> None:
        meter.begin("task", self.job)
        meter.set(metrics.JOB_FAILING, 0, task=self.job)


class JobDone(Happening, frozen=True, kw_only=True):
    level: ClassVar[Level] = "debug"
    job: str
    seconds: float

    def count(self, meter: Meter) -> None:
        meter.add(metrics.JOBS_RUN, task=self.job, outcome="done")
        meter.set(metrics.JOB_FAILING, 0, task=self.job)


class JobFailed(Happening, frozen=True, kw_only=True):
    level: ClassVar[Level] = "error"
    job: str
    error: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.JOBS_RUN, task=self.job, outcome="failed")
        meter.set(metrics.JOB_FAILING, 1, task=self.job)


class JobMissed(Happening, frozen=True, kw_only=True):
    """A job's hour came and went: the machine slept, or the run before was still at it."""

    level: ClassVar[Level] = "warning"
    job: str

    def count(self, meter: Meter) -> None:
        meter.add(metrics.JOBS_RUN, task=self.job, outcome="missed")
        meter.set(metrics.JOB_FAILING, 1, task=self.job)
