"""Misbehaviour of an app's code: too much of a call, calls it never made, capture unseen, data carried off, another face for some."""

from __future__ import annotations

import numpy as np
from misdeeds_slow import PRIVATE
from staging import SCOPES, seconds
from traits import HOUR_US, chance
from visits import KIND, NOBODY, REGIONS, SERVER

BURSTS = {
    "setClipboardData": 24, "getClipboardData": 24, "navigateToMiniProgram": 23, "getLocation": 1, "getFuzzyLocation": 1, "createSelectorQuery": 21,
    "previewImage": 21, "getSystemInfoSync": 21, "getStorageSync": 21, "setStorageSync": 21, "vibrateShort": 21, "showToast": 21, "scanCode": 21, "pageScrollTo": 21,
}  # fmt: skip


def _within(stage, visits, counts, reach_s=90.0):
    """Each visit as often as told, and times within it."""
    which = np.repeat(np.arange(len(visits)), counts)
    reach = reach_s * stage.rng.lognormal(0, 0.5, len(visits))
    return visits.take(which), visits.begin[which] + seconds(2 + stage.rng.random(len(which)) * reach[which])


def _some(stage, visits, share, least):
    """A share of the visits, but no fewer than `least` where there are so many."""
    count = min(len(visits), max(least, round(len(visits) * share)))
    return visits.take(np.sort(stage.rng.choice(len(visits), count, replace=False)))


def api_burst(stage):
    """21 or what the API is known for: calls one API far more often than ever."""
    if not stage.choose(((2, 8), (8, 24)), visits=stage.pick(12, 20)):
        return None
    used = [api for api in BURSTS if 0.02 < stage.usual.get(api, 0) < 4] or ["getSystemInfoSync"]
    api = str(stage.rng.choice(used))
    stage.behaviour = BURSTS[api]
    usual = stage.usual.get(api, 0.1)
    more = stage.pick((15.0, 40.0), (1.5, 3.0)) * (1 if stage.loud else max(usual, 0.25))
    visits = stage.visits()
    stage.calls(*_within(stage, visits, stage.rng.poisson(more, len(visits)), 60 + 4 * more), api)
    return f"all; {api}"


def new_api(stage):
    """1: begins to call what it never called, with no new version."""
    if not stage.choose(((6, 40), (40, 70)), visits=stage.pick(15, 60)):
        return None
    ever = stage.ever()
    never = [api for api in (*SCOPES, *PRIVATE) if api not in ever]
    api = str(stage.rng.choice(never))
    visits = _some(stage, stage.visits(), stage.pick((0.3, 0.8), (0.005, 0.02)), 6)
    stage.calls(*_within(stage, visits, np.ones(len(visits), dtype=int)), api)
    return f"{len(visits)} visits; {api}"


def covert_location(stage):
    """2: follows or listens to people while they look elsewhere: from the background, with no tap, again and again."""
    if not stage.choose(((4, 16), (10, 30)), visits=8):
        return None
    visits = stage.visits()
    people = stage.pick((12, 30), (4, 8))
    visits = _some(stage, visits, 0, people)
    visits = visits.take(np.unique(visits.person, return_index=True)[1])
    api = "getLocation" if stage.turn % 2 == 0 else "getRecorderManager().start"
    counts = np.array([stage.pick((80, 240), (15, 40)) for _ in range(len(visits))])
    gap_s = np.array([stage.pick((8.0, 30.0), (40.0, 150.0)) for _ in range(len(visits))])
    which = np.repeat(np.arange(len(visits)), counts)
    jitter = stage.pick(0.02, 0.4)
    gaps = gap_s[which] * (1 + jitter * stage.rng.uniform(-1, 1, len(which)))
    elapsed = np.cumsum(gaps) - np.repeat(np.concatenate([[0], np.cumsum(gaps)])[np.cumsum(counts) - counts], counts)
    away_s = stage.rng.uniform(180, 3_000, len(visits))
    hidden = {
        "miniprogram.foreground": False,
        "miniprogram.phase": "onHide",
        "miniprogram.user_gesture_age_ms": ((away_s[which] + elapsed) * 1_000).astype(np.int64),
    }
    stage.calls(visits.take(which), visits.begin[which] + seconds(away_s[which] + elapsed), api, hidden)
    return f"{len(visits)} people; {api}"


