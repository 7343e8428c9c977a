"""Streams of people for tests of statistics: who logs in, pays, reads and taps, and who only seems to."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from detectors.event import LATE, TIME, WATERMARK, Batch
from detectors.finding import Finding
from detectors.statistical.choosing import ChoosingConfig
from detectors.statistical.detector import StatisticalDetector, StatisticsConfig
from detectors.statistical.hashes import hashed
from detectors.statistical.pending import WINDOW
from detectors.statistical.windows import WINDOW_US

START = 1_772_409_600_000_000
"""Monday 2026-03-02, midnight."""

HOUR = 3_600_000_000
SECOND = 1_000_000
LATENESS = 2 * SECOND
WORDS = [
    "miniprogram.app_id",
    "miniprogram.developer_id",
    "user.id",
    "device.id",
    "source.ip",
    "event.action",
    "event.dataset",
    "event.outcome",
    "error.code",
    "payment.payer_id",
    "resource.owner_id",
    "resource.id",
]


def events(times: np.ndarray, **columns: Any) -> pl.DataFrame:
    """Events at times (microseconds since `START`), with dots as double underscores."""
    named = {name.replace("__", "."): values for name, values in columns.items()}
    frame = pl.DataFrame({TIME: np.asarray(times).astype(np.int64) + START})
    for name in (*WORDS, "payment.amount"):
        dtype = pl.String if name in WORDS else pl.Int64
        value = named.get(name)
        column = pl.lit(value, dtype) if value is None or isinstance(value, str) else pl.Series(value, dtype=dtype)
        frame = frame.with_columns(column.alias(name))
    return frame


def stream(*parts: pl.DataFrame) -> pl.DataFrame:
    """Events together in the order of time, with watermarks two seconds behind."""
    frame = pl.concat(parts).sort(TIME, maintain_order=True)
    reached = np.maximum.accumulate(frame[TIME].to_numpy()) - LATENESS
    return frame.with_columns(pl.Series(WATERMARK, reached), pl.lit(value=False).alias(LATE))


def cut(frame: pl.DataFrame, at: Sequence[int] = (), *, goes_on: bool = True) -> Iterator[Batch]:
    """The stream in batches that end at these rows; then time goes on for an hour, or not."""
    for first, last in zip([0, *at], [*at, frame.height], strict=True):
        if first < last:
            part = frame[first:last]
            yield Batch(part, int(part[WATERMARK][-1]))
    if goes_on:
        yield from later(frame)


def later(frame: pl.DataFrame) -> Iterator[Batch]:
    """An hour after a stream, in which nothing came."""
    yield Batch(frame.clear(), int(frame[WATERMARK][-1]) + HOUR)


def named(prefix: str, numbers: np.ndarray) -> pl.Series:
    """Names of numbers."""
    return pl.DataFrame({"n": numbers}).select(pl.lit(prefix) + pl.col("n").cast(pl.String)).to_series()


def only(name: str, **config: Any) -> StatisticalDetector:
    """A detector with one of its statistics at work."""
    afforded = ChoosingConfig(false_per_thousand_apps_day=20.0)  # as for twenty apps: it is `Series` that counts them
    detector = StatisticalDetector(StatisticsConfig(choosing=afforded, **config))
    detector._statistics = tuple(one for one in detector._statistics if one.name == name)
    return detector


def seen(detector: StatisticalDetector, batches: Iterator[Batch]) -> dict[str, Finding]:
    """What is told, by its id."""
    found: dict[str, Finding] = {}
    for one in batches:
        for sighting in detector.observe(one):
            found.setdefault(sighting.finding.id, sighting.finding)
    return found


def of(found: dict[str, Finding], test: str | None = None) -> set[str]:
    """Whom findings (of a test) are about."""
    return {one.entity.value for one in found.values() if test is None or one.rule.id == f"statistical.{test}"}


def stored(state: Any) -> dict[str, pl.DataFrame]:
    """Frames as they come back from files."""
    found = {}
    for name, frame in state.items():
        file = io.BytesIO()
        frame.write_ipc(file)
        found[name] = pl.read_ipc(io.BytesIO(file.getvalue()))
    return found


def remembers(one: StatisticalDetector, other: StatisticalDetector) -> None:
    """Both hold the same, bit by bit."""
    mine, theirs = one.snapshot(), other.snapshot()
    assert mine.keys() == theirs.keys()
    for name, frame in mine.items():
        assert frame.equals(theirs[name]), name


def logins(rng: np.random.Generator, hours: int, per_hour: int, apps: int = 20) -> pl.DataFrame:
    """People who log in, some again after a failure; a sixth of them behind a few shared addresses, one in fifty at a shop's device."""
    count = hours * per_hour
    person = rng.integers(0, 4 * per_hour, count)
    shared, shop = person % 6 == 0, person % 50 == 1
    app = named("wx", person % apps)
    columns = {
        "miniprogram__app_id": app,
        "miniprogram__developer_id": "dev",
        "user__id": named("u", person),
        "device__id": np.where(shop, named("shop", person // 50 % 3), named("d", person)),
        "source__ip": np.where(shared, named("nat", person // 6 % 5), named("home", person)),
        "event__dataset": "miniprogram.gateway",
        "event__action": "code2Session",
    }
    times = np.sort(rng.random(count)) * hours * HOUR
    fails = rng.random(count) < 0.05
    outcome = np.where(fails, "failure", "success")
    return events(times, event__outcome=outcome, **columns)


def payments(rng: np.random.Generator, hours: int, per_hour: int, apps: int = 20) -> pl.DataFrame:
    """People who pay, a tenth of them at one of three shops' devices; three in a hundred are declined."""
    count = hours * per_hour
    person = rng.integers(0, 4 * per_hour, count)
    shop = person % 10 == 1
    return events(
        np.sort(rng.random(count)) * hours * HOUR,
        miniprogram__app_id=named("wx", person % apps),
        miniprogram__developer_id="dev",
        user__id=named("u", person),
        payment__payer_id=named("p", person),
        device__id=np.where(shop, named("till", person // 10 % 3), named("d", person)),
        source__ip=named("home", person),
        event__dataset="miniprogram.payment",
        event__action="requestPayment",
        event__outcome=np.where(rng.random(count) < 0.03, "failure", "success"),
        payment__amount=np.exp(8 + 1.1 * rng.standard_normal(count)).astype(np.int64),
    )


def readings(rng: np.random.Generator, hours: int, per_hour: int, apps: int = 20) -> pl.DataFrame:
    """People who read what is theirs, and now and then a friend's; two administrators read everybody's."""
    count = hours * per_hour
    person = rng.integers(0, 2 * per_hour, count)
    boss = rng.random(count) < 0.05
    friend = rng.random(count) < 0.03
    owner = np.where(friend | boss, rng.integers(0, 2 * per_hour, count), person)
    return events(
        np.sort(rng.random(count)) * hours * HOUR,
        miniprogram__app_id=np.where(boss, "wx0", named("wx", person % apps)),
        miniprogram__developer_id="dev",
        user__id=np.where(boss, named("boss", person % 2), named("u", person)),
        resource__owner_id=named("u", owner),
        resource__id=named("r", owner),
        event__dataset="miniprogram.gateway",
        event__action="access",
        event__outcome="success",
    )


def taps(
    rng: np.random.Generator, people: int, gaps: int, hours: float, apps: int = 20, actions: int = 3
) -> pl.DataFrame:
    """People who do the same thing again and again for a while, as people do: at uneven intervals."""
    who = np.repeat(np.arange(people), gaps)
    pauses = np.exp(np.log(20) + rng.normal(0, 0.3, people)[:, None] + rng.standard_normal((people, gaps)))
    begin = rng.random(people)[:, None] * hours * 3_600
    what = np.array(["request", "access", "showToast", "navigateTo"])[who // apps % actions]
    return events(
        (begin + np.cumsum(pauses, axis=1)).ravel() * SECOND,
        miniprogram__app_id=named("wx", who % apps),
        miniprogram__developer_id="dev",
        user__id=named("u", who),
        device__id=named("d", who),
        event__action=what,
        event__dataset="miniprogram.api",
    )


def bot(
    rng: np.random.Generator,
    person: str | None,
    gaps: int,
    jitter: float,
    begin_h: float,
    every_s: float = 15.0,
    action: str = "request",
) -> pl.DataFrame:
    """Who does one thing at intervals that differ by at most some share."""
    pauses = every_s * (1 + jitter * (2 * rng.random(gaps) - 1))
    return events(
        (begin_h * 3_600 + np.cumsum(pauses)) * SECOND,
        miniprogram__app_id="wx1",
        miniprogram__developer_id="dev",
        user__id=person,
        device__id=f"device of {person}",
        event__action=action,
        event__dataset="miniprogram.api",
    )


def counted(frame: pl.DataFrame) -> pl.DataFrame:
    """Events as statistics are given them."""
    window, status = pl.col(TIME) // WINDOW_US, pl.lit(None, pl.Int64)
    return hashed(frame.with_columns(window.alias(WINDOW), status.alias("http.response.status_code")))
