"""Dashboards are what the generator gives, what Grafana takes by its own types, and ask for what the daemon has.

No Grafana server runs here. What stands for it: its published types, a lint of our own, and every query put to a real Prometheus.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from itertools import combinations

import pytest
import yaml
from asked import ALERTS, RULES, names_of, rules_of, selectors
from lacking import lacking
from watched import DEPLOY, program

FOLDER = DEPLOY / "grafana"
FILES = sorted((FOLDER / "dashboards").glob("*.json"))
BOARDS = {path.stem: json.loads(path.read_text()) for path in FILES}
SCHEMA = "@grafana/schema@13.2.3"
TYPESCRIPT = "typescript@5.9.3"

MAY_BE_EMPTY = {
    ("miniwatch-detection", "Rules on trial"): "no pack is on trial",
    ("miniwatch-detection", "Held back"): "no detector has found more than it may tell",
    ("miniwatch-detection", "Precision by kind"): "nobody has marked a finding",
    ("miniwatch-detection", "Marked"): "nobody has marked a finding",
    ("miniwatch-detection", "Least precise rules"): "nobody has marked a finding",
    ("miniwatch-detection", "Judged by rule"): "nobody has marked a finding",
    ("miniwatch-detection", "Drift of features"): "no model was trained",
    ("miniwatch-detection", "Forgotten"): "no bound was met",
    ("miniwatch-detection", "Overlooked"): "no fault came out",
    ("miniwatch-response", "Topics in trouble"): "no topic is configured",
    ("miniwatch-response", "Held"): "no guard had to hold anything since",
    ("miniwatch-storage", "Tasks"): "no task has failed",
    ("miniwatch-storage", "Behind"): "there is no search",
    ("miniwatch-storage", "Written"): "there is no search",
}
"""Panels that show nothing where all is well, and why."""


def _panels():
    return [(name, panel) for name, board in BOARDS.items() for panel in board["panels"] if panel["type"] != "row"]


def _ids(one):
    return f"{one[0]}-{one[1]['title']}" if isinstance(one, tuple) else str(one)


def _filled(expression, within="30s"):
    """An expression as Grafana would send it."""
    for variable, value in {"$__rate_interval": within, "$job": "miniwatch", "$instance": ".*"}.items():
        expression = expression.replace(variable, value)
    assert "$" not in expression
    return expression


def test_generating_them_anew_gives_what_is_committed(tmp_path):
    made = "import sys; from pathlib import Path; import miniwatch_dashboards.__main__ as m; m.FOLDER = Path(sys.argv[1]); m.main()"
    paths = os.pathsep.join((str(FOLDER), *sys.path))
    subprocess.run([sys.executable, "-c", made, tmp_path], env={**os.environ, "PYTHONPATH": paths}, check=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        path.name: path.read_text() for path in FILES
    }


def test_each_is_a_file_by_its_own_name_and_no_two_share_a_title():
    assert {board["uid"] for board in BOARDS.values()} == set(BOARDS)
    assert len({board["title"] for board in BOARDS.values()}) == len(BOARDS)


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_is_fit_to_be_read(name):
    board = BOARDS[name]
    assert board["title"].startswith("Miniwatch: ")
    assert board["description"].endswith(".")
    assert {"datasource", "job", "instance"} == {one["name"] for one in board["templating"]["list"]}
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    assert board.get("id") is None
    for one, other in combinations([panel["gridPos"] for panel in board["panels"]], 2):
        apart = (
            one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        )  # fmt: skip
        assert apart, (one, other)
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24


@pytest.mark.parametrize("one", _panels(), ids=_ids)
def test_a_panel_says_what_it_shows(one):
    _, panel = one
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["targets"]
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    for target in panel["targets"]:
        assert target["legendFormat"]
        assert target["datasource"] == panel["datasource"]
        assert re.findall(r"\b(?:rate|increase)\([^()]*\[(?!\$__rate_interval\])(?!1h\])", target["expr"]) == []
        assert "irate(" not in target["expr"]
        assert 'job="$job"' in target["expr"]


@pytest.mark.parametrize("one", _panels(), ids=_ids)
def test_a_panel_asks_for_what_is_exported_or_recorded(one, daemon):
    _, panel = one
    exported, recorded = names_of(daemon.series()), {rule["record"] for rule in rules_of(RULES)}
    for target in panel["targets"]:
        shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        for metric, labels in selectors(_filled(target["expr"])):
            assert metric in recorded or labels | shown <= exported[metric], (metric, labels | shown)


def test_every_panel_returns_data_from_a_real_run(prometheus):
    now = time.time()
    empty = []
    for name, panel in _panels():
        found = []
        for target in panel["targets"]:
            query = {"query": _filled(target["expr"]), "start": prometheus.began, "end": now, "step": 1}
            found += prometheus.ask("query_range", **query)["result"]
        if not found and (name, panel["title"]) not in MAY_BE_EMPTY:
            empty.append((name, panel["title"]))
    assert empty == []
    assert MAY_BE_EMPTY.keys() <= {(name, panel["title"]) for name, panel in _panels()}


def test_variables_find_the_daemon(prometheus, daemon):
    for label, value in {"job": "miniwatch", "instance": f"127.0.0.1:{daemon.port}"}.items():
        assert value in prometheus.ask(f"label/{label}/values", **{"match[]": "miniwatch_build_info"})


def test_a_real_prometheus_works_out_every_rule(prometheus):
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == sum(len(rules_of(path)) for path in (RULES, ALERTS))
    assert [rule for rule in rules if rule["health"] == "err"] == []


def test_what_provisions_grafana_names_what_is_there():
    for kind, key in (("dashboards", "providers"), ("datasources", "datasources")):
        (path,) = (FOLDER / "provisioning" / kind).glob("*.yml")
        read = yaml.safe_load(path.read_text())
        assert read["apiVersion"] == 1
        assert len(read[key]) == 1


def test_grafanas_own_types_take_every_dashboard(tmp_path):
    fetched = subprocess.run(
        [
            program("npm"),
            "install",
            "--loglevel=error",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            SCHEMA,
            TYPESCRIPT,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if fetched.returncode:
        lacking(f"npm cannot have {SCHEMA}: {fetched.stderr[-300:]}")
    lines = ["import { type Dashboard, ThresholdsMode } from '@grafana/schema';"]
    for number, path in enumerate(FILES):
        # The types have an enumeration here, which takes no text, not even its own.
        text = path.read_text().strip().replace('"mode": "absolute"', '"mode": ThresholdsMode.Absolute')
        lines.append(f"export const d{number} = {text} satisfies Partial<Dashboard>;")
    checked = _types(tmp_path, "\n".join(lines))
    assert checked.returncode == 0, checked.stdout
    wrong = _types(
        tmp_path, f"{lines[0]}\nexport const wrong = {{ refresh: 30, panels: 'none' }} satisfies Partial<Dashboard>;"
    )
    assert wrong.returncode != 0  # what is no dashboard is noticed


def _types(folder, text):
    (folder / "check.ts").write_text(text)
    words = [
        "--noEmit",
        "--strict",
        "--skipLibCheck",
        "--module",
        "esnext",
        "--moduleResolution",
        "bundler",
        "check.ts",
    ]
    command = [folder / "node_modules" / ".bin" / "tsc", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
