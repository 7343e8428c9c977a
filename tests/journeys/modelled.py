"""A few hours of apps, of which one or two are unlike the others, and models that see it."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import journey
import msgspec
import numpy as np
from app_hours import END_OF_TIME, Batch, Gatherer, batch, hour_of

from detectors.learned.features import Rows
from detectors.learned.model import trained
from detectors.learned.model_file import Facts, digest_of, written

HOURS: Final = 6


@cache
def lines(strange: tuple[int, ...] = (3,)) -> tuple[bytes, ...]:
    """Six hours of six apps, of which some do nothing but log in, from the background, and fail."""
    events = [one for hour in range(HOURS) for one in hour_of(hour, strange, 6, 30)]
    return tuple(_line(number, one) for number, one in enumerate(events))


def _line(number: int, flat: dict[str, Any]) -> bytes:
    named = {"event.id": f"e{number}", "event.dataset": "miniprogram.log", **flat}
    whole: dict[str, Any] = {"@timestamp": named.pop("@timestamp")}
    for name, value in named.items():
        outer, _, inner = name.replace("app.category", "miniprogram.category").partition(".")
        whole.setdefault(outer, {})[inner.replace("request.bytes", "request")] = (
            {"bytes": value} if inner == "request.bytes" else value
        )
    return msgspec.json.encode(whole) + b"\n"


@cache
def file(number: int) -> bytes:
    """A model of honest apps: of a few hours, as if they had been many, so that it is there in a second or two."""
    found: list[Rows] = []
    gatherer = Gatherer(found.append)
    events = [one for hour in range(6) for one in hour_of(6 * number + hour, (), 10, 30)]
    for part in (batch(*events), Batch(batch().frame, END_OF_TIME)):
        gatherer.observe(part)
    few, rng = np.concatenate([rows.matrix for rows in found]), np.random.default_rng(number)
    many = few[rng.integers(0, len(few), 6_000)] + rng.normal(size=(6_000, few.shape[1])) * few.std(axis=0) / 2
    apps = np.array([f"wx{place % 50}" for place in range(len(many))])
    model = trained(np.full(len(many), "shop"), apps, many.astype(np.float32), np.arange(len(many)) % 2 == 0, 6)
    return written(model, Facts(created=journey.NOW, first=1, until=2, rows=6_000, held_rows=3_000))


def version(number: int) -> str:
    return digest_of(file(number))[:16]
