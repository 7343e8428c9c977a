"""`miniwatch backtest` as an engineer sees it."""

import json
import re
from collections import Counter

import pytest

from detectors.sigma import parse_rules
from monitor.cli.opening import configuration
from monitor.content.in_force import rules_of
from monitor.rules import cache as rule_cache

RULE = """title: Call of evil
id: 0b7a6a53-6ff2-4f8c-a4a8-1f0f2f6d3c11
logsource: {{product: {product}, category: {category}}}
detection:
  sel: {{{field}: {value}}}
  condition: sel
level: {level}
"""


def rule(
    folder, name="evil", *, product="miniprogram", category="api", field="miniprogram.api", value="evil", level="high"
):
    folder.mkdir(exist_ok=True)
    text = RULE.format(product=product, category=category, field=field, value=value, level=level)
    (folder / f"{name}.yml").write_text(text)
    return str(folder)


def events(path, *apis):
    path.write_text(
        "".join(
            json.dumps(
                {
                    "@timestamp": f"2026-03-02T00:0{number}:00Z",
                    "event": {"id": f"e{number}", "dataset": "miniprogram.api"},
                    "miniprogram": {"app_id": "wx1", "api": api},
                }
            )
            + "\n"
            for number, api in enumerate(apis)
        )
    )
    return f"file:{path}"


def test_the_rules_that_ran_find_in_the_archive_what_the_record_has(miniwatch):
    found = {row["id"]: row for row in miniwatch.rows("backtest")}
    assert found == {row["id"]: row for row in miniwatch.rows("findings", "list")}
    assert len(miniwatch.rows("backtest", "--since", "2031-01-01")) == 0


def test_a_rule_without_a_twin_is_tried_and_told_in_a_line(fresh):
    folder, source = rule(fresh.folder / "r"), events(fresh.folder / "e", "evil", "login", "evil")
    told = fresh.here("backtest", "--rules", folder, "--source", source)
    assert told.stdout.splitlines() == [
        "RULE  SEVERITY  FINDINGS  EVENTS  ENTITIES  WOULD DECIDE  TITLE",
        "evil  high      2         2       1         1 warn        Call of evil",
    ]
    assert told.stderr == "3 events: 2 findings, 0 rules found nothing.\n"
    assert not (fresh.folder / "data").exists()


def test_verdicts_are_pairs_of_rule_and_event(fresh):
    folder, source = rule(fresh.folder / "r"), events(fresh.folder / "e", "evil", "login", "evil")
    told = fresh.here("backtest", "--rules", folder, "--source", source, "--verdicts").stdout
    rows = [json.loads(line) for line in told.splitlines()]
    assert [(row["rule"][:8], row["event"], row["source"]) for row in rows] == [
        ("0b7a6a53", "e0", source), ("0b7a6a53", "e2", source),
    ]  # fmt: skip
    lines = (fresh.folder / "e").read_bytes()
    assert [lines[row["position"] :][:1] for row in rows] == [b"{", b"{"]
    assert rows[0]["position"] == 0


def test_there_are_as_many_verdicts_on_events_as_findings_count(miniwatch):
    counted, told = Counter(), Counter()
    for row in miniwatch.rows("findings", "list"):
        counted[row["rule"]["id"]] += row["evidence"]["count"]
    verdicts = miniwatch.here("backtest", "--verdicts").stdout.splitlines()
    told.update(json.loads(line)["rule"] for line in verdicts)
    speaking = {one.id for one in rules_of(configuration(None)).rules if not (one.is_correlation or one.silent)}
    assert {key: told[key] for key in told.keys() & speaking} == {
        key: counted[key] for key in counted.keys() & speaking
    }


