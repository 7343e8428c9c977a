"""A finding's numbers as a picture."""

import msgspec

from detectors.finding import Measured
from monitor.cli.picture import picture
from playbooks.testing import finding


def test_what_came_stands_beside_what_is_usual():
    measured = Measured(name="calls of getLocation", test="rate", value=80.0, usual=20.0, worth=6.0, learned_h=120)
    lines = picture(msgspec.structs.replace(finding(), measured=(measured,)))
    assert lines[0] == "calls of getLocation: 80 came, where 20 are usual (one in 1,000,000; learned for 5 days)"
    assert lines[1].count("█") == 10
    assert lines[2].count("█") == 40


def test_a_finding_of_a_rule_has_no_picture():
    assert picture(finding()) == []


def test_what_is_missing_is_a_thin_line():
    measured = Measured(name="calls of request", test="silence", value=0.0, usual=52.0, worth=5.1, learned_h=30)
    assert picture(msgspec.structs.replace(finding(), measured=(measured,)))[2] == "  came  ▏ 0"
