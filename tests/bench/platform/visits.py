"""Who visits which app when: people who come back, their devices, and the addresses that they share with others."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import polars as pl
from population import CELL_US
from traits import DAY_US, HOUR_US, LOCAL_US, chance, hour_of_day, names, number, weekday

REGIONS = ("CN", "HK", "SG", "MY", "US", "JP", "MO")
REGION_SHARES = np.cumsum([0.88, 0.035, 0.025, 0.02, 0.015, 0.015, 0.01])
SYSTEMS = ("Android", "Android", "Android", "iOS", "iOS", "HarmonyOS")
SCENES = np.array([1001, 1001, 1089, 1089, 1089, 1007, 1008, 1011, 1036, 1053, 1005, 1154, 1014])
SHARED_SCENES = (1007, 1008, 1044)
NOBODY = -1
# Kinds of address; the number within the kind stands below.
HOME, SIX, OFFICE, CARRIER, SERVER = range(5)
KIND = 2**40
POOL = 2**20
"""People of one app are numbered from here times its index."""


@dataclass
class Visits:
    """Sessions, one a place in each array."""

    app: np.ndarray
    person: np.ndarray  # of the platform, or NOBODY
    local: np.ndarray  # the same person among those of the app
    device: np.ndarray
    address: np.ndarray
    region: np.ndarray
    begin: np.ndarray
    scene: np.ndarray
    first: np.ndarray  # the person's first visit of the app
    turn: np.ndarray  # which version of the app
    id: np.ndarray

    def take(self, which):
        return Visits(*(getattr(self, field.name)[which] for field in fields(self)))

    def changed(self, **arrays):
        """The same with other values in some of its arrays; each visit gets what stands at its place."""
        told = {field.name: getattr(self, field.name) for field in fields(self)} | arrays
        return Visits(**{name: np.broadcast_to(np.asarray(value), len(self)).copy() for name, value in told.items()})

    def __len__(self):
        return len(self.app)


def together(*parts):
    return Visits(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Visits)))


class People:
    """The people of the platform: the same number is always the same person."""

    def __init__(self, population):
        self.population = population
        self.salt = population.salt
        self.count = max(500, int(population.count * population.days * 9))
        self.offices = max(4, self.count // 150)
        self.carriers = max(3, self.count // 900)

    def person(self, app, local):
        return number(np.asarray(app) * POOL + local + self.salt, 21, self.count)

    def region(self, person):
        return np.searchsorted(REGION_SHARES, chance(person + self.salt, 22), side="right").clip(0, len(REGIONS) - 1)

    def device(self, person, visit):
        """One device, and for some a second one that they take now and then."""
        second = (chance(person + self.salt, 23) < 0.12) & (chance(visit, 24) < 0.3)
        return person * 2 + second

    def address(self, app, person, begin, visit):
        """Home, by either protocol; the office at work; a carrier's gate under way, another one each day."""
        population = self.population
        day, hour = (begin + LOCAL_US) // DAY_US, hour_of_day(begin)
        home = np.where(chance(person + self.salt, 25) < 0.4, SIX * KIND + person, HOME * KIND + person)
        region = self.region(person)
        gate = CARRIER * KIND + number(person + day * 104_729 + self.salt, 26, self.carriers) + region * 1_000
        draw = chance(visit + self.salt, 27)
        at_work = (weekday(begin) < 5) & (hour > 8.3) & (hour < 18.5)
        desk = OFFICE * KIND + number(person + self.salt, 28, self.offices)
        own_desk = OFFICE * KIND + self.offices + app * 3 + number(person, 29, 3)
        employed = chance(person + self.salt, 30) < 0.4
        place = np.where(draw < 0.27, gate, home)
        place = np.where(at_work & employed & (draw > 0.45), desk, place)
        return np.where(population.office[app] & at_work & (draw < 0.8), own_desk, place)

    def turn(self, app, person, begin):
        """Which version runs: a new one reaches people's devices over hours."""
        delay_h = -np.log1p(-chance(person + self.salt, 31)) * self.population.uptake_h[app]
        taken = self.population.deploys[:, app] + (delay_h * HOUR_US).astype(np.int64)
        return (begin >= taken).sum(axis=0)

    def visits(self, app, local, begin, scene, first, ids):
        """Visits of given people, with all that follows from who they are."""
        app, local, begin, ids = (np.asarray(column, dtype=np.int64) for column in (app, local, begin, ids))
        person = self.person(app, local)
        return Visits(
            app=app,
            person=person,
            local=local,
            device=self.device(person, ids),
            address=self.address(app, person, begin, ids),
            region=self.region(person),
            begin=begin,
            scene=np.broadcast_to(scene, len(app)).copy(),
            first=np.broadcast_to(first, len(app)).copy(),
            turn=self.turn(app, person, begin),
            id=ids,
        )


