"""Misbehaviour by people and their machines, or through them: forced sharing, storms of logins, stolen codes, cards, orders, robots."""

from __future__ import annotations

import numpy as np
import polars as pl
from staging import STRANGERS, seconds
from traits import names
from visits import SHARED_SCENES, addresses, identity

BAD_CODE = {"event.provider": "openapi.errcode", "error.code": "40029", "error.message": "invalid code"}


def _clustered(stage, count, hours_idle=0.0):
    """Sorted times in the incident's time; where there is idling, in a few bursts with pauses between."""
    span = stage.end - stage.begin
    shares = np.sort(stage.rng.random(count))
    if hours_idle:
        gaps = stage.rng.lognormal(0, 1.0, count)
        gaps[stage.rng.random(count) < 0.08] *= 25
        shares = np.cumsum(gaps) / gaps.sum() * 0.999
    return stage.begin + (shares * span).astype(np.int64)


def _either(failed, bad, good=None):
    """A column that says one thing of failures and another of the rest."""
    return pl.Series([bad if one else good for one in failed], dtype=pl.String)


def induced_sharing(stage):
    """7: shows its content only to those who share it; who comes by what was shared must share again."""
    if not stage.choose(((10, 30), (20, 50)), visits=stage.pick(25, 60)):
        return None
    rng, platform = stage.rng, stage.platform
    visits = stage.visits()
    chosen = rng.random(len(visits)) < stage.pick((0.6, 1.0), (0.1, 0.2))
    sharers, local, grown = visits.take(chosen), STRANGERS + stage.number * 4_096, 0
    for generation in range(8):
        shares = 1 + rng.poisson(stage.pick(2.5, 1.0), len(sharers))
        which = np.repeat(np.arange(len(sharers)), shares)
        times = sharers.begin[which] + seconds(4 + rng.random(len(which)) * 60)
        gate = {"miniprogram.page": "pages/gate/gate"}
        stage.event(sharers.take(which), times, "lifecycle", "onShareAppMessage", gate, called=False, tapped=True)
        stage.calls(sharers.take(which), times + seconds(1), "showModal", gate)
        arrivals = rng.poisson(stage.pick(0.45, 0.25), len(which))
        come = np.repeat(times, arrivals) + seconds(rng.lognormal(np.log(900), 0.9, int(arrivals.sum())))
        come = come[come < stage.end][: 600 - grown]
        if not len(come) or generation == 7:
            break
        scene = rng.choice(SHARED_SCENES, len(come))
        newcomers = platform.people.visits(np.full(len(come), stage.app), local + grown + np.arange(len(come)), come, scene, 1, stage._visits + grown + np.arange(len(come)))  # fmt: skip
        grown += len(come)
        pages = [stage.table.page_named(name) for name in ("launch-first", "home", "hide")]
        stage.walk(newcomers, np.repeat(np.arange(len(come)), 3), np.tile(pages, len(come)))
        sharers = newcomers
    return f"{grown} newcomers in {generation + 1} generations"


def login_storm(stage):
    """8: logs in far more often than it shows pages."""
    if not stage.choose(((1, 5), (6, 16)), visits=15):
        return None
    visits = stage.visits()
    counts = stage.rng.poisson(stage.pick((20.0, 60.0), (3.0, 6.0)), len(visits))
    if not stage.loud:
        counts *= stage.rng.random(len(visits)) < 0.5
    which = np.repeat(np.arange(len(visits)), counts)
    reach = stage.pick(60.0, 180.0)
    times = visits.begin[which] + seconds(1 + stage.rng.random(len(which)) * reach)
    again = visits.take(which)
    stage.calls(again, times, "login")
    stage.event(again, times + seconds(0.15), "gateway", "code2Session", {"source.ip": None}, server=True)
    return "all" if stage.loud else "half of the visits"


def credential_stuffing(stage):
    """8: a few devices try codes of many people; most are refused with 40029."""
    if not stage.choose(((0.3, 1.2), (8.0, 30.0)), visits=1):
        return None
    count = stage.pick((300, 1_200), (60, 150))
    times = _clustered(stage, count, stage.pick(0, 1))
    devices, places = stage.pick(1, (3, 6)), stage.pick(1, (6, 12))
    device = np.array([stage.device(i) for i in range(devices)])[stage.rng.integers(0, devices, count)]
    address = np.array([stage.address(i) for i in range(places)])[stage.rng.integers(0, places, count)]
    visits = stage.strangers(count, times, device, address)
    failed = stage.rng.random(count) < stage.pick(0.93, 0.75)
    stage.calls(visits, times, "login", {"miniprogram.user_gesture_age_ms": None})
    outcome = {name: _either(failed, value) for name, value in BAD_CODE.items()}
    outcome |= {"event.outcome": _either(failed, "failure", "success"), "source.ip": None}
    stage.event(visits, times + seconds(0.2), "gateway", "code2Session", outcome, server=True)
    _accuse_all(stage, visits)
    return f"{devices} devices, {places} addresses"


def _accuse_all(stage, visits, *, people=False):
    """Devices and addresses of visits, and people where they are few."""
    shown = identity(stage.population, visits)
    stage.accuse("DeviceId", *shown["device.id"].unique().sort())
    stage.accuse("Ip", *addresses(visits.address).unique().sort())
    if people:
        stage.accuse("OpenId", *shown["user.id"].unique().sort())


