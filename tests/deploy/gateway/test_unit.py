"""The agent's unit is one that systemd understands, and shuts the agent in."""

import shutil
import subprocess

import pytest
from standing import DEPLOY

UNIT = DEPLOY / "miniwatch-gateway.service"

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not there")


def _analyze(*words):
    return subprocess.run(["systemd-analyze", *words, str(UNIT)], capture_output=True, text=True, check=False)


def test_systemd_understands_every_line():
    checked = _analyze("verify")
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_agent_is_shut_in():
    assert _analyze("security", "--offline=true", "--threshold=15").returncode == 0
