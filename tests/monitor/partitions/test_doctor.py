"""What `miniwatch doctor` says of workers: who is on which partition, who answers, and what holds answers up."""

import pytest
from partition_site import NOW, Site, local_lineup, log_of, told_lines
from test_answers import Answers

from monitor.cli.opening import Opened, is_attended
from monitor.cli.working import shared, signs_of
from monitor.clock import now_us
from monitor.partitions.opening import HELD_S
from monitor.stores import Turn

SECOND = 1_000_000
MINUTE = 60 * SECOND


@pytest.fixture(scope="module")
def lineup():
    return local_lineup()


@pytest.fixture
def site(tmp_path, lineup):
    """Two workers on two partitions each, all of which is read; what they have found waits."""
    site = Site(tmp_path, log_of(told_lines(11, 1500), 4), lineup, snapshot_s=0.0)
    for name, numbers in (("here:1", (0, 1)), ("there:2", (2, 3))):
        worker, group = site.worker(name)
        group.assign(*(f"kafka:calls/{number}" for number in numbers))
        site.read_out(worker)
    return site


def signs(site, after=0):
    """By what they are about, so long after the moment in which all the work was done."""
    opened, work = looked_at(site, after)
    return {} if work is None else {one.what: one for one in signs_of(opened, work)}


def looked_at(site, after):
    opened = Opened(site.config, site.kept.places, site.kept.store)
    return opened, shared(opened, NOW + after, running=False)


def test_each_partition_has_who_works_on_it_and_how_old_its_last_turn_is(site):
    found = signs(site, 5 * SECOND)
    assert found["workers"].found == "2 processes on 4 of 4 partitions"
    assert found["kafka:calls/1"].found.startswith("here:1: turn ")
    assert found["kafka:calls/2"].found.startswith("there:2: turn ")
    assert ", 5 s ago" in found["kafka:calls/2"].found
    assert {one.state for name, one in found.items() if name != "answers"} == {"ok"}


def test_a_partition_that_nobody_works_on_while_others_go_on_is_a_problem_and_holds_answers_up(site):
    others = [f"kafka:calls/{number}" for number in (0, 1, 2)]
    site.kept.store.read_out(dict.fromkeys(others, NOW + 10 * MINUTE))
    found = signs(site, 10 * MINUTE)
    assert found["workers"].found == "2 processes on 3 of 4 partitions"
    assert found["kafka:calls/3"].state == "problem"
    assert found["kafka:calls/3"].found == "nobody has worked on it for 10 min; there:2 had it last"
    assert found["order of answers"].state == "warning"
    assert found["order of answers"].found.startswith("kafka:calls/3 has come to ")
    assert "each finding of others waits 30 s for it" in found["order of answers"].found


def test_a_partition_that_was_just_given_to_a_worker_is_at_work_before_its_first_turn(site):
    site.kept.store.seize("kafka:calls/4", "here:1", NOW, HELD_S)
    assert signs(site)["workers"].found == "2 processes on 5 of 5 partitions"
    assert (signs(site)["kafka:calls/4"].state, signs(site)["kafka:calls/4"].found) == ("ok", "here:1: no turn yet")
    site.kept.store.read_out(dict.fromkeys(site.log.partitions, NOW + 5 * MINUTE))
    assert signs(site, 5 * MINUTE)["kafka:calls/4"].found == "nobody has worked on it for 5 min; here:1 had it last"
    site.kept.store.seize("kafka:calls/0", "there:2", NOW + 10 * MINUTE, HELD_S)
    assert signs(site, 10 * MINUTE)["kafka:calls/0"].found.startswith("there:2: turn ")


def test_a_partition_that_the_topic_has_no_more_is_no_problem_and_in_the_end_holds_nobody_up(site):
    names = list(site.log.partitions)
    site.kept.store.read_out(dict.fromkeys(names[:3], NOW + 60 * MINUTE))
    there = dict.fromkeys(names[:3], 0)
    told = {one.what: one for one in signs_of(*looked_at(site, 60 * MINUTE), lambda _opened: there)}
    assert told["kafka:calls/3"].state == "warning"
    assert "1 h" in told["kafka:calls/3"].found
    site.kept.store.read_out(dict.fromkeys(names[:3], NOW + 25 * 60 * MINUTE))
    told = {one.what: one for one in signs_of(*looked_at(site, 25 * 60 * MINUTE), lambda _opened: there)}
    assert told["kafka:calls/3"].state == told["order of answers"].state == "ok"


def test_where_nobody_works_at_all_it_is_said_once(site):
    found = signs(site, 60 * MINUTE)
    assert found["workers"].state == "warning"
    assert found["workers"].found.startswith("nobody has worked on any of 4 partitions for 1 h")
    assert found["answers"].state == "warning"
    assert not any(name.startswith("kafka:") for name in found)
    assert "order of answers" not in found


def test_that_nobody_answers_is_a_problem_until_somebody_does(site):
    turns, first = site.kept.store.unanswered()
    assert (turns > 0, first) == (True, NOW)
    nobody = signs(site, 20 * SECOND)["answers"]
    assert (nobody.state, nobody.found) == (
        "problem",
        f"nobody answers; findings of {turns} turns wait, the first for 20 s",
    )
    answers = Answers(site)
    answers.work()
    holder = answers.daemon.pipeline.holder
    assert (signs(site)["answers"].state, signs(site)["answers"].found) == ("ok", f"{holder} answers; nothing waits")
    assert signs(site, 20 * SECOND)["answers"].found == "nobody answers; nothing waits"
    answers.close()
    assert signs(site)["answers"].found == "nobody answers; nothing waits"


def test_findings_that_wait_though_somebody_answers_are_a_problem(site):
    site.kept.store.seize("respond", "here:9", NOW, 3600.0)
    assert signs(site, 80 * SECOND)["answers"].state == "ok"
    assert signs(site, 100 * SECOND)["answers"].state == "problem"


def test_memory_that_is_not_written_down_any_more_is_told(site):
    assert signs(site, 30 * SECOND)["snapshots"].found.startswith("of 4 of 4 partitions, ")
    stream = site.kept.store.of_stream("kafka:calls/0")
    stream.commit(Turn(number=stream.last_turn() + 1, stream="kafka:calls/0", time=NOW + 60 * MINUTE))
    site.kept.store.read_out(dict.fromkeys(site.log.partitions, NOW + 60 * MINUTE))
    told = signs(site, 60 * MINUTE)["snapshots"]
    assert told.state == "warning"
    assert told.found.endswith("; none of kafka:calls/0 for 1 h")


def test_whoever_answers_does_what_commands_ask_for_wherever_he_is(site):
    opened = Opened(site.config, site.kept.places, site.kept.store)
    assert not is_attended(opened)
    lease = site.kept.store.seize("respond", "there:1", now_us(), 15.0)
    assert is_attended(opened)
    site.kept.store.give_up(lease)
    assert not is_attended(opened)


def test_a_record_of_one_process_has_no_workers(site):
    opened = Opened(site.config, site.kept.places, site.kept.store)
    assert shared(opened, NOW, running=True) is None
    site.kept.store.seize("respond", "here:1 --role all 0123", NOW, 15.0)
    assert signs(site) == {}
