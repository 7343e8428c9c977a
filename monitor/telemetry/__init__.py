"""What the daemon says of itself: every happening is one record that gives its log line and its metrics together."""

from __future__ import annotations

import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, TextIO

import msgspec

from monitor import __version__
from monitor.telemetry.happening import LEVELS, Happening, Level
from monitor.telemetry.limiter import Limiter
from monitor.telemetry.lines import adopt_library_lines, line_writer
from monitor.telemetry.meter import Meter
from monitor.telemetry.metrics import BUILD, CATALOGUE, LINES_LOST, WAITED
from monitor.telemetry.upkeep import LinesSuppressed

LINES_PER_S_MAX = 10
"""Log lines of one kind of happening in a second; what is above is counted and told in one line."""


class Telemetry:
    """One daemon's voice: log lines to a stream, metrics to a registry of its own. Safe to use from any thread.

    Metrics count every happening; lines of one kind are limited, and what was left out is told as a number. A log that
    cannot be written is counted, and never stops the daemon.
    """

    def __init__(
        self,
        *,
        level: Level = "info",
        log_format: Literal["auto", "console", "json"] = "auto",
        stream: TextIO | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        lines_per_s_max: int = LINES_PER_S_MAX,
    ) -> None:
        stream = sys.stderr if stream is None else stream
        self.meter = Meter(CATALOGUE)
        self.meter.set(BUILD, 1, version=__version__, python=platform.python_version())
        self.registry = self.meter.registry
        self._write = line_writer(level, log_format, stream)
        self._least = LEVELS[level]
        self._limiter = Limiter(lines_per_s_max, monotonic)
        self._lock = threading.Lock()

    def emit(self, happening: Happening) -> None:
        """Count a happening, and write its line unless there have been too many like it this second."""
        happening.count(self.meter)
        with self._lock:
            self._tell_suppressed(self._limiter.ended())
            if LEVELS[happening.level] >= self._least and self._limiter.allows(happening.name()):
                self._say(happening)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Within this the pipeline waits for something to do; what this thread computes meanwhile is work."""
        begun, worked = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            waited = time.perf_counter() - begun - (time.thread_time() - worked)
            self.meter.add(WAITED, max(waited, 0.0))

    def tick(self) -> None:
        """Tell what was left out in seconds that are over; called now and then, so that no number waits for ever."""
        with self._lock:
            self._tell_suppressed(self._limiter.ended())

    def close(self) -> None:
        """Tell what was left out until now."""
        with self._lock:
            self._tell_suppressed(self._limiter.all())

    def adopt_library_lines(self) -> None:
        """From now on, warnings of the libraries in this process are lines of ours."""
        adopt_library_lines(self.emit)

    def _tell_suppressed(self, suppressed: dict[str, int]) -> None:
        for name, count in suppressed.items():
            told = LinesSuppressed(happening=name, lines=count)
            told.count(self.meter)
            self._say(told)

    def _say(self, happening: Happening) -> None:
        fields = {key: value for key, value in msgspec.structs.asdict(happening).items() if value not in (None, "", ())}
        try:
            self._write(happening.level, happening.name(), fields)
        except (OSError, ValueError):  # a full disk, a reader that went away, a stream closed at exit
            self.meter.add(LINES_LOST)
