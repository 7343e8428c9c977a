"""`miniwatch completion`: what shells propose is what there is, tried in the shells themselves."""

import os
import pty
import select
import shutil
import stat
import subprocess
import sys
import time

import pytest
from daemons import START
from lacking import lacking
from typer.main import get_command

from monitor.cli.completing import _put_together, proposals
from monitor.cli.tree import COMMANDS, app

PATIENCE_S = 60


def values(*words):
    return [one.value for one in proposals(words[:-1], words[-1])]


def test_every_command_and_every_option_is_proposed():
    assert values("") == [place.name for place in COMMANDS]
    root = get_command(app)
    for place in COMMANDS:
        command = root.get_command(None, place.name)
        inner = getattr(command, "commands", {})
        if inner:
            assert set(values(place.name, "")) == set(inner)
        for names, one in [([place.name], command), *(([place.name, name], each) for name, each in inner.items())]:
            shown = {name for option in one.params if not getattr(option, "hidden", False) for name in option.opts}
            assert {name for name in shown if name.startswith("--")} <= {*values(*names, "--"), "--help"}


@pytest.mark.parametrize(
    ("words", "proposed"),
    [
        (["find"], ["findings"]),
        (["rules", "pa"], ["pack", "packs"]),
        (["rules", "list", "--se"], ["--severity"]),
        (["run", "--role", ""], ["all", "detect", "respond", "api"]),
        (["run", "--mode", "l"], ["live"]),
        (["findings", "list", "-o", "nd"], ["ndjson"]),
        (["findings", "list", "-o", "json", "--si"], ["--since"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["completion", "--pro"], []),
        (["backup", ""], []),
        (["no-such-command", "x"], []),
        (["run", "--source", "li"], []),
    ],
)
def test_what_may_follow_is_proposed(words, proposed):
    assert values(*words) == proposed


def test_an_equals_sign_that_is_a_word_of_its_own_is_none():
    assert _put_together(["top", "-o", "=", "js"]) == ["top", "-o", "js"]
    assert _put_together(["top", "--output", "="]) == ["top", "--output", ""]


def test_each_command_and_option_says_what_it_is_for():
    assert all(one.meaning for one in proposals([], ""))
    assert all(one.meaning for one in proposals(["incidents"], ""))
    assert all(one.meaning for one in proposals(["run"], "--"))


@pytest.mark.parametrize(
    "given", [["bash", "more"], ["tcsh", "--propose="], ["bash", "--propose=", "more"], ["bash", "--help", "x"]]
)
def test_what_no_script_asks_is_wrong_usage(given):
    ran = subprocess.run(
        [sys.executable, "-c", START, "completion", *given], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "bash, zsh or fish" in ran.stderr


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """Gives a shell that knows `miniwatch` and has read its completion; skips where there is no such shell."""
    program = tmp_path / "bin" / "miniwatch"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{START}' \"$@\"\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "apps.ndjson").touch()

    def made(name):
        if shutil.which(name) is None:
            lacking(f"{name} is not installed")
        script = tmp_path / f"script.{name}"
        script.write_bytes(subprocess.run([program, "completion", name], capture_output=True, check=True).stdout)
        return script

    return made


def test_bash_completes(shell):
    script = shell("bash")
    asked = [
        "miniwatch findings li", "miniwatch top --ev", "miniwatch run --role re", "miniwatch rules ", "miniwatch backup a",
    ]  # fmt: skip
    ask = (
        'ask() { COMP_LINE="$1"; read -ra COMP_WORDS <<<"$1"; [[ $1 == *" " ]] && COMP_WORDS+=(""); '
        'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _miniwatch miniwatch; echo "${COMPREPLY[*]}"; }'
    )
    told = subprocess.run(
        ["bash", "--norc", "-c", f'source {script}; {ask}; for line in "$@"; do ask "$line"; done', "bash", *asked],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    first, second, third, rules, nothing = told.stdout.split("\n")[:5]
    assert (first, second, third, nothing) == ("list", "--every", "respond", "")
    assert {"list", "show", "check"} <= set(rules.split())
    assert told.stderr == ""
    known = subprocess.run(
        ["bash", "--norc", "-c", f"source {script}; complete -p miniwatch"], capture_output=True, text=True, check=True
    )
    assert "-o default" in known.stdout  # where nothing is proposed, files are


def test_fish_completes(shell):
    script = shell("fish")
    lines = ["miniwatch findings li", "miniwatch rules ", "miniwatch top -o nd", "miniwatch apps import ap"]
    asks = "; echo ==; ".join(f'complete -C "{line}"' for line in lines)
    told = subprocess.run(
        ["fish", "--no-config", "-c", f"source {script}; {asks}"], capture_output=True, text=True, check=True
    )
    first, rules, output, files = told.stdout.split("==\n")
    assert first.startswith("list\tList findings")
    assert {"list", "show", "check"} <= {line.split("\t")[0] for line in rules.splitlines()}
    assert (output, files) == ("ndjson\n", "apps.ndjson\n")


def test_zsh_completes(shell, tmp_path):
    script = shell("zsh")
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update(TERM="dumb", PS1="asks> ", ZDOTDIR=str(tmp_path))
        os.execvp("zsh", ["zsh", "-f", "-i"])  # noqa: S606 - there is no other way to be a child on a terminal
    try:
        _said(terminal, b"asks> ")
        os.write(terminal, f"autoload -Uz compinit; compinit -u -D; source {script}; echo re''ady\n".encode())
        _said(terminal, b"\nready")
        os.write(terminal, b"miniwatch findings li\t")
        _said(terminal, b"list ")
        os.write(terminal, b"\x15miniwatch incidents \t")
        _said(terminal, b"-- Write down what is known")
        os.write(terminal, b"\x15miniwatch apps import ap\t")
        _said(terminal, b"apps.ndjson")
    finally:
        os.kill(process, 9)
        os.waitpid(process, 0)
        os.close(terminal)


def _said(terminal, awaited):
    """Read until something is there."""
    seen, end = b"", time.monotonic() + PATIENCE_S
    while awaited not in seen:
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert ready, seen
        seen += os.read(terminal, 65536)
