"""What an app is made of, now and in the long run: shares of its pages, hosts and APIs, by the hour and by the day (UTC).

A mix of 64 bins is compared with the app's own of a fortnight: content that is switched to, a time bomb, a page that took the
place of another. A new version is to change the mix: for two days nothing is told, and what is known from before counts for a tenth from
then on. How much an app's hours differ from each other is learned, so who always varies is told later.

What fools it: a slow change, below what an app's hours differ by, and the mix follows it; a change with a version of one's own;
another content under the same pages and hosts; what takes a few events of many.
Source: the G statistic with a learned overdispersion (`mixes.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.detector import State
from detectors.statistical import mixes
from detectors.statistical.hashes import hash_of
from detectors.statistical.rows import NOWHERE, Rows
from detectors.statistical.shown import API, BINS, HOST, LEARNING, PAGE, SETTLED, Hour, Shown
from detectors.statistical.statistic import FLAGGED, SHOWN_MIN, STREAK, Suite, not_flagged
from detectors.statistical.tails import Numbers
from detectors.statistical.windows import WINDOWS_PER_DAY, WINDOWS_PER_HOUR, Window

Array = npt.NDArray[Any]

BLOCK: Final = 8_192
"""Apps that are judged and learned at a time: what bounds the memory of it."""

EVENTS_MIN: Final = 30
"""Fewer events are no mix."""

KNOWN_EVENTS: Final = 500.0
KNOWN_DAYS: Final = 3

REBASED: Final = 0.1
"""Of the long-run mix so much is left after a deploy."""

ACCESS: Final = "access"
"""The action of lines of servers' access logs: each is the other side of a request, and where clients report nothing they are all there is."""

RELEARN_H: Final = 48


class ProfileConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is remembered."""

    apps_max: int = 100_000
    forget_days: int = 60


class Profile:
    """Compares apps with what they were."""

    name = "profile"

    def __init__(self, shown: Shown, config: ProfileConfig | None = None) -> None:
        self.config = config or ProfileConfig()
        self._shown = shown
        self._apps = Rows(
            {
                "mix": (np.float32, BINS),
                "today": (np.float32, BINS),
                **mixes.LEARNED,
                **STREAK,
                "rebased": (np.int32, 1),
                "learned": (np.int32, 1),
            },
            self.config.apps_max,
        )
        self._names: dict[int, tuple[str, str | None]] = {}  # of apps seen today, for what is told when the day ends
        self.tests = Suite(self.name, dict.fromkeys(("profile", "profile_day"), mixes.VOLUMES))

    @property
    def needs(self) -> frozenset[str]:
        return self._shown.needs

    @property
    def forgotten(self) -> int:
        return self._apps.forgotten + self._apps.refused

    @property
    def bytes(self) -> int:
        """What is remembered takes so much."""
        return self._apps.bytes

    def count(self, rows: pl.DataFrame) -> None:
        """`Shown` counts."""

    def close(self, window: Window) -> Sequence[pl.DataFrame]:
        hour = self._shown.hour
        found: list[pl.DataFrame | None] = []
        if hour is not None:
            bins = Bins(hour)
            found += [
                self._hour(hour, bins, np.arange(first, min(first + BLOCK, len(hour.apps))), window)
                for first in range(0, len(hour.apps), BLOCK)
            ]
        if window.ends_day:
            found.append(self._day(window))
            self._apps.forget_unseen(window.index - self.config.forget_days * WINDOWS_PER_DAY)
            self.tests.fade()
        return [frame for frame in found if frame is not None]

    def _hour(self, hour: Hour, bins: Bins, apps: Array, window: Window) -> pl.DataFrame | None:
        """Judge and learn some of the apps (rows of `hour.apps`)."""
        place, _ = self._apps.seen(hour.apps[apps], window.index)
        at, place = apps[place != NOWHERE], place[place != NOWHERE]
        came = bins.mixes(at)
        deployed = hour.deploys(window, SETTLED)[at]
        self._rebase(place, hour.deployed[at])
        mix = self._apps["mix"][place].astype(np.float64)
        ratio, freedom = mixes.apart(came, mixes.shares(mix), mix.sum(axis=1))
        counted = mixes.counts_for(came, mix, self._apps["learned"][place])
        ratio *= counted
        known = hour.known_for(window, LEARNING)[at] & (mix.sum(axis=1) >= KNOWN_EVENTS)
        enough = came.sum(axis=1) >= EVENTS_MIN
        worth = mixes.worth_of(
            self._apps,
            self.tests["profile"],
            mixes.HOUR,
            place,
            hour.apps[at],
            ratio,
            freedom,
            came.sum(axis=1),
            known & enough & ~deployed,
        )
        flagged = worth >= FLAGGED
        self._learn(place, came * counted[:, None], mix, flagged)
        mixes.learn_over(self._apps, mixes.HOUR, place, ratio, freedom, enough & known & ~deployed & ~flagged)
        self._apps["today"][place] = (self._apps["today"][place] + came).astype(np.float32)
        self._remember_names(hour, at)
        if not (worth >= SHOWN_MIN).any():
            return None
        expected = mixes.shares(mix) * came.sum(axis=1, keepdims=True)
        which = mixes.largest(came, expected)
        about = bins.names(at, which)
        return mixes.told(
            "profile",
            window,
            WINDOWS_PER_HOUR,
            apps=hour.names[at],
            worth=worth,
            about=about,
            which=which,
            came=came,
            expected=expected,
            learned_h=self._apps["learned"][place],
        )

    def _rebase(self, place: Array, deployed: Array) -> None:
        """A deploy begins a new mix; what was before counts for little."""
        fresh = deployed > self._apps["rebased"][place]
        self._apps["rebased"][place[fresh]] = deployed[fresh]
        self._apps["mix"][place[fresh]] *= np.float32(REBASED)
        self._apps["today"][place[fresh]] = 0

    def _learn(self, place: Array, came: Numbers, mix: Numbers, flagged: Array) -> None:
        kept = not_flagged(self._apps, place, flagged, RELEARN_H)
        grown = mix * mixes.KEPT + came
        self._apps["mix"][place[kept]] = grown[kept].astype(np.float32)
        self._apps["learned"][place] += kept

    def _remember_names(self, hour: Hour, at: Array) -> None:
        for key, row in zip(hour.apps[at].tolist(), hour.names[at].iter_rows(), strict=True):
            self._names[key] = row

    def _day(self, window: Window) -> pl.DataFrame | None:
        """Judge the day that ends; the next begins."""
        places, keys = self._apps.places, self._apps.keys
        today = self._apps["today"][places].astype(np.float64)
        here = np.flatnonzero(today.sum(axis=1) > 0)
        place, today, key = places[here], today[here], keys[here]
        mix = self._apps["mix"][place].astype(np.float64)
        ratio, freedom = mixes.apart(today, mixes.shares(mix), mix.sum(axis=1))
        known = (self._apps["learned"][place] >= 24 * KNOWN_DAYS) & (mix.sum(axis=1) >= KNOWN_EVENTS)
        rebased = self._apps["rebased"][place]
        known &= (rebased == 0) | (window.index - rebased >= 3 * WINDOWS_PER_DAY)
        enough = today.sum(axis=1) >= EVENTS_MIN
        worth = mixes.worth_of(
            self._apps,
            self.tests["profile_day"],
            mixes.DAY,
            place,
            key,
            ratio,
            freedom,
            today.sum(axis=1),
            known & enough,
        )
        mixes.learn_over(self._apps, mixes.DAY, place, ratio, freedom, known & enough & (worth < FLAGGED))
        self._apps["today"][:] = 0
        names, self._names = self._names, {}
        if not (worth >= SHOWN_MIN).any():
            return None
        told = [names.get(one, ("", None)) for one in key.tolist()]
        apps = pl.DataFrame(told, schema={"app": pl.String(), "owner": pl.String()}, orient="row")
        expected = mixes.shares(mix) * today.sum(axis=1, keepdims=True)
        return mixes.told(
            "profile_day",
            window,
            WINDOWS_PER_DAY,
            apps=apps,
            worth=np.where(apps["app"] == "", 0.0, worth),
            about=[""] * len(place),
            which=mixes.largest(today, expected),
            came=today,
            expected=expected,
            learned_h=self._apps["learned"][place],
        )

    def snapshot(self) -> State:
        names = pl.DataFrame(
            [(key, *name) for key, name in sorted(self._names.items())],
            schema={"key": pl.UInt64(), "app": pl.String(), "owner": pl.String()},
            orient="row",
        )
        frames = {"profile.names": names, **self._apps.snapshot("profile.apps")}
        frames |= self.tests.snapshot()
        return frames

    def restore(self, state: State) -> None:
        self._apps.restore("profile.apps", state)
        if "profile.names" not in state:
            raise ValueError("there is no profile.names")
        self._names = {key: (app, owner) for key, app, owner in state["profile.names"].iter_rows()}
        self.tests.restore(state)


class Bins:
    """What an hour's apps showed, by bins of their mixes."""

    def __init__(self, hour: Hour) -> None:
        made = np.flatnonzero(np.isin(hour.kind, (API, HOST, PAGE)) & (hour.value != hash_of(ACCESS)))
        bins = hour.app[made] * BINS + (hour.key[made] >> np.uint64(58)).astype(np.int64)
        order = np.lexsort((made, -hour.n[made], bins))  # of each bin the largest first
        self._bins, self._rows = bins[order], made[order]
        self._n, self._what = hour.n[self._rows], hour.counted["what"]

    def mixes(self, apps: Array) -> Numbers:
        """The mixes of apps (rows of `Hour.apps`, rising), a row each."""
        if not len(apps):
            return np.zeros((0, BINS))
        first, last = np.searchsorted(self._bins, [apps[0] * BINS, (apps[-1] + 1) * BINS])
        of, bins = np.divmod(self._bins[first:last], BINS)
        row = np.minimum(np.searchsorted(apps, of), len(apps) - 1)
        here = apps[row] == of
        flat = np.bincount((row * BINS + bins)[here], self._n[first:last][here], len(apps) * BINS)
        return flat.astype(np.float64).reshape(-1, BINS)

    def names(self, apps: Array, which: Array) -> list[str]:
        """What came most in one bin of each."""
        first = np.minimum(np.searchsorted(self._bins, apps * BINS + which), len(self._rows) - 1)
        told: list[str] = self._what.gather(self._rows[first]).to_list()
        return told
