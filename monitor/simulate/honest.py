"""Honest traffic, a slice of the day at a time: sessions are drawn, laid out along their scripts, and told as columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from monitor.simulate.letters import Integers, chance, hexadecimal, letters, scramble, texts
from monitor.simulate.people import AGENTS, who
from monitor.simulate.signing import payment_key, signed
from monitor.simulate.world import CATEGORIES, SESSION_S_MAX, World

if TYPE_CHECKING:
    from monitor.simulate.steps import StepTable

STREAM: Final = 10
EVENTS_PER_SESSION: Final = 25  # an underestimate: enough sessions are drawn at once
PAGES_MAX: Final = 14
CROWD_SHARE: Final = 0.6  # of sessions that begin while everybody opens one app
NEW_VISIT_SHARE: Final = 0.4  # log in; the others are still logged in
REFUSAL_SHARE: Final = 0.04
DENIAL_SHARE: Final = 0.08
SCENES: Final = np.array([1001, 1001, 1089, 1089, 1089, 1007, 1008, 1011, 1036, 1053, 1005, 1154])
FROM_ANOTHER: Final = 1037  # opened from another mini program
FROM_ANOTHER_SHARE: Final = 0.02
SUCCESS: Final = 200


@dataclass(frozen=True)
class Rows:
    """Where each row of a slice comes from."""

    visit: Integers
    page: Integers  # instance of a script
    script: Integers  # of the instance
    step: Integers
    time: Integers
    sequence: Integers


@dataclass(frozen=True)
class Visits:
    """The sessions that begin in a slice."""

    app: Integers
    person: Integers
    begin: Integers
    number: Integers
    scene: Integers


def _visits(world: World, rng: np.random.Generator, count: int, part: int, parts: int) -> Visits:
    begin = world.instants_of((part + rng.random(count)) / parts)
    app = np.searchsorted(world.popularity, rng.random(count)).clip(0, world.count - 1).astype(np.int64)
    crowd, first, last = world.crowd
    crowded = (begin >= first) & (begin < last) & (rng.random(count) < CROWD_SHARE)
    person = (world.people * rng.random(count) ** 1.5).astype(np.int64)
    scene = np.where(rng.random(count) < FROM_ANOTHER_SHARE, FROM_ANOTHER, rng.choice(SCENES, count))
    number = part * 10_000_000 + np.arange(count)
    return Visits(np.where(crowded, crowd, app), person, begin, number, scene)


def _pages(world: World, table: StepTable, rng: np.random.Generator, visits: Visits) -> tuple[Integers, Integers]:
    """Visit and script of each page that is seen, launch and hide included."""
    count = len(visits.app)
    inner = rng.geometric(0.22, count).clip(1, PAGES_MAX)
    visit = np.repeat(np.arange(count), inner + 2)
    last = np.cumsum(inner + 2) - 1
    first = last - inner - 1
    row = world.apps["category_index"].to_numpy()[visits.app]
    row = row + np.where(visits.begin >= world.deploys[visits.app], len(CATEGORIES), 0)
    row = np.where(visits.app == world.buggy, len(world.mixes) - 1, row)
    script = (rng.random(len(visit))[:, None] > world.mixes[row[visit]]).sum(axis=1).clip(0, len(table.names) - 1)
    launch = np.where(rng.random(count) < NEW_VISIT_SHARE, table.script("launch-new"), table.script("launch-known"))
    script[first], script[last] = launch, table.script("hide")
    return visit, script.astype(np.int64)


def _refuses(visits: Visits) -> npt.NDArray[np.bool_]:
    return chance(visits.person * 4_099 + visits.app, 31) < REFUSAL_SHARE


def _rows(world: World, table: StepTable, rng: np.random.Generator, visits: Visits) -> Rows:
    visit_of_page, script = _pages(world, table, rng, visits)
    lengths = table.lengths[script]
    page = np.repeat(np.arange(len(script)), lengths)
    within = np.arange(len(page)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    step = table.begins[script][page] + within
    visit = visit_of_page[page]
    refuses = _refuses(visits)[visit]
    kept = (
        (rng.random(len(step)) < table.chances[step])
        & ~(table.agreed[step] & refuses)
        & ~(table.refused[step] & ~refuses)
    )
    page, step, visit = page[kept], step[kept], visit[kept]
    elapsed = np.cumsum(table.gaps_ms[step] * rng.lognormal(0.0, 0.5, len(step)))
    starts = np.searchsorted(visit, np.arange(len(visits.app)))
    ends = np.append(starts[1:], len(visit)) - 1
    base = np.where(starts > 0, elapsed[starts - 1], 0.0)
    room_ms = min(SESSION_S_MAX, world.duration_s // 2) * 1_000.0
    squeeze = np.minimum(1.0, room_ms / (elapsed[ends] - base))
    time = visits.begin[visit] + ((elapsed - base[visit]) * squeeze[visit]).astype(np.int64) * 1_000
    told = np.cumsum(~table.frame["server"].to_numpy()[step])
    sequence = told - np.where(starts > 0, told[starts - 1], 0)[visit]
    return Rows(visit, page, script[page], step, time, sequence)


def _first(rows: Rows, count: int) -> Rows:
    cut = slice(0, count)
    return Rows(rows.visit[cut], rows.page[cut], rows.script[cut], rows.step[cut], rows.time[cut], rows.sequence[cut])


def honest_slice(world: World, table: StepTable, count: int, part: int, parts: int) -> pl.DataFrame:
    """Exactly `count` events of sessions that begin in one of `parts` equally busy parts of the simulated time."""
    rng = world.generator(STREAM, part)
    sessions = count // EVENTS_PER_SESSION + 4
    while True:
        visits = _visits(world, rng, sessions, part, parts)
        rows = _rows(world, table, rng, visits)
        if len(rows.step) >= count:
            return _told(world, table, rng, visits, _first(rows, count), part)
        sessions *= 2


def _filled(name: str) -> pl.Expr:
    """A template with its number in it; null where there is no template."""
    tail = pl.col(f"{name}_tail")
    with_number = pl.concat_str(pl.col(f"{name}_head"), pl.col("_number"), tail)
    return pl.when(tail.is_null()).then(pl.col(f"{name}_head")).otherwise(with_number)


def _told(
    world: World, table: StepTable, rng: np.random.Generator, visits: Visits, rows: Rows, part: int
) -> pl.DataFrame:
    """The columns of laid-out rows."""
    count = len(rows.step)
    base = who(world, visits.app, visits.person, visits.number, visits.begin)
    partners = world.apps["app_id"].gather(pl.Series((visits.app * 7 + 3) % world.count))
    base = base.with_columns(pl.Series("_scene", visits.scene), partners.alias("_partner"))
    unique = rows.page + part * 100_000_000
    fate = chance(unique, 41 + world.seed % 1_000)
    broken = rows.script == table.script("retry")
    status = np.select([broken & (fate < 0.7), fate < 0.004, fate < 0.008, fate < 0.02], [502, 504, 500, 404], SUCCESS)
    words = scramble(unique + world.seed * 7_919, 42)
    frame = pl.concat([table.frame[rows.step], base[rows.visit]], how="horizontal").with_columns(
        pl.Series("_time", rows.time),
        pl.Series("_sequence", rows.sequence),
        pl.Series("_number", 1_000 + (words % np.uint64(90_000)).astype(np.int64)).cast(pl.String),
        pl.Series("_status", status.astype(np.int64)),
        pl.Series("_denied", chance(visits.person * 8_191 + visits.app, 32)[rows.visit] < DENIAL_SHARE),
        pl.Series("_age", rng.exponential(220, count).astype(np.int64) + 15),
        pl.Series("_bytes", rng.lognormal(8.2, 1.1, count).astype(np.int64)),
        pl.Series("_index", np.arange(count)),
        pl.Series("_unique", unique),
    )
    return _with_payments(world, _with_codes(_columns(frame), words), words)


def _columns(frame: pl.DataFrame) -> pl.DataFrame:
    client = ~pl.col("server")
    network = pl.col("host").is_not_null()
    failed = (
        (network & (pl.col("_status") != SUCCESS))
        | (pl.col("scope").is_not_null() & pl.col("_denied"))
        | (pl.col("pay") == "cancel")
    )
    lost = network & client & (pl.col("_status") == 504)
    frame = frame.with_columns(
        pl.concat_str(pl.col("host"), pl.lit("."), pl.col("_slug"), pl.lit(".example")).alias("url.domain"),
        _filled("path").alias("url.path"),
        _filled("query").alias("url.query"),
        _filled("args").alias("miniprogram.api_args"),
    ).with_columns(
        pl.when(network).then(
            pl.concat_str(pl.lit("https://"), "url.domain", "url.path", pl.when(pl.col("url.query").is_not_null()).then(pl.concat_str(pl.lit("?"), "url.query")), ignore_nulls=True)
        ).alias("url.full")
    )  # fmt: skip
    page_only = client & ~pl.col("gateway")
    return frame.select(
        "_time", "_index", "_unique", "_merchant", "pay", "code",
        pl.col("dataset").alias("event.dataset"),
        pl.col("action").alias("event.action"),
        pl.when(pl.col("called")).then(pl.when(failed).then(pl.lit("failure")).otherwise(pl.lit("success"))).alias("event.outcome"),
        pl.when(client).then("_sequence").alias("event.sequence"),
        pl.when(lost).then(pl.lit("wx.errmsg")).when(network & failed).then(pl.lit("http")).when(failed).then(pl.lit("wx.errmsg")).alias("event.provider"),
        "miniprogram.app_id", "miniprogram.version", pl.lit("release").alias("miniprogram.stage"), "miniprogram.developer_id",
        pl.when(page_only).then("miniprogram.base_library").alias("miniprogram.base_library"),
        pl.when(page_only).then("_scene").alias("miniprogram.scene"),
        pl.when((pl.col("_scene") == FROM_ANOTHER) & page_only).then("_partner").alias("miniprogram.referrer_app_id"),
        pl.when(page_only).then("page").alias("miniprogram.page"),
        pl.col("phase").alias("miniprogram.phase"),
        pl.col("handler").alias("miniprogram.handler"),
        pl.when(client).then("api").alias("miniprogram.api"),
        _arguments(network & client),
        pl.when(pl.col("action") == "navigateToMiniProgram").then("_partner").alias("miniprogram.target_app_id"),
        pl.when(pl.col("action") == "navigateToMiniProgram").then(pl.lit('{"from":"banner"}')).alias("miniprogram.extra_data"),
        pl.col("scope").alias("miniprogram.scope"),
        pl.when(pl.col("scope").is_not_null()).then(pl.when("_denied").then(pl.lit("denied")).otherwise(pl.lit("granted"))).alias("miniprogram.permission"),
        pl.when(pl.col("tap")).then("_age").when(page_only & (pl.col("phase") != "onLaunch")).then(pl.col("_age") * 4 + 300).alias("miniprogram.user_gesture_age_ms"),
        pl.when(page_only).then(~pl.col("hidden")).alias("miniprogram.foreground"),
        pl.when(pl.col("resources")).then(40_000_000 + pl.col("_bytes") * 4_000).alias("process.memory.bytes"),
        pl.when(pl.col("resources")).then((pl.col("_age") % 300) / 10.0).alias("process.cpu.pct"),
        pl.when(pl.col("resources")).then(pl.col("_age") % 40).alias("miniprogram.set_data.count"),
        "user.id",
        pl.when(client).then("device.id").alias("device.id"),
        pl.when(client).then("session.id").alias("session.id"),
        pl.when((pl.col("action") == "access") | client).then("source.ip").when(pl.col("pay") == "notify").then(pl.lit("192.0.2.8")).alias("source.ip"),
        pl.when(client).then("host.os.name").alias("host.os.name"),
        pl.when(pl.col("action") == "access").then(pl.col("host.os.name").replace_strict(AGENTS)).alias("user_agent.original"),
        pl.when(client).then("url.full").alias("url.full"), pl.when(network & client).then(pl.lit("https")).alias("url.scheme"), "url.domain", "url.path", "url.query",
        pl.col("method").alias("http.request.method"),
        pl.when(pl.col("action") == "access").then(pl.concat_str(pl.lit("https://servicewechat.com/"), "miniprogram.app_id", pl.lit("/"), "_release", pl.lit("/page-frame.html"))).alias("http.request.referrer"),
        pl.when(pl.col("method") == "POST").then(200 + pl.col("_bytes") // 8).alias("http.request.bytes"),
        pl.when(network & ~lost & pl.col("method").is_not_null()).then("_status").alias("http.response.status_code"),
        pl.when(network & ~lost).then("_bytes").alias("http.response.bytes"),
        pl.when(lost).then(pl.lit("5")).when(network & failed).then(pl.col("_status").cast(pl.String)).alias("error.code"),
        _complaint(lost, failed),
        pl.col("level").alias("log.level"),
        _filled("message").alias("message"),
        pl.when(pl.col("action") == "privacy.agree").then(statement=True).when(pl.col("action") == "privacy.disagree").then(statement=False).alias("privacy.agreed"),
    )  # fmt: skip


def _arguments(requests: pl.Expr) -> pl.Expr:
    """Arguments as called; those of a request are its address and method."""
    asked = pl.concat_str(pl.lit('{"url":"'), "url.full", pl.lit('","method":"'), "method", pl.lit('"}'))
    jump = pl.concat_str(pl.lit('{"appId":"'), "_partner", pl.lit('","extraData":{"from":"banner"}}'))
    plain = pl.col("miniprogram.api_args")
    jumps = pl.col("action") == "navigateToMiniProgram"
    return pl.when(requests).then(asked).when(jumps).then(jump).otherwise(plain).alias("miniprogram.api_args")


def _complaint(lost: pl.Expr, failed: pl.Expr) -> pl.Expr:
    """What the failed call says."""
    text = (
        pl.when(lost)
        .then(pl.lit(":fail timeout"))
        .when(pl.col("scope").is_not_null() & failed)
        .then(pl.lit(":fail auth deny"))
    )
    text = text.when(pl.col("pay") == "cancel").then(pl.lit(":fail cancel"))
    return pl.concat_str("action", text).alias("error.message")


def _with_codes(frame: pl.DataFrame, words: npt.NDArray[np.uint64]) -> pl.DataFrame:
    """Login codes on the call that got one and on the server call that spends it."""
    codes = texts(letters(words, 32))
    return frame.with_columns(pl.when(pl.col("code")).then(codes).alias("auth.code")).drop("code")


def _with_payments(world: World, frame: pl.DataFrame, words: npt.NDArray[np.uint64]) -> pl.DataFrame:
    """Orders with amount, payer and state, and the signed notices about them."""
    which = np.flatnonzero(frame["pay"].is_not_null().to_numpy())
    number = frame["_unique"].to_numpy()[which]
    normal = np.sqrt(-2 * np.log(1 - chance(number, 44))) * np.cos(2 * np.pi * chance(number, 45))
    later = pl.col("pay").is_in(["notify", "query", "fulfil"])
    digits = pl.Series("_digits", (words[which] % np.uint64(10**18)).astype(np.int64))
    paid = frame.select("_index", "_time", "pay", "user.id", "_merchant")[which].with_columns(
        digits,
        ("O" + texts(hexadecimal(words[which]))).alias("payment.order_id"),
        pl.Series("payment.amount", np.exp(8.0 + 1.1 * normal).astype(np.int64)),
        pl.lit("CNY").alias("payment.currency"),
        pl.col("user.id").alias("payment.payer_id"),
        pl.col("_merchant").alias("payment.merchant_id"),
        pl.when(later).then(pl.lit("SUCCESS")).alias("payment.state"),
        pl.when(later)
        .then(pl.concat_str(pl.lit("4200"), digits.cast(pl.String).str.zfill(18)))
        .alias("payment.transaction_id"),
    )
    notices = paid.filter(pl.col("pay") == "notify")
    named = {
        "time": "_time",
        "order": "payment.order_id",
        "transaction": "payment.transaction_id",
        "amount": "payment.amount",
    }
    named |= {"payer": "payment.payer_id", "merchant": "payment.merchant_id"}
    proofs = signed(notices.select(**named), payment_key(world.seed)).with_columns(notices["_index"])
    paid = paid.select("_index", *(name for name in paid.columns if name.startswith("payment.")))
    told = frame.join(paid, on="_index", how="left", maintain_order="left")
    told = told.join(proofs, on="_index", how="left", maintain_order="left")
    return told.drop("_index", "_unique", "_merchant", "pay")
