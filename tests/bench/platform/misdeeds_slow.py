"""Misbehaviour that creeps or that is an absence: rates that rise over days, and telemetry that goes missing."""

from __future__ import annotations

import numpy as np
from staging import seconds
from traits import DAY_US, chance

PRIVATE = [
    "getLocation",
    "getFuzzyLocation",
    "startLocationUpdate",
    "getRecorderManager().start",
    "createCameraContext",
    "saveImageToPhotosAlbum",
    "chooseMedia",
    "openBluetoothAdapter",
    "getWeRunData",
    "getUserProfile",
    "chooseAddress",
    "getClipboardData",
]
"""Calls that read what is a person's own."""
RAMP_DAYS = 5


def _candidates(stage, apis, least):
    """Of the given APIs those that the app called at least so often in the quiet days, though not all the time."""
    platform = stage.platform
    visits = len(stage.ground.visits_of(stage.app, platform.start, platform.quiet_end))
    usual = {api: stage.usual.get(api, 0.0) for api in apis}
    return {api: rate for api, rate in usual.items() if rate < 3 and rate * visits >= least}


def _chosen(stage, apis, busy=None):
    """An app and one of the APIs that it uses now and then, the more used the more likely; None where no app uses one."""
    for least in (200, 60, 15, 3):

        def fits(_, least=least):
            return bool(_candidates(stage, apis, least))

        if stage.choose(1, visits=1, fits=fits, busy=busy):
            found = _candidates(stage, apis, least)
            weights = np.array(list(found.values()))
            return str(stage.rng.choice(list(found), p=weights / weights.sum()))
    return None


def _creeping(stage, api, begin, end, factor):
    """More calls in each visit, rising in a line until they are `factor` times as many as they were."""
    places = stage.ground.visits_of(stage.app, begin, stage.platform.end)
    visits = stage.platform.visits.take(places)
    risen = np.clip((visits.begin - begin) / (end - begin), 0, 1)
    counts = stage.rng.poisson(stage.usual[api] * (factor - 1) * risen)
    which = np.repeat(np.arange(len(visits)), counts)
    times = visits.begin[which] + seconds(stage.rng.uniform(2, 70, len(which)))
    stage.calls(visits.take(which), times, api, tapped=True)


def slow_leak(stage):
    """1: reads what is people's own more and more often, a little more each day."""
    api = _chosen(stage, PRIVATE)
    if api is None:
        return None
    _creeping(stage, api, stage.platform.quiet_end, stage.platform.end, stage.pick((6.0, 10.0), 2.0))
    return f"all; {api}"


def ramp(stage):
    """1: begins while detectors learn, so that they take a rate for usual that is not: the one thing not honest in the quiet days."""
    apis = [*PRIVATE, "setClipboardData", "previewImage", "scanCode"]
    api = _chosen(stage, apis, busy=("busy", "middle"))
    if api is None:
        return None
    begin = stage.platform.start
    end = begin + min(RAMP_DAYS, stage.platform.quiet_days) * DAY_US
    _creeping(stage, api, begin, end, stage.pick(4.0, 2.0))
    return f"all; {api}"


def silence(stage):
    """18: the app goes on being used, as its server's lines show, but what it should tell does not come."""
    if not stage.choose(((6, 40), (8, 40)), visits=stage.pick(60, 80), busy=("busy", "middle")):
        return None
    platform, table = stage.platform, stage.table
    places = stage.ground.rows_of(stage.app, stage.begin, stage.end)
    step, visit = platform.rows.step[places], platform.rows.visit[places]
    told_by_client = ~table.flags["server"][step]
    private = np.isin(table.action[step], PRIVATE) | table.flags["scope"][step]
    only_private = stage.turn % 2 == 1 and private.sum() >= 40
    gone = private if only_private else told_by_client
    note = "privacy calls" if only_private else "client"
    if stage.loud:
        stage.hide(places[gone])
        return f"all; {note}"
    person = platform.visits.person[visit]
    stage.hide(places[gone & (chance(person + stage.number, 95) < 0.5)])
    return f"half of the people; {note}"
