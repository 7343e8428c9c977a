import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from monitor.cli.opening import configuration
from monitor.cli.rule_files import rule_starting, unique_digits
from monitor.content.in_force import rules_of

RULE = """title: Call of evil
id: 0b7a6a53-6ff2-4f8c-a4a8-1f0f2f6d3c11
logsource: {product: miniprogram, category: api}
detection:
  sel: {miniprogram.api: evil}
  condition: sel
level: high
"""
EVENT = {"@timestamp": "2026-03-02T00:00:00Z", "event.dataset": "miniprogram.api", "miniprogram.api": "evil"}


@pytest.fixture
def rule(fresh):  # in a folder of its own, with its twin and a configuration that names it
    folder = fresh.folder / "rules"
    (folder / "evil").mkdir(parents=True)
    (folder / "evil.yml").write_text(RULE)
    (folder / "evil" / "hit.jsonl").write_text(json.dumps(EVENT) + "\n")
    (folder / "evil" / "miss.jsonl").write_text(json.dumps({**EVENT, "miniprogram.api": "login"}) + "\n")
    (fresh.folder / "c.toml").write_text(f'[rules]\nfolders = ["{folder}"]\nbuiltin = false\n')
    return folder / "evil.yml"


def test_the_rules_that_come_with_the_program_are_right(fresh):
    assert "0 problems, 0 warnings" in fresh("rules", "check", "--strict").stderr
    assert len(fresh("rules", "list", "-o", "ndjson").stdout.splitlines()) > 50


def test_a_broken_rule_is_told_with_file_and_line(fresh, rule):
    rule.write_text(RULE.replace("condition: sel", "condition: other"))
    told = fresh("rules", "check", str(rule), code=1).stdout
    assert told.startswith(f"{rule}:6: ")


@pytest.mark.parametrize("command", ["check", "test"])
def test_a_path_without_a_rule_is_a_problem_that_says_what_is_there(fresh, rule, command):
    (fresh.folder / "empty").mkdir()
    twin, empty, nowhere = rule.with_suffix(""), fresh.folder / "empty", fresh.folder / "nope"
    told = fresh("rules", command, str(twin), str(empty), str(nowhere), code=1).stdout.splitlines()
    assert told == [
        f"{twin} holds a twin; did you mean {rule}?",
        f"no rule file (*.yml) under {empty}",
        f"{nowhere}: there is no such file or folder",
    ]


def test_a_rule_without_a_twin_is_well_formed_and_cannot_be_loaded(fresh, rule):
    missing = rule.with_suffix("") / "miss.jsonl"
    missing.unlink()
    result = fresh("rules", "check", str(rule), code=1)
    assert f"{rule}: well formed, but its twin is missing: {missing}; " in result.stdout
    assert "0 rules can be loaded, 1 problem, 3 warnings." in result.stderr
    assert fresh("rules", "test", str(rule), code=1).stdout.startswith(f"{missing}: is not there")


def test_a_problem_of_a_whole_file_has_no_line(fresh, rule):
    rule.unlink()
    rule.symlink_to("/dev/null")
    config = str(fresh.folder / "c.toml")
    for asked in ((str(rule),), ("-c", config)):
        assert fresh("rules", "check", *asked, code=1).stdout.startswith(f"{rule}: cannot be read: ")


def test_a_rule_that_does_what_its_twin_says_passes(fresh, rule):
    assert "1 rule file tested, 0 failures" in fresh("rules", "test", str(rule)).stderr
    assert "1 rule file tested, 0 failures" in fresh("rules", "test", "-c", str(fresh.folder / "c.toml")).stderr


def test_a_failing_twin_names_the_line_and_the_part_that_failed(fresh, rule):
    with (rule.with_suffix("") / "hit.jsonl").open("a") as twin:
        twin.write(json.dumps({**EVENT, "miniprogram.api": "good"}) + "\n")
    told = fresh("rules", "test", str(rule), code=1).stdout
    assert "hit.jsonl:2: must match and does not" in told
    assert "good" in told


@pytest.mark.usefixtures("rule")
def test_a_rule_explains_itself_on_an_event_from_outside(fresh):
    config = str(fresh.folder / "c.toml")
    yes = fresh("rules", "explain", "evil", "-", "-c", config, stdin=json.dumps(EVENT).encode()).stdout
    assert "Call of evil" in yes
    assert "matches" in yes.splitlines()[0]
    (fresh.folder / "e.json").write_text(json.dumps({**EVENT, "miniprogram.api": "login"}))
    no = fresh("rules", "explain", "0b7a", f"@{fresh.folder}/e.json", "-c", config).stdout
    assert "does not match" in no
    assert "found 'login'" in no


