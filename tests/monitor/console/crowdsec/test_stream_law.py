"""The law of the stream: however a bouncer asks, and whoever dies on the way, it ends with exactly what is in force."""

import contextlib
import json
import shutil
from itertools import islice

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.console.crowdsec import stream as module
from monitor.console.crowdsec.bouncers import Given
from monitor.console.crowdsec.places import Client, Places
from monitor.console.crowdsec.wanted import wanted
from monitor.responding.lifting import revoke
from monitor.stores import Turn
from monitor.stores.record import AlreadyEnded, NotFound
from monitor.testing import scratch_store, stored_decision
from playbooks.decision import Act

SECOND = 1_000_000
IDS = [f"d{number}" for number in range(4)]
TEN_DAYS_S = 864_000
CLIENT = Client(token="t", address="192.0.2.9", agent="bouncer/1", asks="")

ENDS = st.sampled_from(["well", "well", "torn", "client dies", "we die"])
CHANGES = st.one_of(
    st.tuples(st.just("decide"), st.sampled_from(IDS), st.sampled_from([1, 2, 3, 2 * TEN_DAYS_S])),
    st.tuples(st.just("revoke"), st.sampled_from(IDS), st.just(0)),
)
STEPS = st.one_of(
    CHANGES,
    CHANGES,
    st.tuples(st.just("time"), st.just(""), st.sampled_from([1, 2, 3, TEN_DAYS_S])),
    st.tuples(st.just("expire"), st.just(""), st.just(0)),
    st.tuples(st.just("poll"), ENDS, st.integers(0, 2)),
    st.tuples(st.just("poll"), ENDS, st.integers(0, 2)),
    st.tuples(st.just("poll amid"), CHANGES, st.integers(0, 5)),
    st.tuples(st.just("keep"), st.just(""), st.just(0)),
    st.tuples(st.just("restart"), st.just(""), st.just(0)),
)


class Bouncer:
    """A program that carries out what it is told, and whose acts outlive it.

    `is_whole`: it asks for all, and knows decisions by number; else by what CrowdSec's programs know them by. `new_first`: it does so
    in this order.
    """

    def __init__(self, *, is_whole, new_first):
        self.is_whole = is_whole
        self.new_first = new_first
        self.starts = True
        self.acts = {}

    def act(self, body):
        told = json.loads(body)
        for which in ("new", "deleted") if self.new_first else ("deleted", "new"):
            for one in told[which] or ():
                assert one["duration"].startswith("-") == (which == "deleted")
                self.acts.pop(self._key(one), None)
                if which == "new":
                    self.acts[self._key(one)] = one["id"]

    def _key(self, one):
        return one["id"] if self.is_whole else (one["value"], one["type"])


class World:
    """A record, the daemon's memory of places, a bouncer and a clock."""

    def __init__(self, folder, **bouncer):
        self.store = scratch_store(folder)
        self.places = Places(self.store)
        self.bouncer = Bouncer(**bouncer)
        self.now = 10**9 * SECOND
        self.turn = 0

    def step(self, kind, what, number):
        match kind:
            case "decide":
                self.decide(what, number)
            case "revoke":
                with contextlib.suppress(NotFound, AlreadyEnded):
                    revoke(self.store, what, actor="operator:ann", reason="a mistake", now=self.now)
            case "time":
                self.now += number * SECOND
            case "expire":
                self.store.expire_decisions(self.now)
            case "keep":
                self.places.keep()
            case "restart":
                self.places.keep()
                self.places = Places(self.store)
            case "poll":
                self.poll(what, number)
            case "poll amid":
                self.poll("well", number, meanwhile=what)

    def decide(self, key, lasts_s):
        """Three of four are of the same scope, value and type."""
        number = IDS.index(key)
        self.turn += 1
        made = stored_decision(
            key,
            time=self.now,
            expires=self.now + lasts_s * SECOND,
            target="getLocation" if number == 0 else None,
            type=Act.THROTTLE,
        )
        self.store.commit(Turn(number=self.turn, decisions=[made]))

    def poll(self, ends, pieces, meanwhile=None):
        starts, is_whole = self.bouncer.starts, self.bouncer.is_whole
        asked = wanted({}, "AppId")
        answer = Given(self.store, self.places, CLIENT, asked, self.now, starts=starts, is_whole=is_whole)
        body = answer.begun()
        if ends == "torn":  # some of it is written, and the bouncer throws it away
            for _ in range(pieces):
                next(body, None)
            return
        whole = b"".join(islice(body, pieces)) if meanwhile else b""
        if meanwhile:
            self.step(*meanwhile)
        whole += b"".join(body)
        answer.left()
        if ends == "we die":  # what has left us does not arrive, or it does and we forget that it left
            if pieces == 2:
                self.places.keep()
            self.places = Places(self.store)
            if pieces:
                return
        if ends == "client dies":
            self.bouncer.starts = True
            return
        self.bouncer.act(whole)
        self.bouncer.starts = False

    def in_force(self):
        longest = {}
        found = self.store.in_force_after(0, 1000, self.now)
        for one in sorted(found, key=lambda one: (one.decision.expires, one.number)):
            decision = one.decision
            kind = "throttle" if decision.target is None else f"throttle:{decision.target}"
            longest[one.number if self.bouncer.is_whole else (decision.value, kind)] = one.number
        return longest


@pytest.mark.parametrize("is_whole", [False, True], ids=["longest", "dedup=false"])
@pytest.mark.parametrize("page", [1, 500])
@settings(max_examples=150, deadline=None)
@example(  # of two the longer one goes: the other takes its place
    steps=[("decide", "d1", 3), ("decide", "d2", 2), ("poll", "well", 0), ("revoke", "d1", 0), ("poll", "well", 0)],
    new_first=False,
)
@example(  # it dies over the answer that tells the end, we stop in order, and it comes again when the end is long past
    steps=[
        ("decide", "d0", 1),
        ("poll", "well", 0),
        ("time", "", TEN_DAYS_S),
        ("expire", "", 0),
        ("poll", "client dies", 0),
        ("restart", "", 0),
    ],
    new_first=False,
)
@given(steps=st.lists(STEPS, max_size=30), new_first=st.booleans())
def test_however_a_bouncer_asks_it_ends_with_what_is_in_force(tmp_path_factory, page, is_whole, new_first, steps):
    folder = tmp_path_factory.mktemp("record")
    world = World(folder, is_whole=is_whole, new_first=new_first)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PAGE", page)
        for step in steps:
            world.step(*step)
        world.store.expire_decisions(world.now)
        world.poll("well", 0)
    assert world.bouncer.acts == world.in_force()
    world.store.close()
    shutil.rmtree(folder)


def test_a_decision_that_is_revoked_between_two_looks_at_the_record_spoils_no_answer(tmp_path, monkeypatch):
    world = World(tmp_path, is_whole=False, new_first=True)
    world.decide("d0", 9)
    world.decide("d1", 9)
    ask = world.store.crowded

    def late(entities, now):
        world.step("revoke", "d1", 0)
        return ask(entities, now)

    monkeypatch.setattr(world.store, "crowded", late)
    world.poll("well", 0)
    world.poll("well", 0)
    assert world.bouncer.acts == world.in_force() == {("wx0001", "throttle:getLocation"): 1}
    world.store.close()
