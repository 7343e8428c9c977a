"""Refused requests in the audit: each kind at once, and how often it came again once an hour, so that nobody can fill the disk."""

from __future__ import annotations

import threading
from collections import Counter
from enum import StrEnum
from typing import Final

import msgspec

from monitor.audit import AuditEntry
from monitor.moments import HOUR_US

KINDS_MAX: Final = 50
"""Kinds of refusals (client, why, page, token) that are told apart within an hour; the rest is one figure."""


class Why(StrEnum):
    """Why a request was refused."""

    NO_TOKEN = "no-token"  # noqa: S105 - a word
    BAD_TOKEN = "bad-token"  # noqa: S105 - a word
    REVOKED = "revoked"
    EXPIRED = "expired"
    ROLE = "role"
    LOCKED_OUT = "locked-out"
    RATE = "rate"


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """Refusals that are told as one: nothing of it is text that the client has chosen."""

    client: str
    why: Why
    page: str
    token: str = ""


OTHERS: Final = "others"


class Refusals:
    """Counts what is refused; `entries` gives what the audit is to have, at most `2 * KINDS_MAX + 1` entries an hour."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun: int | None = None
        self._new: list[tuple[Kind, int]] = []
        self._times: Counter[Kind] = Counter()
        self._others = 0

    def note(self, kind: Kind, now: int) -> None:
        """A request was refused. From any thread."""
        with self._lock:
            if self._begun is None:
                self._begun = now
            if kind in self._times:
                self._times[kind] += 1
            elif len(self._times) < KINDS_MAX:
                self._times[kind] = 1
                self._new.append((kind, now))
            else:
                self._others += 1

    def entries(self, now: int, *, leaving: bool = False) -> list[AuditEntry]:
        """What has to be written now; with `leaving`, all that is known."""
        with self._lock:
            written = [_entry(kind, at, 1) for kind, at in self._new]
            self._new.clear()
            if self._begun is not None and (leaving or now - self._begun >= HOUR_US):
                written += [_entry(kind, now, times - 1) for kind, times in self._times.items() if times > 1]
                if self._others:
                    written.append(_entry(None, now, self._others))
                self._times.clear()
                self._others, self._begun = 0, None
            return written


def _entry(kind: Kind | None, time: int, times: int) -> AuditEntry:
    told = {"times": times, **({"token": kind.token} if kind is not None and kind.token else {})}
    return AuditEntry(
        time=time,
        actor=f"client:{kind.client if kind is not None else OTHERS}",
        action="http.refuse",
        subject=kind.page if kind is not None else OTHERS,
        reason=kind.why.value if kind is not None else OTHERS,
        after=msgspec.json.encode(told).decode(),
    )