def test_a_rule_explains_itself_on_an_event_of_the_archive(miniwatch):
    finding = next(
        row
        for row in miniwatch.rows("findings", "list")
        if row["evidence"]["event_ids"] and row["evidence"]["count"] == 1
    )
    told = miniwatch.here("rules", "explain", finding["rule"]["id"], finding["evidence"]["event_ids"][0]).stdout
    assert "matches" in told


def test_values_of_a_rule_are_shown_as_they_were_written(fresh, rule):
    rule.write_text(RULE.replace("api: evil", 'api|startswith: ["EvilCall", "otherCall*"]'))
    twin = json.dumps({**EVENT, "miniprogram.api": "evilcall1"})
    (rule.with_suffix("") / "hit.jsonl").write_text(twin + "\n")
    told = fresh("rules", "explain", "evil", "-", "-c", str(fresh.folder / "c.toml"), stdin=twin.encode()).stdout
    assert "starts with 'EvilCall'" in told
    assert "found 'evilcall1'" in told


def test_a_rule_that_asks_the_registry_says_when_there_is_none(fresh):
    call = json.dumps({**EVENT, "miniprogram.app_id": "wx1"}).encode()
    asked = ("rules", "explain", "3f719bd8", "-")
    assert "no registry was imported" in fresh.here(*asked, stdin=call).stderr
    (fresh.folder / "apps.ndjson").write_text('{"app_id":"wx2"}\n')
    fresh.here("apps", "import", str(fresh.folder / "apps.ndjson"))
    assert "the registry does not know wx1" in fresh.here(*asked, stdin=call).stderr
    assert "registry" not in fresh.here(*asked, stdin=call.replace(b"wx1", b"wx2")).stderr


@pytest.mark.usefixtures("rule")
def test_what_is_no_event_is_refused(fresh):
    config = str(fresh.folder / "c.toml")
    assert "this is no event" in fresh("rules", "explain", "evil", "-", "-c", config, code=2, stdin=b"[]").stderr


@pytest.mark.usefixtures("rule")
def test_a_rule_is_shown_with_its_text(fresh):
    told = fresh("rules", "show", "evil", "-c", str(fresh.folder / "c.toml")).stdout
    assert "condition: sel" in told
    assert (
        json.loads(fresh("rules", "show", "0b7a", "-c", str(fresh.folder / "c.toml"), "-o", "ndjson").stdout)[
            "severity"
        ]
        == "high"
    )


def test_warnings_are_told_with_their_code_and_fail_only_when_asked_to(fresh, rule):
    rule.write_text(RULE.replace("api: evil}", "api: evil}\n  other: {miniprogram.api: worse}"))
    told = fresh("rules", "check", str(rule))
    assert told.stdout.splitlines()[-1] == (f"{rule}:6: warning: unused-detection: the condition never uses 'other'")
    assert "1 rule can be loaded, 0 problems, 4 warnings." in told.stderr
    fresh("rules", "check", "--strict", str(rule), code=1)
    rows = [json.loads(line) for line in fresh("rules", "check", str(rule), "-o", "ndjson").stdout.splitlines()]
    assert rows[-1] == {
        "kind": "warning",
        "code": "unused-detection",
        "path": str(rule),
        "line": 6,
        "rule": "0b7a6a53-6ff2-4f8c-a4a8-1f0f2f6d3c11",
        "message": "the condition never uses 'other'",
    }


def junit(fresh, *words, code=0):
    """What ``--junit`` writes, in the shape that build servers expect: counts, and a case for each rule file."""
    fresh("rules", "test", *words, "--junit", str(fresh.folder / "out.xml"), code=code)
    root = ET.parse(fresh.folder / "out.xml").getroot()  # noqa: S314 - our own file
    (suite,) = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    cases = list(suite)
    for node in (root, suite):
        assert int(node.attrib["tests"]) == len(cases)
        assert int(node.attrib["failures"]) == sum(case.find("failure") is not None for case in cases)
        assert int(node.attrib["errors"]) == sum(case.find("error") is not None for case in cases)
        assert float(node.attrib["time"]) >= 0
    for case in cases:
        assert case.tag == "testcase"
        assert {"name", "classname", "time"} <= case.attrib.keys()
        assert all(part.tag in {"failure", "error"} and {"message", "type"} <= part.attrib.keys() for part in case)
    return cases


def test_results_for_build_servers_have_a_case_for_each_rule_file(fresh, rule):
    (case,) = junit(fresh, str(rule))
    assert (case.attrib["name"], case.attrib["classname"].split(".")[-1], list(case)) == ("evil", "rules", [])


