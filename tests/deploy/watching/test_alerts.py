"""Every alert fires when it should and is silent when it need not; each says what to do; and all that rules ask for is exported."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from functools import cache

import pytest
from alert_cases import CASES, TARGET
from asked import ALERTS, RULES, names_asked, names_of, rules_of, selectors
from commanded import parsed
from watched import DEPLOY, ROOT, program

from monitor.telemetry import feedback, happenings, jobs, oncall, searching, standing, upkeep
from monitor.telemetry.happening import Happening
from monitor.telemetry.metrics import CATALOGUE

FOLDER = DEPLOY / "prometheus"
RUNBOOKS = ROOT / "docs" / "alerts.md"
SEVERITIES = {"critical", "warning"}


@cache
def _alerts():
    return {rule["alert"]: rule for rule in rules_of(ALERTS)}


def test_promtool_takes_the_rules_and_the_example_configuration():
    for words in (("rules", RULES, ALERTS), ("config", FOLDER / "prometheus.yml")):
        checked = subprocess.run([program("promtool"), "check", *words], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr


def test_every_alert_has_its_cases_and_no_case_is_of_none():
    assert CASES.keys() == _alerts().keys()
    assert [name for name, case in CASES.items() if not case.silent] == []


@pytest.mark.parametrize("name", CASES)
def test_an_alert_fires_and_is_silent_where_it_should_be(name, tmp_path):
    case, rule = CASES[name], _alerts()[name]
    told = {key: _filled(text, case.labels) for key, text in rule["annotations"].items()}
    fired = [{"exp_labels": {**case.labels, "severity": rule["labels"]["severity"]}, "exp_annotations": told}]
    histories = [
        *((history, fired) for history in (case.fires, *case.also)),
        *((history, []) for history in case.silent),
    ]
    tests = [
        {
            "interval": case.step,
            "input_series": [{"series": _of_target(series), "values": values} for series, values in history.items()],
            "alert_rule_test": [{"eval_time": case.at, "alertname": name, "exp_alerts": expected}],
        }
        for history, expected in histories
    ]
    file = tmp_path / "case.yml"
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "one", "rules": _with_recordings(rule)}]}))
    file.write_text(json.dumps({"rule_files": ["rules.yml"], "evaluation_interval": case.step, "tests": tests}))
    tested = subprocess.run([program("promtool"), "test", "rules", file], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def _with_recordings(rule):
    """A rule after the recordings that it asks for: promtool would work out all the others too, at every minute of days."""
    recorded = {one["record"]: one for one in rules_of(RULES)}
    return [*(recorded[name] for name in sorted(names_asked(rule["expr"])) if name in recorded), rule]


def _of_target(series):
    """A series with the labels of a target where it has none of its own."""
    metric, _, rest = series.partition("{")
    own = rest.rstrip("}")
    has = re.findall(r'(\w+)="', own)
    more = [f'{label}="{value}"' for label, value in TARGET.items() if label not in has]
    return f"{metric}{{{','.join([*([own] if own else []), *more])}}}"


def _filled(text, labels):
    return re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found.group(1)], text)


@pytest.mark.parametrize("name", _alerts())
def test_an_alert_says_how_bad_it_is_what_it_means_and_what_to_do(name):
    rule, told = _alerts()[name], _alerts()[name]["annotations"]
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in SEVERITIES
    assert told.keys() == {"summary", "description", "runbook_url"}
    assert 10 < len(told["summary"]) < 100
    assert told["description"].endswith(".")
    assert told["runbook_url"].partition("#")[::2] == ("file:///usr/local/share/doc/miniwatch/alerts.md", name.lower())


def test_every_alert_has_a_runbook_in_the_order_of_the_rules_and_no_runbook_is_of_none():
    page = RUNBOOKS.read_text()
    assert re.findall(r"(?m)^### (\w+)$", page) == list(_alerts())
    for part in re.split(r"(?m)^### ", page)[1:]:
        name, _, text = part.partition("\n")
        assert f"**{_alerts()[name]['labels']['severity'].capitalize()}.**" in text, name
        for asked in ("*Look:*", "*Do:*"):
            assert asked in text, name


def test_runbooks_name_commands_log_lines_and_metrics_that_are_there():
    codes = set(re.findall(r"`([^`\n]+)`", RUNBOOKS.read_text()))
    commands = [code for code in codes if code.startswith("miniwatch ")]
    assert len(commands) > 20
    for command in commands:
        _type(command)
    assert all((feedback, happenings, jobs, oncall, searching, standing, upkeep))  # they have to be loaded to be known
    told = {kind.name() for kind in Happening.__subclasses__()} | {metric.name for metric in CATALOGUE}
    settings = set(re.findall(r"\w+", (ROOT / "config.toml").read_text())) | {"job_name", "process_open_fds"}
    assert {word for word in codes if re.fullmatch(r"[a-z]+(_[a-z]+)+", word)} - told - settings == set()


def _type(command):
    """A command of a runbook, with something in the place of what stands in capitals."""
    words = shlex.split(re.sub(r"\b[A-Z]{2,}\b", lambda found: found[0].lower(), command))
    try:
        parsed(words[1:])
    except Exception as error:  # whatever the command line says
        raise AssertionError(f"{command}: {error}") from error


@pytest.mark.parametrize("command", ["notifiers retry NAME", "resume", "rules unshadow RULE", "findings list --rul ID"])
def test_a_command_that_lacks_something_would_be_noticed(command):
    with pytest.raises(AssertionError, match=r"(?i)missing|no such"):
        _type(f"miniwatch {command}")


def test_rules_ask_for_nothing_that_is_not_exported(daemon):
    exported = names_of(daemon.series())
    recorded = {rule["record"] for rule in rules_of(RULES)}
    for rule in (*rules_of(RULES), *rules_of(ALERTS)):
        for metric, labels in selectors(rule["expr"]):
            if metric in recorded:
                continue
            assert metric in exported, rule
            assert labels <= exported[metric], (rule, metric)
    used = {name for rule in (*rules_of(RULES), *rules_of(ALERTS)) for name in names_asked(rule["expr"])}
    assert recorded - used - BY_DASHBOARDS == set()


BY_DASHBOARDS = {
    "instance:miniwatch_received_bytes:rate5m",
    "job:miniwatch_findings:rate1h",
    "job:miniwatch_decisions:rate1h",
    "instance:miniwatch_events_received:rate5m",
}


def test_what_the_catalogue_says_is_on_the_page(daemon):
    """A catalogue that names what is not exported would make the test above worth nothing."""
    page = daemon.page()
    assert [metric.name for metric in CATALOGUE if f"# TYPE {metric.name} {metric.kind}\n" not in page] == []
