"""An emergency rule: from the folder in which it was written to a finding in a running daemon, while events pour in."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import journey
import pytest

from monitor.packs.archive import described, opened, sealed
from monitor.packs.manifest import FORMAT, Manifest
from monitor.signing import fingerprint, read_key

MINIWATCH: Final = Path(sys.executable).with_name("miniwatch")
RULE_ID: Final = "7b1d3c52-64ce-4b0f-9a87-0f5f0f2d0001"
RULE: Final = f"""
title: Requests something
id: {RULE_ID}
logsource: {{product: miniprogram}}
detection:
  selection: {{event.action: request}}
  condition: selection
level: high
"""
LINE: Final = (
    '{{"@timestamp":"2026-03-02T08:00:00Z","event.dataset":"miniprogram.network","event.action":"{}",'
    '"miniprogram.app_id":"wx1"}}\n'
)
WITHIN_S: Final = 10.0
LINES_A_SECOND: Final = 2_000


class Platform:
    """A daemon in a process of its own, files that grow before it, and commands beside it."""

    def __init__(self, folder: Path, files: int = 1) -> None:
        self.folder = folder
        self.growing = [folder / f"events{number}.ndjson" for number in range(files)]
        for path in self.growing:
            path.touch()
        self.public = self.command("rules", "keygen", "signing.key").stdout.strip()
        (folder / "config.toml").write_text(f'[packs]\ntrusted_keys = ["{self.public}"]\n[http]\nlisten = ""\n')
        sources = [word for path in self.growing for word in ("--source", f"file:{path}?follow")]
        with (folder / "log").open("wb") as log:
            self.daemon = subprocess.Popen([MINIWATCH, "run", *sources], cwd=folder, stderr=log)
        self.lines = journey.stream(seed=4, events=60_000).splitlines(keepends=True)
        self.written = 0
        self._over = threading.Event()
        self._writer = threading.Thread(target=self._write)
        self._writer.start()

    def _write(self) -> None:
        step = LINES_A_SECOND // 20
        while not self._over.wait(0.05) and self.written < len(self.lines):
            some = self.lines[self.written : self.written + step]
            for number, path in enumerate(self.growing):
                with path.open("ab", buffering=0) as file:
                    file.write(b"".join(some[number :: len(self.growing)]))
            self.written += step

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([MINIWATCH, *words], cwd=self.folder, capture_output=True, text=True, check=False)

    def pack(self, version: int, *more: str, name: str = "emergency.mwp") -> Path:
        words = ("rules", "pack", "mine", "--key", "signing.key", "--version", str(version), "-O", name)
        made = self.command(*words, *more)
        assert made.returncode == 0, made.stdout + made.stderr
        return self.folder / name

    def activated(self, name: str) -> subprocess.CompletedProcess[str]:
        return self.command("rules", "activate", name, "--reason", "an emergency")

    def told(self, *words: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.command(*words, "-o", "ndjson").stdout.splitlines()]

    def findings(self) -> int:
        return self._asked("select count(*) from findings where rule = ?", RULE_ID)

    def received(self) -> int:
        return self._asked("select coalesce(sum(received), 0) from progress")

    def _asked(self, question: str, *words: str) -> int:
        database = self.folder / "var" / "miniwatch" / "miniwatch.db"
        if not database.exists():
            return 0
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            return int(connection.execute(question, words).fetchone()[0])
        except sqlite3.OperationalError:  # no tables yet
            return 0
        finally:
            connection.close()

    def end(self) -> None:
        self._over.set()
        self._writer.join()
        until = time.monotonic() + 60
        while self.received() < min(self.written, len(self.lines)) and time.monotonic() < until:
            time.sleep(0.1)
        os.kill(self.daemon.pid, signal.SIGTERM)
        assert self.daemon.wait(30) == 0

    def write_rule(self, hit: str = "request", rule: str = RULE) -> None:
        twin = self.folder / "mine" / "rules" / "emergency"
        twin.mkdir(parents=True, exist_ok=True)
        twin.with_suffix(".yml").write_text(rule)
        (twin / "hit.jsonl").write_text(LINE.format(hit))
        (twin / "miss.jsonl").write_text(LINE.format("login"))


@pytest.fixture
def platform(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Platform]:
    platform = Platform(tmp_path, getattr(request, "param", 1))
    try:
        yield platform
    finally:
        platform._over.set()
        platform.daemon.kill()
        platform.daemon.wait()


@pytest.mark.slow
def test_an_emergency_rule_finds_within_seconds_and_nothing_is_lost(platform: Platform) -> None:
    _until(lambda: platform.received() > LINES_A_SECOND)
    platform.write_rule()
    begun = time.monotonic()
    platform.pack(2)
    done = platform.activated("emergency.mwp")
    assert done.returncode == 0, done.stdout + done.stderr
    _until(lambda: platform.findings() > 0)
    took_s = time.monotonic() - begun
    sys.stderr.write(f"\nfrom `rules pack` to a finding: {took_s:.1f} s\n")
    assert took_s < WITHIN_S or _is_overloaded()
    for name in _unsound(platform):
        refused = platform.activated(name)
        assert (name, refused.returncode) == (name, 1), refused.stdout + refused.stderr
    standing = platform.command("rules", "packs", "-o", "ndjson").stdout.splitlines()
    assert [row for row in standing if '"active"' in row and '"version":2' in row.replace(" ", "")]
    assert len(standing) == 1
    platform.end()
    assert platform.received() == min(platform.written, len(platform.lines))
    assert platform.command("ledger").returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("platform", [2], indirect=True, ids=["two files"])
def test_of_two_packs_the_one_that_runs_away_goes_by_itself_and_the_record_tells_it(platform: Platform) -> None:
    _until(lambda: platform.received() > LINES_A_SECOND)
    platform.write_rule()
    platform.pack(2)
    assert platform.activated("emergency.mwp").returncode == 0
    _until(lambda: platform.findings() > 0)
    platform.write_rule(rule=RULE.replace("level: high", "level: medium"))
    platform.pack(3, "--findings-max", "3", "--in-events", "1000000", name="loud.mwp")
    assert platform.activated("loud.mwp").returncode == 0
    gone = {2: "active", 3: "withdrawn"}
    _until(lambda: {row["version"]: row["state"] for row in platform.told("rules", "packs")} == gone)
    received = platform.received()
    _until(lambda: platform.received() > received)
    platform.end()
    assert platform.received() == min(platform.written, len(platform.lines))
    assert platform.command("ledger").returncode == 0
    rules = [row for row in platform.told("rules", "history") if row["subject"] == "rules"][::-1]
    none, second, third, last = [row["digest"] for row in rules]
    assert last == second
    assert len({none, second, third}) == 3
    for name in (f"file:{path}" for path in platform.growing):
        positions = [row["positions"][name] for row in rules]
        assert positions == sorted(set(positions))


def _is_overloaded() -> bool:
    """Whether the machine has more to do than the daemon, its writer and a command: the clock says nothing then."""
    return os.getloadavg()[0] > 1.5 * (os.cpu_count() or 1)


def _unsound(platform: Platform) -> list[str]:
    """Packs that must be refused: one bit is another, an older version, another's key, a twin that fails."""
    platform.pack(1, name="older.mwp")
    good = platform.pack(3, name="good.mwp").read_bytes()
    for place in (len(good) // 3, len(good) // 2, len(good) - 9):
        flipped = bytearray(good)
        flipped[place] ^= 4
        (platform.folder / f"flipped{place}.mwp").write_bytes(flipped)
    assert platform.command("rules", "keygen", "other.key").returncode == 0
    theirs = platform.command("rules", "pack", "mine", "--key", "other.key", "--version", "3", "-O", "theirs.mwp")
    assert theirs.returncode == 0
    key = read_key(platform.folder / "signing.key")
    files = {**opened(good, [platform.public]).files, "rules/emergency/hit.jsonl": LINE.format("login").encode()}
    said = {"format": FORMAT, "name": "rules", "version": 3, "created": 0, "signer": fingerprint(key.public)}
    failing = sealed(Manifest(**said, files=described(files)), files, key)
    (platform.folder / "failing.mwp").write_bytes(failing)
    platform.write_rule(hit="login")
    unmade = platform.command("rules", "pack", "mine", "--key", "signing.key", "--version", "3", "-O", "unmade.mwp")
    assert unmade.returncode == 1
    flips = sorted(path.name for path in platform.folder.glob("flipped*.mwp"))
    return ["older.mwp", *flips, "theirs.mwp", "failing.mwp"]


def _until(holds, within_s: float = 30.0) -> None:
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, "it has not come"
        time.sleep(0.02)
