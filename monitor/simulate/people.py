"""Who is behind an event: openids, devices, addresses and versions as columns, computed from numbers and never stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from monitor.simulate.letters import Integers, chance, constant, hexadecimal, letters, scramble, texts

if TYPE_CHECKING:
    from monitor.simulate.world import World

# Only addresses set aside for documentation and measurements: a simulated ban must never meet a real machine.
NAT_ADDRESSES: Final = 40
NAT_SHARE: Final = 0.18
IPV6_SHARE: Final = 0.4
SYSTEMS: Final = ("Android", "Android", "Android", "iOS", "iOS", "HarmonyOS")
LIBRARIES: Final = ("3.5.8", "3.6.6", "3.7.12", "3.8.0", "3.8.9", "3.9.3")
AGENTS: Final = {
    "Android": "Mozilla/5.0 (Linux; Android 14) MicroMessenger/8.0.57",
    "iOS": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_6) MicroMessenger/8.0.57",
    "HarmonyOS": "Mozilla/5.0 (Phone; OpenHarmony 5.0) MicroMessenger/8.0.57",
}
UPTAKE_S: Final = 7_200
"""How long after a deploy the last device has the new version."""


def openids(world: World, apps: Integers, people: Integers) -> pl.Series:
    """The id of a person in an app: every app knows the same person by another one."""
    words = scramble(scramble(people, 11).astype(np.int64) + apps * 7_919 + world.seed, 12)
    return texts(np.hstack([constant(b"o", len(apps)), letters(words, 27)]))


def devices(world: World, people: Integers) -> pl.Series:
    """A person's device, the same in all apps."""
    words = scramble(people + world.seed * 65_537, 13)
    return texts(np.hstack([constant(b"d-", len(people)), letters(words, 22)]))


def addresses(people: Integers) -> pl.Series:
    """Where a person comes from: a home of their own, or an address shared by thousands."""
    word = scramble(people, 15)
    high, low = ((word >> np.uint64(8)) & np.uint64(0xFFFF)), (word & np.uint64(0xFF))
    frame = pl.DataFrame({"high": high.astype(np.int64), "low": low.astype(np.int64), "sort": chance(people, 16)})
    home = pl.format("198.{}.{}.{}", 18 + pl.col("high") // 32_768, pl.col("high") // 64 % 256, pl.col("low"))
    six = pl.format("2001:db8:{}:{}::{}", 1 + pl.col("high") // 4_096, 1 + pl.col("high") % 4_096, 1 + pl.col("low"))
    shared = pl.format("100.64.{}.{}", pl.col("low") % 4, pl.col("high") % (NAT_ADDRESSES // 4) + 1)
    choice = (
        pl.when(pl.col("sort") < NAT_SHARE)
        .then(shared)
        .when(pl.col("sort") < NAT_SHARE + IPV6_SHARE)
        .then(six)
        .otherwise(home)
    )
    return frame.select(choice.alias("ip")).to_series()


def versions(world: World, apps: Integers, people: Integers, times: Integers) -> tuple[pl.Series, pl.Series]:
    """Version and release number of the app that runs on a person's device at a time."""
    taken = world.deploys[apps] + (chance(people, 17) * UPTAKE_S * 1e6).astype(np.int64)
    new = pl.Series(times >= taken)
    app = world.apps[apps]
    frame = app.select(
        pl.when(new).then("new_version").otherwise("old_version").alias("version"),
        pl.when(new).then("new_release").otherwise("old_release").alias("release"),
    )
    return frame["version"], frame["release"]


def who(world: World, apps: Integers, people: Integers, visits: Integers, times: Integers) -> pl.DataFrame:
    """The columns that every event of a visit shares; ``_release`` and ``_slug`` are for making others."""
    app = world.apps[apps]
    version, release = versions(world, apps, people, times)
    system = pl.Series(SYSTEMS)[(chance(people, 18) * len(SYSTEMS)).astype(np.int64)]
    library = pl.Series(LIBRARIES)[(chance(people, 19) * len(LIBRARIES)).astype(np.int64)]
    session = texts(np.hstack([constant(b"s", len(apps)), hexadecimal(scramble(visits + world.seed * 104_729, 20))]))
    return pl.DataFrame(
        {
            "miniprogram.app_id": app["app_id"],
            "miniprogram.version": version,
            "miniprogram.developer_id": app["developer_id"],
            "miniprogram.base_library": library,
            "user.id": openids(world, apps, people),
            "device.id": devices(world, people),
            "session.id": session,
            "source.ip": addresses(people),
            "host.os.name": system,
            "_release": release,
            "_slug": app["slug"],
            "_merchant": app["merchant_id"],
        }
    )
