"""Small streams and models for tests of what is learned: a few kinds of apps, hour by hour, and one that is unlike them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from detectors.event import END_OF_TIME, LATE, TIME, WATERMARK, Batch
from detectors.learned.features import NAMES, Rows
from detectors.learned.gathering import Gatherer
from detectors.learned.hours import slots_of
from detectors.learned.model import Model, trained
from detectors.testing import batch, cut

MONDAY = "2026-03-02T{:02}:{:02}:{:02}.{:03}Z"


def moment(ms: int) -> str:
    """Milliseconds since Monday, midnight, as text."""
    return MONDAY.format(ms // 3_600_000, ms // 60_000 % 60, ms // 1_000 % 60, ms % 1_000)


@cache
def named(app: int, slot: int = 0) -> str:
    """An app whose hours begin at this slot: as those of the clock do, unless another is asked for."""
    names = pl.Series([f"wx{app}", *(f"wx{app}-{more}" for more in range(400))])
    return names[int(np.flatnonzero(slots_of(names.hash().to_numpy()) == slot)[0])]


def event(ms: int, app: int, visitor: int = 0, call: str = "request", **more: Any) -> dict[str, Any]:
    """One event of an app."""
    return {
        "@timestamp": moment(ms),
        "event.action": call,
        "event.outcome": "failure" if visitor % 7 == 0 else "success",
        "miniprogram.app_id": named(app),
        "miniprogram.developer_id": f"dev-{app // 2}",
        "miniprogram.page": f"pages/{ms % 3}",
        "miniprogram.foreground": visitor % 5 > 0,
        "app.category": "shop" if app % 4 else "game",
        "user.id": f"u{visitor}",
        "source.ip": f"198.51.100.{visitor % 9}",
        "http.request.bytes": 10 * visitor,
    } | more


HOUR_MS = 3_600_000
DAY_ONE = 1_772_409_600_000
"""Monday, midnight, in milliseconds since 1970."""


def honest(rng: np.random.Generator, count: int) -> dict[str, list[Any]]:
    """What people of one app do in an hour: columns in the order of time."""
    people = rng.integers(2, 15)
    return {
        "ms": np.sort(rng.integers(0, HOUR_MS, count)).tolist(),
        "user.id": [f"u{one}" for one in rng.integers(0, people, count)],
        "source.ip": [f"198.51.100.{one}" for one in rng.integers(0, people, count)],
        "event.action": rng.choice(
            ["request", "getStorage", "Page.onLoad", "login"], count, p=[0.5, 0.2, 0.26, 0.04]
        ).tolist(),
        "event.outcome": rng.choice(["success", "failure"], count, p=[0.97, 0.03]).tolist(),
        "miniprogram.page": [f"pages/{one}" for one in rng.integers(0, 6, count)],
        "miniprogram.foreground": (rng.random(count) > 0.03).tolist(),
        "http.request.bytes": rng.integers(0, 900, count).tolist(),
    }


def hour_of(number: int, strange: Collection[int] = (3,), apps: int = 6, count: int = 60) -> list[dict[str, Any]]:
    """An hour of some apps, of which those that are strange do nothing but log in, from the background, and fail."""
    found = []
    for app in range(apps):
        columns = honest(np.random.default_rng([number, app]), count)
        for values in zip(*columns.values(), strict=True):
            one = dict(zip(columns, values, strict=True))
            ms = number * HOUR_MS + one.pop("ms")
            if app in strange:
                one |= {"event.action": "login", "event.outcome": "failure", "miniprogram.foreground": False}
            found.append(event(ms, app, **one))
    return sorted(found, key=lambda one: one["@timestamp"])


@cache
def honest_rows(seed: int, apps: int = 60, hours: int = 100) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of features of honest apps over some days, with the apps and categories they are of."""
    rng = np.random.default_rng(seed)
    parts = []
    for hour in range(hours):
        for app in range(apps):
            columns = honest(rng, int(rng.integers(25, 90)))
            times = pl.Series(columns.pop("ms")) * 1_000 + (DAY_ONE + hour * HOUR_MS) * 1_000
            said = {"miniprogram.app_id": named(app), "app.category": "shop" if app % 4 else "game"}
            parts.append(
                pl.DataFrame({TIME: times, **columns}).with_columns(
                    **{key: pl.lit(value) for key, value in said.items()}
                )
            )
    whole = pl.concat(parts).sort(TIME).with_columns(pl.lit(value=False).alias(LATE), pl.col(TIME).alias(WATERMARK))
    found: list[Rows] = []
    gatherer = Gatherer(found.append)
    gatherer.observe(Batch(whole, END_OF_TIME))
    frame = pl.concat([rows.frame for rows in found])
    return (
        frame["category"].to_numpy().astype(str),
        frame["app"].to_numpy().astype(str),
        np.concatenate([rows.matrix for rows in found]),
    )


@cache
def model(seed: int = 1) -> Model:
    """A model of honest apps of two categories, of which one has a forest of its own."""
    categories, apps, matrix = honest_rows(seed)
    held = np.isin(apps, [named(one) for one in range(0, 60, 5)]) | np.isin(
        apps, [named(one) for one in range(1, 60, 5)]
    )
    return trained(categories, apps, matrix, held, 100)


def batches(events: Sequence[dict[str, Any]], cuts: Sequence[int] = (), lateness_s: float = 0) -> list[Batch]:
    """Events in the order given, cut at some rows."""
    rest, found, done = batch(*events, lateness_s=lateness_s), [], 0
    for at in sorted(set(cuts)):
        if done < at < done + rest.frame.height:
            head, rest = cut(rest, at - done)
            found.append(head)
            done = at
    return [*found, rest]


def place(name: str) -> int:
    """The column of a feature."""
    return NAMES.index(name)