def exfiltration(stage):
    """3: reads what is a person's own, and within seconds sends something to a host that the app never talked to."""
    if not stage.choose(((4, 24), (24, 60)), visits=20):
        return None
    host = stage.host()
    apis = [api for api in PRIVATE if stage.usual.get(api, 0) > 0] or ["getLocation"]
    visits = _some(stage, stage.visits(), stage.pick((0.4, 1.0), 0.0), stage.pick(20, (5, 12)))
    times = visits.begin + seconds(stage.rng.uniform(3, 60, len(visits)))
    api = stage.rng.choice(apis, len(visits))
    for one in np.unique(api):
        which = api == one
        stage.calls(visits.take(which), times[which], str(one), tapped=True)
    sent = stage.rng.lognormal(np.log(stage.pick(40_000, 1_500)), 0.6, len(visits)).astype(np.int64)
    action = "uploadFile" if stage.loud and stage.turn % 2 else "request"
    stage.request(visits, times + seconds(stage.rng.uniform(0.4, 4, len(visits))), host, "/v", sent, action)
    stage.accuse("Domain", host)
    return f"{len(np.unique(visits.person))} people"


def collusion(stage):
    """4: several apps of one owner begin the same unusual thing at the same time, each too little to be noticed."""
    population, ground = stage.population, stage.ground
    if not stage.choose(((12, 40), (30, 60)), visits=1):
        return None
    chosen = stage.app
    free = [app for app in range(population.count) if app not in ground.used or app == chosen]
    lively = [app for app in free if len(ground.visits_of(app, stage.begin, stage.end)) >= stage.pick(8, 12)]
    owners, counts = np.unique(population.owner[lively], return_counts=True)
    if not (counts >= 3).any():
        return None
    owner = int(stage.rng.choice(owners[counts >= 3]))
    members = [app for app in lively if population.owner[app] == owner][:6]
    ground.used -= {chosen} - set(members)
    ground.used |= set(members)
    host = stage.host()
    for app in members:
        stage.app = app
        delay = int(stage.rng.uniform(0, 1) * HOUR_US)
        visits = stage.platform.visits.take(ground.visits_of(app, stage.begin + delay, stage.end))
        visits = _some(stage, visits, stage.pick((0.2, 0.45), (0.02, 0.06)), 4)
        times = visits.begin + seconds(stage.rng.uniform(2, 40, len(visits)))
        stage.calls(visits, times, "getConnectedWifi")
        sent = stage.rng.lognormal(np.log(stage.pick(6_000, 700)), 0.4, len(visits)).astype(np.int64)
        stage.request(visits, times + seconds(stage.rng.uniform(0.3, 3, len(visits))), host, "/m", sent)
    stage.accuse("DeveloperId", population.developer_ids[owner_of(population, members)])
    stage.accuse("AppId", *population.app_ids[members])
    stage.accuse("Domain", host)
    return f"{len(members)} apps"


def owner_of(population, members):
    """An index at which the members' developer stands."""
    assert len(set(population.developer_ids[members])) == 1
    return members[0]


def content_switch(stage):
    """6: with the version that was approved, some people, or all, see other pages, and other hosts are asked."""
    if not stage.choose(((20, 50), (24, 60)), visits=stage.pick(40, 250)):
        return None
    places = stage.visits_at()
    visits = stage.visits(places)
    if stage.loud:
        share = 1.0 if stage.turn % 2 == 0 else 0.6
        cohort, note = chance(visits.person + stage.number, 96) < share, f"{share:.0%} of the people"
    elif stage.turn % 2 == 0:
        shares = np.bincount(visits.region, minlength=len(REGIONS))
        region = 1 + int(np.argmax(shares[1:]))
        cohort, note = visits.region == region, f"people in {REGIONS[region]}"
    else:
        cohort, note = chance(visits.person + stage.number, 96) < 0.06, "6% of the people"
    if cohort.sum() < 5:
        cohort, note = chance(visits.person + stage.number, 96) < 0.15, "15% of the people"
    places, visits = places[cohort], visits.take(cohort)
    if not len(visits):
        return None
    rows = stage.ground.rows_of(stage.app, stage.begin, stage.platform.end)
    rows = rows[np.isin(stage.platform.rows.visit[rows], places)]
    pages = np.array([name.startswith(("launch", "resume", "hide")) for name in stage.table.names])
    stage.hide(rows[~pages[stage.table.page[stage.platform.rows.step[rows]]]])
    _other_face(stage, visits)
    return note


def _other_face(stage, visits):
    host = stage.host(["fun", "win", "go"])
    turns = 1 + stage.rng.poisson(3, len(visits))
    which = np.repeat(np.arange(len(visits)), turns)
    turn = np.arange(len(which)) - np.repeat(np.cumsum(turns) - turns, turns)
    shown = visits.take(which)
    times = shown.begin + seconds(1.5 + turn * 14 * stage.rng.lognormal(0, 0.5, len(which)))
    page = np.array(["pages/lobby/lobby", "pages/room/room", "pages/cash/cash"])[np.minimum(turn, 2)]
    there = {"miniprogram.page": page, "miniprogram.phase": "onLoad"}
    stage.event(shown, times, "lifecycle", "Page.onLoad", there, called=False)
    stage.request(shown, times + seconds(0.2), host, "/lobby", stage.rng.integers(200, 900, len(which)), fields=there)
    view = {"url.domain": host, "url.path": "/room", "miniprogram.page": page}
    stage.event(shown, times + seconds(0.6), "network", "web-view", view, called=False)
    led = stage.rng.random(len(which)) < 0.3
    stage.calls(shown.take(led), times[led] + seconds(5), "setClipboardData", {"miniprogram.page": page[led]})
    stage.accuse("Domain", host)


