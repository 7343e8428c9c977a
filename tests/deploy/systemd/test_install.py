"""`make install` puts everything where the units look for it, keeps what is configured, and its opposite takes away no more than that."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from monitor.config import load_config

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not there")


@pytest.fixture
def make(tmp_path):
    def make(target):
        words = ["make", "--silent", f"DESTDIR={tmp_path}", target]
        subprocess.run(words, cwd=ROOT, check=True, capture_output=True)

    return make


def _files(folder):
    return {str(each.relative_to(folder)) for each in folder.rglob("*") if not each.is_dir()}


def test_units_users_and_an_example_are_put_where_systemd_looks(make, tmp_path):
    make("install-service")
    assert _files(tmp_path) == {
        "etc/miniwatch/config.toml",
        "usr/local/bin/miniwatch",
        "usr/local/bin/miniwatch-as-service",
        "usr/local/lib/systemd/system/miniwatch.service",
        "usr/local/lib/systemd/system/miniwatch.socket",
        "usr/local/lib/systemd/system/miniwatch@.service",
        "usr/local/lib/sysusers.d/miniwatch.conf",
        "usr/local/lib/tmpfiles.d/miniwatch.conf",
        "usr/local/share/doc/miniwatch",
    }
    assert (tmp_path / "etc/miniwatch/secrets").stat().st_mode & 0o777 == 0o700


def test_what_the_units_start_is_what_the_program_is_installed_as(make, tmp_path):
    make("install-service")
    started = "/opt/miniwatch/current/bin/miniwatch"
    assert (tmp_path / "usr/local/bin/miniwatch").readlink() == Path(started)
    for unit in (tmp_path / "usr/local/lib/systemd/system").glob("*.service"):
        lines = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart")]
        assert lines
        assert all(line.partition("=")[2].startswith(f"{started} ") for line in lines)


def test_what_alerts_and_units_refer_to_is_where_the_documentation_is(make, tmp_path):
    make("install-service")
    installed = (tmp_path / "usr/local/share/doc/miniwatch").readlink()
    assert installed == Path("/opt/miniwatch/current/share/doc/miniwatch")
    texts = [(ROOT / "deploy/prometheus/miniwatch.alerts.yml").read_text()]
    texts += [unit.read_text() for unit in (ROOT / "deploy").rglob("*.service")]
    named = {page for text in texts for page in re.findall(r"file:(?://)?(/\S+\.md)", text)}
    assert named
    for page in named:
        assert page.startswith(("/usr/local/share/doc/miniwatch/", f"{installed}/"))
        assert (ROOT / "docs" / Path(page).name).is_file()


def test_a_configuration_that_is_there_stays_as_it_is(make, tmp_path):
    (tmp_path / "etc/miniwatch").mkdir(parents=True)
    (tmp_path / "etc/miniwatch/config.toml").write_text("# mine\n")
    make("install-service")
    assert (tmp_path / "etc/miniwatch/config.toml").read_text() == "# mine\n"


def test_the_example_is_a_configuration_and_listens_where_the_socket_does(make, tmp_path):
    make("install-service")
    config = load_config(tmp_path / "etc/miniwatch/config.toml", {})
    socket = (tmp_path / "usr/local/lib/systemd/system/miniwatch.socket").read_text()
    assert f"ListenStream={config.http.listen}\n" in socket
    assert str(config.data_dir) == "/var/lib/miniwatch"
    assert config.mode == "shadow"


def test_to_uninstall_leaves_configuration_secrets_and_data(make, tmp_path):
    make("install-service")
    (tmp_path / "var/lib/miniwatch").mkdir(parents=True)
    (tmp_path / "var/lib/miniwatch/miniwatch.db").touch()
    (tmp_path / "etc/miniwatch/secrets/store.password").touch()
    (tmp_path / "opt/miniwatch/1.0").mkdir(parents=True)
    make("uninstall")
    assert _files(tmp_path) == {
        "etc/miniwatch/config.toml",
        "etc/miniwatch/secrets/store.password",
        "var/lib/miniwatch/miniwatch.db",
    }
    assert not (tmp_path / "opt/miniwatch").exists()


UV = """#!/bin/sh
for last; do :; done
case "$1" in venv) mkdir -p "$last/bin" && echo "$MADE" >"$last/bin/miniwatch" ;; esac
"""
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.fixture
def install(tmp_path):
    """Install what is made of something: no packages are fetched, and nothing is built."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "uv").write_text(UV)
    (tools / "uv").chmod(0o755)

    def install(made_from):
        old = ("--old-file=wheel", "--old-file=.venv/.kernel")
        words = ["make", "--silent", *old, f"BIN={tools}", f"DESTDIR={tmp_path}", f"MADE_FROM={made_from}"]
        environment = {**os.environ, "MADE": made_from}
        ran = subprocess.run(
            [*words, "install-program"], cwd=ROOT, check=True, capture_output=True, text=True, env=environment
        )
        current = tmp_path / "opt" / "miniwatch" / "current"
        assert (current / "bin" / "miniwatch").read_text().strip() == made_from
        return current.readlink().name, ran.stdout

    return install


