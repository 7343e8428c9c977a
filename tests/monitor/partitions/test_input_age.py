"""How late the input is that findings come from, for whoever answers them: told by all that comes, not by what is found in it."""

import pytest
from partition_site import NOW, Site, local_lineup, log_of
from test_answers import Answers

from monitor.partitions.leaving import CLOCKS_US
from monitor.partitions.order import arrivals_of
from monitor.stores import StreamState, Turn

MINUTE = 60_000_000
NAMES = ("kafka:calls/0", "kafka:calls/1")


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path, log_of([], 2), local_lineup())
    yield site
    site.kept.store.close()


@pytest.fixture
def answers(site):
    answers = Answers(site)
    yield answers
    answers.opened.__exit__(None, None, None)


def reads(site, number, reached):
    """A turn of each stream in which nothing is found."""
    for name in NAMES:
        site.kept.store.of_stream(name).commit(Turn(number=number, stream=name, time=NOW, reached=reached))


def late_s(answers):
    answers.daemon.pipeline.turn()
    return answers.daemon.pipeline._around.condition.health().input_late_s


def test_input_in_which_nothing_is_found_is_not_late(site, answers):
    reads(site, 1, NOW - 20 * MINUTE)
    assert late_s(answers) == 1_200.0
    reads(site, 2, NOW)
    assert late_s(answers) == 0.0
    assert answers.daemon.pipeline.ailments() == ()


def test_who_decides_no_more_knows_nothing_of_the_input(site, answers):
    reads(site, 1, NOW - 20 * MINUTE)
    assert late_s(answers) == 1_200.0
    site.kept.store.seize("respond", "another", NOW, 60.0)
    answers.daemon.pipeline._renewed_at = 0.0
    assert late_s(answers) == 0.0
    assert not answers.daemon.pipeline.leads


def stream(reached, read_out):
    return StreamState(name=f"{reached}/{read_out}", turn=1, time=NOW, reached=reached, read_out=read_out)


def test_a_partition_to_which_nothing_comes_is_as_far_as_the_others():
    idle, never, busy = stream(NOW - 90 * MINUTE, NOW), stream(0, NOW), stream(NOW - MINUTE, NOW)
    assert arrivals_of([idle, never, busy], NOW) == [NOW - MINUTE] * 3


def test_one_that_has_not_taken_its_log_is_only_as_far_as_it_came():
    behind, busy = stream(NOW - 90 * MINUTE, NOW - 80 * MINUTE), stream(NOW, NOW)
    assert arrivals_of([behind, busy], NOW) == [NOW - 80 * MINUTE - CLOCKS_US, NOW]


def test_where_nothing_comes_to_any_the_last_event_tells():
    assert arrivals_of([stream(NOW - 90 * MINUTE, NOW), stream(NOW - 30 * MINUTE, NOW)], NOW) == [NOW - 30 * MINUTE] * 2
    assert arrivals_of([stream(0, NOW)], NOW) == []
