"""Misbehaviour around login, sessions, payment and other people's resources."""

from __future__ import annotations

import numpy as np
import polars as pl

from detectors.event import MICROSECONDS
from monitor.simulate.letters import letters, scramble, texts
from monitor.simulate.people import openids
from monitor.simulate.signing import SERIAL, payment_key, signed
from monitor.simulate.stage import Incident, Stage, together


def login_storm(stage: Stage) -> Incident:
    """8: code that logs in again and again, far above twice the pages seen."""
    people = stage.strangers(stage.pick(30, 4))
    views = stage.times(len(people), 120, 20_000)
    seen = stage.events(
        views,
        people,
        "lifecycle",
        "Page.onLoad",
        {"miniprogram.page": "pages/index/index", "miniprogram.phase": "onLoad"},
    )
    turns = stage.pick(20, 6)
    gap_s = 1 if stage.loud else 600
    offsets = np.tile((np.arange(turns) + 1) * gap_s * MICROSECONDS, len(people))
    again = np.repeat(views, turns) + offsets + (stage.rng.uniform(0, 500, len(offsets)) * 1_000).astype(np.int64)
    logins = stage.call(
        again, np.repeat(people, turns), "login", "{}", "auth", {"auth.code": _codes(stage, len(again))}, tapped=False
    )
    return stage.of_app(seen, logins)


def _codes(stage: Stage, count: int) -> list[str]:
    return texts(letters(scramble(np.arange(count) + stage.number * 1_000_003, 71), 32)).to_list()


def credential_stuffing(stage: Stage) -> Incident:
    """8: one device and address tries codes for many people; most are refused with 40029."""
    count = stage.pick(240, 24)
    people, times = stage.strangers(count), stage.times(count, 600, 14_400)
    address, codes = stage.address(), _codes(stage, count)
    device = str(stage.events(times[:1], int(people[0]), "auth", "login", {})["device.id"][0])
    same = {"source.ip": address, "device.id": device, "auth.code": codes}
    logins = stage.call(times, people, "login", "{}", "auth", same)
    asked = stage.access(times + 80_000, people, "/api/v1/session", {"source.ip": address, "http.response.status_code": 401, "event.outcome": "failure", "error.code": "401", "event.provider": "http"}, method="POST")  # fmt: skip
    failed = stage.rng.random(count) < 0.9
    outcome = {
        "auth.code": codes,
        "event.outcome": np.where(failed, "failure", "success"),
        "event.provider": "openapi.errcode",
        "error.code": [("40029" if bad else None) for bad in failed],
        "error.message": [("invalid code" if bad else None) for bad in failed],
    }
    exchanged = stage.access(times + 120_000, people, "", outcome, action="code2Session")
    return Incident("DeviceId", device, together(logins, asked, exchanged))


def code_replay(stage: Stage) -> Incident:
    """9: a login code of one person is spent again, from elsewhere, for another."""
    count = stage.pick(30, 3)
    owners, thieves = stage.strangers(count), stage.strangers(count)
    times, codes = stage.times(count, 3_600, 40_000), _codes(stage, count)
    first = stage.call(times, owners, "login", "{}", "auth", {"auth.code": codes})
    spent = stage.access(times + 150_000, owners, "", {"auth.code": codes}, action="code2Session")
    address = stage.address()
    after = times + (stage.rng.uniform(2, 60, count) * 1_000).astype(np.int64) * 1_000
    asked = stage.access(after, thieves, "/api/v1/session", {"source.ip": address, "auth.code": codes}, method="POST")
    refused = {
        "auth.code": codes,
        "source.ip": address,
        "event.outcome": "failure",
        "event.provider": "openapi.errcode",
        "error.code": "40029",
        "error.message": "code been used",
    }
    again = stage.access(after + 90_000, thieves, "", refused, action="code2Session")
    return Incident("Ip", address, together(first, spent, asked, again))


def resource_enumeration(stage: Stage) -> Incident:
    """10: one person walks through other people's orders by number: refused, refused, then served."""
    count = stage.pick(150, 15)
    walker = int(stage.strangers(1)[0])
    times = stage.times(count, 900, 30_000)
    first = int(stage.rng.integers(10_000, 80_000))
    numbers = first + np.arange(count) * stage.pick(1, 7)
    owners = openids(stage.world, np.full(count, stage.app), stage.strangers(count)).to_list()
    served = stage.rng.random(count) < np.linspace(0.05, 0.9, count)
    fields = {
        "resource.id": [f"order-{number}" for number in numbers],
        "resource.owner_id": owners,
        "http.response.status_code": np.where(served, 200, 403),
        "event.outcome": np.where(served, "success", "failure"),
        "error.code": [(None if good else "403") for good in served],
    }
    frame = stage.access(times, walker, [f"/api/v1/orders/{number}" for number in numbers], fields)
    return Incident("OpenId", str(frame["user.id"][0]), frame)


