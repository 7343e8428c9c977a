"""How we ourselves are: our clock, our input, our record, our newest rules."""

import numpy as np
import pytest

from monitor.content.ages import RuleAges
from monitor.content.in_force import NO_PLAYBOOKS, InForce
from monitor.rules import LoadedRules, builtin_folder
from monitor.surroundings.condition import LETTERS_S, SETTLED_S, STALL_TOLD_S, Condition
from monitor.testing import scratch_store

NOON = 1_780_315_200 * 1_000_000
SECOND = 1_000_000
DAY_S = 86_400


class Clocks:
    """The clock on the wall, which somebody may set, and the one that only runs."""

    def __init__(self):
        self.wall, self.running = NOON, 1_000.0

    def go(self, seconds):
        self.wall += int(seconds * SECOND)
        self.running += seconds

    def condition(self, **fields):
        given = {"clock_off_s": 60, "lines_min": 100, **fields}
        return Condition(lambda: self.wall, running_s=lambda: self.running, **given)


@pytest.fixture
def clocks():
    return Clocks()


def test_a_clock_that_goes_as_it_should_is_not_off(clocks):
    condition = clocks.condition()
    for _ in range(50):
        clocks.go(977)
        assert condition.health().clock_off_s == 0


@pytest.mark.parametrize("jump_s", [-DAY_S, -61, 61, DAY_S])
def test_a_clock_that_jumps_is_off_until_it_has_settled(clocks, jump_s):
    condition = clocks.condition()
    clocks.wall += jump_s * SECOND
    assert condition.health().clock_off_s == pytest.approx(abs(jump_s))
    clocks.go(SETTLED_S - 1)
    assert condition.health().clock_off_s == pytest.approx(abs(jump_s))
    clocks.go(1)
    assert condition.health().clock_off_s == 0


def test_a_clock_that_jumps_there_and_back_is_off(clocks):
    condition = clocks.condition()
    for jump_s in (DAY_S, -DAY_S):
        clocks.wall += jump_s * SECOND
        assert condition.health().clock_off_s == pytest.approx(DAY_S)


def test_a_clock_that_is_corrected_by_seconds_is_not_off(clocks):
    condition = clocks.condition()
    clocks.wall += 59 * SECOND
    assert condition.health().clock_off_s == 0


def test_after_a_restart_a_clock_behind_what_was_written_is_off_until_it_has_caught_up(clocks):
    condition = clocks.condition(last_written=NOON + DAY_S * SECOND)
    assert condition.health().clock_off_s == DAY_S
    clocks.go(DAY_S)
    assert condition.health().clock_off_s == 0


def test_our_clock_is_off_when_most_of_what_arrives_is_ahead_of_it(clocks):
    condition = clocks.condition()
    condition.arrived(np.array([NOON + DAY_S * SECOND] * 3 + [NOON] * 2))
    assert condition.health().clock_off_s == DAY_S


def test_single_events_that_claim_to_have_arrived_tomorrow_do_not_stop_us(clocks):
    condition = clocks.condition()
    condition.arrived(np.array([NOON + DAY_S * SECOND] * 2 + [NOON] * 3))
    assert condition.health().clock_off_s == 0


def test_input_that_arrived_long_ago_is_late(clocks):
    condition = clocks.condition()
    condition.arrived(np.array([NOON - 30 * DAY_S * SECOND] * 5))
    assert condition.health().input_late_s == 30 * DAY_S


def test_the_part_of_lines_that_could_not_be_read_is_that_of_the_latest_minutes(clocks):
    condition = clocks.condition()
    condition.read(99, 99)
    assert condition.health().dead_letter_share == 0  # too few to say
    condition.read(99, 0)
    assert condition.health().dead_letter_share == 0.5
    clocks.go(LETTERS_S)
    assert condition.health().dead_letter_share == 0
    condition.read(1_000, 10)
    assert condition.health().dead_letter_share == pytest.approx(0.01)


def test_a_short_stall_neither_hides_a_long_one_before_it_nor_keeps_it_alive(clocks):
    condition = clocks.condition()
    condition.stalled(40.0)
    clocks.go(STALL_TOLD_S - 1)
    condition.stalled(0.2)
    assert condition.health().store_stalled_s == 40.0
    clocks.go(1)
    assert condition.health().store_stalled_s == 0.2


def test_a_stall_counts_for_a_while_after_it_is_over(clocks):
    condition = clocks.condition()
    condition.stalled(40.0)
    assert condition.health().store_stalled_s == 40.0
    clocks.go(STALL_TOLD_S)
    assert condition.health().store_stalled_s == 0


# Rules


class Rule:
    def __init__(self, name, version="1", path="/own/rules/x.yml"):
        self.id, self.version, self.path = name, version, path


def in_force(*rules):
    return InForce(LoadedRules(tuple(rules)), NO_PLAYBOOKS)


HOUR_US = 3_600 * SECOND


@pytest.fixture
def scratch(tmp_path):
    return scratch_store(tmp_path)


@pytest.fixture
def aged(scratch):
    clocks = Clocks()
    return RuleAges(scratch, lambda: clocks.wall, 3_600), clocks


def test_a_rule_is_new_for_an_hour_and_then_established(aged):
    ages, clocks = aged
    ages.take(in_force(Rule("a")))
    assert ages.new() == {"a": NOON}
    clocks.go(3_600)
    assert ages.new() == {}


def test_a_rule_of_the_program_is_established(aged):
    ages, _clocks = aged
    ages.take(in_force(Rule("a", path=f"{builtin_folder().path}/login/storm.yml")))
    assert ages.new() == {}


def test_a_rule_of_a_folder_whose_name_begins_like_the_programs_is_new(aged):
    ages, _clocks = aged
    ages.take(in_force(Rule("a", path=f"{builtin_folder().path}-of-ours/storm.yml")))
    assert ages.new() == {"a": NOON}


def test_a_changed_rule_is_new_and_the_others_stay_as_old_as_they_are(aged):
    ages, clocks = aged
    ages.take(in_force(Rule("a"), Rule("b")))
    clocks.go(3_600)
    ages.take(in_force(Rule("a", "2"), Rule("b")))
    assert ages.new() == {"a": NOON + HOUR_US}


def test_a_rule_that_was_out_of_force_is_new_again(aged):
    ages, clocks = aged
    ages.take(in_force(Rule("a"), Rule("b")))
    clocks.go(3_600)
    ages.take(in_force(Rule("b")))
    ages.take(in_force(Rule("a"), Rule("b")))
    assert ages.new() == {"a": NOON + HOUR_US}


def test_a_restart_does_not_make_rules_new(aged, scratch):
    ages, clocks = aged
    ages.take(in_force(Rule("a")))
    clocks.go(1_800)
    again = RuleAges(scratch, lambda: clocks.wall, 3_600)
    again.take(in_force(Rule("a")))
    assert again.new() == {"a": NOON}


def test_the_time_on_trial_counts(aged):
    ages, clocks = aged
    trial = type("Trial", (), {"rules": (Rule("a", "2"),)})()
    ages.take(InForce(LoadedRules((Rule("a", "1"),)), NO_PLAYBOOKS, trial))
    clocks.go(3_600)
    ages.take(in_force(Rule("a", "2")))
    assert ages.new() == {}
