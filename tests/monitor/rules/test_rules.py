"""Rules from folders: tested before they are taken, one bad file never stopping the others."""

import json
import shutil
from pathlib import Path

import pytest

from monitor.rules import MANIFEST, RuleFolder, RuleSettings, builtin_folder, load_rules, run_builtin_twins

ID = "7b1d3c52-64ce-4b0f-9a87-0f5f0f2d{:04d}"
RULE = """
title: Rule {number}
id: {id}
logsource: {{product: miniprogram, service: log}}
detection:
  selection: {{message|contains: {word}}}
  expected: {{log.level: debug}}
  condition: selection and not expected
"""
COUNTED = """
---
title: Counting {number}
id: {id}
correlation:
  type: event_count
  rules: [{base}]
  group-by: [miniprogram.app_id]
  timespan: 1m
  condition: {{gte: 3}}
"""


def line(message, second=0, **keys):
    event = {"@timestamp": f"2026-03-02T08:00:{second:02d}Z", "event.dataset": "miniprogram.log", "message": message}
    return json.dumps({**event, "miniprogram.app_id": "wx1", **keys})


def write(folder, name="alpha", number=1, hit=("an alpha",), miss=("a beta",), text=None, word="alpha"):
    (folder / name).mkdir(parents=True)
    (folder / f"{name}.yml").write_text(text or RULE.format(number=number, id=ID.format(number), word=word))
    for file, messages in (("hit", hit), ("miss", miss)):
        lines = [one if one.startswith("{") else line(one) for one in messages]
        (folder / name / f"{file}.jsonl").write_text("".join(one + "\n" for one in lines))
    return folder / f"{name}.yml"


def load(folder):
    return load_rules([RuleFolder(folder)])


def test_a_rule_whose_twin_agrees_is_taken(tmp_path):
    write(tmp_path / "sub")
    loaded = load(tmp_path)
    assert [rule.title for rule in loaded.rules] == ["Rule 1"]
    assert loaded.problems == ()


def test_a_rule_without_a_twin_is_refused(tmp_path):
    shutil.rmtree(write(tmp_path).with_suffix(""))
    loaded = load(tmp_path)
    assert loaded.rules == ()
    assert {problem.path.rpartition("/")[2] for problem in loaded.problems} == {"hit.jsonl", "miss.jsonl"}
    assert "a rule without a twin is refused" in str(loaded.problems[0])


def test_a_line_that_should_match_is_told_with_the_part_that_failed(tmp_path):
    write(tmp_path, hit=("an alpha", "", "a gamma"))
    (problem,) = [one for one in load(tmp_path).problems if one.line == 3]
    assert problem.path.endswith("alpha/hit.jsonl")
    assert "message contains 'alpha' (found 'a gamma')" in problem.message


def test_an_exclusion_that_applied_is_told(tmp_path):
    write(tmp_path, hit=(line("an alpha", **{"log.level": "debug"}),))
    assert "excluded because log.level is 'debug'" in load(tmp_path).problems[0].message


def test_a_line_that_should_not_match_is_told(tmp_path):
    write(tmp_path, miss=("a beta", "an alpha again"))
    (problem,) = load(tmp_path).problems
    assert problem.line == 2
    assert problem.message.startswith("must not match and does: 'Rule 1': ")
    assert "message contains 'alpha' (found 'an alpha again') and not so: log.level is 'debug'" in problem.message


def test_a_line_that_is_no_event_is_told(tmp_path):
    write(tmp_path, hit=("an alpha", "{broken"))
    (problem,) = load(tmp_path).problems
    assert (problem.line, "is no event" in problem.message) == (2, True)


def test_an_empty_twin_proves_nothing(tmp_path):
    write(tmp_path, miss=())
    assert "has no events" in load(tmp_path).problems[0].message


def counting(number=2):
    base = RULE.format(number=number, id=ID.format(number), word="alpha")
    return base + COUNTED.format(number=number, id=ID.format(number + 100), base=ID.format(number))