@pytest.mark.parametrize("hashed", [True, False])
def test_a_source_that_the_configuration_has_is_read_as_it_says_there(fresh, hashed):
    log, person = fresh.folder / "log.ndjson", "0f" * 16
    told = {"@timestamp": "2026-03-02T00:00:00Z", "event.dataset": "miniprogram.api", "miniprogram.api": "evil"}
    log.write_text(json.dumps({**told, "device.id": person}) + "\n")
    folder = rule(fresh.folder / "r")
    with (fresh.folder / "r" / "evil.yml").open("a") as file:
        file.write("custom: {miniwatch: {entity: DeviceId}}\n")
    config = fresh.folder / "c.toml"
    config.write_text(f'[[sources]]\nuri = "file:{log}"\nhashed = {str(hashed).lower()}\n')
    asked = ("backtest", "-c", str(config), "--rules", folder, "--source", f"file:{log}", "-o", "ndjson")
    (found,) = [json.loads(line) for line in fresh.here(*asked).stdout.splitlines()]
    assert (found["entity"]["value"] == person) is hashed


def test_two_rule_sets_are_held_against_each_other(fresh):
    source = events(fresh.folder / "e", "evil", "login", "worse")
    now, before = rule(fresh.folder / "now", value="[evil, worse]"), rule(fresh.folder / "before", level="medium")
    told = fresh.here("backtest", "--rules", now, "--against", before, "--source", source)
    assert told.stdout.splitlines() == [
        "RULE      BEFORE  NOW  ADDED  GONE  CHANGED  DECISIONS  TITLE",
        "0b7a6a53  1       2    1      0     1        +1 warn    Call of evil",
    ]
    (row,) = [
        json.loads(line)
        for line in fresh.here(
            "backtest", "-r", now, "--against", before, "-s", source, "-o", "ndjson"
        ).stdout.splitlines()
    ]
    assert row["findings"] == {"now": 2, "before": 1, "added": 1, "gone": 0, "changed": 1}
    same = fresh.here("backtest", "--rules", now, "--against", now, "--source", source)
    assert (same.stdout, same.stderr.splitlines()[0]) == ("", "Both find and decide the same.")


def test_events_of_other_programs_need_no_dataset_of_their_own(fresh):
    log = fresh.folder / "log.ndjson"
    log.write_text(
        '{"@timestamp":"2026-03-02T00:00:00Z","CommandLine":"evil","host":{"name":"pc1"}}\n{"CommandLine":"evil"}\n'
    )
    folder = rule(fresh.folder / "r", product="windows", category="process_creation", field="CommandLine")
    asked = ("backtest", "--rules", folder, "--source", f"file:{log}")
    assert "0 findings" in fresh.here(*asked).stderr
    told = fresh.here(*asked, "--dataset", "windows.process_creation")
    assert re.search(r"evil +high +1 +1 +1 ", told.stdout)
    assert "Lines that are no events: 1 missing-timestamp. The first: file:" in told.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 3, "there are no events in "),
        (["--source", "file:e", "--since", "1h"], 2, "is about the archive"),
        (["--source", "stdin:", "--against", "r"], 2, "standard input can be read only once"),
        (["--source", "file:e?follow"], 2, "?follow has no end"),
        (["--verdicts", "--against", "r", "--source", "file:e"], 2, "does not go with --against"),
        (["--rules", "nowhere", "--source", "file:e"], 2, "nowhere: there is no such file or folder"),
    ],
)
def test_what_cannot_be_done_is_said(fresh, words, code, said):
    rule(fresh.folder / "r")
    events(fresh.folder / "e", "evil")
    assert said in fresh.here("backtest", *words, code=code).stderr


def test_what_rules_cost_is_told_the_dearest_first(fresh):
    folder, source = rule(fresh.folder / "r"), events(fresh.folder / "e", "evil", "login", "evil")
    told = fresh.here("rules", "bench", folder, "--source", source)
    head, line = told.stdout.splitlines()
    assert head.split("  ")[0] == "RULE"
    assert re.fullmatch(r"evil +[\d,.]+ +100\.0% +2 +Call of evil", line)
    assert told.stderr.startswith("3 events: ")
    (row,) = [
        json.loads(each)
        for each in fresh.here("rules", "bench", folder, "-s", source, "-o", "ndjson").stdout.splitlines()
    ]
    assert (row["hits"], row["share"]) == (2, 1.0)


