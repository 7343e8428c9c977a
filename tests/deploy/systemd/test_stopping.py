"""Whoever stops the daemon as a guide says has stopped what would start it again, too."""

import re
from configparser import RawConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOLD = re.compile(r"\bstop (?:the daemon|the one process|all processes|all, and start)\b", re.IGNORECASE)
PAGES = sorted((ROOT / "docs").glob("*.md"))
PRINTED = "command-line.md"
"""What commands say of themselves, which has no links."""


@pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])
def test_a_guide_that_says_to_stop_says_how_under_systemd(page):
    told = [line for line in page.read_text().splitlines() if TOLD.search(line)]
    assert [line[:120] for line in told if "systemd.md#" not in line and page.name != PRINTED] == []


def test_guides_that_have_the_data_folder_replaced_are_among_them():
    telling = {page.name for page in PAGES if TOLD.search(page.read_text())}
    assert telling >= {"upgrade.md", "move.md", "recover.md", "backup.md", "elasticsearch.md"}


def test_no_step_stops_the_service_and_leaves_its_socket():
    for page in PAGES:
        for line in page.read_text().splitlines():
            words = line.split()
            if words[:2] in (["systemctl", "stop"], ["systemctl", "disable"]) and "@" not in line:
                assert {"miniwatch.socket", "miniwatch.service"} <= {*words}, f"{page.name}: {line}"


def test_a_role_stops_the_socket_that_would_start_the_whole_in_its_place():
    unit = RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read(ROOT / "deploy" / "systemd" / "miniwatch@.service")
    assert {*unit["Unit"]["Conflicts"].split()} == {"miniwatch.service", "miniwatch.socket"}
