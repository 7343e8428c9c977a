"""A finding's numbers as a picture."""

import msgspec

from detectors.finding import Measured
from monitor.cli.picture import picture
from playbooks.testing import finding


def test_what_came_stands_beside_what_is_usual():
    measured = Measured("calls of getLocation", "rate", 80.0, 20.0, 6.0, 120)
    lines = picture(msgspec.structs.replace(finding(), measured=(measured,)))
    assert lines[0] == "calls of getLocation: 80 came, where 20 are usual (one in 1,000,000; learned for 5 days)"
    assert lines[1].count("█") == 10
    assert lines[2].count("█") == 40


def test_a_finding_of_a_rule_has_no_picture():
    assert picture(finding()) == []


def test_what_is_missing_is_a_thin_line():
    measured = Measured("calls of request", "silence", 0.0, 52.0, 5.1, 30)
    assert picture(msgspec.structs.replace(finding(), measured=(measured,)))[2] == "  came  ▏ 0"
