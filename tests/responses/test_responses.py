"""Findings in, decisions out: what each stock playbook answers, written down.

Each folder has the name of a playbook and holds `findings.json` (keywords of `playbooks.testing.finding`, in order) and
`decisions.json` (what must come of them in replay). After a wanted change write the answers anew, and read the difference:

    MINIWATCH_GOLDEN=write pytest tests/responses

That is refused where CI is set: there, answers are only compared.
"""

import json
import os
from pathlib import Path

import pytest

from playbooks.decide import decide
from playbooks.known import Known
from playbooks.playbook import parse_playbooks
from playbooks.policy import Policy
from playbooks.testing import fields_of, finding

HERE = Path(__file__).parent
LIBRARY = HERE.parents[1] / "playbooks" / "library"
PLAYBOOKS, PROBLEMS = parse_playbooks([(str(path), path.read_text()) for path in sorted(LIBRARY.glob("*.yaml"))])


def answer(folder):
    findings = [finding(**keywords) for keywords in json.loads((folder / "findings.json").read_text())]
    outcome = decide(findings, Known(), Policy(playbooks=PLAYBOOKS, released=lambda _app, _at: "2.1.0"), now=None)
    return {
        "considered": [[word.reason, word.detail] for word in outcome.considered],
        "decisions": [fields_of(decision) for decision in outcome.decisions],
        "incidents": [fields_of(incident) for incident in outcome.incidents],
        "risks": [fields_of(risk) | {"score": round(risk.score, 6)} for risk in outcome.risks],
    }


def as_written(answered):
    for incident in answered["incidents"]:
        incident["risk"] = round(incident["risk"], 6)
    return json.loads(json.dumps(answered))


@pytest.mark.parametrize("name", [playbook.name for playbook in PLAYBOOKS])
def test_the_playbook_answers_as_written_down(name):
    answered = as_written(answer(HERE / name))
    golden = HERE / name / "decisions.json"
    if os.environ.get("MINIWATCH_GOLDEN") == "write":
        assert "CI" not in os.environ, "answers are not written where CI is set: write them at home and commit them"
        golden.write_text(json.dumps(answered, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    assert answered == json.loads(golden.read_text())


@pytest.mark.parametrize("name", [playbook.name for playbook in PLAYBOOKS])
def test_the_answers_come_from_that_playbook_and_name_every_step(name):
    decisions = json.loads((HERE / name / "decisions.json").read_text())["decisions"]
    playbook = next(playbook for playbook in PLAYBOOKS if playbook.name == name)
    acts = {action.act for step in playbook.steps for action in step.actions}
    assert {decision["origin"] for decision in decisions} == {playbook.origin}
    assert {decision["type"] for decision in decisions} == acts


def test_every_stock_playbook_has_a_folder_and_every_folder_a_playbook():
    folders = {path.name for path in HERE.iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert folders == {playbook.name for playbook in PLAYBOOKS}


def test_the_stock_playbooks_have_no_problem():
    assert PROBLEMS == []
    assert all(
        playbook.name == path.stem
        for playbook, path in zip(
            sorted(PLAYBOOKS, key=lambda playbook: playbook.name), sorted(LIBRARY.glob("*.yaml")), strict=True
        )
    )
