"""The apps of a simulated platform: owners, hosts, versions, what their pages are, and how busy they are at which hour."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import numpy as np
from pages import HOSTS, MIXES, RARE
from traits import DAY_US, HOUR_US, US, hour_of_day, names, scramble, weekday

FIRST_DAY_US = 1_772_380_800 * US
"""Midnight of the people on Monday, 2026-03-02; a seed begins on one of the seven days from there."""
SESSIONS_PER_APP_DAY = 22
ZIPF = 1.1
CELL_US = HOUR_US // 4
"""How finely an app's busyness is told."""
CLOUDS = 8
CATEGORY_SHARES = {"shop": 0.2, "catering": 0.1, "tools": 0.14, "game": 0.12, "finance": 0.06, "medical": 0.05, "government": 0.05, "social": 0.07, "media": 0.08, "travel": 0.05, "education": 0.05, "office": 0.03}  # fmt: skip
PROTECTED = ("medical", "government")
SYLLABLES = [
    "an",
    "bei",
    "chun",
    "dao",
    "feng",
    "guo",
    "hai",
    "jia",
    "kang",
    "lan",
    "mei",
    "ning",
    "pin",
    "qing",
    "rui",
    "shan",
    "tian",
    "wan",
    "xing",
    "you",
    "zhi",
]

# Times of day: (hour, width in hours, height) of each bump above a floor.
DAYLIGHTS = {
    "day": (0.08, ((12.5, 2.0, 0.8), (20.5, 2.5, 1.2), (9.5, 2.0, 0.5))),
    "office": (0.015, ((9.0, 0.35, 2.2), (10.5, 1.2, 1.0), (14.8, 1.8, 1.0))),
    "night": (0.08, ((23.5, 1.8, 1.2), (2.0, 1.6, 0.9))),
    "morning": (0.05, ((7.8, 1.0, 1.3), (12.3, 1.0, 0.7), (21.5, 1.5, 0.6))),
    "meals": (0.03, ((11.9, 0.7, 1.6), (18.4, 1.0, 1.2), (22.0, 1.2, 0.2))),
    "evening": (0.06, ((20.8, 2.0, 1.5), (13.0, 1.2, 0.4))),
    "flat": (0.6, ((14.0, 4.0, 0.4),)),
}
HABITS = {
    "shop": ("day", "day", "evening", "night"), "catering": ("meals",), "tools": ("day", "office", "flat"), "game": ("evening", "evening", "night", "meals"),
    "finance": ("office", "day", "morning"), "medical": ("office", "day", "morning"), "government": ("office", "office", "day"), "social": ("evening", "night", "day"),
    "media": ("morning", "evening", "day"), "travel": ("day", "morning", "flat"), "education": ("evening", "day"), "office": ("office",),
}  # fmt: skip
WEEKENDS = {"day": 1.15, "office": 0.22, "night": 1.2, "morning": 0.9, "meals": 1.1, "evening": 1.3, "flat": 1.0}


