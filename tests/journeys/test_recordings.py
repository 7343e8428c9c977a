"""Real mini programs, recorded by running their own code: what is known to be true of them is found, and nothing else."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import pytest
from journey import Outcome, configured, outcome, run

from detectors.finding import Severity
from playbooks.decision import Act, Mode

ROOT: Final = Path(__file__).parents[2]
SHARED: Final = ROOT.parent / "shared"
RECORDED: Final = SHARED / "data" / "recorded"
NAMES: Final = ("wxdemo", "wxmall", "wxlite", "wxrenard", "litemall", "wechat-app-mall", "renard", "miniprogram-demo")

pytestmark = pytest.mark.skipif(
    not RECORDED.is_dir() and not (os.environ.get("CI") == "true" and SHARED.is_dir()),
    reason="the recordings are not part of the project, and are not beside it",
)


def _read(name: str, folder: Path) -> Outcome:
    run(configured(folder / "data", [RECORDED / f"{name}.ndjson.gz"]))
    return outcome(folder / "data")


@pytest.mark.parametrize(("name", "requests"), [("litemall-wx", 155), ("renard-wx", 92)])
def test_every_request_over_plain_http_is_in_a_finding(name: str, requests: int, tmp_path: Path) -> None:
    found = _read(name, tmp_path)
    plain = [
        finding for finding in found.findings.values() if "behaviour.15" in finding.tags and _is_plain(finding.title)
    ]
    assert sum(finding.evidence.count for finding in plain) == requests


def _is_plain(title: str) -> bool:
    return "without transport encryption" in title


def test_a_login_loop_becomes_a_finding_and_a_throttle_of_login(tmp_path: Path) -> None:
    found = _read("wechat-app-mall", tmp_path)
    throttles = [each for each in found.decisions.values() if each.type is Act.THROTTLE and each.target == "login"]
    assert throttles
    assert {each.mode for each in throttles} == {Mode.REPLAY}
    assert {each.value for each in throttles} == {"wxmall"}
    assert all("behaviour.8" in found.findings[each.finding].tags for each in throttles)


def test_an_honest_program_gets_no_finding_of_medium_severity_or_higher(tmp_path: Path) -> None:
    found = _read("miniprogram-demo", tmp_path)
    assert found.totals["processed"] == 1401
    grave = [each.title for each in found.findings.values() if each.severity.rank >= Severity.MEDIUM.rank]
    assert grave == []


def test_every_line_of_a_recording_is_accounted_for(tmp_path: Path) -> None:
    found = _read("wechat-app-mall", tmp_path)
    assert (found.totals["received"], found.totals["processed"], found.imbalance) == (23_141, 23_141, 0)


def test_no_rule_and_no_playbook_names_a_recorded_program() -> None:
    files = [*(ROOT / "detectors" / "rules").rglob("*.*ml"), *(ROOT / "playbooks" / "library").rglob("*.*ml")]
    named = re.compile("|".join(NAMES), re.IGNORECASE)
    assert len(files) > 30
    assert [str(path) for path in files if named.search(path.read_text(encoding="utf-8"))] == []
