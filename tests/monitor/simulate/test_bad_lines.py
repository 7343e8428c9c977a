import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.simulate import BadKind, bad_lines, simulate
from monitor.simulate.bad import LINE_BYTES_MAX, MAKERS


def good(count, block=50):
    for begin in range(0, count, block):
        yield b"".join(b'{"n":%d}\n' % n for n in range(begin, min(count, begin + block)))


@given(st.integers(0, 400), st.floats(0.01, 1.0), st.integers(0, 2), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_the_good_lines_stay_in_order_and_the_bad_are_as_many_as_told(events, share, least, seed):
    mixed, truth = bad_lines(good(events), events, seed, share, least)
    lines = b"".join(mixed).split(b"\n")[:-1]
    kept = [line for line in lines if line.startswith(b'{"n":')]
    assert kept == b"".join(good(events)).split(b"\n")[:-1]
    assert len(lines) - len(kept) == sum(truth.values()) == max(round(share * events), least * len(BadKind))
    assert min(truth.values()) >= least


def test_the_same_seed_puts_the_same_lines_at_the_same_places():
    first, _ = bad_lines(good(500), 500, 1, 0.2, 1)
    again, _ = bad_lines(good(500), 500, 1, 0.2, 1)
    assert b"".join(first) == b"".join(again)


def test_there_are_at_least_twenty_of_each_kind():
    _, truth = bad_lines(good(10), 10, 1, 0.01)
    assert set(truth) == set(BadKind)
    assert min(truth.values()) == 20


def test_a_share_of_nothing_changes_nothing():
    mixed, truth = bad_lines(good(20), 20, 1, 0.0)
    assert b"".join(mixed) == b"".join(good(20))
    assert not sum(truth.values())


def test_bad_lines_differ_from_the_stream_they_are_in():
    events = 3_000
    mixed, truth = bad_lines(simulate(1, events), events, 1, 0.05, 2)
    counts = Counter(b'"bad' in line or not line for line in b"".join(mixed).split(b"\n")[:-1])
    assert sum(counts.values()) == events + sum(truth.values())


def readable(line):
    """The line as Python's own reader takes it, or why not."""
    try:
        return json.loads(line.decode())
    except (ValueError, RecursionError) as problem:
        return problem


@pytest.mark.parametrize("number", range(12))
def test_each_bad_line_is_bad_in_its_own_way(number):
    for kind in (BadKind.BROKEN_JSON, BadKind.EMPTY_LINE, BadKind.INVALID_UTF8, BadKind.TOO_DEEP):
        assert isinstance(readable(MAKERS[kind](number)), Exception), kind
    for kind in (BadKind.MISSING_TIMESTAMP, BadKind.BAD_TIMESTAMP, BadKind.DUPLICATE_KEY, BadKind.WRONG_TYPE):
        assert isinstance(readable(MAKERS[kind](number)), dict), kind
    assert not isinstance(readable(MAKERS[BadKind.NOT_AN_OBJECT](number)), dict)
    assert "@timestamp" not in readable(MAKERS[BadKind.MISSING_TIMESTAMP](number))
    with pytest.raises(UnicodeEncodeError):
        json.dumps(readable(MAKERS[BadKind.LONE_SURROGATE](number)), ensure_ascii=False).encode()


def test_no_bad_line_holds_a_line_end():
    assert not [kind for kind in BadKind for number in range(40) if b"\n" in MAKERS[kind](number)]


def test_only_lines_too_long_are_longer_than_a_line_may_be():
    for kind in BadKind:
        lengths = [len(MAKERS[kind](number)) for number in range(6)]
        assert (min(lengths) > LINE_BYTES_MAX) if kind is BadKind.TOO_LONG else (max(lengths) < LINE_BYTES_MAX)


def test_a_share_beyond_one_is_refused():
    with pytest.raises(ValueError, match="share"):
        bad_lines(good(1), 1, 1, 1.5)
