r"""``%name%`` in a value with ``expand`` is any of the values that the configuration gives."""

from __future__ import annotations

import pytest

from detectors.sigma import Reading, SigmaDetector, parse_rules
from detectors.testing import batch

GIVEN = {
    "admins": ["root", "adm_*"],
    "one": ["x"],
    "dots": ["a.b", "c*d", "(e"],
    "nets": ["10.0.0.0/8", "2001:db8::/32"],
    "path": ["C:\\"],
    "none": [],
    "star": ["*"],
    "many": [str(number) for number in range(200)],
}


def parsed(sigma, detection, given=GIVEN):
    return parse_rules([("a.yml", sigma.text({"s": detection}))], Reading(given))


def hits(sigma, detection, *events):
    found = parsed(sigma, detection)
    assert not found.problems, [str(problem) for problem in found.problems]
    rows = SigmaDetector(found.rules).matches(batch(*({"event.dataset": "miniprogram.api", **one} for one in events)))
    true = {row for one in rows.values() for row in one.tolist()}
    return [place in true for place in range(len(events))]


M = "message"


@pytest.mark.parametrize(
    ("key", "value", "true", "false"),
    [
        ("|expand", "%admins%", ["root", "ADM_x"], ["user", "%admins%"]),
        ("|expand", ["%admins%", "me"], ["root", "me"], ["user"]),
        ("", "%admins%", ["%admins%"], ["root"]),
        ("|expand", "%one%-%admins%", ["x-root", "X-adm_1"], ["x-", "root"]),
        ("|expand|contains", "%one%", ["axb"], ["ab"]),
        ("|contains|expand", "%one%", ["axb"], ["ab"]),
        ("|expand|endswith", "\\%one%", ["a%one%"], ["a\\x", "ax"]),
        ("|expand", "\\%plain%one%", ["%plainx"], ["%plain%one%"]),
        ("|expand", "a\\\\%one%", ["a\\x"], ["ax"]),
        ("|expand", "100% sure", ["100% sure"], ["100"]),
        ("|expand", "%one", ["%one"], ["x"]),
        ("|expand|startswith", "%path%Windows", ["c:\\windows\\x"], ["c:windows"]),
        ("|expand", "%path%*", ["c:\\anything"], ["c:*"]),
        ("|contains|all|expand", ["%admins%", "y"], ["root y", "yadm_"], ["root", "y"]),
        ("|expand|cased", "%one%", ["x"], ["X"]),
        ("|re|expand", "^%dots%$", ["a.b", "cxxd", "(e"], ["axb", "A.B", "cd!"]),
        ("|re|expand|i", "^%dots%$", ["A.B"], ["axb"]),
        ("|re|expand", "^\\%one%$", ["%one%"], ["x", "\\x"]),
        ("|re|expand", "^(%admins%)-\\d$", ["root-1", "adm_me-2"], ["root"]),
        ("|expand|neq", "%admins%", ["user"], ["root"]),
        ("|expand", "%star%", ["anything", ""], []),
        ("|expand|base64", "%one%", ["eA=="], ["x"]),
        ("|windash|contains|expand", " -%one%", ["y /x"], ["y x"]),
        ("|expand|windash|contains", " -%one%", ["y /x", "y -x"], ["y x"]),
        ("|expand", "%many%", ["0", "199"], ["200"]),
    ],
)
def test_a_placeholder_is_any_of_its_values(sigma, key, value, true, false):
    events = [{M: text} for text in (*true, *false)]
    assert hits(sigma, {M + key: value}, *events) == [True] * len(true) + [False] * len(false)


def test_a_placeholder_may_be_a_network_or_a_field(sigma):
    events = [{"source.ip": "10.1.1.1"}, {"source.ip": "2001:db8::7"}, {"source.ip": "11.1.1.1"}]
    assert hits(sigma, {"source.ip|cidr|expand": "%nets%"}, *events) == [True, True, False]
    assert hits(sigma, {M + "|fieldref|expand": "%one%"}, {M: "a", "x": "a"}, {M: "a", "x": "b"}) == [True, False]


def test_keywords_and_fields_of_the_same_name_take_placeholders(sigma):
    assert hits(sigma, {"|expand": "%one%y"}, {M: "axyb"}, {M: "a"}) == [True, False]
    both = {M + "|expand|startswith": "%one%", M + "|startswith": "xy"}
    assert hits(sigma, both, {M: "xyz"}, {M: "xz"}) == [True, False]
    assert hits(sigma, {M + "|expand": "%one%", M: "y"}, {M: "x"}, {M: "y"}) == [False, False]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({M + "|expand": "%nobody%"}, "found the placeholder %nobody%, which has no values; give them under [rules.placeholders]"),
        ({M + "|re|expand": "%nobody%"}, "%nobody%"),
        ({M + "|expand": "%none%"}, "%none% has no values"),
        ({M + "|expand": "%many%%many%%many%"}, "stand for 8000000 values; at most 10000"),
        ({M + "|expand|within": "%one%"}, "Unknown modifier"),
        ({M + "|cidr|expand": "%one%"}, "CIDR"),
        ({M + "|expand|contains": ["%many%%many%", "%many%%many%"]}, "at most"),
    ],
)  # fmt: skip
def test_a_placeholder_that_cannot_be_resolved_is_refused_with_its_line(sigma, value, said):
    (problem,) = parsed(sigma, value).problems
    assert said in problem.message
    assert problem.line == 7


def test_the_version_follows_the_values_of_the_placeholders_that_a_rule_names(sigma):
    def version(given):
        return parsed(sigma, {M + "|expand": "%one%"}, given).rules[0].version

    assert version({"one": ["x"]}) == version({"one": ["x"], "other": ["y"]}) != version({"one": ["y"]})
