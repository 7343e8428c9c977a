"""Malformed lines of every kind, mixed into a stream at places that the seed settles."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

LINE_BYTES_MAX: Final = 1_048_576  # the usual limit of a line; a line too long is just above it
DEPTHS: Final = (1_500, 6_000, 40_000)


class BadKind(StrEnum):
    """What is wrong with a line."""

    BROKEN_JSON = "broken-json"
    NOT_AN_OBJECT = "not-an-object"
    WRONG_TYPE = "wrong-type"
    INVALID_UTF8 = "invalid-utf8"
    LONE_SURROGATE = "lone-surrogate"
    DUPLICATE_KEY = "duplicate-key"
    TOO_DEEP = "too-deep"
    TOO_LONG = "too-long"
    EMPTY_LINE = "empty-line"
    MISSING_TIMESTAMP = "missing-timestamp"
    BAD_TIMESTAMP = "bad-timestamp"


def _line(
    number: int, *, time: bytes = b'"@timestamp":"2026-03-02T00:00:00.000Z",', event: bytes = b"", rest: bytes = b""
) -> bytes:
    """An event that would be good, but for what is passed."""
    told = event or b'"event":{"id":"bad%08x","dataset":"miniprogram.api","action":"showToast"}' % number
    return b"{" + time + told + b',"miniprogram":{"app_id":"wx0000000000000bad"}' + rest + b"}"


def _broken(number: int) -> bytes:
    whole = _line(number)
    return (whole[: 20 + number % (len(whole) - 25)], whole[:-1] + b',"x":}', whole + b"}", whole[:-1] + b",}")[
        number % 4
    ]


def _not_an_object(number: int) -> bytes:
    return (b"[1,2,3]", b'"event"', b"42", b"null", b"true", b"[]")[number % 6]


def _wrong_type(number: int) -> bytes:
    wrong = (
        b'"event":"login"',
        b'"event":{"id":{"a":%d}}' % number,
        b'"event":{"id":"bad%08x","dataset":{"a":1}}' % number,
        b'"event":{"action":{}}',
    )
    return _line(number, event=wrong[number % 4])


def _invalid_utf8(number: int) -> bytes:
    bad = (b"\xff\xfe", b"\xc0\xaf", b"\xe4\xb8", b"\xed\xa0\x80", b"\x80")[number % 5]
    return _line(number, rest=b',"message":"' + bad + b'"')


def _lone_surrogate(number: int) -> bytes:
    bad = (b"\\ud83d", b"\\ude00", b"x\\ud83dx", b"\\udc00\\ud83d")[number % 4]
    return _line(number, rest=b',"message":"' + bad + b'"')


def _duplicate_key(number: int) -> bytes:
    twice = (
        b',"@timestamp":"2026-03-02T00:00:01.000Z"',
        b',"miniprogram":{"app_id":"wx1111111111111bad"}',
        b',"user":{"id":"a","id":"b"}',
    )
    return _line(number, rest=twice[number % 3])


def _too_deep(number: int) -> bytes:
    depth = DEPTHS[number % len(DEPTHS)]
    opened, closed = (b"[", b"]") if number % 2 else (b'{"a":', b"}")
    return _line(number, rest=b',"labels":' + opened * depth + b"1" + closed * depth)


def _too_long(number: int) -> bytes:
    return _line(number, rest=b',"message":"' + b"a" * LINE_BYTES_MAX + b'"')


def _empty(number: int) -> bytes:  # noqa: ARG001  # same shape as its fellows
    return b""


def _missing_timestamp(number: int) -> bytes:
    return _line(number, time=(b"", b'"timestamp":"2026-03-02T00:00:00Z",')[number % 2])


def _bad_timestamp(number: int) -> bytes:
    times = (b"yesterday", b"2026-13-45T00:00:00Z", b"2026-03-02T25:61:00Z", b"", b"02/03/2026 10:00")
    return _line(number, time=b'"@timestamp":"' + times[number % 5] + b'",')


MAKERS: Final[dict[BadKind, Callable[[int], bytes]]] = {
    BadKind.BROKEN_JSON: _broken,
    BadKind.NOT_AN_OBJECT: _not_an_object,
    BadKind.WRONG_TYPE: _wrong_type,
    BadKind.INVALID_UTF8: _invalid_utf8,
    BadKind.LONE_SURROGATE: _lone_surrogate,
    BadKind.DUPLICATE_KEY: _duplicate_key,
    BadKind.TOO_DEEP: _too_deep,
    BadKind.TOO_LONG: _too_long,
    BadKind.EMPTY_LINE: _empty,
    BadKind.MISSING_TIMESTAMP: _missing_timestamp,
    BadKind.BAD_TIMESTAMP: _bad_timestamp,
}
HEAVY: Final = frozenset({BadKind.TOO_LONG, BadKind.TOO_DEEP})
"""Kinds of large lines: never more of them than the least number of each."""


def bad_lines(blocks: Iterable[bytes], events: int, seed: int, share: float, least: int = 20) -> tuple[Iterator[bytes], dict[BadKind, int]]:  # fmt: skip
    """The stream with bad lines put between its own, and how many of each kind there are.

    `share` is their number in proportion to `events`, the lines of `blocks`; of every kind there are at least `least`.
    A share of zero leaves the stream as it is.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}, must be between 0 and 1")
    if share == 0:
        return iter(blocks), dict.fromkeys(BadKind, 0)
    rng = np.random.default_rng([seed % 2**63, 40])
    light = [kind for kind in BadKind if kind not in HEAVY]
    extra = max(0, round(share * events) - least * len(BadKind))
    drawn = rng.integers(0, len(light), extra)
    kinds = np.array([kind for kind in BadKind for _ in range(least)] + [light[index] for index in drawn], dtype=object)
    rng.shuffle(kinds)
    places = np.sort(rng.integers(0, events + 1, len(kinds)))
    truth = {kind: int((kinds == kind).sum()) for kind in BadKind}
    return _mixed(blocks, kinds.tolist(), places.tolist()), truth


def _mixed(blocks: Iterable[bytes], kinds: list[BadKind], places: list[int]) -> Iterator[bytes]:
    passed = turn = 0
    for block in blocks:
        count = block.count(b"\n")
        if turn == len(places) or places[turn] >= passed + count:
            yield block
            passed += count
            continue
        lines = block.split(b"\n")[:-1]
        out, begin = [], 0
        while turn < len(places) and places[turn] < passed + count:
            cut = places[turn] - passed
            out += lines[begin:cut]
            out.append(MAKERS[kinds[turn]](turn))
            begin, turn = cut, turn + 1
        yield b"\n".join(out + lines[begin:]) + b"\n"
        passed += count
    for number in range(turn, len(places)):
        yield MAKERS[kinds[number]](number) + b"\n"
