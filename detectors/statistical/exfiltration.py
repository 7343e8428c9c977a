"""What is private carried off: a call that reads it, and within 30 seconds of the same session a request to a host that is not the app's own.

An app's own hosts are those it showed in its first three days, or for two days, in at least three hours, or brought by a deploy.
Counted are sessions, by the hour, in which a private call that succeeded was followed by a request to any other host; each counts the
less the more other apps use the host, and half where the host is declared. Judged is their number by how many there usually are, in the
hour, and of about a day.

What fools it: who waits for longer than half a minute, or for another session; who sends through a host of its own; one session in
a day, which is no more than chance. Needs ``session.id`` or ``user.id`` on both events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.detector import State
from detectors.event import MICROSECONDS, TIME
from detectors.statistical import lately, tails
from detectors.statistical.hashes import among
from detectors.statistical.meaning import CALLS
from detectors.statistical.novelty import OTHERS, PRIVATE, RELEARN_H
from detectors.statistical.pending import GROUP, KEY, WINDOW, Merging, Pending
from detectors.statistical.rows import NOWHERE, Rows
from detectors.statistical.shown import (
    DECLARED,
    EXPLAINED,
    HOST,
    LEARNING,
    Hashed,
    Hour,
    Shown,
    key_of,
)
from detectors.statistical.statistic import FLAGGED, STREAK, Suite, not_flagged
from detectors.statistical.telling import unusual
from detectors.statistical.windows import WINDOWS_PER_DAY, WINDOWS_PER_HOUR, Window

Array = npt.NDArray[Any]
Keys = npt.NDArray[np.uint64]

WITHIN_US: Final = 30 * MICROSECONDS

OWN_HOURS: Final = 3
"""A host that was seen in fewer hours is rare for its app."""

HOURS_MEAN: Final = 168
"""What is usual is a mean over about so many hours with private calls."""

SPREAD: Final = 1.0
"""By how much counts of sessions vary beyond a Poisson's variance, as a share of the squared mean."""

SESSIONS_MIN: Final = 2

CARRIED_OFF: Final = 3

MANAGERS: Final = ("getRecorderManager", "createCameraContext", "getLocationManager", "createVKSession")
"""Which read nothing by themselves."""

PRIVATE_CALLS: Final = frozenset(
    {
        *(name for name, number in CALLS.items() if number in PRIVATE and name not in MANAGERS),
        "getClipboardData",
        "getRecorderManager().start",
        "getRecorderManager().stop",
        "createCameraContext().takePhoto",
        "createCameraContext().startRecord",
        "createCameraContext().stopRecord",
        "createCameraContext().onCameraFrame",
        "getLocationManager().start",
        "getLocationManager().getLocation",
        "createVKSession().start",
    }
)  # fmt: skip

_LOW: Final = np.uint64(2**24 - 1)
_ROWS: Final[dict[str, Merging]] = {"session": "first", "time": "first", "host": "first"}


class ExfiltrationConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is remembered."""

    calls_max: int = 1_000_000
    calls_per_app_max: int = 100_000
    apps_max: int = 200_000
    forget_days: int = 60


class Exfiltration:
    """Looks at requests that follow private calls."""

    name = "exfiltration"

    def __init__(self, shown: Shown, config: ExfiltrationConfig | None = None) -> None:
        self.config = config or ExfiltrationConfig()
        self._shown = shown
        self._calls = Pending(
            _ROWS, group_keys_max=self.config.calls_per_app_max, keys_max=self.config.calls_max
        )  # of those that wait, sessions with the smallest keys stay as a whole
        self._apps = Rows(
            {
                "mean": (np.float32, 1),
                "hours": (np.int32, 1),
                **lately.fields(2),  # sessions, and hours
                **STREAK,
            },
            self.config.apps_max,
        )
        self.tests = Suite(self.name, {"exfiltration": 1, "exfiltration_slow": 1})
        shown.watched_by(self._take)

    @property
    def needs(self) -> frozenset[str]:
        return self._shown.needs

    @property
    def forgotten(self) -> int:
        return self._calls.forgotten + self._apps.forgotten + self._apps.refused

    @property
    def bytes(self) -> int:
        """What is remembered beyond an hour takes so much."""
        return self._apps.bytes

    def count(self, rows: pl.DataFrame) -> None:
        """`Shown` hands rows on, with their hashes."""

    def _take(self, hashed: Hashed) -> None:
        """Keep private calls, and requests to hosts that are not the app's own; of apps that are known for long."""
        reads = among(hashed.action, PRIVATE_CALLS)
        at = np.flatnonzero(reads | hashed.asks)
        at = at[self._is_known(hashed.app[at])]
        if not len(at):
            return
        app, host = hashed.app[at], key_of(hashed.app[at], HOST, hashed.host[at])
        host[reads[at]] = 0
        wanted = reads[at] | ~self._shown.settled(app, host, OWN_HOURS)
        at, app, host = at[wanted], app[wanted], host[wanted]
        some = hashed.rows[at].select(
            TIME,
            session=pl.coalesce("session.id", "user.id"),
            failed=(pl.col("event.outcome") == "failure").fill_null(value=False),
        )
        kept = some["session"].is_not_null().to_numpy() & ~(some["failed"].to_numpy() & (host == 0))
        some, app, host = some.filter(pl.Series(kept)), app[kept], host[kept]
        session = some["session"].hash().to_numpy() * np.uint64(3) + app
        self._calls.add(_rows(hashed.hour, app, session, some[TIME].to_numpy(), host))

    def _is_known(self, app: Keys) -> npt.NDArray[np.bool_]:
        apps = self._shown.apps
        if not len(apps):
            return np.zeros(len(app), np.bool_)
        place = apps.find(app)
        known: npt.NDArray[np.bool_] = (place != NOWHERE) & (self._shown.closed - apps["first"][place] >= LEARNING - 1)
        return known

    # Judging

    def close(self, window: Window) -> Sequence[pl.DataFrame]:
        found = []
        if window.ends_hour:
            calls = self._calls.take(window.hour)
            hour = self._shown.hour
            if hour is not None:
                found = self._hour(calls, hour, window) if calls.height else []
                self._learn_of_others(hour, calls, window)
        if window.ends_day:
            lately.end_day(self._apps)
            self._apps.forget_unseen(window.index - self.config.forget_days * WINDOWS_PER_DAY)
            self.tests.fade()
        return found

    def _hour(self, calls: pl.DataFrame, hour: Hour, window: Window) -> list[pl.DataFrame]:
        app, session, time, host = (calls[name].to_numpy() for name in (GROUP, "session", "time", "host"))
        reads = host == 0
        order = np.lexsort((host, time, session))
        read_at = np.where(reads[order], np.arange(len(order)), -1)
        last = np.maximum.accumulate(read_at)
        near = order[np.maximum(last, 0)]
        follows = (
            (last >= 0) & ~reads[order] & (session[near] == session[order]) & (time[order] - time[near] <= WITHIN_US)
        )
        self._carry(calls.filter(pl.Series(reads & (time > window.end - WITHIN_US))), window)
        readers = np.unique(app[reads])
        readers = readers[np.isin(readers, hour.apps)]
        if not len(readers):
            return []
        hits = order[follows]
        pairs = pl.DataFrame({"host": host[hits], "session": session[hits]}).unique()
        told = pairs.group_by("host").len().sort("host")
        to, sessions = told["host"].to_numpy(), told["len"].to_numpy()
        at = np.searchsorted(hour.key, to)
        at = np.minimum(at, len(hour.key) - 1)
        known = hour.key[at] == to
        at, sessions = at[known], sessions[known]
        weight = self._weights(hour, at)
        of = np.searchsorted(readers, hour.group[at])
        inside = readers[np.minimum(of, len(readers) - 1)] == hour.group[at]
        at, sessions, weight, of = at[inside], sessions[inside], weight[inside], of[inside]
        carried = np.bincount(of, np.rint(sessions * weight * 1024), len(readers)) / 1024
        return self._judge(hour, readers, carried, at, of, sessions * weight, window)

    def _judge(self, hour: Hour, readers: Keys, carried: Array, at: Array, of: Array, each: Array, window: Window) -> list[pl.DataFrame]:  # fmt: skip
        place, _ = self._apps.seen(readers, window.index)
        here = np.flatnonzero(place != NOWHERE)
        place = place[here]
        hours = self._apps["hours"][place].astype(np.float64)
        mean = self._apps["mean"][place].astype(np.float64)
        usual = (mean * hours + 0.5) / (np.maximum(hours, 72.0) + 1.0)
        scores = tails.many(np.where(carried[here] >= SESSIONS_MIN, carried[here], 0.0), usual, SPREAD)
        worth = self.tests["exfiltration"].worth(scores, who=readers[here])
        numbers = np.stack([carried[here], np.ones(len(here))], axis=1)
        sums, before = lately.add(self._apps, place, numbers, window)
        long = (before[:, 0] + 0.5) / (np.maximum(before[:, 1], 72.0) + 1.0) * sums[:, 1]
        slowly = tails.many(np.where(sums[:, 0] >= SESSIONS_MIN, sums[:, 0], 0.0), long, SPREAD)
        slowly = self.tests["exfiltration_slow"].worth(np.where(carried[here] > 0, slowly, 0.0), who=readers[here])
        kept = not_flagged(self._apps, place, (worth >= FLAGGED) | (slowly >= FLAGGED), RELEARN_H)
        step = np.where(kept, 1.0 / np.minimum(hours + 1.0, HOURS_MEAN), 0.0)
        self._apps["mean"][place] = (mean + step * (carried[here] - mean)).astype(np.float32)
        self._apps["hours"][place] += kept
        lately.learn(self._apps, place[kept], numbers[kept])
        if not len(of):
            return []
        order = np.lexsort((at, -each, of))
        best = np.minimum(np.searchsorted(of[order], here), len(order) - 1)
        about = hour.counted["what"].gather(at[order[best]]).to_list()
        found = []
        for test, windows, told, value, expected in (
            ("exfiltration", WINDOWS_PER_HOUR, worth, carried[here], usual),
            ("exfiltration_slow", WINDOWS_PER_DAY, slowly, sums[:, 0], long),
        ):
            frame = unusual(
                test,
                window,
                windows,
                apps=hour.names[np.searchsorted(hour.apps, readers[here])],
                worth=np.where(carried[here] > 0, told, 0.0),
                about=about,
                measure=["sessions that read private data and then asked"] * len(here),
                behaviour=[CARRIED_OFF] * len(here),
                value=value,
                usual=expected,
                count=np.rint(value),
                learned=hours,
            )
            if frame is not None:
                found.append(frame)
        return found

    def _learn_of_others(self, hour: Hour, calls: pl.DataFrame, window: Window) -> None:
        """Apps that read nothing private carry nothing off: that is usual, and there are many."""
        known = hour.apps[hour.known_for(window, LEARNING)]
        idle = int((~np.isin(known, calls[GROUP].to_numpy())).sum()) if calls.height else len(known)
        for name in ("exfiltration", "exfiltration_slow"):
            self.tests[name].learn(np.zeros(idle))

    def _weights(self, hour: Hour, at: Array) -> Array:
        flags = hour.flags[at]
        declared = (flags & DECLARED) > 0
        weight = 1.0 / (1.0 + self._shown.others(hour)[at] / OTHERS)
        weight = np.where(declared, weight * 0.5, weight)
        return np.where(((flags & EXPLAINED) > 0) & (hour.declared[at] != 0), 0.0, weight)

    def _carry(self, last: pl.DataFrame, window: Window) -> None:
        """Private calls of the last half minute may be followed in the next hour."""
        if last.height:
            self._calls.add(
                last.with_columns(pl.lit(window.hour + 1, pl.Int64).alias(WINDOW)).select(WINDOW, KEY, GROUP, *_ROWS)
            )

    def snapshot(self) -> State:
        apps = self._apps.snapshot("exfiltration.apps") | self._calls.snapshot("exfiltration.calls")
        return apps | self.tests.snapshot()

    def restore(self, state: State) -> None:
        self._apps.restore("exfiltration.apps", state)
        self._calls.restore("exfiltration.calls", state)
        self.tests.restore(state)


def _rows(hour: int, app: Keys, session: Keys, time: Array, host: Keys) -> pl.DataFrame:
    """Calls as rows that wait: a key begins with the session, so that those for which there is room are whole sessions."""
    rest = time.astype(np.uint64) * np.uint64(0x9E37_79B9_7F4A_7C15) + host * np.uint64(3)
    key = (session & ~_LOW) | (rest >> np.uint64(40))
    frame = pl.DataFrame(
        {WINDOW: np.full(len(key), hour), KEY: key, GROUP: app, "session": session, "time": time, "host": host}
    )
    return frame.unique(KEY, keep="first", maintain_order=True)
