"""How visits go: the pages that people walk through at their own pace, what fails on the way, and what is tried again."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from traits import US, chance, drawn, scramble

MS_US = US // 1_000
PAGES_MAX = 60
# How an event ended; `FATES` in `telling` says it in columns.
FINE, MISSING, BROKEN, GATEWAY, UNAVAILABLE, TIMED_OUT, FORBIDDEN, DENIED, UNDECLARED, CANCELLED, DECLINED, BAD_CODE, TOO_OFTEN = range(13)  # fmt: skip
FATES_COUNT = TOO_OFTEN + 1
BY_STATUS = {500: BROKEN, 502: GATEWAY, 503: UNAVAILABLE, 504: TIMED_OUT}


@dataclass
class Rows:
    """Events as numbers, one a place in each array."""

    visit: np.ndarray
    step: np.ndarray
    time: np.ndarray
    page: np.ndarray  # number of the page as it was shown; what a page speaks of follows from it
    fate: np.ndarray

    def take(self, which):
        return Rows(*(getattr(self, field.name)[which] for field in fields(self)))

    def __len__(self):
        return len(self.step)


def joined(*parts):
    return Rows(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Rows)))


def walks(population, table, rng, visits, occasions):
    """The pages of each visit: (visit, page) arrays in the order of walking."""
    count, app = len(visits), visits.app
    heavy = np.exp(rng.normal(0, 0.75, count)) * population.pages_mean[app]
    inner = np.minimum(1 + rng.poisson(heavy), PAGES_MAX)
    inner = np.where(np.isin(visits.scene, (1007, 1011, 1047)) & visits.first, np.minimum(inner, 3), inner)
    visit = np.repeat(np.arange(count), inner + 2)
    last = np.cumsum(inner + 2) - 1
    begin = last - inner - 1
    page = drawn(population.mixes, app[visit] * 3 + visits.turn[visit], rng.random(len(visit)))
    named = table.page_named
    # Most begin at home; on a holiday's evening more of what they do is buying.
    page[begin + 1] = np.where(rng.random(count) < 0.6, named("home"), page[begin + 1])
    checkouts = population.mixes[app * 3, named("checkout")] - population.mixes[app * 3, named("checkout") - 1] > 0
    buying = occasions.pays_more(visits.begin) & checkouts & (rng.random(count) < 0.25)
    page[last[buying] - 1] = named("checkout")
    morning = population.office[app] & (chance(visits.address, 51) < 0.9)
    fresh = rng.random(count) < np.where(morning, 0.8, population.login_share[app])
    start = np.where(visits.first, named("launch-first"), np.where(fresh, named("launch-login"), named("launch")))
    page[begin] = np.where(~visits.first & ~fresh & (rng.random(count) < 0.2), named("resume"), start)
    page[last] = named("hide")
    return visit, page


def lay_out(population, table, rng, visits, visit, page, first_page):
    """Events of walked pages, each at its time; pages are numbered from `first_page`."""
    lengths = table.lengths[page]
    instance = np.repeat(np.arange(len(page)), lengths)
    within = np.arange(len(instance)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    step = table.begins[page][instance] + within
    kept = rng.random(len(step)) < table.chance[step]
    kept &= ~table.flags["answered"][step] | np.concatenate([[False], kept[:-1]])
    instance, step = instance[kept], step[kept]
    of = visit[instance]
    app, person = visits.app[of], visits.person[of]
    gap_ms = table.gap_ms[step] * rng.lognormal(0, 0.45, len(step))
    human = table.flags["human"][step]
    speed = np.exp(0.5 * (chance(person, 52) * 3.4 - 1.7))
    thinking = 4_500 * speed * population.pace[app] * rng.lognormal(0, 0.9, len(step))
    pause = np.where(rng.random(len(step)) < 0.025, 20_000 * (1 + rng.pareto(1.4, len(step))), 0).clip(0, 1_500_000)
    gap_ms += np.where(human, thinking + pause, 0)
    elapsed = np.cumsum(gap_ms)
    place = np.flatnonzero(np.diff(of, prepend=-1))
    base = np.repeat(elapsed[place] - gap_ms[place], np.diff(np.append(place, len(of))))
    time = visits.begin[of] + (elapsed - base).astype(np.int64) * MS_US
    page_id = first_page + instance
    fate = _fates(population, table, visits, of, step, page_id)
    rows = Rows(of, step, time, page_id, fate)
    failed = np.zeros(len(page), dtype=bool)
    asked = table.flags["ask"][step] & (fate != FINE)
    failed[instance[asked]] = True
    unpaid = table.flags["paid"][step] & failed[instance]
    return rows.take(~unpaid)


def _fates(population, table, visits, of, step, page):
    """How each event ends on an ordinary day."""
    app, person = visits.app[of], visits.person[of]
    key = page * 64 + step
    draw = chance(key, 53)
    fate = np.zeros(len(step), dtype=np.int8)
    flaky = population.flaky[app]
    shares = np.cumsum([np.full(len(draw), 0.003), np.full(len(draw), 0.0015), flaky * 0.6, flaky * 0.4], axis=0)
    trouble = np.select(list(draw < shares), [MISSING, FORBIDDEN, BROKEN, TIMED_OUT], FINE)
    fate = np.where(table.network[step], trouble, fate)
    unwilling = chance(person * 8_191 + app, 54) < population.denials[app]
    scoped = np.select([unwilling, draw < 0.001], [DENIED, UNDECLARED], FINE)
    fate = np.where(table.flags["scope"][step], scoped, fate)
    paying = np.select([draw < 0.11, draw < 0.11 + population.declines[app]], [CANCELLED, DECLINED], FINE)
    fate = np.where(table.flags["ask"][step], paying, fate)
    fate = np.where(
        table.flags["login"][step], np.select([draw < 0.012, draw < 0.0125], [BAD_CODE, TOO_OFTEN], FINE), fate
    )
    return answered(table, step, fate)


def answered(table, step, fate):
    """Fates where a server's line ends like the request before it."""
    before = np.concatenate([[FINE], fate[:-1]])
    return np.where(table.flags["answered"][step], before, fate).astype(np.int8)


