"""What every record must do with streams of turns: part of `monitor.testing.stores.check_store`."""

# ruff: noqa: S101 - assertions are how tests speak

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from monitor.stores import (
    Control,
    Detected,
    Fence,
    Fenced,
    Mark,
    Marked,
    SnapshotPlace,
    StaleTurn,
    StreamState,
    ToldRow,
    Turn,
)
from monitor.stores.record import Record

STREAM: Final = "kafka:calls/3"


def _turn(number: int, fence: Fence | None = None, **more: object) -> Turn:
    mark = Mark(watermark=number * 100, inputs=STREAM, position=number * 10)
    control = Control(subject="rules", digest=f"d{number}", content=b"c", positions={STREAM: number})
    turn = Turn(number=number, stream=STREAM, time=number, mark=mark, reached=number, controls=(control,), fence=fence)
    return msgspec.structs.replace(turn, **more)


def _check_apart(store: Record) -> None:
    stream = store.of_stream(STREAM)
    store.commit(Turn(number=1, time=7, mark=Mark(watermark=5, inputs="file:a")))
    for number in (1, 2):
        stream.commit(_turn(number, detected=b"left" if number == 2 else b""))
    assert (store.last_turn(), stream.last_turn(), store.of_stream("other").last_turn()) == (1, 2, 0)
    assert list(stream.marks(0)) == [Marked(1, 100, 10), Marked(2, 200, 20)]
    assert list(store.marks(0)) == [Marked(1, 5, 0)]
    assert ([one.digest for one in stream.controls("rules")], list(store.controls("rules"))) == (["d1", "d2"], [])
    assert list(store.streams()) == [StreamState(name=STREAM, turn=2, time=2, reached=2)]
    stream.forget_marks(2)
    assert ([mark.turn for mark in stream.marks(0)], [mark.turn for mark in store.marks(0)]) == ([2], [1])
    left = Detected(stream=STREAM, turn=2, time=2, body=b"left")
    assert list(store.detected({}, 9)) == [left]
    assert list(store.detected({STREAM: 2}, 9)) == []
    assert store.unanswered() == (1, 2)
    store.commit(Turn(number=2, answered=[(STREAM, 2)]))
    assert (list(store.detected({}, 9)), store.unanswered()) == ([], (0, None))
    store.read_out({STREAM: 50, "unknown": 60})
    store.read_out({STREAM: 40})
    assert [one.read_out for one in store.streams()] == [50]
    stream.commit(_turn(3, read_out=45))
    assert [one.read_out for one in store.streams()] == [50]
    stream.commit(_turn(4, read_out=70))
    assert [one.read_out for one in store.streams()] == [70]


def _check_fenced(store: Record) -> None:
    stream = store.of_stream(STREAM)
    first = store.seize(STREAM, "a", 1, 60)
    stream.commit(_turn(1, first))
    second = store.seize(STREAM, "b", 2, 60)
    _fenced(lambda: stream.commit(_turn(2, first)))
    _fenced(lambda: store.add_snapshot(_place(1, first), first))
    stream.commit(_turn(2, second))
    places = [_place(number, second) for number in (1, 2, 3)]
    assert [list(store.add_snapshot(place, second)) for place in places] == [[], [], [places[0]]]
    assert list(stream.snapshot_places()) == [places[2], places[1]]
    assert list(store.snapshot_places()) == []


def _check_together(store: Record) -> None:
    """Turns of several streams are written all or none, and of those that were refused the others can be given again."""
    names = [STREAM, "kafka:calls/4", "kafka:calls/5"]
    fences = [store.seize(name, "a", 1, 60) for name in names]

    def turns(number: int) -> list[Turn]:
        return [_turn(number, fence, stream=fence.name, controls=(), detected=b"left") for fence in fences]

    store.commit_together(turns(1))
    assert [one.turn for one in store.streams()] == [1, 1, 1]
    store.read_out({names[0]: 50})
    assert [one.read_out > 0 for one in store.streams()] == [True, False, False]
    other = store.seize(names[1], "b", 2, 60)
    second = turns(2)
    _fenced(lambda: store.commit_together(second))
    assert [one.turn for one in store.streams()] == [1, 1, 1]
    store.commit_together([second[0], second[2]])
    assert [(one.turn, one.read_out > 0) for one in store.streams()] == [(2, True), (1, False), (2, False)]
    assert [one.turn for one in store.detected({}, 9) if one.stream == names[1]] == [1]
    store.of_stream(names[1]).commit(_turn(2, other, stream=names[1]))
    for_good = _turn(3, fences[0])
    with suppress(StaleTurn):
        store.commit_together([second[2], for_good])
        raise AssertionError("a turn was written twice")
    assert store.of_stream(STREAM).last_turn() == 2


def _check_told(store: Record) -> None:
    stream = store.of_stream(STREAM)
    for number in (1, 2, 3):
        stream.commit(_turn(number, told=b"" if number == 2 else b"news"))
    first, last = (ToldRow(stream=STREAM, turn=number, reached=number, body=b"news") for number in (1, 3))
    assert list(store.detected({}, 9)) == []
    assert list(store.told({}, store.streams(), 9)) == [first, last]
    assert list(store.told({}, store.streams(), 1)) == [first]
    assert list(store.told({STREAM: 1}, store.streams(), 9)) == [last]
    assert store.gathered() is None
    fence = store.seize("respond", "a", 1, 60)
    store.keep_gathered(b"put together", {STREAM: 2}, 5, fence)
    assert (list(store.told({}, store.streams(), 9)), store.gathered()) == ([last], b"put together")
    store.keep_gathered(b"more", {STREAM: 3}, 6, fence)
    assert (list(store.told({}, store.streams(), 9)), store.gathered()) == ([], b"more")
    store.seize("respond", "b", 2, 60)
    _fenced(lambda: store.keep_gathered(b"old", {}, 7, fence))
    assert store.gathered() == b"more"


def _fenced(write: Callable[[], object]) -> None:
    with suppress(Fenced):
        write()
        raise AssertionError("a worker that has lost its partition has written")


def _place(turn: int, fence: Fence) -> SnapshotPlace:
    return SnapshotPlace(
        stream=STREAM, turn=turn, epoch=fence.epoch, position=1, time=1, bytes=9, place=f"p/{turn}", sha256="0"
    )


STREAM_LAWS: Final[tuple[Callable[[Record], None], ...]] = (_check_apart, _check_fenced, _check_together, _check_told)
