"""The platform that is simulated: its apps, who owns them, what they declared, when they deploy, and the shape of its day."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.event import MICROSECONDS
from monitor.simulate.letters import Integers, hexadecimal, instants, scramble, texts
from monitor.simulate.scripts import BUGGY_MIX, DEPLOYED_MIX, MIXES, SCRIPTS

Shares = npt.NDArray[np.float64]

CATEGORIES: Final = tuple(MIXES)
CATEGORY_WEIGHTS: Final = (0.26, 0.18, 0.15, 0.07, 0.06, 0.06, 0.1, 0.12)
PROTECTED: Final = frozenset({"medical", "government"})
SYLLABLES: Final = (
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
)
SURNAMES: Final = {
    "shop": "优选商城", "tools": "随手工具", "game": "欢乐闯关", "finance": "惠民理财", "medical": "健康门诊",
    "government": "便民服务", "social": "同城圈子", "media": "每日资讯",
}  # fmt: skip
HOSTS: Final = ("api", "cdn", "upload", "www", "sync")
"""First labels of every app's declared hosts; honest traffic leaves the last one alone."""

# Calls that the platform lets an app make only after declaring them (a closed list of eight).
PRIVATE_INFOS: Final = frozenset(
    {
        "getFuzzyLocation",
        "getLocation",
        "onLocationChange",
        "startLocationUpdate",
        "startLocationUpdateBackground",
        "chooseLocation",
        "choosePoi",
        "chooseAddress",
    }
)
LOCAL_OFFSET_S: Final = 8 * 3_600  # the platform's people live in China
# Weight of each local hour: a trough at night, peaks at lunch and in the evening.
HOURS: Final = (5, 3, 2, 1.5, 1.5, 2, 4, 8, 12, 14, 15, 17, 22, 18, 14, 14, 15, 16, 18, 22, 26, 25, 18, 10)
ZIPF: Final = 0.9
SESSION_S_MAX: Final = 900
"""No honest session is longer, so that all end before the simulation does."""
EVENTS_PER_PERSON: Final = 60


