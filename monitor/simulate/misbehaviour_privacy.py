"""Misbehaviour with personal data: undeclared, withdrawn, covert, carried off, handed over, copied, logged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.event import MICROSECONDS
from monitor.simulate.people import openids
from monitor.simulate.signing import token

if TYPE_CHECKING:
    from monitor.simulate.stage import Incident, Stage

LOCATION = "scope.userLocation"
GRANTED = {"miniprogram.scope": LOCATION, "miniprogram.permission": "granted"}


def undeclared_privacy(stage: Stage) -> Incident:
    """1: asks for location and steps without having declared them; the platform refuses with 104 and 112."""
    stage.app_where(declares=False, scope=LOCATION)
    people = stage.strangers(stage.pick(60, 6))
    times = stage.times(len(people), 3_600, 36_000)
    refused = {"event.outcome": "failure", "event.provider": "wx.errno"}
    location = stage.call(times, people, "getLocation", '{"type":"wgs84"}', "permission", refused | {"miniprogram.scope": LOCATION, "error.code": "112", "error.message": "getLocation:fail api scope is not declared in the privacy agreement"})  # fmt: skip
    private = refused | {
        "error.code": "104",
        "error.message": "chooseContact:fail privacy permission is not authorized",
    }
    contact = stage.call(times + 400_000, people, "chooseContact", "{}", "permission", private, tapped=False)
    missing = refused | {
        "event.provider": "wx.errmsg",
        "error.message": "startLocationUpdate:fail the api need to be declared in the requiredPrivateInfos field in app.json/ext.json",
    }
    update = stage.call(times + 900_000, people, "startLocationUpdate", "{}", "permission", missing, tapped=False)
    return stage.of_app(location, contact, update)


def use_after_revocation(stage: Stage) -> Incident:
    """1: goes on using the location of people who have withdrawn their consent."""
    stage.app_where(declares=True, scope=LOCATION)
    people = stage.strangers(stage.pick(25, 3))
    times = stage.times(len(people), 7_200, 20_000)
    revoked = stage.pushed(
        times,
        people,
        "user_authorization_revoke",
        {"miniprogram.scope": LOCATION, "miniprogram.api_args": '{"RevokeInfo":"13"}'},
    )
    later = times + (stage.rng.uniform(60, 3_000, len(people)) * 1_000).astype(np.int64) * 1_000
    used = stage.call(
        later, people, "getLocation", '{"type":"gcj02"}', "permission", {"miniprogram.scope": LOCATION}, tapped=False
    )
    return stage.of_app(revoked, used)


def covert_location(stage: Stage) -> Incident:
    """2: follows people at night: from the background, with no tap, every few seconds."""
    stage.app_where(declares=True, scope=LOCATION)
    frames = []
    for person in stage.strangers(stage.pick(6, 2)):
        times = stage.steady(stage.pick(90, 30), stage.pick(10, 28), 1.5, night=True)
        hidden = GRANTED | {
            "miniprogram.foreground": False,
            "miniprogram.phase": "onHide",
            "miniprogram.user_gesture_age_ms": 600_000 + np.arange(len(times)) * 10_000,
        }
        frames.append(
            stage.call(
                times,
                int(person),
                "getLocation",
                '{"type":"gcj02","isHighAccuracy":true}',
                "permission",
                hidden,
                tapped=False,
            )
        )
    return stage.of_app(*frames)


def exfiltration(stage: Stage) -> Incident:
    """3: reads location or contacts and sends them off within seconds, to a host that nobody else talks to."""
    stage.app_where(declares=True, scope=LOCATION)
    people = stage.strangers(stage.pick(80, 8))
    times = stage.times(len(people), 3_600, 40_000)
    read = stage.call(times, people, "getLocation", '{"type":"gcj02"}', "permission", GRANTED)
    sent_bytes = (
        stage.rng.integers(20_000, 90_000, len(people)) if stage.loud else stage.rng.integers(900, 2_000, len(people))
    )
    after = times + (stage.rng.uniform(0.3, 2.5, len(people)) * 1_000).astype(np.int64) * 1_000
    sent = stage.request(
        after, people, f"sync.{stage.slug}.example", "/c", {"http.request.bytes": sent_bytes}, method="POST"
    )
    return stage.of_app(read, sent)


def collusion(stage: Stage) -> Incident:
    """4: hands openid and phone number to another owner's app when it leads people there."""
    people = stage.strangers(stage.pick(50, 5))
    times = stage.times(len(people), 3_600, 40_000)
    receiver = stage.other_app()
    ids = openids(stage.world, np.full(len(people), stage.app), people)
    target = stage.world.apps["app_id"][receiver]
    extra = [
        f'{{"openid":"{one}","phone":"138{10_000_000 + int(person) % 89_999_999}"}}'
        for one, person in zip(ids, people, strict=True)
    ]
    args = [f'{{"appId":"{target}","path":"pages/index/index","extraData":{one}}}' for one in extra]
    fields = {"miniprogram.target_app_id": target, "miniprogram.extra_data": extra}
    return stage.of_app(stage.call(times, people, "navigateToMiniProgram", args, "api", fields))


