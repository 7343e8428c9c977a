"""Where misbehaviour is staged: picks its place and time, and tells its events with the same columns as honest ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from detectors.event import MICROSECONDS
from monitor.simulate.people import AGENTS, who
from monitor.simulate.world import LOCAL_OFFSET_S, World

if TYPE_CHECKING:
    from monitor.simulate.letters import Integers

Fields = Mapping[str, Any]

STRANGERS: Final = 2**40
"""People numbered from here on are never honest visitors."""

GATEWAY_COLUMNS: Final = (
    "miniprogram.app_id",
    "miniprogram.version",
    "miniprogram.stage",
    "miniprogram.developer_id",
    "user.id",
    "source.ip",
)


@dataclass(frozen=True)
class Incident:
    """One staged misbehaviour: whom it accuses and its events; ``_time`` is when each happened."""

    scope: str
    value: str
    frame: pl.DataFrame


class Stage:
    """Hands out offenders, strangers, times and events for one incident."""

    def __init__(self, world: World, rng: np.random.Generator, app: int, number: int, *, loud: bool) -> None:
        self.world, self.rng, self.app, self.loud = world, rng, app, loud
        self.number = number
        self._strangers = STRANGERS + number * 100_000
        self._visits = 2**50 + number * 100_000

    @property
    def app_id(self) -> str:
        return str(self.world.apps["app_id"][self.app])

    @property
    def slug(self) -> str:
        return str(self.world.apps["slug"][self.app])

    def pick(self, loud: int, quiet: int) -> int:
        """How many, by the loudness of the variant."""
        return loud if self.loud else quiet

    def address(self, last: int = 0) -> str:
        """An address of this incident's own."""
        net = "203.0.113" if self.number % 2 else "198.51.100"
        return f"{net}.{(self.number // 2 + last) % 254 + 1}"

    def other_app(self, declaring: str | None = None) -> int:
        """Another app than the offender; where `declaring` is given, one whose category declares that scope."""
        fitting = [
            index
            for index, category in enumerate(self.world.apps["category"])
            if declaring is None or self.declares(category, declaring)
        ]
        others = [index for index in fitting if index != self.app] or [self.app]
        return others[int(self.rng.integers(len(others)))]

    def declares(self, category: str, scope: str) -> bool:
        return scope in self.world.declared(category)["declared_permissions"]

    def app_where(self, *, declares: bool, scope: str) -> int:
        """The offender if its category fits, else the next app that does."""
        categories = self.world.apps["category"].to_list()
        for step in range(self.world.count):
            index = (self.app + step) % self.world.count
            if self.declares(categories[index], scope) == declares:
                self.app = index
                return index
        return self.app

    def strangers(self, count: int) -> Integers:
        """People nobody has met."""
        first, self._strangers = self._strangers, self._strangers + count
        return np.arange(first, first + count)

    def visits(self, count: int) -> Integers:
        first, self._visits = self._visits, self._visits + count
        return np.arange(first, first + count)

    def times(self, count: int, loud_s: float, quiet_s: float, *, night: bool = False) -> Integers:
        """Sorted times at random within a span that begins somewhere in the day; at night, local 1 to 3 where there is one."""
        world = self.world
        span = min(loud_s if self.loud else quiet_s, world.duration_s * 0.8)
        begin = self.rng.uniform(0.05, 0.9) * (world.duration_s - span)
        if night:
            local = (world.start / MICROSECONDS + LOCAL_OFFSET_S) % 86_400
            begin_at_one = (3_600 - local) % 86_400
            begin = begin_at_one if begin_at_one + span < world.duration_s else begin
        offsets = np.sort(self.rng.uniform(0, span, count))
        return world.start + ((begin + offsets) * 1_000).astype(np.int64) * 1_000

    def steady(self, count: int, gap_s: float, jitter_s: float, *, night: bool = False) -> Integers:
        """Times one after another at nearly the same distance."""
        gap = min(gap_s, self.world.duration_s * 0.8 / max(1, count))
        first = self.times(2, gap * count, gap * count, night=night)[0]
        steps = np.arange(count) * gap + self.rng.uniform(-jitter_s, jitter_s, count).clip(-gap / 3, gap / 3)
        after: Integers = first + ((steps + gap) * 1_000).astype(np.int64) * 1_000
        return after

    def events(self, times: Integers, people: Integers | int, dataset: str, action: str, fields: Fields, *, app: int | None = None, visits: Integers | None = None) -> pl.DataFrame:  # fmt: skip
        """Events with everything that names app, person and device, and the given fields over it."""
        count = len(times)
        person = np.broadcast_to(np.asarray(people, dtype=np.int64), count)
        apps = np.full(count, self.app if app is None else app, dtype=np.int64)
        known = np.unique(person, return_inverse=True)[1] if visits is None else visits
        visit = 2**50 + self.number * 100_000 + known if visits is None else known
        frame = who(self.world, apps, person, visit, times).with_columns(
            pl.lit("release").alias("miniprogram.stage"),
            pl.lit(f"miniprogram.{dataset}").alias("event.dataset"),
            pl.lit(action).alias("event.action"),
            pl.Series("_time", times),
        )
        return frame.with_columns(**_columns(fields, count))

    def call(self, times: Integers, people: Integers | int, api: str, args: Any = None, dataset: str = "api", fields: Fields | None = None, *, app: int | None = None, tapped: bool = True) -> pl.DataFrame:  # fmt: skip
        """Calls of an API by the app's code, after a tap or long after the last one."""
        age = self.rng.exponential(220, len(times)).astype(np.int64) + (15 if tapped else 90_000)
        usual = {
            "event.outcome": "success",
            "miniprogram.api": api,
            "miniprogram.api_args": args,
            "miniprogram.phase": "event" if tapped else "onShow",
            "miniprogram.page": "pages/index/index",
            "miniprogram.scene": 1089,
            "miniprogram.foreground": True,
            "miniprogram.user_gesture_age_ms": age,
        }
        return self.events(times, people, dataset, api, usual | dict(fields or {}), app=app)

    def request(self, times: Integers, people: Integers | int, host: str, path: Any, fields: Fields | None = None, *, scheme: str = "https", method: str = "GET", app: int | None = None) -> pl.DataFrame:  # fmt: skip
        """Requests by the app's code."""
        paths = path if isinstance(path, list) else [path] * len(times)
        full = [f"{scheme}://{host}{one}" for one in paths]
        usual = {
            "url.full": full,
            "url.scheme": scheme,
            "url.domain": host.partition(":")[0],
            "url.path": [one.partition("?")[0] for one in paths],
            "url.query": [one.partition("?")[2] or None for one in paths],
            "http.request.method": method,
            "http.response.status_code": 200,
            "http.response.bytes": self.rng.lognormal(7.5, 0.8, len(times)).astype(np.int64),
        }
        args = [f'{{"url":"{one}","method":"{method}"}}' for one in full]
        return self.call(times, people, "request", args, "network", usual | dict(fields or {}), app=app)

    def access(self, times: Integers, people: Integers | int, path: Any, fields: Fields | None = None, *, method: str = "GET", action: str = "access", app: int | None = None) -> pl.DataFrame:  # fmt: skip
        """Lines of the access log of the app's server, or open-API calls of that server."""
        frame = self.events(times, people, "gateway", action, {}, app=app)
        slug = self.world.apps["slug"][self.app if app is None else app]
        referrer = pl.concat_str(
            pl.lit("https://servicewechat.com/"),
            "miniprogram.app_id",
            pl.lit("/"),
            "_release",
            pl.lit("/page-frame.html"),
        )
        agent = pl.col("host.os.name").replace_strict(AGENTS)
        kept = frame.select(
            *GATEWAY_COLUMNS,
            "event.dataset",
            "event.action",
            "_time",
            referrer.alias("http.request.referrer"),
            agent.alias("user_agent.original"),
        )
        paths = path if isinstance(path, list) else [path] * len(times)
        usual: dict[str, Any] = {"event.outcome": "success"}
        if action == "access":
            usual |= {
                "url.domain": f"api.{slug}.example",
                "url.path": [one.partition("?")[0] for one in paths],
                "url.query": [one.partition("?")[2] or None for one in paths],
                "http.request.method": method,
                "http.response.status_code": 200,
                "http.response.bytes": self.rng.lognormal(7.5, 0.8, len(times)).astype(np.int64),
            }
        else:
            kept = kept.drop("http.request.referrer", "user_agent.original", "source.ip")
        return kept.with_columns(**_columns(usual | dict(fields or {}), len(times)))

    def pushed(
        self,
        times: Integers,
        people: Integers | int,
        action: str,
        fields: Fields | None = None,
        *,
        app: int | None = None,
    ) -> pl.DataFrame:
        """Events that the platform itself tells."""
        frame = self.events(times, people, "platform", action, fields or {}, app=app)
        return frame.drop("device.id", "session.id", "host.os.name", "source.ip", "miniprogram.base_library")

    def of_app(self, *frames: pl.DataFrame) -> Incident:
        """An incident that accuses the offending app."""
        return Incident("AppId", self.app_id, together(*frames))


def together(*frames: pl.DataFrame) -> pl.DataFrame:
    """Frames of events as one, in the order of time."""
    return pl.concat(frames, how="diagonal_relaxed").sort("_time", maintain_order=True)


def _columns(fields: Fields, count: int) -> dict[str, pl.Series | pl.Expr]:
    """Fields as columns: a list or an array has a value an event, anything else is the same in all."""
    columns: dict[str, pl.Series | pl.Expr] = {}
    for name, value in fields.items():
        if isinstance(value, (list, np.ndarray)):
            if len(value) != count:
                raise ValueError(f"{name}: {len(value)} values for {count} events")
            columns[name] = pl.Series(name, value)
        else:
            columns[name] = pl.lit(value)
    return columns
