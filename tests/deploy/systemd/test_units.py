"""Every unit is one that systemd understands line by line, and shuts in what it starts."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[3] / "deploy"
UNITS = sorted(each for each in DEPLOY.rglob("*.*") if each.suffix in {".service", ".socket"})
SERVICES = [each for each in UNITS if each.suffix == ".service"]
EXPOSURE_MAX = 15
"""Tenths; from 0, nothing to reach, to 100."""

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not there")


def _names(units):
    return [each.name for each in units]


@pytest.fixture
def written(tmp_path):
    """The units beside one another, as they are when they are installed; what they start stands elsewhere here."""
    for unit in UNITS:
        text = unit.read_text().replace("/opt/miniwatch/current/bin/miniwatch", sys.executable)
        (tmp_path / unit.name).write_text(text)
    return tmp_path


def _analyze(*words):
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("unit", UNITS, ids=_names(UNITS))
def test_systemd_understands_every_line(written, unit):
    checked = _analyze("verify", "--man=no", str(written / unit.name))
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_line_that_it_does_not_understand_would_be_noticed(written):
    unit = written / "miniwatch.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    assert "WatchdogSecs" in _analyze("verify", "--man=no", str(unit)).stderr


@pytest.mark.parametrize("unit", SERVICES, ids=_names(SERVICES))
def test_what_it_starts_is_shut_in(unit):
    told = _analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", str(unit))
    assert told.returncode == 0, told.stdout[-500:]


@pytest.mark.parametrize("unit", SERVICES, ids=_names(SERVICES))
def test_it_is_watched_and_started_again(unit):
    lines = unit.read_text().splitlines()
    assert "Type=notify" in lines
    assert any(line.startswith("WatchdogSec=") for line in lines)
    assert {"Restart=on-failure", "Restart=always"} & {*lines}


def test_the_roles_are_shut_in_as_the_whole_is():
    whole, role = (
        _service((DEPLOY / "systemd" / name).read_text()) for name in ("miniwatch.service", "miniwatch@.service")
    )
    assert {*role} - {*whole} == {
        "EnvironmentFile=-/etc/default/miniwatch-%i",
        "ExecStart=/opt/miniwatch/current/bin/miniwatch run --role %i --config /etc/miniwatch/config.toml $OPTIONS",
    }
    assert [line for line in whole if line not in role and not line.startswith("Exec")] == []


def _service(text):
    inside = text.partition("[Service]")[2].partition("[Install]")[0]
    return [line for line in inside.splitlines() if line and not line.startswith("#")]
