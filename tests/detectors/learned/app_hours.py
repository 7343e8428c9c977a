"""Small streams and models for tests of what is learned: a few kinds of apps, hour by hour, and one that is unlike them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from detectors.event import Batch
from detectors.learned.features import FEATURES, NAMES
from detectors.learned.model import Model, trained
from detectors.testing import batch, cut

MONDAY = "2026-03-02T{:02}:{:02}:{:02}.{:03}Z"

CALLS = (
    "request",
    "getStorage",
    "login",
    "getLocation",
    "setClipboardData",
    "onShareAppMessage",
    "requestPayment",
    "navigateToMiniProgram",
)


def moment(ms: int) -> str:
    """Milliseconds since Monday, midnight, as text."""
    return MONDAY.format(ms // 3_600_000, ms // 60_000 % 60, ms // 1_000 % 60, ms % 1_000)


def event(ms: int, app: int, visitor: int = 0, call: str = "request", **more: Any) -> dict[str, Any]:
    """One event of an app."""
    return {
        "@timestamp": moment(ms),
        "event.action": call,
        "event.outcome": "failure" if visitor % 7 == 0 else "success",
        "miniprogram.app_id": f"wx{app}",
        "miniprogram.developer_id": f"dev-{app // 2}",
        "miniprogram.page": f"pages/{ms % 3}",
        "miniprogram.foreground": visitor % 5 > 0,
        "app.category": "shop" if app % 2 else "game",
        "user.id": f"u{visitor}",
        "source.ip": f"198.51.100.{visitor % 9}",
        "url.domain": f"api{app}.example",
        "http.request.bytes": 10 * visitor,
    } | more


def honest_matrix(seed: int, rows: int) -> np.ndarray:
    """Rows of features of honest apps, not independent of each other."""
    rng = np.random.default_rng(seed)
    size = rng.normal(6, 1.5, (rows, 1))
    numbers = [place for place, feature in enumerate(FEATURES) if feature.unit == "number"]
    matrix = rng.beta(2, 30, (rows, len(FEATURES)))
    matrix[:, numbers] = np.maximum(0.0, size * rng.uniform(0.3, 1, len(numbers)) + rng.normal(0, 0.6, (rows, len(numbers))))
    return matrix.astype(np.float32)


def place(name: str) -> int:
    return NAMES.index(name)


@cache
def model(seed: int = 1, rows: int = 6_000) -> Model:
    """A model of two categories, of which one has a forest of its own."""
    matrix = honest_matrix(seed, rows)
    number = np.arange(rows)
    categories = np.where(number % 3 > 0, "shop", "game")
    apps = np.array([f"wx{one % 211}" for one in number])
    return trained(categories, apps, matrix, number % 211 < 80, 72)


def batches(events: Sequence[dict[str, Any]], cuts: Sequence[int] = (), lateness_s: float = 0) -> list[Batch]:
    """Events in the order given, cut at some rows."""
    rest, found, done = batch(*events, lateness_s=lateness_s), [], 0
    for at in sorted(set(cuts)):
        if done < at < done + rest.frame.height:
            head, rest = cut(rest, at - done)
            found.append(head)
            done = at
    return [*found, rest]
