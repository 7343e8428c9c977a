"""A stream, rules before and after a change, and a run of the daemon over the one in which the others change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import journey
import pytest
from hypothesis import HealthCheck, Phase, settings
from journey import configured, daemon

from detectors.sigma import parse_rules
from monitor.app import Daemon
from monitor.rules.lineup import Lineup, Offer

EVENTS: Final = 600
CHANGED_AT: Final = 300
"""Lines under the first rules."""

ID: Final = "7b1d3c52-64ce-4b0f-9a87-0f5f0f2d{:04d}"
SINGLE: Final = """
title: {name}
id: {id}
name: {name}
logsource: {{product: miniprogram, service: log}}
detection:
  selection: {{{field}: {value}}}
  condition: selection
---
"""
COUNTING: Final = """
title: Many {base} {least}
id: {id}
correlation:
  type: event_count
  rules: [{base}]
  group-by: [miniprogram.app_id]
  timespan: 10s
  condition: {{gte: {least}}}
---
"""

many = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def rule(number: int, field: str, value: str) -> str:
    return SINGLE.format(name=value, id=ID.format(number), field=field, value=value)


def counting(number: int, base: str, least: int) -> str:
    return COUNTING.format(base=base, id=ID.format(number), least=least)


BASES: Final = rule(1, "event.action", "ping") + rule(2, "x.kind", "pong")
BEFORE: Final = (
    BASES + counting(3, "ping", 6) + counting(4, "pong", 2) + rule(5, "x.word", "w4") + rule(7, "x.word", "w1")
)
AFTER: Final = (
    BASES + counting(3, "ping", 6) + counting(4, "pong", 5) + rule(6, "x.other", "w3") + rule(7, "x.word", "w2")
)
"""One window stays as it is, one changes; a rule on single events goes, one comes, with a field that nobody needed, and one changes."""


def lineup(text: str) -> Lineup:
    parsed = parse_rules([("rules.yml", text)])
    assert parsed.problems == ()
    return Lineup.of(parsed.rules, 1_000_000)


def event(number: int) -> bytes:
    """Of five apps, four a second: forty-five pings, which are pongs too, then as many of neither."""
    is_quiet = (number - 10) // 45 % 2
    return (
        json.dumps(
            {
                "@timestamp": 1_772_500_000_000 + number * 250,
                "event": {
                    "id": f"e{number}",
                    "dataset": "miniprogram.log",
                    "action": "quiet" if is_quiet else "ping",
                },
                "miniprogram": {"app_id": f"wx{number % 5}"},
                "x": {"kind": "quiet" if is_quiet else "pong", "word": f"w{number % 9}", "other": f"w{number % 7}"},
            }
        ).encode()
        + b"\n"
    )


class Killed(BaseException):
    """The process is gone: nothing is saved any more."""


class Run:
    """One data folder over which a stream is read, with rules that change at `CHANGED_AT`."""

    def __init__(self, folder: Path, files: int = 1, *, after: str = AFTER, **keys: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.sources = [folder / f"part{part}.ndjson" for part in range(files)]
        for part, path in enumerate(self.sources):
            path.write_bytes(b"".join(event(number) for number in range(part, EVENTS, files)))
        self.data = folder / "data"
        self.config = configured(self.data, self.sources, rules__builtin=False, **keys)
        self.after = after
        self.made: Callable[[], Lineup] = lambda: lineup(self.after)
        self.is_changed = False
        self.changed_at = 0  # lines; how turns are cut decides whether it can be just where it should
        self.answers: list[str] = []

    def go(self, *, every_turn: bool = False, kill_at: int | None = None, stop_at: int | None = None) -> None:
        """Read on; the lines after which to die or to stop in order are counted from the beginning of the stream."""
        with daemon(self.config) as opened:
            if every_turn:
                journey.remember_every_turn(opened)
            opened.pipeline.lineup = self.made() if self.is_changed else lineup(BEFORE)
            opened.run(lambda _: self._after_turn(opened, kill_at, stop_at))

    def _after_turn(self, opened: Daemon, kill_at: int | None, stop_at: int | None) -> None:
        lines = sum(intake.progress.received for intake in opened.pipeline.intakes)
        if lines >= CHANGED_AT and not self.is_changed:
            self.is_changed, self.changed_at = True, lines
            taken, refused = (lambda one: self.answers.append(f"taken at {one.turn}")), self.answers.append
            opened.pipeline.offer(Offer(self.made(), lambda: True, taken, refused))
        if kill_at is not None and lines >= kill_at:
            raise Killed
        if stop_at is not None and lines >= stop_at:
            opened.stop()

    def killed(self, at: int, *, every_turn: bool) -> None:
        with pytest.raises(Killed):
            self.go(every_turn=every_turn, kill_at=at)