def test_a_counting_rule_is_judged_by_its_whole_twin(tmp_path):
    many = [line("an alpha", second) for second in range(3)]
    write(tmp_path, text=counting(), hit=many, miss=many[:2])
    loaded = load(tmp_path)
    assert (len(loaded.rules), loaded.problems) == (2, ())


def test_a_counting_rule_that_stays_silent_says_what_it_could_count(tmp_path):
    few = [line("an alpha", second) for second in range(2)]
    write(tmp_path, text=counting(), hit=few, miss=few)
    assert "must fire and does not; 2 of 2 events match" in load(tmp_path).problems[0].message


def test_the_twin_of_a_file_of_which_a_rule_was_refused_is_not_judged(tmp_path):
    many = [line("an alpha", second) for second in range(3)]
    path = write(tmp_path, text=counting().replace("event_count", "event_cuont"), hit=many, miss=many[:2])
    (problem,) = load(tmp_path).problems
    assert (problem.path, "event_cuont" in problem.message) == (str(path), True)
    manifest, failures = run_builtin_twins(tmp_path, tmp_path)
    assert (manifest, len(failures)) == ({}, 1)


@pytest.mark.parametrize("text", ["title: [", "just text", "title: x\nlogsource: {}\n", "\x00", "- 1\n- 2\n"])
def test_a_malformed_file_never_stops_the_others(tmp_path, text):
    write(tmp_path, "good")
    write(tmp_path, "bad", text=text)
    loaded = load(tmp_path)
    assert [rule.title for rule in loaded.rules] == ["Rule 1"]
    assert loaded.problems[0].path.endswith("bad.yml")


def test_bytes_that_are_no_text_cost_their_file_only(tmp_path):
    write(tmp_path, "good")
    (tmp_path / "bad.yml").write_bytes(b"\xff\xfe\x00")
    assert (len(load(tmp_path).rules), len(load(tmp_path).problems)) == (1, 1)


def test_what_counts_a_refused_rule_is_refused_with_it(tmp_path):
    write(tmp_path, "base", number=3, hit=("a beta",))
    three = [line("an alpha", second) for second in range(3)]
    text = COUNTED.format(number=4, id=ID.format(4), base=ID.format(3))
    write(tmp_path, "count", number=4, text=text, hit=three, miss=three[:1])
    loaded = load(tmp_path)
    assert loaded.rules == ()
    assert any("which was refused" in problem.message for problem in loaded.problems)


def test_a_folder_that_is_not_there_is_a_problem(tmp_path):
    assert "is no folder" in load(tmp_path / "nowhere").problems[0].message


def test_registry_lines_of_a_twin_are_joined(tmp_path):
    text = RULE.format(number=5, id=ID.format(5), word="alpha").replace("log.level: debug", "app.category: tools")
    path = write(tmp_path, text=text)
    assert load(tmp_path).problems == ()
    (path.with_suffix("") / "apps.jsonl").write_text(
        '{"app_id":"wx1","category":"tools","as_of":"2026-01-01T00:00:00Z"}\n'
    )
    assert "excluded because app.category is 'tools'" in load(tmp_path).problems[0].message


def test_all_rules_that_come_with_the_program_are_taken():
    loaded = load_rules([builtin_folder()])
    assert loaded.problems == ()
    assert len({rule.path for rule in loaded.rules}) >= 24


@pytest.fixture
def shipped(tmp_path):
    """A folder of one rule that was tested when the program was made."""
    rules, twins = tmp_path / "rules", tmp_path / "twins"
    write(twins)
    rules.mkdir()
    (twins / "alpha.yml").rename(rules / "alpha.yml")
    manifest, failures = run_builtin_twins(rules, twins)
    assert failures == []
    (rules / MANIFEST).write_text(json.dumps(manifest))
    return rules


def test_a_shipped_rule_runs_without_its_twin_being_there(shipped):
    loaded = load_rules([RuleFolder(shipped, builtin=True)])
    assert (len(loaded.rules), loaded.problems) == (1, ())


