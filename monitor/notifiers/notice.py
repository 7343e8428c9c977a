"""What is told to the people on call that is about no incident: one stable JSON object, as alerts are.

Receivers may rely on these keys: later versions add keys and change none. Times are RFC 3339 in UTC.

- ``schema``: ``"miniwatch.notice/1"``
- ``what``: a word for programs (``pack-returned``, ``pack-not-returned``); ``severity``, ``title`` and ``text`` are for people, and one line each
- ``time``: when it happened; ``look`` is the command that shows more
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from detectors.finding import Severity
from monitor.moments import MICROSECONDS
from monitor.notifiers.alert import told_line, told_time


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something that people should know; `key` tells it from all others of its kind."""

    what: str
    key: str
    severity: Severity
    title: str
    text: str
    time: int
    look: str

    @property
    def body(self) -> bytes:
        """The notice as the bytes of a message."""
        told = {
            "schema": "miniwatch.notice/1",
            "what": self.what,
            "severity": self.severity,
            "title": told_line(self.title),
            "text": told_line(self.text),
            "time": told_time(self.time),
            "look": told_line(self.look),
        }
        return msgspec.json.encode(told)


def once_an_hour(name: str, now: int) -> str:
    """A `Notice.key` under which people are told of something at most once in each hour of the day (microseconds since 1970 UTC)."""
    return f"{name}:{datetime.fromtimestamp(now // MICROSECONDS, UTC):%Y-%m-%dT%H}"
