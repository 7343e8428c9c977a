"""Numbers of events told as columns: names of people and hosts, sizes, orders, resources, and how each event ended."""

from __future__ import annotations

import numpy as np
import polars as pl
from traits import chance, names, number, size
from walks import FATES_COUNT, FINE, TIMED_OUT

from detectors.event import DTYPES, FIELDS, TIME

_NAMED = [
    "event.id",
    "event.dataset",
    "event.action",
    "event.outcome",
    "event.provider",
    "miniprogram.app_id",
    "miniprogram.developer_id",
    "miniprogram.category",
    "miniprogram.version",
    "miniprogram.scene",
    "miniprogram.page",
    "miniprogram.phase",
    "miniprogram.api",
    "miniprogram.scope",
    "miniprogram.permission",
    "miniprogram.foreground",
    "miniprogram.user_gesture_age_ms",
    "miniprogram.target_app_id",
    "miniprogram.set_data.bytes",
    "miniprogram.set_data.count",
    "user.id",
    "device.id",
    "session.id",
    "source.ip",
    "source.geo.country_iso_code",
    "host.os.name",
    "url.domain",
    "url.path",
    "http.request.method",
    "http.request.bytes",
    "http.response.status_code",
    "http.response.bytes",
    "error.code",
    "error.message",
    "resource.id",
    "resource.owner_id",
    "payment.order_id",
    "payment.amount",
    "payment.currency",
    "payment.payer_id",
    "payment.merchant_id",
    "payment.state",
    "process.memory.bytes",
    "process.cpu.pct",
    "log.level",
]
COLUMNS = {TIME: pl.Int64()} | {name: DTYPES[FIELDS[name]] for name in _NAMED}
"""What a frame has, in this order; nulls where an event does not carry it."""

FATES = pl.DataFrame(
    [
        ("success", 200, None, None, None),
        ("failure", 404, "http", "404", None),
        ("failure", 500, "http", "500", None),
        ("failure", 502, "http", "502", None),
        ("failure", 503, "http", "503", None),
        ("failure", None, "wx.errmsg", "5", ":fail timeout"),
        ("failure", 403, "http", "403", None),
        ("failure", None, "wx.errmsg", None, ":fail auth deny"),
        ("failure", None, "wx.errno", "104", ":fail privacy permission is not authorized"),
        ("failure", None, "payment", "-2", ":fail cancel"),
        ("failure", None, "payment", "-4", ":fail risk control"),
        ("failure", None, "openapi.errcode", "40029", "invalid code"),
        ("failure", None, "openapi.errcode", "45011", "api minute-quota reach limit"),
    ],
    schema=["event.outcome", "_status", "event.provider", "error.code", "_message"],
    orient="row",
)
assert FATES.height == FATES_COUNT


def told(population, table, visits, identities, rows, ids):
    """The events of `rows` as a frame with the columns of `COLUMNS`."""
    step, page, of = rows.step, rows.page, rows.visit
    app = visits.app[of]
    hosts = population.all_hosts()[app, np.maximum(table.host[step], 0)]
    server, nobody = table.flags["server"][step], table.flags["nobody"][step]
    draft = pl.concat([table.frame[step], identities[of], FATES[rows.fate]], how="horizontal").with_columns(
        pl.Series(TIME, rows.time),
        names(ids + population.salt, 71).alias("event.id"),
        pl.Series("_server", server),
        pl.Series("_nobody", nobody),
        pl.Series("_tap", table.flags["tap"][step]),
        pl.Series("_called", table.called[step]),
        pl.Series("_network", table.host[step] >= 0),
        pl.Series("_answered", table.network[step] | table.flags["answered"][step]),
        pl.Series("_host", hosts),
        pl.Series("_late", rows.fate == TIMED_OUT),
        pl.Series("_fine", rows.fate == FINE),
        pl.Series("_number", 1_000 + number(page, 72, 90_000)),
        pl.Series("_age", (15 - 220 * np.log1p(-chance(page * 64 + step, 73))).astype(np.int64)),
        pl.Series("_since", 600 + size(page * 64 + step, 74, 4_000, 1.2)),
        pl.Series("_bytes", size(page * 64 + step, 75, 3_600 * population.weight[app], 1.0)),
    )
    frame = draft.with_columns(*_basic())
    frame = _with_payments(frame, population, table, app, rows)
    frame = _with_resources(frame, population, page)
    frame = _with_load(frame, population, table, app, rows)
    return frame.select([pl.col(name).cast(dtype) for name, dtype in COLUMNS.items()])