def clipboard_abuse(stage: Stage) -> Incident:
    """24: reads the clipboard at launch and fills it unasked with a promotion code."""
    people = stage.strangers(stage.pick(50, 6))
    times = stage.times(len(people), 3_600, 40_000)
    read = stage.call(times, people, "getClipboardData", "{}", "api", {"miniprogram.phase": "onLaunch"}, tapped=False)
    frames = [read]
    for turn in range(stage.pick(6, 2)):
        later = times + (turn + 1) * 3 * MICROSECONDS
        frames.append(
            stage.call(
                later, people, "setClipboardData", '{"data":"复制这段话打开应用领红包 ￥x8Kd2￥"}', "api", tapped=False
            )
        )
    return stage.of_app(*frames)


def _identity_number(number: int) -> str:
    """An ID number with a valid check digit; the district code is one that no place has."""
    digits = f"999999{1970 + number % 30}{1 + number % 12:02}{1 + number % 28:02}{number % 1000:03}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return digits + "10X98765432"[sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True)) % 11]


def _card_number(number: int) -> str:
    """A card number that passes the Luhn check."""
    digits = f"622202{number % 10**9:09}"
    total = sum(int(digit) if place % 2 else sum(divmod(2 * int(digit), 10)) for place, digit in enumerate(digits))
    return f"{digits}{-total % 10}"


def _leak(incident: int, number: int, secret: str) -> str:
    """One of five things that no log may hold."""
    leaks = (
        f"session_key={token(f'{incident} {number}')}",
        f"appsecret={secret}",
        f"用户手机号 139{10_000_000 + number * 7_919 % 89_999_999}",
        f"实名信息 身份证号 {_identity_number(number * 37 + 5)}",
        f"绑定银行卡 {_card_number(number * 104_729 + 11)}",
    )
    return leaks[number % len(leaks)]


def secrets_in_logs(stage: Stage) -> Incident:
    """20: writes keys and people's numbers to its log in clear, and calls the platform's server API from the client."""
    count = stage.pick(60, 6)
    people = stage.strangers(count)
    times = stage.times(count, 7_200, 40_000)
    secret = token(f"secret {stage.number}").encode().hex()[:32]
    messages = [_leak(stage.number, index, secret) for index in range(count)]
    logged = stage.events(
        times,
        people,
        "log",
        "console.log",
        {"log.level": "debug", "message": messages, "miniprogram.page": "pages/user/user"},
    )
    path = f"/sns/jscode2session?appid={stage.app_id}&secret={secret}&grant_type=authorization_code"
    refused = {
        "event.outcome": "failure",
        "event.provider": "wx.errmsg",
        "error.message": "request:fail url not in domain list",
        "http.response.status_code": None,
    }
    direct = stage.request(
        times[: stage.pick(5, 1)] + MICROSECONDS, people[: stage.pick(5, 1)], "api.weixin.qq.com", path, refused
    )
    return stage.of_app(logged, direct)