def with_outages(population, table, rng, visits, rows, outages):
    """What fails while servers do, and the tries that follow; `rows` in the order of visits."""
    ours = table.network[rows.step] & np.isin(table.host[rows.step], (0, 2, 3, 4))
    app = visits.app[rows.visit]
    fate, tries = rows.fate.copy(), population.retries[app]
    for outage in outages:
        during = ours & (app == outage.app) & (rows.time >= outage.begin) & (rows.time < outage.end)
        during &= rng.random(len(rows)) < outage.share
        fate[during] = BY_STATUS[outage.status]
        if outage.tries:
            tries = np.where(during, outage.tries, tries)
    rows = Rows(rows.visit, rows.step, rows.time, rows.page, answered(table, rows.step, fate))
    return joined(rows, _tried_again(table, rng, rows, tries))


def _tried_again(table, rng, rows, tries):
    """Repeated requests, each later than the one before; the last one may succeed."""
    failed = np.flatnonzero(table.network[rows.step] & np.isin(rows.fate, (BROKEN, GATEWAY, UNAVAILABLE, TIMED_OUT)))
    times = tries[failed]
    source = np.repeat(failed, times)
    turn = np.arange(len(source)) - np.repeat(np.cumsum(times) - times, times)
    delay_ms = 1_200 * 1.7**turn * rng.lognormal(0, 0.15, len(source))
    good = (turn + 1 == tries[source]) & (rng.random(len(source)) < 0.4)
    again = rows.take(source)
    again.time = again.time + (delay_ms * MS_US).astype(np.int64)
    again.fate = np.where(good, FINE, again.fate).astype(np.int8)
    again.page = (scramble(again.page * 16 + turn, 55) >> np.uint64(2)).astype(np.int64)
    following = np.minimum(source + 1, len(rows) - 1)
    line = rows.take(following)
    seen = table.flags["answered"][line.step] & (line.visit == again.visit) & (again.fate != TIMED_OUT)
    line.time, line.page, line.fate = again.time + 70 * MS_US, again.page, again.fate
    return joined(again, line.take(seen))