def test_a_shipped_rule_that_was_changed_since_is_refused(shipped):
    path = shipped / "alpha.yml"
    path.write_text(path.read_text().replace("contains: alpha", "contains: beta"))
    loaded = load_rules([RuleFolder(shipped, builtin=True)])
    assert loaded.rules == ()
    (problem,) = loaded.problems
    assert str(problem).startswith(f"{path}:2: ")
    assert "has changed since its twin was last run" in problem.message


def test_of_the_rules_of_the_program_a_changed_a_strange_and_an_absent_one_are_told_and_the_others_run(tmp_path):
    folder = tmp_path / "rules"
    shutil.copytree(builtin_folder().path, folder)
    changed, gone, kept = sorted({rule.path for rule in load_rules([RuleFolder(folder, builtin=True)]).rules})[:3]
    text = Path(changed).read_text()
    assert "gte: 200" in text
    Path(changed).write_text(text.replace("gte: 200", "gte: 201", 1))
    Path(gone).unlink()
    strange = folder / "strange.yml"
    strange.write_text(RULE.format(number=1, id=ID.format(1), word="alpha"))
    loaded = load_rules([RuleFolder(folder, builtin=True)])
    assert {problem.path for problem in loaded.problems} == {changed, gone, str(strange)}
    paths = {rule.path for rule in loaded.rules}
    assert kept in paths
    assert not paths & {changed, gone, str(strange)}


def test_without_a_manifest_no_shipped_rule_runs(shipped):
    (shipped / MANIFEST).unlink()
    assert load_rules([RuleFolder(shipped, builtin=True)]).rules == ()


PIPELINE = "transformations: [{type: field_name_mapping, mapping: {message: words}}]"


def test_a_folder_is_read_through_the_pipelines_and_with_the_placeholders_of_its_settings(tmp_path):
    rule = RULE.format(number=1, id=ID.format(1), word="x").replace("contains: x", "contains|expand: '%x%'")
    write(tmp_path / "rules", text=rule, hit=(line("", words="an alpha"),), miss=(line("an alpha"),))
    (tmp_path / "pipeline.yml").write_text(PIPELINE)
    settings = RuleSettings((tmp_path / "pipeline.yml",), {"x": ("alpha",)})
    loaded = load_rules([RuleFolder(tmp_path / "rules")], settings=settings)
    assert [str(problem) for problem in loaded.problems] == []
    assert "words" in loaded.rules[0].fields


def test_the_rules_of_the_program_go_through_no_pipeline_and_need_no_pipeline_to_be_usable(shipped, tmp_path):
    pipeline = tmp_path / "pipeline.yml"
    write(tmp_path / "own", number=2)
    for text, own in ((PIPELINE.replace("words", "message"), 1), ("transformations: [{type: regex}]", 0)):
        pipeline.write_text(text)
        folders = [RuleFolder(shipped, builtin=True), RuleFolder(tmp_path / "own")]
        loaded = load_rules(folders, settings=RuleSettings((pipeline,)))
        assert len(loaded.rules) == 1 + own
    assert [problem.path for problem in loaded.problems] == [str(tmp_path / "own"), str(pipeline)]
    assert "a pipeline that they go through cannot be used" in loaded.problems[0].message


def test_a_filter_of_ones_own_narrows_a_rule_that_comes_with_the_program(shipped, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "ours.yml").write_text(
        f"title: ours\nlogsource: {{product: miniprogram}}\nfilter: {{rules: {ID.format(1)}, s: {{a: b}}, condition: not s}}\n"
    )
    loaded = load_rules([RuleFolder(shipped, builtin=True), RuleFolder(tmp_path / "own")])
    assert [str(problem) for problem in loaded.problems] == []
    assert "a" in loaded.rules[0].fields
    assert loaded.rules[0].version != loaded.rules[0].written


def test_a_rule_whose_twin_a_filter_spoils_is_refused(tmp_path):
    write(tmp_path)
    (tmp_path / "ours.yml").write_text(
        "title: ours\nlogsource: {product: miniprogram}\nfilter: {rules: any, s: {message: an alpha}, condition: not s}\n"
    )
    loaded = load(tmp_path)
    assert loaded.rules == ()
    assert "excluded because message is 'an alpha'" in loaded.problems[0].message