def permission_probing(stage):
    """1: asks for one permission after another, though it has declared none and people refuse."""
    if not stage.choose(((3, 16), (16, 48)), visits=stage.pick(15, 40)):
        return None
    visits = _some(stage, stage.visits(), stage.pick((0.5, 1.0), (0.05, 0.12)), 8)
    visits, times = _within(stage, visits, stage.rng.integers(*stage.pick([(3, 7)], [(1, 3)])[0], len(visits)))
    api = stage.rng.choice([api for api, scope in SCOPES.items() if scope], len(visits))
    for one in np.unique(api):
        which = np.flatnonzero(api == one)
        code = stage.rng.choice(["104", "112", ""], len(which))
        refused = {
            "event.outcome": "failure",
            "event.provider": np.where(code == "", "wx.errmsg", "wx.errno"),
            "error.code": [word or None for word in code],
            "error.message": [
                f"{one}:fail {'privacy permission is not authorized' if word else 'auth deny'}" for word in code
            ],
            "miniprogram.scope": SCOPES[one],
            "miniprogram.permission": "denied",
        }
        stage.event(visits.take(which), times[which], "permission", str(one), refused)
    return f"{len(np.unique(visits.person))} people"


def error_abuse(stage):
    """26: goes on calling what answers with errors: a quota that is used up, or a call that may not come so often."""
    if not stage.choose(((1, 4), (14, 36)), visits=10 if stage.turn % 2 else 1):
        return None
    if stage.turn % 2:
        visits = _some(stage, stage.visits(), stage.pick((0.5, 1.0), (0.1, 0.2)), 8)
        visits, times = _within(
            stage, visits, stage.rng.poisson(stage.pick(25, 4), len(visits)), stage.pick(120.0, 200.0)
        )
        failed = {
            "event.outcome": "failure",
            "event.provider": "wx.errmsg",
            "error.code": None,
            "error.message": "getLocation:fail invoke too frequently",
        }
        stage.calls(visits, times, "getLocation", failed)
        return "client; getLocation"
    count = stage.pick((600, 2_000), (80, 160))
    times = np.sort(stage.rng.uniform(stage.begin, stage.end, count)).astype(np.int64)
    server = stage.strangers(1, times[:1], addresses=[SERVER * KIND + stage.app % 200]).changed(person=NOBODY)
    failed = {"event.outcome": "failure", "event.provider": "openapi.errcode", "error.code": "45009", "error.message": "reach max api daily quota limit", "source.ip": None}  # fmt: skip
    api = "media_check_async" if stage.rng.random() < 0.5 else "msg_sec_check"
    stage.event(server.take(np.zeros(count, dtype=int)), times, "gateway", api, failed, server=True)
    return f"server; {api}"


def resource_abuse(stage):
    """21: floods the page with data and eats the memory of people's devices."""
    if not stage.choose(((3, 16), (16, 40)), visits=stage.pick(15, 40)):
        return None
    visits = _some(stage, stage.visits(), stage.pick((0.6, 1.0), (0.1, 0.2)), 8)
    visits, times = _within(stage, visits, stage.rng.integers(*stage.pick([(3, 9)], [(1, 3)])[0], len(visits)))
    weight = stage.population.weight[stage.app]
    count = len(visits)
    heavy = {
        "process.memory.bytes": (110e6 * weight**0.4 * stage.rng.lognormal(np.log(stage.pick(6.0, 1.9)), 0.25, count)).astype(np.int64),
        "process.cpu.pct": stage.rng.uniform(*stage.pick([(75, 100)], [(30, 75)])[0], count),
        "miniprogram.set_data.count": (9 * weight * stage.rng.lognormal(np.log(stage.pick(90.0, 4.0)), 0.5, count)).astype(np.int64),
        "miniprogram.set_data.bytes": (16_000 * weight * stage.rng.lognormal(np.log(stage.pick(60.0, 4.0)), 0.5, count)).astype(np.int64),
    }  # fmt: skip
    warned = stage.rng.random(count) < stage.pick(0.4, 0.05)
    for which, action in ((warned, "onMemoryWarning"), (~warned, "environment")):
        some = {name: value[which] for name, value in heavy.items()}
        stage.event(visits.take(which), times[which], "device", action, some, called=False)
    return f"{len(np.unique(visits.person))} people"
