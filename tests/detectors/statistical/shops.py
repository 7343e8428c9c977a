"""Streams of apps for tests of statistics about what an app is: people who open pages, ask hosts and call APIs, over days."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from crowds import HOUR, START, events, named, stream

from detectors.event import LATE, TIME, WATERMARK

SECOND = 1_000_000
MORE = {
    "miniprogram.page": pl.String,
    "miniprogram.version": pl.String,
    "miniprogram.stage": pl.String,
    "miniprogram.permission": pl.String,
    "miniprogram.scene": pl.Int64,
    "session.id": pl.String,
    "source.geo.country_iso_code": pl.String,
    "host.os.name": pl.String,
    "url.domain": pl.String,
    "event.provider": pl.String,
    "error.message": pl.String,
    "http.response.status_code": pl.Int64,
    "http.request.bytes": pl.Int64,
    "miniprogram.set_data.bytes": pl.Int64,
    "process.memory.bytes": pl.Int64,
    "app.declared_domains": pl.String,
    "app.version_status": pl.String,
}


def rows(times: np.ndarray, **columns: Any) -> pl.DataFrame:
    """Events at times (microseconds since `START`), with every column of the statistics about apps."""
    named_ = {name.replace("__", "."): value for name, value in columns.items()}
    known = {name.replace(".", "__"): value for name, value in named_.items() if name not in MORE}
    frame = events(times, **known)
    for name, dtype in MORE.items():
        value = named_.get(name)
        plain = value is None or isinstance(value, str | int)
        frame = frame.with_columns((pl.lit(value, dtype) if plain else pl.Series(value, dtype=dtype)).alias(name))
    return frame


PAGES = np.array(["pages/index", "pages/list", "pages/item", "pages/cart", "pages/me"])
CALLS = np.array(["getStorage", "setStorage", "showToast", "login", "getSystemInfo", "getLocation"])


def shops(seed: int, apps: int, hours: int, per_hour: float, begin_h: int = 0) -> pl.DataFrame:
    """Apps of which each hour so many sessions of about eight events are seen: views, requests and calls, some places refused."""
    rng = np.random.default_rng(seed)
    shape = 1.0 + 0.5 * np.sin(np.arange(begin_h, begin_h + hours) % 24 / 24 * 2 * np.pi - 2)
    counts = rng.poisson(per_hour * shape, (apps, hours))
    app = np.repeat(np.arange(apps), counts.sum(axis=1))
    hour = np.concatenate([np.repeat(np.arange(hours), one) for one in counts]) + begin_h
    sessions = len(app)
    begins = (hour + rng.random(sessions)) * HOUR
    length = rng.poisson(7, sessions) + 1
    session = np.repeat(np.arange(sessions), length)
    within = np.arange(len(session)) - np.repeat(np.cumsum(length) - length, length)
    kind = rng.choice(3, len(session), p=[0.3, 0.35, 0.35])
    page = PAGES[rng.choice(5, len(session), p=[0.4, 0.25, 0.2, 0.1, 0.05])]
    call = CALLS[rng.choice(6, len(session), p=[0.35, 0.25, 0.15, 0.1, 0.1, 0.05])]
    who = named("wx", app[session])
    host = named("", app[session])
    host = pl.select(pl.lit("api.shop") + host + pl.lit(".example")).to_series()
    action = np.where(kind == 0, "Page.onShow", np.where(kind == 1, "request", call))
    located = (kind == 2) & (call == "getLocation")
    denied = located & (rng.random(len(session)) < 0.08)
    broken = (kind == 1) & (rng.random(len(session)) < 0.02)
    return rows(
        np.minimum(begins[session] + within * (5 + 20 * rng.random(len(session))) * SECOND, (hour[session] + 1) * HOUR + 300 * SECOND),
        miniprogram__app_id=who,
        miniprogram__developer_id="dev",
        miniprogram__version="1.0",
        miniprogram__page=page,
        user__id=named(f"u{seed}-", session % (apps * 40)),
        session__id=named(f"s{seed}-", session),
        host__os__name=np.array(["ios", "android", "harmony"])[session % 7 % 3],
        source__geo__country_iso_code=np.array(["CN", "CN", "CN", "SG", "US"])[session % 5],
        event__action=action,
        event__dataset=np.where(kind == 0, "miniprogram.lifecycle", np.where(kind == 1, "miniprogram.network", "miniprogram.api")),
        url__domain=pl.select(pl.when(pl.Series(kind == 1)).then(host)).to_series(),
        miniprogram__permission=pl.select(pl.when(pl.Series(located)).then(pl.when(pl.Series(denied)).then(pl.lit("denied")).otherwise(pl.lit("granted")))).to_series(),
        event__outcome=np.where(denied | broken, "failure", "success"),
        http__response__status_code=pl.select(pl.when(pl.Series(broken)).then(404).when(pl.Series(kind == 1)).then(200)).to_series(),
        http__request__bytes=pl.select(pl.when(pl.Series(kind == 1)).then(pl.Series(np.exp(6 + rng.standard_normal(len(session))).astype(np.int64)))).to_series(),
        process__memory__bytes=pl.select(pl.when(pl.Series((kind == 0) & (rng.random(len(session)) < 0.5))).then(pl.Series(np.exp(18 + 0.2 * rng.standard_normal(len(session))).astype(np.int64)))).to_series(),
    )  # fmt: skip


def visits(
    app: str, begin_h: float, hours: float, sessions: int, *, page: str | None = None, host: str | None = None, call: str | None = None,
    version: str = "1.0", region: str = "CN", each: int = 3, seed: int = 1, **columns: Any,
) -> pl.DataFrame:  # fmt: skip
    """Sessions of one app that see a page, ask a host or call an API, each so often."""
    rng = np.random.default_rng(seed)
    begins = np.sort(begin_h + hours * rng.random(sessions)) * HOUR
    session = np.repeat(np.arange(sessions), each)
    within = np.tile(np.arange(each), sessions)
    dataset = "miniprogram.lifecycle" if page else "miniprogram.network" if host else "miniprogram.api"
    plain = {"event__outcome": "success", "miniprogram__developer_id": "dev", "host__os__name": "ios"} | columns
    return rows(
        begins[session] + within * 3 * SECOND,
        miniprogram__app_id=app,
        miniprogram__version=version,
        miniprogram__page=page,
        user__id=named(f"v{seed}-", session),
        session__id=named(f"w{seed}-", session),
        source__geo__country_iso_code=region,
        event__action=call or ("Page.onShow" if page else "request"),
        event__dataset=dataset,
        url__domain=host,
        **plain,
    )


def since(frame: pl.DataFrame, hours: float) -> pl.DataFrame:
    """What happens from an hour on."""
    return frame.filter(pl.col(TIME) >= START + int(hours * HOUR))


def bare(frame: pl.DataFrame) -> pl.DataFrame:
    """Without what `stream` adds."""
    return frame.drop(WATERMARK, LATE)


__all__ = ["HOUR", "START", "bare", "rows", "shops", "since", "stream", "visits"]
