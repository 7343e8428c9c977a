"""What may be seen of a text: the program's own words, small numbers and times, and nothing else."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from planted import PLANTED, is_in

from monitor.support.veil import LEFT_OUT, Veil, own_words

WORDS = own_words()


def seen(text, known=()):
    return Veil(WORDS, known).text(text)


AROUND = st.sampled_from(
    ["", "(", "'", '"', "source ", "paused by operator:", "held, because ", "12 of ", "last error: "]
)
AFTER = st.sampled_from(["", ")", "'", ".", ": the disk is full", " days late", "\nfile", ", 3 lines"])


@given(AROUND, PLANTED, AFTER)
@example("", "138 1234 5678", "")
@example("12 of ", "138 1234 5678", " days late")
@example("", "100::", "")
@example("(", "12:30::", ")")
def test_what_nobody_shall_see_is_never_seen(before, planted, after):
    assert not is_in(planted, seen(f"{before}{planted}{after}"))


@given(st.text())
def test_whatever_it_is_only_plain_characters_and_own_words_come_through(text):
    for word in seen(text).split():
        assert word.isascii() or word == LEFT_OUT or not any(one.isalnum() for one in word)


@pytest.mark.parametrize(
    "text",
    [
        "the pipeline has not moved for 31 s",
        "12,345 dead letters among 1,234,567 lines",
        "1.5 GiB free of 100.0 GiB",
        "whole, schema 0023, 0.7 MiB",
        "2026-03-02 08:00:00 to 2026-03-02T08:00:00.123456Z",
        "raise clock.lateness_s_max, or send sooner",
        "sqlite3.OperationalError: database is locked",
        "2 enforcements given up",
    ],
)
def test_what_the_program_says_is_seen_whole(text):
    assert seen(text) == text


@pytest.mark.parametrize("text", ["1380013", "138 0013", "1990-05-17", "192.0.2.1", "１２３", "a@b", "x:y", "３"])
def test_what_may_be_of_somebody_is_left_out(text):
    assert seen(text) == LEFT_OUT


def test_of_a_traceback_the_program_and_its_libraries_are_seen_and_nothing_else():
    told = (
        "Traceback (most recent call last):\n"
        '  File "/srv/zebulon/.venv/lib/python3.11/site-packages/monitor/durable.py", line 41, in publish\n'
        '  File "/srv/zebulon/.venv/lib/python3.11/site-packages/polars/dataframe/frame.py", line 7, in filter\n'
        '  File "/usr/lib/python3.11/json/decoder.py", line 355, in zebulon\n'
        '  File "/srv/zebulon/monitor/zebulon.py", line 3, in zebulon\n'
        "KeyError: 'zebulon'"
    )
    assert seen(told) == (
        "Traceback (most recent call last):\n"
        '  File "monitor/durable.py", line 41, in publish\n'
        '  File "site-packages/polars/dataframe/frame.py", line 7, in filter\n'
        f'  File "python3.11/json/decoder.py", line 355, in {LEFT_OUT}\n'
        f'  File "{LEFT_OUT}", line 3, in {LEFT_OUT}\n'
        f"KeyError: {LEFT_OUT}"
    )


@given(PLANTED, PLANTED)
def test_an_alias_is_the_same_for_the_same_and_tells_nothing(one, other):
    veil = Veil(WORDS, ["known-1"])
    first, second = veil.alias("source", one), veil.alias("source", other)
    assert (first == second) == (one == other)
    assert veil.alias("source", one) == first
    assert not is_in(one, first + second)
    assert veil.alias("rule", "known-1") == "known-1"