def test_a_failure_for_build_servers_has_what_was_expected_and_the_event(fresh, rule):
    other = json.dumps({**EVENT, "miniprogram.api": "good\x1b"})
    with (rule.with_suffix("") / "hit.jsonl").open("a") as twin:
        twin.write(other + "\n")
    (case,) = junit(fresh, str(rule), code=1)
    (failure,) = case
    assert failure.attrib["message"].startswith(f"{rule.with_suffix('')}/hit.jsonl:2: must match and does not: ")
    assert failure.text.splitlines()[-1] == f"event: {other}"
    rule.write_text("title: [")
    (case,) = junit(fresh, str(rule), code=1)
    assert [part.tag for part in case] == ["error"]


@pytest.mark.usefixtures("rule")
def test_an_explanation_for_programs_is_a_tree(fresh):
    asked = ("rules", "explain", "evil", "-", "-c", str(fresh.folder / "c.toml"), "-o", "ndjson")
    row = json.loads(fresh(*asked, stdin=json.dumps(EVENT).encode()).stdout)
    assert (row["rule"], row["matches"]) == ("0b7a6a53-6ff2-4f8c-a4a8-1f0f2f6d3c11", True)
    assert [part["true"] for part in row["why"]["parts"]] == [True, True]
    assert row["why"]["parts"][1]["found"] == "evil"


def test_rules_are_held_against_the_events_of_the_archive(miniwatch, tmp_path):
    (tmp_path / "r.yml").write_text(RULE.replace("miniprogram.api: evil", "miniprogram.apl: evil"))
    told = miniwatch.here("rules", "check", str(tmp_path / "r.yml"), code=1)
    assert "events of the archive looked at." in told.stderr
    (line,) = [line for line in told.stdout.splitlines() if "unseen-field" in line]
    assert line.startswith(f"{tmp_path}/r.yml:5: warning: unseen-field: miniprogram.apl: none of ")
    assert line.endswith("they carry miniprogram.api")
    assert "unseen" not in miniwatch.here("rules", "check", str(tmp_path / "r.yml"), "--events", "0", code=1).stdout


def test_rules_are_held_against_events_of_a_file(fresh, rule):
    lines = [json.dumps({**EVENT, "event.id": str(number)}) + "\n" for number in range(1_000)]
    (fresh.folder / "e.ndjson").write_text("".join(lines))
    told = fresh.here("rules", "check", str(rule), "--source", f"file:{fresh.folder}/e.ndjson").stdout
    assert "over-broad: 'Call of evil' is true of 100.0% of 1,000 events" in told


def test_a_filter_is_checked_against_the_rules_that_the_configuration_names(fresh, rule):
    narrowing = rule.with_name("ours.yml")
    text = "title: ours\nlogsource: {{product: miniprogram}}\nfilter: {{rules: [{}], s: {{a: b}}, condition: not s}}\n"
    narrowing.write_text(text.format("0b7a6a53-6ff2-4f8c-a4a8-1f0f2f6d3c11"))
    config = str(fresh.folder / "c.toml")
    assert fresh("rules", "check", str(narrowing), "-c", config).stdout == ""
    assert "1 rule file tested, 0 failures" in fresh("rules", "test", "-c", config).stderr
    assert "found the id" not in fresh("rules", "check", str(rule.parent), "-c", config).stdout
    narrowing.write_text(text.format("nobody"))
    assert (
        f"{narrowing}:3: ours: it narrows 'nobody'"
        in fresh("rules", "check", str(narrowing), "-c", config, code=1).stdout
    )


def test_what_the_programs_rules_look_for_in_vain_is_told_only_when_they_are_named(miniwatch):
    told = miniwatch.here("rules", "check")
    assert "events of the archive looked at." in told.stderr
    assert "unseen" not in told.stdout
    named = rules_of(configuration(None)).rules[0].path
    assert "unseen-" in miniwatch.here("rules", "check", str(Path(named).parents[1])).stdout


def test_a_rule_that_does_not_run_yet_is_explained_by_its_file(fresh, rule):
    (rule.with_suffix("") / "hit.jsonl").unlink()
    asked = ("rules", "explain", str(rule), "-")
    assert "matches" in fresh(*asked, stdin=json.dumps(EVENT).encode()).stdout
    rule.write_text(RULE + "---\n" + RULE.replace("3c11", "3c12"))
    assert "holds several rules: " in fresh(*asked, stdin=b"{}", code=2).stderr
    rule.write_text("title: [")
    assert f"{rule}:2: " in fresh(*asked, stdin=b"{}", code=2).stderr