@dataclass(frozen=True)
class World:
    """Everything that a seed settles before the first event."""

    seed: int
    events: int
    count: int  # of apps
    start: int  # microseconds
    duration_s: int

    @property
    def end(self) -> int:
        return self.start + self.duration_s * MICROSECONDS

    @property
    def people(self) -> int:
        """How many people use the platform."""
        return max(50, self.events // EVENTS_PER_PERSON)

    def generator(self, *streams: int) -> np.random.Generator:
        """A source of randomness that belongs to this seed and purpose alone."""
        return np.random.default_rng([self.seed % 2**63, *streams])

    @cached_property
    def apps(self) -> pl.DataFrame:
        """One app a row, by popularity."""
        rng = self.generator(1)
        index = np.arange(self.count)
        category = rng.choice(len(CATEGORIES), self.count, p=np.array(CATEGORY_WEIGHTS))
        owners = np.repeat(np.arange(self.count), rng.integers(1, 6, self.count))[: self.count]
        rng.shuffle(owners)
        syllable = rng.integers(0, len(SYLLABLES), (self.count, 2))
        slugs = [f"{SYLLABLES[a]}{SYLLABLES[b]}-{number:04x}" for number, (a, b) in enumerate(syllable)]
        major, minor, release = (
            rng.integers(1, 6, self.count),
            rng.integers(0, 9, self.count),
            rng.integers(8, 90, self.count),
        )
        ids = texts(hexadecimal(scramble(index + self.seed * 1_000_003, 3)))
        return pl.DataFrame(
            {
                "app_id": "wx" + ids,
                "developer_id": [f"dev-{number:06}" for number in owners],
                "category": [CATEGORIES[number] for number in category],
                "slug": slugs,
                "old_version": [f"{a}.{b}.{c % 7}" for a, b, c in zip(major, minor, release, strict=True)],
                "new_version": [f"{a}.{b + 1}.0" for a, b in zip(major, minor, strict=True)],
                "old_release": release,
                "new_release": release + 1,
                "merchant_id": [f"16{number:08}" for number in rng.integers(0, 10**8, self.count)],
                "category_index": category,
            }
        )

    @cached_property
    def deploys(self) -> Integers:
        """When each app's new version comes out; after the end for those that do not deploy."""
        rng = self.generator(2)
        when = self.start + (rng.uniform(0.2, 0.8, self.count) * self.duration_s * MICROSECONDS).astype(np.int64)
        return np.where(rng.random(self.count) < 0.15, when, self.end + 1)

    @cached_property
    def popularity(self) -> Shares:
        """Cumulated share of sessions, by app."""
        weights = 1.0 / np.arange(1, self.count + 1) ** ZIPF
        cumulated: Shares = np.cumsum(weights / weights.sum())
        return cumulated

    @cached_property
    def buggy(self) -> int:
        """The honest app that repeats its requests."""
        tools = np.flatnonzero(self.apps["category"].to_numpy() == "tools")
        return int(tools[len(tools) // 2]) if len(tools) else -1

    @cached_property
    def crowd(self) -> tuple[int, int, int]:
        """A flash crowd: the app that everybody opens, from when, until when."""
        rng = self.generator(3)
        begin = self.start + int(rng.uniform(0.3, 0.7) * self.duration_s) * MICROSECONDS
        return int(rng.integers(0, max(1, self.count // 4))), begin, begin + self.duration_s * MICROSECONDS // 100

    def instants_of(self, shares: Shares) -> Integers:
        """Times at which given shares of the day's sessions have begun."""
        span = max(self.duration_s - SESSION_S_MAX, self.duration_s // 2)
        grid = np.linspace(0, span, max(2, span // 60))
        hour = (self.start / MICROSECONDS + grid + LOCAL_OFFSET_S) / 3_600 % 24
        weight = np.interp(hour, np.arange(25), [*HOURS, HOURS[0]])
        cumulated = np.concatenate([[0.0], np.cumsum((weight[1:] + weight[:-1]) / 2)])
        times: Integers = self.start + (np.interp(shares * cumulated[-1], cumulated, grid) * MICROSECONDS).astype(
            np.int64
        )
        return times

    @cached_property
    def mixes(self) -> Shares:
        """Cumulated weights of scripts: a row a category, the same with the pages of a deploy, then the buggy app's."""
        names = list(SCRIPTS)
        plain: list[dict[str, float]] = list(MIXES.values())
        deployed = [mix | DEPLOYED_MIX for mix in plain]
        table = np.array([[float(mix.get(name, 0)) for name in names] for mix in (*plain, *deployed, dict(BUGGY_MIX))])
        cumulated: Shares = np.cumsum(table / table.sum(axis=1, keepdims=True), axis=1)
        return cumulated

    def declared(self, category: str) -> dict[str, list[str]]:
        """What an app of a category declares: what its scripts use."""
        steps = [step for name in {**MIXES[category], **DEPLOYED_MIX} for step in SCRIPTS[name][1]]
        return {
            "declared_permissions": sorted({step.scope for step in steps if step.scope}),
            "required_private_infos": sorted({step.action for step in steps} & PRIVATE_INFOS),
            "privacy_kinds": sorted({step.privacy for step in steps if step.privacy}),
        }

    def registry(self) -> list[bytes]:
        """The apps as lines for ``miniwatch apps import``."""
        since = instants(np.array([self.start - 30 * 86_400 * MICROSECONDS]))[0]
        day_before = instants(np.array([self.start - 86_400 * MICROSECONDS]))[0]
        deploys = instants(self.deploys)
        lines = []
        for index, app in enumerate(self.apps.iter_rows(named=True)):
            new = {
                "version": app["new_version"],
                "release": app["new_release"],
                "approved_at": day_before,
                "valid_from": deploys[index],
            }
            old = {
                "version": app["old_version"],
                "release": app["old_release"],
                "approved_at": since,
                "valid_from": since,
            }
            versions: list[dict[str, Any]] = [old | {"status": "released"}]
            if self.deploys[index] <= self.end:
                versions = [old | {"status": "retired", "valid_to": deploys[index]}, new | {"status": "released"}]
            line = {
                "app_id": app["app_id"],
                "developer_id": app["developer_id"],
                "name": f"{SURNAMES[app['category']]}·{app['slug']}",
                "category": app["category"],
                "protected": app["category"] in PROTECTED,
                **self.declared(app["category"]),
                "required_background_modes": [],
                "declared_domains": [f"{host}.{app['slug']}.example" for host in HOSTS],
                "embedded_app_ids": [self.apps["app_id"][self.partner(index)]],
                "qualifications": [f"{app['category']}-licence"],
                "merchant_id": app["merchant_id"],
                "signed_requests": False,
                "versions": versions,
                "as_of": since,
            }
            lines.append(msgspec.json.encode(line))
        return lines

    def partner(self, index: int) -> int:
        """The one app that an honest app leads its people to."""
        return (index * 7 + 3) % self.count