def verdicts(miniwatch, *words):
    told = miniwatch.here("backtest", "--verdicts", *words).stdout.splitlines()
    return sorted((row["event"], row["rule"]) for row in map(json.loads, told))


def test_a_stretch_of_the_archive_is_what_happened_in_it(miniwatch):
    whole = verdicts(miniwatch)
    event = json.loads(miniwatch.here("events", "show", whole[len(whole) // 2][0], "-o", "ndjson").stdout)
    early, late = (verdicts(miniwatch, word, event["@timestamp"]) for word in ("--until", "--since"))
    assert sorted(early + late) == whole
    assert min(len(early), len(late)) > 0


@pytest.fixture
def parsing(monkeypatch):
    """Counts how often rules are really parsed."""
    calls = []

    def counted(*given):
        calls.append(len(given[0]))
        return parse_rules(*given)

    monkeypatch.setattr(rule_cache, "parse_rules", counted)
    return calls


@pytest.mark.parametrize("named", [True, False])
def test_rules_are_parsed_once_for_many_backtests(fresh, parsing, named):
    source = events(fresh.folder / "e", "evil", "login", "evil")
    fresh.here("run", "--until-end", "--source", source)
    words = ["backtest", "--source", source, *(["--rules", rule(fresh.folder / "r")] if named else [])]
    parsing.clear()
    told = [fresh.here(*words, "-o", "ndjson").output for _ in range(3)]
    assert len(set(told)) == 1
    assert len(parsing) == named  # those that are configured were parsed by the run


@pytest.mark.parametrize(
    "spoil", [lambda path: path.write_bytes(b"x"), lambda path: path.unlink(), lambda path: path.chmod(0)]
)
def test_a_cache_that_cannot_be_used_costs_time_only(fresh, spoil):
    source, folder = events(fresh.folder / "e", "evil", "evil"), rule(fresh.folder / "r")
    fresh.here("run", "--until-end", "--source", source)
    first = fresh.here("backtest", "--rules", folder, "--source", source)
    for path in (fresh.folder / "data" / "cache").rglob("*.sealed"):
        spoil(path)
    again = fresh.here("backtest", "--rules", folder, "--source", source)
    assert (again.stdout, again.stderr) == (first.stdout, first.stderr)


@pytest.mark.parametrize("key", [b"", b"0" * 64, b"no key"])
def test_a_cache_of_another_key_or_none_costs_time_only(fresh, key):
    source, folder = events(fresh.folder / "e", "evil", "evil"), rule(fresh.folder / "r")
    first = fresh.here("backtest", "--rules", folder, "--source", source)
    keys = fresh.folder / "data" / "keys"
    keys.mkdir(parents=True)
    (keys / "seal.key").write_bytes(key)
    assert fresh.here("backtest", "--rules", folder, "--source", source).output == first.output


def test_rules_that_are_tried_push_out_nothing_of_the_daemons(fresh, parsing):
    source = events(fresh.folder / "e", "evil")
    fresh.here("run", "--until-end", "--source", source)
    for number in range(rule_cache.SETS_MAX + 2):
        fresh.here("backtest", "--rules", rule(fresh.folder / f"r{number}", value=f"v{number}"), "--source", source)
    parsing.clear()
    fresh.here("backtest", "--source", source)
    assert parsing == []


@pytest.mark.parametrize("command", ["check", "test"])
def test_checking_and_testing_never_look_into_the_cache(fresh, command, monkeypatch):
    source, folder = events(fresh.folder / "e", "evil"), rule(fresh.folder / "r")
    fresh.here("run", "--until-end", "--source", source)
    fresh.here("backtest", "--rules", folder, "--source", source)
    monkeypatch.setattr(rule_cache.RuleCache, "parse", lambda *_given: 1 / 0)
    assert "twin" in fresh("rules", command, folder, code=1).output