def payment_forgery(stage: Stage) -> Incident:
    """11: false notices: of orders paid with a fen, and signed with nothing that fits."""
    count = stage.pick(30, 3)
    people, times = stage.strangers(count), stage.times(count, 3_600, 40_000)
    payers = openids(stage.world, np.full(count, stage.app), people).to_list()
    merchant = str(stage.world.apps["merchant_id"][stage.app])
    orders = [f"O{stage.number:04x}{index:012x}" for index in range(count)]
    amounts = stage.rng.integers(5_000, 500_000, count)
    order = {
        "payment.order_id": orders,
        "payment.currency": "CNY",
        "payment.payer_id": payers,
        "payment.merchant_id": merchant,
    }
    asked = stage.call(times, people, "requestPayment", '{"package":"prepay_id=wx","signType":"RSA"}', "payment", order | {"payment.amount": amounts, "event.outcome": "failure", "error.message": "requestPayment:fail cancel"})  # fmt: skip
    claimed = np.ones(count, dtype=np.int64) if stage.loud else amounts - 1
    after = times + (stage.rng.uniform(2, 20, count) * 1_000).astype(np.int64) * 1_000
    notices = pl.DataFrame({"time": after, "order": orders, "transaction": [f"4200{index:018}" for index in range(count)], "amount": claimed, "payer": payers, "merchant": [merchant] * count})  # fmt: skip
    proof = signed(notices, payment_key(stage.world.seed + 1)).with_columns(
        pl.when(pl.int_range(pl.len()) % 3 == 0)
        .then(pl.lit("0" * 8 + SERIAL))
        .otherwise("signature.serial")
        .alias("signature.serial")
    )
    address = stage.address()
    forged = stage.events(after, people, "payment", "payment.notify", order | {"payment.amount": claimed, "payment.state": "SUCCESS", "payment.transaction_id": notices["transaction"].to_list(), "source.ip": address})  # fmt: skip
    forged = pl.concat(
        [forged.drop("device.id", "session.id", "host.os.name", "miniprogram.base_library"), proof], how="horizontal"
    )
    return Incident("Ip", address, together(asked, forged))


def carding(stage: Stage) -> Incident:
    """12: one device tries many payers' cards with small amounts; most are stopped by risk control."""
    count = stage.pick(180, 18)
    people, times = stage.strangers(count), stage.times(count, 900, 30_000)
    device = str(stage.events(times[:1], int(people[0]), "payment", "requestPayment", {})["device.id"][0])
    codes = stage.rng.choice(["-4", "-15020", "-15021", "-1"], count)
    passed = stage.rng.random(count) < 0.12
    fields = {
        "device.id": device,
        "source.ip": stage.address(),
        "payment.order_id": [f"O{stage.number:04x}{index:012x}" for index in range(count)],
        "payment.amount": stage.rng.integers(1, 100, count),
        "payment.currency": "CNY",
        "payment.payer_id": openids(stage.world, np.full(count, stage.app), people).to_list(),
        "payment.merchant_id": str(stage.world.apps["merchant_id"][stage.app]),
        "event.outcome": np.where(passed, "success", "failure"),
        "event.provider": "payment",
        "error.code": [(None if good else str(code)) for good, code in zip(passed, codes, strict=True)],
    }
    frame = stage.call(times, people, "requestVirtualPayment", '{"mode":"short_series_goods"}', "payment", fields)
    return Incident("DeviceId", device, frame)


def bot_traffic(stage: Stage) -> Incident:
    """22: a machine plays the app: the same three steps at the same distance, with no tap, for an hour."""
    bot, turns = int(stage.strangers(1)[0]), stage.pick(100, 30)
    times = stage.steady(turns, stage.pick(6, 25), 0.02 if stage.loud else 0.9)
    robot = {"miniprogram.user_gesture_age_ms": None, "source.ip": stage.address()}
    shown = stage.events(
        times,
        bot,
        "lifecycle",
        "Page.onLoad",
        {"miniprogram.page": "pages/detail/detail", "miniprogram.phase": "onLoad"} | robot,
    )
    fetched = stage.request(
        times + 200_000,
        bot,
        f"api.{stage.slug}.example",
        [f"/api/v1/items/{n}" for n in range(1_000, 1_000 + turns)],
        robot,
    )
    stored = stage.call(times + 400_000, bot, "setStorageSync", '["level","9"]', "storage", robot)
    return Incident("DeviceId", str(shown["device.id"][0]), together(shown, fetched, stored))


def quota_evasion(stage: Stage) -> Incident:
    """26: one owner's apps run through the quota and clear it, again and again."""
    owner = str(stage.world.apps["developer_id"][stage.app])
    owned = [index for index, one in enumerate(stage.world.apps["developer_id"]) if one == owner]
    frames = []
    for app in owned:
        times = stage.times(stage.pick(60, 8), 3_600, 40_000)
        person = stage.strangers(len(times))
        refused = {
            "event.outcome": "failure",
            "event.provider": "openapi.errcode",
            "error.code": "45009",
            "error.message": "reach max api daily quota limit",
        }
        frames.append(stage.access(times, person, "", refused, action="msg_sec_check", app=app).drop("user.id"))
        cleared = times[:: stage.pick(5, 4)] + MICROSECONDS
        code = [None if turn < 10 else "48006" for turn in range(len(cleared))]
        frames.append(
            stage.access(cleared, person[: len(cleared)], "", {"error.code": code}, action="clear_quota", app=app).drop(
                "user.id"
            )
        )
    return Incident("DeveloperId", owner, together(*frames))