class Population:
    """Everything about the apps that a seed settles before the first event."""

    def __init__(self, seed, apps, days, table):
        self.seed, self.count, self.days, self.table = seed, apps, days, table
        self.salt = int(scramble(np.array([seed]), 7)[0] >> np.uint64(8))
        rng = self.rng(1)
        self.start = FIRST_DAY_US + int(rng.integers(7)) * DAY_US
        self.end = self.start + days * DAY_US
        self._name(rng)
        self._place(rng)
        self._deploy(rng)
        self._mix(self.rng(2))

    def rng(self, *streams):
        """Randomness that belongs to this seed and purpose alone."""
        return np.random.default_rng([self.seed, *streams])

    def _name(self, rng):
        count = self.count
        kinds = list(MIXES)
        self.category = rng.choice(len(kinds), count, p=[CATEGORY_SHARES[kind] for kind in kinds])
        self.categories = np.array(kinds)[self.category]
        self.app_ids = np.array(["wx" + name[:16] for name in names(np.arange(count) + self.salt, 11)])
        sizes = np.minimum(rng.zipf(1.7, count), 9)
        owner = np.repeat(np.arange(count), sizes)[:count]
        self.owner = owner[rng.permutation(count)]
        self.developer_ids = np.array([f"dev-{number % 10**7:07}" for number in (self.owner * 7_919 + self.salt)])
        first, second = rng.integers(0, len(SYLLABLES), (2, count))
        self.slugs = np.array([f"{SYLLABLES[a]}{SYLLABLES[b]}{i:03x}" for i, (a, b) in enumerate(zip(first, second, strict=True))])  # fmt: skip
        self.merchants = np.array([f"16{number:08}" for number in rng.integers(0, 10**8, count)])
        self.cloud = rng.integers(0, CLOUDS, count)
        self.map_host, self.count_host = rng.integers(0, 3, count), rng.integers(0, 6, count)

    def _place(self, rng):
        """How busy each app is, when, and how that changes over the days."""
        count = self.count
        rank = rng.permutation(count)
        share = 1.0 / (rank + 1.0) ** ZIPF
        self.per_day = share / share.sum() * count * SESSIONS_PER_APP_DAY
        self.rank = rank
        habit = [HABITS[kind][int(rng.integers(len(HABITS[kind])))] for kind in self.categories]
        self.habit = np.array(habit)
        self.office = self.habit == "office"
        self.phase_h = np.where(self.office, rng.normal(0, 0.25, count), rng.normal(0, 0.9, count))
        self.phase_h += np.where(
            rng.random(count) < 0.04, rng.uniform(6, 14, count), 0
        )  # people abroad, or at night shifts
        self.depth = rng.uniform(0.5, 1.4, count)
        self.weekend = np.array([WEEKENDS[name] for name in habit]) * rng.lognormal(0, 0.2, count)
        self.trend = np.where(rng.random(count) < 0.25, rng.normal(0, 0.05, count), rng.normal(0, 0.005, count))
        self.noise_day, self.noise_cell = rng.uniform(0.08, 0.3, count), rng.uniform(3, 25, count)
        born = rng.random(count) < 0.06
        self.born = np.where(
            born, self.start + (rng.uniform(0.15, 0.9, count) * self.days * DAY_US).astype(np.int64), 0
        )
        gone = ~born & (rng.random(count) < 0.035)
        self.gone = np.where(gone, self.start + (rng.uniform(0.2, 0.97, count) * self.days * DAY_US).astype(np.int64), self.end + DAY_US)  # fmt: skip
        self.till = np.isin(self.categories, ("catering", "shop")) & (rng.random(count) < 0.25)
        self.pages_mean = rng.lognormal(1.0, 0.3, count)
        self.pace = rng.lognormal(0, 0.25, count)
        self.login_share = rng.beta(3, 7, count)
        self.newcomers = rng.beta(1.5, 12, count)
        self.denials, self.declines = rng.beta(2, 22, count), rng.beta(2, 40, count)
        self.flaky, self.retries = rng.beta(1, 90, count), rng.integers(0, 4, count)
        self.price, self.weight = rng.lognormal(8.0, 1.0, count), rng.lognormal(0, 0.5, count)
        self.regulars = np.maximum(12, self.per_day * rng.uniform(2, 9, count)).astype(np.int64)

    def _deploy(self, rng):
        """Up to two new versions an app, and which of them brings a host that was not there before."""
        count, never = self.count, self.end + DAY_US
        first = np.where(rng.random(count) < 0.32, rng.uniform(0.03, 0.97, count), 9.0)
        second = np.where((first < 1) & (rng.random(count) < 0.25), first + rng.uniform(0.1, 0.4, count), 9.0)
        times = np.stack([first, second]) * self.days * DAY_US + self.start
        self.deploys = np.minimum(times, never).astype(np.int64)  # by turn and app
        self.deploys = np.where(self.deploys < self.end, self.deploys, never)
        self.new_host = (self.deploys[0] < self.end) & (rng.random(count) < 0.4)
        major, minor, patch = rng.integers(1, 6, count), rng.integers(0, 9, count), rng.integers(0, 7, count)
        self.versions = np.array([[f"{a}.{b}.{c}" for a, b, c in zip(major, minor + turn, patch if not turn else patch * 0, strict=True)] for turn in range(3)])  # fmt: skip
        self.uptake_h = rng.uniform(1, 8, count)

    def _mix(self, rng):
        """The cumulated shares of pages: a row for each app and version."""
        position = {name: place for place, name in enumerate(self.table.names)}
        shares = np.zeros((self.count, 3, len(position)))
        for app, kind in enumerate(self.categories):
            for name, weight in MIXES[kind].items():
                kept = weight > 2 or rng.random() > 0.22
                shares[app, :, position[name]] = weight * rng.lognormal(0, 0.6) * kept
            total = shares[app, 0].sum()
            for api in rng.choice(RARE, int(rng.integers(1, 5)), replace=False):
                shares[app, :, position[f"rare {api}"]] = total * rng.lognormal(-4.5, 1.0)
            if self.till[app]:
                shares[app, :, position["till"]] = total * 1.5
            for turn in (1, 2):
                added = [f"rare {RARE[int(rng.integers(len(RARE)))]}"]
                added += ["feed" if self.new_host[app] else "feed-old"] if turn == 1 else []
                added += [str(rng.choice(["share", "photo", "voice", "locate", "copy", "scan", "video"]))] * (
                    rng.random() < 0.3
                )
                for name in added:
                    shares[app, turn:, position[name]] += total * rng.uniform(0.02, 0.25)
        self.mixes = np.cumsum(shares / shares.sum(axis=2, keepdims=True), axis=2).reshape(self.count * 3, -1)

    def busyness(self):
        """Sessions to be expected, by app and quarter of an hour; chance comes on top."""
        cells = self.start + np.arange(self.days * DAY_US // CELL_US) * CELL_US
        middle = cells + CELL_US // 2
        hours = hour_of_day(middle)[None, :] - self.phase_h[:, None]
        shape = np.zeros((self.count, len(cells)))
        for name, (floor, bumps) in DAYLIGHTS.items():
            which = self.habit == name
            level = np.full((which.sum(), len(cells)), floor)
            for at, width, height in bumps:
                away = (hours[which] - at + 12) % 24 - 12
                level += height * np.exp(-0.5 * (away / width) ** 2)
            shape[which] = level ** self.depth[which, None]
        shape /= shape.mean(axis=1, keepdims=True)
        shape *= np.where(weekday(middle) >= 5, self.weekend[:, None], 1.0)
        day = (cells - self.start) // DAY_US
        shape *= np.exp(self.trend[:, None] * (day - self.days / 2))
        alive = (middle >= self.born[:, None]) & (middle < self.gone[:, None])
        risen = 1 - np.exp(-np.maximum(0, middle - self.born[:, None]) / (0.7 * DAY_US))
        return cells, shape * alive * risen * self.per_day[:, None] * CELL_US / DAY_US

    def hosts(self, app):
        """The names behind the labels of `HOSTS` for one app."""
        slug = self.slugs[app]
        shared = {
            "map": f"api.mapsight{self.map_host[app]}.example",
            "count": f"collect.tally{self.count_host[app]}.example",
        }
        return [shared.get(label, f"{label}.{slug}.example") for label in HOSTS]

    def all_hosts(self):
        """Host names by app and label."""
        return np.array([self.hosts(app) for app in range(self.count)])

    def registry(self):
        """The apps as lines for ``miniwatch apps import``, without line ends."""
        return [msgspec.json.encode(self._registered(app)) for app in range(self.count)]

    def _registered(self, app):
        since = max(int(self.born[app]) - DAY_US, self.start - 60 * DAY_US)
        turns = [since, *(int(time) for time in self.deploys[:, app] if time < self.end)]
        versions = []
        for turn, valid_from in enumerate(turns):
            last = turn + 1 == len(turns)
            version = {
                "version": str(self.versions[turn, app]),
                "release": 10 + turn,
                "approved_at": instant(valid_from - DAY_US // 2),
                "status": "released" if last else "retired",
                "valid_from": instant(valid_from),
            }
            versions.append(version if last else version | {"valid_to": instant(turns[turn + 1])})
        used = np.flatnonzero(np.diff(self.mixes[app * 3 + 2], prepend=0.0) > 0)
        steps = [self.table.steps[row] for row in np.flatnonzero(np.isin(self.table.page, used))]
        return {
            "app_id": str(self.app_ids[app]),
            "developer_id": str(self.developer_ids[app]),
            "name": f"{self.categories[app]}·{self.slugs[app]}",
            "category": str(self.categories[app]),
            "protected": bool(self.categories[app] in PROTECTED),
            "declared_permissions": sorted({step.scope for step in steps if step.scope}),
            "declared_domains": [
                host for label, host in zip(HOSTS, self.hosts(app), strict=True) if label != "more" or self.new_host[app]
            ],
            "merchant_id": str(self.merchants[app]),
            "signed_requests": False,
            "versions": versions,
            "as_of": instant(since),
        }  # fmt: skip


def instant(micros):
    """A time as RFC 3339."""
    return datetime.fromtimestamp(micros / US, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
