"""Who waits for room at the doors: in turns, within a time, and for what is still in use."""

import asyncio
import threading

import pytest

from monitor.console import budget
from monitor.console.budget import Budget, Busy
from monitor.console.lanes import Lane
from monitor.console.lines import MadeLines, Outgrown


async def used(room, size, owner, order, name):
    async with room.spent(size, owner):
        order.append(name)
        await asyncio.sleep(0)


def test_owners_take_turns_and_of_one_the_first_is_the_first():
    async def story():
        room, order = Budget(10, "bodies"), []
        async with room.spent(10, "a"):
            asked = [("a", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5), ("b", 6)]
            waiting = [asyncio.create_task(used(room, 10, owner, order, name)) for owner, name in asked]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        return order, room.take_now(10)

    assert asyncio.run(story()) == ([1, 4, 5, 2, 6, 3], True)


def test_who_waits_too_long_or_goes_takes_nothing_and_keeps_nobody_waiting(monkeypatch):
    monkeypatch.setattr(budget, "WAIT_S_MAX", 0.05)

    async def story():
        room, order = Budget(10, "bodies"), []
        async with room.spent(8, "a"):
            first = asyncio.create_task(used(room, 10, "a", order, "first"))
            gone = asyncio.create_task(used(room, 10, "b", order, "gone"))
            await asyncio.sleep(0)
            gone.cancel()
            last = asyncio.create_task(used(room, 2, "c", order, "last"))
            with pytest.raises(Busy):
                await first
            await last
        return order, room.take_now(10)

    assert asyncio.run(story()) == (["last"], True)


def test_what_is_made_counts_until_the_thread_is_done_with_it():
    begun, go_on = threading.Event(), threading.Event()

    def make():
        begun.set()
        go_on.wait(5)

    async def story():
        lane = Lane("test")

        async def asked():
            async with lane.turn("a"):
                await lane.run(make)

        task = asyncio.create_task(asked())
        await asyncio.to_thread(begun.wait, 5)
        task.cancel()
        await asyncio.sleep(0.05)
        is_held = not task.done() and not lane._turns.take_now(1)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        return is_held, lane._turns.take_now(1)

    assert asyncio.run(story()) == (True, True)


@pytest.mark.parametrize("sizes", [[], [3], [300_000], [200_000] * 8, [1, 700_000, 2]])
def test_lines_come_out_as_they_went_in(sizes):
    given = [b"x" * size for size in sizes]
    lines = MadeLines(2 << 20, b"\n")
    for line in given:
        lines.add(line)
    assert bytes(lines.content()) == b"".join(line + b"\n" for line in given)


def made(lines, bytes_max):
    taken = MadeLines(bytes_max)
    for line in lines:
        taken.add(line)
    return taken.content()


@pytest.mark.parametrize("size", [10, 400_000])
def test_no_more_lines_are_made_than_may_be(size):
    assert len(made([b"x" * size] * 3, 3 * size)) == 3 * size
    with pytest.raises(Outgrown):
        made([b"x" * size] * 4, 3 * size)