def daily(population, people, occasions, cells, busyness):
    """All honest visits of people, by the time at which they begin."""
    rng = population.rng(4)
    lifted = busyness * occasions.lift(cells)
    day = (cells - population.start) // DAY_US
    days = rng.lognormal(0, population.noise_day[:, None], (population.count, population.days))
    shape = population.noise_cell[:, None]
    drawn = rng.poisson(lifted * days[:, day] * rng.gamma(shape, 1 / shape, lifted.shape))
    app = np.repeat(np.arange(population.count), drawn.sum(axis=1))
    cell = np.repeat(np.tile(cells, population.count), drawn.ravel())
    begin = cell + (rng.random(len(cell)) * CELL_US).astype(np.int64)
    extra = occasions.sessions()
    new = rng.random(len(app)) < population.newcomers[app] * np.where(population.office[app], 0.1, 1.0)
    scene = rng.choice(SCENES, len(app))
    app, begin = np.concatenate([app, extra.app]), np.concatenate([begin, extra.begin])
    new, scene = np.concatenate([new, extra.new]), np.concatenate([scene, extra.scene])
    inside = begin < population.end
    app, begin, new, scene = (column[inside] for column in (app, begin, new, scene))
    order = np.lexsort((begin, app))
    app, begin, new, scene = app[order], begin[order], new[order], scene[order]
    local = _locals(population, rng, app, new)
    order = np.argsort(begin, kind="stable")
    ids = np.arange(len(order))
    visits = people.visits(app[order], local[order], begin[order], scene[order], new[order], ids)
    return _at_tills(population, visits)


def _locals(population, rng, app, new):
    """The number of each visit's person in the app: the next one, or an old one, the eager ones more often."""
    begun = np.searchsorted(app, np.arange(population.count))
    joined = np.cumsum(new)
    before = np.concatenate([[0], joined])[begun][app]
    known = population.regulars[app] + joined - before
    back = (known * rng.random(len(app)) ** 1.8).astype(np.int64)
    return np.where(new, known - 1, np.minimum(back, np.maximum(known - 1, 0)))


def _at_tills(population, visits):
    """In shops with tills most people pay at one of its few devices, all from its address."""
    at_till = population.till[visits.app] & (chance(visits.id, 33) < 0.6)
    till = visits.app * 8 + number(visits.id, 34, 1 + visits.app % 5)
    return visits.changed(
        device=np.where(at_till, KIND + till, visits.device),
        address=np.where(at_till, OFFICE * KIND + 2**15 + visits.app * 8 + visits.app % 3, visits.address),
    )


def identity(population, visits):
    """The columns that all events of a visit share."""
    app, salt = visits.app, population.salt
    known = pl.Series(visits.person != NOBODY)
    users = names(visits.person * 65_536 + app + salt, 41)
    return pl.DataFrame(
        {
            "miniprogram.app_id": population.app_ids[app],
            "miniprogram.developer_id": population.developer_ids[app],
            "miniprogram.category": population.categories[app],
            "miniprogram.version": population.versions[visits.turn, app],
            "miniprogram.scene": visits.scene.astype(np.int64),
            "source.geo.country_iso_code": np.array(REGIONS)[visits.region],
            "host.os.name": np.array(SYSTEMS)[number(visits.device, 42, len(SYSTEMS))],
            "source.ip": addresses(visits.address),
            "device.id": names(visits.device + salt, 43),
            "session.id": names(visits.id + salt, 45),
        }
    ).with_columns(pl.when(known).then(users).alias("user.id"))


def addresses(places):
    """Texts of addresses, all from ranges set aside for documentation and measurements."""
    distinct, which = np.unique(places, return_inverse=True)
    kind, low = np.divmod(distinct, KIND)
    frame = pl.DataFrame({"kind": kind, "low": low})
    low = pl.col("low")
    text = (
        pl.when(pl.col("kind") == HOME)
        .then(pl.format("198.18.{}.{}", low // 256 % 256, low % 256))
        .when(pl.col("kind") == SIX)
        .then(pl.format("2001:db8:{}:{}::1", low // 10_000, low % 10_000))
        .when(pl.col("kind") == OFFICE)
        .then(pl.format("198.19.{}.{}", low // 256 % 256, low % 256))
        .when(pl.col("kind") == CARRIER)
        .then(pl.format("100.64.{}.{}", low // 256 % 256, low % 256))
        .otherwise(pl.format("192.0.2.{}", low % 256))
    )
    return frame.select(text.alias("ip")).to_series()[which]
