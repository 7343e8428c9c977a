import json

import pytest

from monitor.playbook_files import builtin_playbooks

MINE = """\
name: address-collectors
title: Addresses are collected without need
priority: 5
match:
  behaviours: [1, 3]
  scopes: [AppId]
  min_severity: medium
per_owner: true
steps:
  - {tier: observe, when: {findings: 1}}
  - {tier: warn, when: {findings: 2}, actions: [{type: warn, deadline: 72h}]}
  - {tier: throttle, when: {risk: 60, deadlines_missed: 1}, actions: [{type: captcha, for: 3d}]}
"""


@pytest.fixture
def mine(fresh):
    """The command line with a playbook of the operator's."""
    folder = fresh.folder / "books"
    folder.mkdir()
    (folder / "mine.yaml").write_text(MINE)
    (fresh.folder / "config.toml").write_text(f'[playbooks]\nfolders = ["{folder}"]\n')
    return fresh


def rows(miniwatch, *arguments):
    """What a command of this group says as ndjson."""
    return [json.loads(line) for line in miniwatch("playbooks", *arguments, "-o", "ndjson").stdout.splitlines()]


def test_playbooks_are_listed_in_the_order_in_which_they_are_asked(mine):
    lines = mine("playbooks", "list").stdout.splitlines()
    assert lines[1].split()[:4] == ["address-collectors", "5", "live", "1,"]
    assert lines[1].split()[5:9] == ["observe,", "warn,", "throttle", str(mine.folder / "books" / "mine.yaml")]
    assert lines[-1].split()[:2] == ["default", "1000"]
    assert len(lines) == 2 + len(list(builtin_playbooks().glob("*.yaml")))


def test_a_playbook_is_shown_in_words_and_with_its_text(mine):
    told = mine("playbooks", "show", "address").stdout
    assert told.endswith(f"\n{MINE}")
    words = [line.split("  ", 1)[1].strip() for line in told.split("\n\n")[0].splitlines()]
    assert words[4:-1] == [
        "about AppId",
        "severity medium or more",
        "behaviour 1 or 3",
        "earlier acts count for 90 days, on all apps of the developer",
        "always: watched",
        "at least 2 findings: warned, with 3 days to put it right",
        "at least risk 60, 1 missed deadline: asked for proof of a person, for 3 days",
    ]


def test_a_playbook_is_shown_to_programs_as_its_file_says(mine):
    (row,) = rows(mine, "show", "address-collectors")
    assert (row["builtin"], row["match"]["behaviours"], row["per_owner"]) == (False, [1, 3], True)
    assert row["steps"][2]["actions"] == [{"type": "captcha", "duration_s": 259_200}]
    assert rows(mine, "list")[-1]["builtin"] is True


def test_in_shadow_mode_every_playbook_is_in_shadow(fresh, monkeypatch):
    monkeypatch.setenv("MINIWATCH_MODE", "shadow")
    assert {row["mode"] for row in rows(fresh, "list")} == {"shadow"}


def test_a_playbook_with_a_mistake_is_counted_and_not_listed(mine):
    (mine.folder / "books" / "mine.yaml").write_text(MINE.replace("priority: 5", "priority: soon"))
    result = mine("playbooks", "list")
    assert "1 problem in playbooks that are not in force" in result.stderr
    assert "address-collectors" not in result.stdout


def test_a_name_that_is_none_or_several_is_wrong_usage(fresh):
    assert "there is no playbook nope" in fresh("playbooks", "show", "nope", code=2).stderr
    assert "could be several playbooks: payment-" in fresh("playbooks", "show", "payment", code=2).stderr


def test_of_a_playbook_that_was_refused_it_is_said_where_to_look(fresh):
    folder = fresh.folder / "playbooks"
    folder.mkdir()
    (folder / "mine.yaml").write_text("name: mine\n")
    file = fresh.folder / "c.toml"
    file.write_text(f'[playbooks]\nfolders = ["{folder}"]\n')
    told = fresh("playbooks", "show", "mine", "-c", str(file), code=2).stderr
    assert "some files were refused: `miniwatch check` says why" in told