def idor(stage):
    """10: one person walks through other people's orders by number: refused at first, then served."""
    if not stage.choose(((0.3, 1.0), (8.0, 24.0)), visits=1):
        return None
    count = stage.pick((200, 600), (40, 90))
    times = _clustered(stage, count, stage.pick(0, 1))
    walker = stage.strangers(1, times[:1], [stage.device()], [stage.address()]).take(np.zeros(count, dtype=int))
    strides = np.ones(count, dtype=int) if stage.loud else stage.rng.integers(1, 40, count)
    numbers = int(stage.rng.integers(20_000, 60_000)) + np.cumsum(strides)
    opened = stage.rng.random(count) < np.linspace(0.02, stage.pick(0.9, 0.7), count)
    status = np.where(opened, 200, 403)
    told = {
        "http.response.status_code": status,
        "http.response.bytes": np.where(opened, 2_400, 120),
        "event.outcome": _either(~opened, "failure", "success"),
        "event.provider": _either(~opened, "http"),
        "error.code": _either(~opened, "403"),
    }
    paths = [f"/v1/orders/{number}" for number in numbers]
    host = stage.population.hosts(stage.app)[0]
    asked = {
        "url.domain": host,
        "url.path": paths,
        "http.request.method": "GET",
        "miniprogram.page": "pages/order/order",
    }
    stage.event(walker, times, "network", "request", told | asked)
    owned = {"resource.id": [f"order-{number}" for number in numbers], "resource.owner_id": names(numbers + stage.population.salt, 97)}  # fmt: skip
    stage.access(walker, times + seconds(0.07), paths, told | owned)
    _accuse_all(stage, walker, people=True)
    return "1 person"


def carding(stage):
    """12: many payers' cards are tried with small amounts at one or few devices; most are declined."""
    if not stage.choose(((0.4, 2.0), (10.0, 24.0)), visits=1):
        return None
    count = stage.pick((150, 400), (25, 50))
    times = _clustered(stage, count, stage.pick(0, 1))
    devices = stage.pick(1, 3)
    turn = stage.rng.integers(0, devices, count)
    device = np.array([stage.device(i) for i in range(devices)])[turn]
    address = np.array([stage.address(i) for i in range(devices)])[turn]
    visits = stage.strangers(count, times, device, address)
    declined = stage.rng.random(count) < stage.pick(0.85, 0.55)
    code = stage.rng.choice(["-4", "-4", "-15020", "-1"], count)
    order = {
        "payment.order_id": [f"O{name[:18]}" for name in names(visits.id, 98)],
        "payment.amount": stage.rng.integers(1, stage.pick(200, 2_500), count),
        "payment.currency": "CNY",
        "payment.payer_id": identity(stage.population, visits)["user.id"],
        "payment.merchant_id": str(stage.population.merchants[stage.app]),
        "miniprogram.page": "pages/checkout/checkout",
    }
    ended = {
        "event.outcome": _either(declined, "failure", "success"),
        "event.provider": _either(declined, "payment"),
        "error.code": [str(one) if bad else None for one, bad in zip(code, declined, strict=True)],
    }
    stage.calls(visits, times, "requestPayment", order | ended, tapped=not stage.loud)
    _accuse_all(stage, visits)
    stage.accuse("MerchantId", order["payment.merchant_id"])
    return f"{devices} devices"


def bots(stage):
    """22: machines use the app as if they were people, but keep time better than people do."""
    if not stage.choose(((3.0, 12.0), (3.0, 10.0)), visits=5):
        return None
    robots = stage.pick((3, 6), (6, 12))
    for robot in range(robots):
        count = stage.pick((120, 400), (30, 60))
        gap_s, jitter = stage.pick((5.0, 20.0), (20.0, 60.0)), stage.pick(0.01, (0.2, 0.4))
        gaps = gap_s * (1 + jitter * stage.rng.uniform(-1, 1, count))
        span_s = (stage.end - stage.begin) / 1e6
        gaps *= min(1.0, span_s / gaps.sum())
        begin = stage.begin + seconds(stage.rng.random() * max(0.0, span_s - gaps.sum()))
        times = begin + seconds(np.cumsum(gaps))
        place = stage.address(0 if stage.loud else robot)
        one = stage.strangers(1, times[:1], [stage.device(robot)], [place])
        one = one.changed(person=one.person + 7 * (robot + 1) + stage.platform.people.count * 4)
        visits = one.take(np.zeros(count, dtype=int))
        robotic = {"miniprogram.user_gesture_age_ms": None, "miniprogram.page": "pages/detail/detail"}
        stage.event(visits, times, "lifecycle", "Page.onLoad", robotic, called=False)
        number = stage.rng.integers(1_000, 60_000, count)
        paths = [f"/v1/items/{item}" for item in number]
        asked = {
            "url.domain": stage.population.hosts(stage.app)[0],
            "url.path": paths,
            "http.request.method": "GET",
            "http.response.status_code": 200,
            "http.response.bytes": stage.rng.lognormal(8, 0.6, count).astype(np.int64),
        }
        stage.event(visits, times + seconds(0.2), "network", "request", asked | robotic)
        stage.access(
            visits,
            times + seconds(0.26),
            paths,
            {"http.response.status_code": 200, "resource.id": [f"item-{item}" for item in number]},
        )
        _accuse_all(stage, one, people=True)
    return f"{robots} machines"