def _basic():
    client = ~pl.col("_server")
    called = pl.col("_called") | (pl.col("event.dataset") == "miniprogram.gateway")
    failed = called & ~pl.col("_fine")
    access = pl.col("event.action") == "access"
    post = pl.col("http.request.method") == "POST"
    sent = (
        pl.when(pl.col("event.action") == "uploadFile")
        .then(pl.col("_bytes") * 60)
        .otherwise(200 + pl.col("_bytes") // 9)
    )
    yield pl.when(called).then("event.outcome").alias("event.outcome")
    yield (
        pl.when(failed & access & pl.col("_late"))
        .then(pl.lit("http"))
        .when(failed)
        .then("event.provider")
        .alias("event.provider")
    )
    yield (
        pl.when(failed & access & pl.col("_late"))
        .then(pl.lit("504"))
        .when(failed)
        .then("error.code")
        .alias("error.code")
    )
    message = (
        pl.when(pl.col("_message").str.starts_with(":"))
        .then(pl.concat_str("event.action", "_message"))
        .otherwise("_message")
    )
    yield pl.when(failed & ~(access & pl.col("_late"))).then(message).alias("error.message")
    yield (
        pl.when(client)
        .then(pl.format("pages/{}/{}", pl.col("_page"), pl.col("_page")).str.replace_all(" ", "-"))
        .alias("miniprogram.page")
    )
    yield pl.when(client).then("miniprogram.scene").alias("miniprogram.scene")
    granted = pl.when(failed).then(pl.lit("denied")).otherwise(pl.lit("granted"))
    yield pl.when(pl.col("miniprogram.scope").is_not_null()).then(granted).alias("miniprogram.permission")
    yield (
        pl.when(client)
        .then(pl.col("miniprogram.phase") != "onHide")
        .fill_null(value=True)
        .alias("miniprogram.foreground")
    )
    age = pl.when(pl.col("_tap")).then("_age").when(client & (pl.col("miniprogram.phase") != "onLaunch")).then("_since")
    yield age.alias("miniprogram.user_gesture_age_ms")
    yield pl.when(~pl.col("_nobody")).then("user.id").alias("user.id")
    for name in ("device.id", "session.id", "host.os.name"):
        yield pl.when(client).then(name).alias(name)
    yield pl.when(client | access).then("source.ip").alias("source.ip")
    yield pl.when(client).then("source.geo.country_iso_code").alias("source.geo.country_iso_code")
    yield pl.when(pl.col("_network")).then("_host").alias("url.domain")
    yield pl.when(pl.col("_answered") & post & client).then(sent).alias("http.request.bytes")
    late = pl.when(access & pl.col("_late")).then(504).otherwise("_status")
    yield pl.when(pl.col("_answered")).then(late).alias("http.response.status_code")
    yield pl.when(pl.col("_answered") & ~pl.col("_late")).then("_bytes").alias("http.response.bytes")
    yield pl.col("_level").alias("log.level")


def _with_payments(frame, population, table, app, rows):
    paying = pl.Series(table.flags["ask"][rows.step] | table.flags["paid"][rows.step])
    done = pl.Series(table.flags["paid"][rows.step])
    till = table.page[rows.step] == table.page_named("till")
    amount = pl.Series(size(rows.page, 76, np.where(till, 1_500, population.price[app]), 0.9) + 1)
    order = pl.concat_str(pl.lit("O"), names(rows.page, 77).str.slice(0, 18))
    return frame.with_columns(
        pl.when(paying).then(order).alias("payment.order_id"),
        pl.when(paying).then(amount).alias("payment.amount"),
        pl.when(paying).then(pl.lit("CNY")).alias("payment.currency"),
        pl.when(paying).then("user.id").alias("payment.payer_id"),
        pl.when(paying).then(pl.Series(population.merchants[app])).alias("payment.merchant_id"),
        pl.when(done).then(pl.lit("SUCCESS")).alias("payment.state"),
    )


def _with_resources(frame, population, page):
    """What requests read or change and whose it is; a clerk's list goes on from one number to the next."""
    whose, access = pl.col("_whose"), pl.col("event.action") == "access"
    listed = pl.Series("_listed", 20_000 + page % 70_000)
    counted = pl.when(whose == "others").then(listed).otherwise("_number")
    path = pl.when(pl.col("_tail").is_not_null()).then(pl.concat_str("_head", counted, "_tail")).otherwise("_head")
    kind = pl.when(whose == "public").then(pl.lit("item-")).otherwise(pl.lit("order-"))
    # Now and then somebody opens what a friend has shared.
    friendly = pl.Series(chance(page, 83) < 0.015)
    another = names(page + population.salt, 78)
    owner = pl.when((whose == "own") & ~friendly).then("user.id").when(whose.is_in(["own", "others"])).then(another)
    return frame.with_columns(
        path.alias("url.path"),
        pl.when(access & whose.is_not_null()).then(pl.concat_str(kind, counted)).alias("resource.id"),
        pl.when(access).then(owner).alias("resource.owner_id"),
    )


def _with_load(frame, population, table, app, rows):
    """Memory, processor and setData, where an event tells of them."""
    loaded = pl.Series(table.flags["resources"][rows.step])
    key, weight = rows.page * 64 + rows.step, population.weight[app]
    columns = {
        "process.memory.bytes": size(key, 79, 110_000_000 * weight**0.4, 0.3),
        "process.cpu.pct": 100 * chance(key, 80) ** 3,
        "miniprogram.set_data.count": size(key, 81, 9 * weight, 0.8),
        "miniprogram.set_data.bytes": size(key, 82, 16_000 * weight, 1.0),
    }
    return frame.with_columns(pl.when(loaded).then(pl.Series(value)).alias(name) for name, value in columns.items()).with_columns(
        # Whoever leads on to another app names it.
        pl.when(pl.col("event.action") == "navigateToMiniProgram").then(pl.Series(population.app_ids[(app * 7 + 3) % population.count])).alias("miniprogram.target_app_id")
    )  # fmt: skip