def test_what_is_installed_and_may_run_is_never_written_over(install, tmp_path):
    assert install("aa")[0] == VERSION
    name, said = install("bb")
    assert name == f"{VERSION}-bb"
    assert f"current is {VERSION}-bb now, and was {VERSION} before" in said
    assert (tmp_path / "opt" / "miniwatch" / VERSION / "bin" / "miniwatch").read_text() == "aa\n"


def test_what_is_there_already_is_taken_as_it_is(install, tmp_path):
    for made_from in ("aa", "bb"):
        name, _ = install(made_from)
        (tmp_path / "opt" / "miniwatch" / name / "added").touch()
    for made_from in ("aa", "bb"):
        name, said = install(made_from)
        assert f"{name} is there already" in said
        assert (tmp_path / "opt" / "miniwatch" / name / "added").exists()


def test_an_installation_by_other_means_stays_too(install, tmp_path):
    (tmp_path / "opt" / "miniwatch" / VERSION / "bin").mkdir(parents=True)
    assert install("aa")[0] == f"{VERSION}-aa"


LINK = re.compile(r"\]\(([^)#\s]+)")


def test_every_link_of_what_is_installed_to_read_leads_somewhere(install, tmp_path):
    install("aa")
    folder = tmp_path / "opt" / "miniwatch" / "current" / "share" / "doc" / "miniwatch"
    pages = sorted(folder.glob("*.md"))
    links = [(page.name, link) for page in pages for link in LINK.findall(page.read_text()) if "://" not in link]
    assert {"openapi.json", "config.toml", "deploy/prometheus/miniwatch.alerts.yml"} <= {link for _, link in links}
    assert [(page, link) for page, link in links if not (folder / link).is_file()] == []


def test_what_the_guide_copies_to_prometheus_and_grafana_is_installed(install, tmp_path):
    install("aa")
    folder = tmp_path / "opt" / "miniwatch" / "current" / "share" / "doc" / "miniwatch"
    copied = re.findall(r"(?:cp|&& cp) ((?:deploy/\S+ )+)/", (folder / "monitoring.md").read_text())
    named = [name for line in copied for name in line.split()]
    assert len(named) >= 4
    for name in named:
        found = {each.name for each in folder.glob(name)}
        assert found == {each.name for each in ROOT.glob(name)} != set()


def test_one_that_was_broken_off_is_made_anew(install, tmp_path):
    (tmp_path / "opt" / "miniwatch" / f"{VERSION}.new" / "half").mkdir(parents=True)
    assert install("aa")[0] == VERSION
    assert not (tmp_path / "opt" / "miniwatch" / VERSION / "half").exists()
