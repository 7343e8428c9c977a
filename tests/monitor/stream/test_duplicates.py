"""Deliveries of the same event again, against a slow and obvious reference."""

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.stream.duplicates import CONFLICT, Duplicates

SCHEMA = {"miniprogram.app_id": pl.String, "event.id": pl.String, "_hash": pl.UInt64}
ids = st.one_of(st.none(), st.sampled_from([f"e{number}" for number in range(12)]))
streams = st.lists(st.tuples(ids, st.integers(0, 2)), min_size=1, max_size=80)


def frame(stream):
    rows = [("wx1", name, content) for name, content in stream]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def marks(marked):
    return marked.select("_duplicate", CONFLICT).rows()


def reference(stream, capacity):
    young, old, out = {}, {}, []
    for name, content in stream:
        if name is None:
            out.append((False, False))
            continue
        said = young.get(name, old.get(name))
        out.append((said == content, said is not None and said != content))
        if said is None:
            young[name] = content
        if len(young) >= capacity:
            young, old = {}, young
    return out


@settings(max_examples=100, deadline=None)
@given(streams, st.sampled_from([2, 6, 20, 1000]))
def test_marks_are_those_of_the_reference(stream, window):
    assert marks(Duplicates(window).mark(frame(stream))) == reference(stream, max(window // 2, 1))


def test_what_a_larger_memory_remembers_is_taken_up_by_a_smaller_one_and_goes_in_time():
    larger, smaller = Duplicates(2000), Duplicates(100)
    events = [(f"e{number}", number) for number in range(1500)]
    larger.mark(frame(events))
    smaller.restore(larger.snapshot())
    assert all(again for again, _ in marks(smaller.mark(frame(events[1000:]))))
    smaller.mark(frame([(f"f{number}", number) for number in range(101)]))
    assert not any(again for again, _ in marks(smaller.mark(frame(events))))


@settings(max_examples=100, deadline=None)
@given(streams, st.sampled_from([2, 6, 20]), st.lists(st.integers(1, 20), min_size=1))
def test_cutting_stopping_and_resuming_change_nothing(stream, window, cuts):
    whole = marks(Duplicates(window).mark(frame(stream)))
    memory, parts, begin = Duplicates(window), [], 0
    while begin < len(stream):
        length = cuts[len(parts) % len(cuts)]
        parts.append(marks(memory.mark(frame(stream[begin : begin + length]))))
        begin += length
        state, memory = memory.snapshot(), Duplicates(window)
        memory.restore(state)
    assert [mark for part in parts for mark in part] == whole
