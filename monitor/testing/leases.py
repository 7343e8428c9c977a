"""The laws of leases that every record keeps, on whatever clock it goes: a lease lasts an hour here, or is over at once."""

# ruff: noqa: S101, S311 - assertions are how a battery speaks; chance is for trying, not for secrets

from __future__ import annotations

import random
import time
from threading import Barrier, Thread
from typing import Final

import msgspec

from monitor.clock import now_us
from monitor.stores import Fence, Fenced, Turn
from monitor.stores.record import Record

HOUR_S: Final = 3600.0
OVER_S: Final = 0.0
STEPS: Final = 150
ROUNDS: Final = 20


class _Held(msgspec.Struct):
    """What a lease should be."""

    holder: str = ""
    epoch: int = 0
    lasts: bool = False


def _check_every_sequence(store: Record) -> None:
    """Whatever is asked in whatever order: a name has one holder, and an epoch one too."""
    chance = random.Random(6)
    held = {name: _Held() for name in ("events/0", "events/1")}
    fences = [Fence("events/0", 0)]
    for _ in range(STEPS):
        name, holder = chance.choice([*held]), chance.choice(["ann", "bob"])
        for_s, fence = chance.choice([HOUR_S, HOUR_S, OVER_S]), chance.choice(fences[-6:])
        match chance.choice(["take", "seize", "renew", "hold on", "give up"]):
            case "take":
                got = store.take(name, holder, now_us(), for_s)
                assert got == _taken(held[name], name, holder, for_s, by_force=False)
                fences += [got] if got else []
            case "seize":
                seized = store.seize(name, holder, now_us(), for_s)
                assert seized == _taken(held[name], name, holder, for_s, by_force=True)
                fences.append(seized)
            case "renew":
                one = held[fence.name]
                may = one.epoch == fence.epoch and one.lasts
                assert store.renew(fence, now_us(), for_s) == may
                one.lasts = for_s > 0 if may else one.lasts
            case "hold on":
                one = held[fence.name]
                may = one.epoch == fence.epoch and bool(one.holder)
                assert store.renew(fence, now_us(), for_s, lapsed=True) == may
                one.lasts = for_s > 0 if may else one.lasts
            case _:
                store.give_up(fence)
                if held[fence.name].epoch == fence.epoch:
                    held[fence.name] = _Held(epoch=fence.epoch)
        _compare(store, held)


def _taken(one: _Held, name: str, holder: str, for_s: float, *, by_force: bool) -> Fence | None:
    if one.lasts and one.holder != holder and not by_force:
        return None
    one.epoch += by_force or not one.lasts
    one.holder, one.lasts = holder, for_s > 0
    return Fence(name, one.epoch)


def _compare(store: Record, held: dict[str, _Held]) -> None:
    now = store.agreed_time(now_us())
    there = {one.name: _Held(one.holder, one.epoch, one.until > now) for one in store.leases()}
    assert there == {name: one for name, one in held.items() if name in there}
    holders = {name: found.holder for name in held if (found := store.held(name, now)) is not None}
    assert holders == {name: one.holder for name, one in held.items() if one.lasts}
    assert all(one.epoch == 0 for name, one in held.items() if name not in there)


def _check_fences(store: Record) -> None:
    """A turn is written with the newest epoch alone; one that was refused leaves nothing."""
    ann = store.take("events/0", "ann", now_us(), HOUR_S)
    assert ann is not None
    store.commit(Turn(number=1, fence=ann))
    bob = store.seize("events/0", "bob", now_us(), HOUR_S)
    for fence in (ann, Fence("events/0", bob.epoch + 1), Fence("never", 1)):
        turn = Turn(number=2, fence=fence)
        for _ in range(2):
            assert not _fenced(store, turn).retryable
    assert store.last_turn() == 1
    store.commit(Turn(number=2, fence=bob))
    store.give_up(bob)
    assert not store.renew(bob, now_us(), HOUR_S, lapsed=True), "what was given up is held on to"
    assert store.take("events/0", "ann", now_us(), HOUR_S) == Fence("events/0", bob.epoch + 1)
    _fenced(store, Turn(number=3, fence=bob))


def _fenced(store: Record, turn: Turn) -> Fenced:
    try:
        store.commit(turn)
    except Fenced as error:
        return error
    raise AssertionError("a turn was written by who may not")


def _check_race(store: Record) -> None:
    """Once a name was seized nothing more is written by who held it before, whatever was under way."""
    fence = store.seize("events/0", "0", now_us(), HOUR_S)
    number = 0
    for round_ in range(ROUNDS):
        started = Barrier(2)
        zombie = Thread(target=_write_on, args=(store, fence, number, started))
        zombie.start()
        started.wait()
        fence = store.seize("events/0", str(round_ + 1), now_us(), HOUR_S)
        number = store.last_turn()
        zombie.join()
        assert store.last_turn() == number, "a turn was written after another had taken over"
        store.commit(Turn(number=number + 1, fence=fence))
        number += 1


def _write_on(store: Record, fence: Fence, last: int, started: Barrier) -> None:
    """Commit one turn after another until it is refused."""
    try:
        while True:
            last += 1
            store.commit(Turn(number=last, fence=fence))
            time.sleep(0.001)  # SQLite lets others in only between: without a pause one may wait for longer than it may
            if not started.broken and started.n_waiting:
                started.wait()
    except Fenced:
        return


LEASE_LAWS: Final = (_check_every_sequence, _check_fences, _check_race)