COUNTING = """title: Many calls of evil
id: 0b7a6a53-6ff2-4f8c-a4a8-1f0f2f6d3c12
correlation: {type: event_count, rules: [evil_call], group-by: [miniprogram.app_id], timespan: 10m, condition: {gte: 2}}
level: high
"""


def test_a_correlation_explains_itself_by_its_file_and_finds_what_it_counts_beside_it(fresh, rule):
    rule.write_text(RULE + "name: evil_call\n")
    event, many = fresh.folder / "e.json", rule.parent / "many.yml"
    event.write_text(json.dumps(EVENT))
    many.write_text(COUNTING)
    told = fresh("rules", "explain", str(many), str(event))
    assert "Call of evil (0b7a6a53-6ff2-4f8c-a4a8-1f0f2f6d3c11) matches" in told.stdout
    alone = fresh("rules", "check", str(many), code=1).stdout
    assert f"Only this file was read: if another one has it, name the folder {rule.parent}" in alone


def test_of_a_rule_that_is_not_there_it_is_said_that_no_folder_is_read(fresh, rule):
    told = fresh("rules", "show", "0b7a", code=2).stderr
    assert "of yours none is read, for rules.folders names no folder" in told
    assert "of yours" not in fresh("rules", "show", "zzz", "-c", str(rule.parent.parent / "c.toml"), code=2).stderr


TYPO = """title: Call of evil
id: {0}1
name: call
logsource: {{product: miniprogram, service: api}}
detection: {{s: {{miniprogram.api|is: evil}}, condition: s}}
"""
ABOVE = """title: {1}
id: {0}{2}
name: above{2}
correlation: {{type: event_count, rules: [{3}], timespan: 1m, condition: {{gte: 2}}}}
"""


def test_one_cause_is_told_once_with_all_that_is_refused_because_of_it(fresh):
    start = "0b7a6a53-6ff2-4f8c-a4a8-1f0f2f6d3c4"
    folder = fresh.folder / "typo"
    folder.mkdir()
    (folder / "z.yml").write_text(TYPO.format(start))
    (folder / "a.yml").write_text(
        ABOVE.format(start, "Many", 2, "call") + "---\n" + ABOVE.format(start, "More", 3, "above2")
    )
    told = fresh("rules", "check", str(folder), code=1)
    (line,) = told.stdout.splitlines()
    assert line.startswith(f"{folder}/z.yml:5: {start}1: Unknown modifier 'is'")
    assert line.endswith(f"because of it also refused: {start}2 ({folder}/a.yml:4), {start}3 ({folder}/a.yml:9)")
    assert told.stderr.endswith("0 rules can be loaded, 1 problem, 0 warnings.\n")
    rows = [json.loads(row) for row in fresh("rules", "check", str(folder), "-o", "ndjson", code=1).stdout.splitlines()]
    assert sorted(row["message"] for row in rows)[1:] == [
        "it counts hits of 'above2', which was refused",
        "it counts hits of 'call', which was refused",
    ]


def test_a_correlation_says_what_its_windows_hold_over_the_events_given(fresh, rule):
    rule.write_text(RULE + "name: evil_call\n")
    text = COUNTING.replace("gte: 2", "gte: 3").replace("miniprogram.app_id", "device.id")
    (rule.parent / "many.yml").write_text(text)
    given = [{**EVENT, "device.id": who} for who in ("a", "a", "b", None)]
    (fresh.folder / "e.ndjson").write_text("".join(json.dumps(one) + "\n" for one in given))
    asked = ["rules", "explain", str(rule.parent / "many.yml"), str(fresh.folder / "e.ndjson")]
    told = fresh(*asked).stdout
    assert "have no device.id" in told
    assert "count 2, 3 or more is asked for" in told
    windows = json.loads(fresh(*asked, "-o", "ndjson").stdout.splitlines()[-1])
    assert [(each["spoke"], each["holds"]) for each in windows["windows"]] == [(False, 2.0), (False, 1.0)]


def test_what_a_list_calls_a_rule_is_taken_by_commands_as_its_name(fresh):
    called = [line.split()[0] for line in fresh("rules", "list").stdout.splitlines()[1:]]
    assert len(set(called)) == len(called)
    assert not any(re.fullmatch("[0-9a-f]{8}", one) for one in called)
    rules = rules_of(configuration(None)).rules
    assert [rule_starting(one, configuration(None)).id for one in called] == [rule.id for rule in rules]


def test_ids_are_shown_as_far_as_it_takes_to_tell_them_apart():
    assert unique_digits([]) == unique_digits(["a" * 36]) == unique_digits(["a" * 36, "b" * 36]) == 8
    assert unique_digits(["a" * 36, "a" * 35 + "b", "c" * 36]) == 36
