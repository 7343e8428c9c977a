"""Alarms are held against the truth as `score` says."""

import math

import pytest
from score import EPISODE_US, Alarm, Run, poisson, score, wilson
from staging import Incident
from traits import DAY_US, HOUR_US

BEGIN, END = 7 * DAY_US, 10 * DAY_US


def incident(start, end, kind="bots", variant="loud", entities=(("AppId", "a"),), related=()):
    return Incident(kind=kind, behaviour=22, variant=variant, start=start, end=end, entities=entities, related=related, events=5, busy="busy", cohort="all")  # fmt: skip


def run(labels, *alarms):
    return Run(
        labels, [Alarm(scope, value, time, "d") for scope, value, time in alarms], apps=100, begin=BEGIN, end=END
    )


def test_an_alarm_belongs_from_the_start_until_an_hour_after_the_end():
    one = incident(8 * DAY_US, 8 * DAY_US + HOUR_US)
    at = [8 * DAY_US - 1, 8 * DAY_US, 8 * DAY_US + 2 * HOUR_US, 8 * DAY_US + 2 * HOUR_US + 1]
    told = [score([run([one], ("AppId", "a", time))]) for time in at]
    assert [report.found[0].found for report in told] == [0, 1, 1, 0]
    assert [report.right[0].false for report in told] == [1, 0, 0, 1]


def test_naming_another_entity_of_its_events_is_right_too():
    one = incident(8 * DAY_US, 9 * DAY_US, related=(("OpenId", "u"),))
    report = score([run([one], ("OpenId", "u", 8 * DAY_US + HOUR_US), ("OpenId", "v", 8 * DAY_US + HOUR_US))])
    assert (report.found[0].found, report.right[0].right, report.right[0].false) == (1, 1, 1)


def test_the_delay_is_until_the_first_alarm():
    one = incident(8 * DAY_US, 9 * DAY_US)
    report = score([run([one], ("AppId", "a", 8 * DAY_US + 5 * HOUR_US), ("AppId", "a", 8 * DAY_US + 2 * HOUR_US))])
    assert report.found[0].delays_h == [2.0]


def test_alarms_about_one_entity_within_a_day_are_one_episode():
    first = 8 * DAY_US
    alarms = [("AppId", "b", first + shift) for shift in (0, HOUR_US, EPISODE_US, EPISODE_US + 1)]
    assert score([run([], *alarms)]).right[0].episodes == 2


def test_what_is_said_in_the_quiet_days_counts_only_when_it_is_right():
    ramp = incident(DAY_US, 9 * DAY_US, kind="ramp")
    report = score([run([ramp], ("AppId", "a", 2 * DAY_US), ("AppId", "b", 2 * DAY_US))])
    assert (report.right[0].episodes, report.right[0].right) == (1, 1)


def test_false_alarms_are_told_for_a_thousand_apps_and_a_day():
    report = score([run([], ("AppId", "b", 8 * DAY_US), ("AppId", "c", 8 * DAY_US), ("AppId", "d", 8 * DAY_US))] * 2)
    assert report.right[0].false_per_1000 == pytest.approx(6 / 600 * 1_000)
    assert report.right[0].precision == 0.0


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [(0, 0.0, 3.688879), (1, 0.025318, 5.571643), (10, 4.795389, 18.390356), (400, 361.75, 441.19)],
)
def test_intervals_of_rates_are_those_of_the_books(count, low, high):
    assert poisson(count) == pytest.approx((low, high), rel=1e-4, abs=1e-9)


def test_intervals_of_shares_are_those_of_the_books():
    assert wilson(8, 10) == pytest.approx((0.490162, 0.943318), abs=1e-5)
    assert wilson(0, 0) == (0.0, 1.0)


def test_the_tables_name_kinds_and_detectors():
    one = incident(8 * DAY_US, 9 * DAY_US)
    told = score(
        [
            run(
                [one, incident(9 * DAY_US, 9 * DAY_US, variant="quiet", entities=(("AppId", "z"),))],
                ("AppId", "a", 8 * DAY_US + HOUR_US),
            )
        ]
    ).markdown()
    assert "| bots | loud | 1 | 1 | 1.00 | 0.21 to 1.00 | 60 min | 60 min |" in told
    assert "| all | quiet | 1 | 0 | 0.00 | 0.00 to 0.79 | – | – |" in told
    assert "| d | 1 | 1 | 1.00 |" in told
    assert math.isnan(score([run([])]).right[0].precision)
