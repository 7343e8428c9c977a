"""CrowdSec's programs as Debian packs them, a daemon for them to speak to, and what they did."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
from ports import free_port

from monitor.clock import now_us
from monitor.kept import Kept
from monitor.tokens import Role, new_token

YEAR_US = 365 * 86_400_000_000
PROGRAMS = "CROWDSEC_PROGRAMS"
"""The folder into which the packages were unpacked (`dpkg -x`); without it they are looked for where they are installed."""


def program(name: str) -> str | None:
    """Where a program is."""
    folder = os.environ.get(PROGRAMS)
    return shutil.which(name, path=f"{folder}/usr/bin" if folder else None)


def until(true, within_s=30.0):
    """Wait for something to be true."""
    ends = time.monotonic() + within_s
    while not (found := true()) and time.monotonic() < ends:
        time.sleep(0.02)
    assert found, "it did not come to that in time"
    return found


class Place:
    """A data folder with a daemon on it that can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.config = folder / "config.toml"
        self.config.write_text(
            f'data_dir = "{folder / "data"}"\nmode = "live"\nsources = [{{uri = "http:"}}]\n[http]\nlisten = "127.0.0.1:{self.port}"\n'
        )
        self.kept = Kept.open(folder / "data")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the daemon, and wait until it answers."""
        command = [str(Path(sys.executable).with_name("miniwatch")), "run", "--config", str(self.config)]
        with (self.folder / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self._answers, 60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "daemon.log").read_text()[-2000:]
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/healthz").status_code == 200
        except httpx.HTTPError:
            return False

    def token(self, name: str, role: Role) -> str:
        now = now_us()
        token, text = new_token(name, [role], created=now, expires=now + YEAR_US, actor="operator:bob")
        self.kept.store.add_token(token, "")
        return text


class Bouncer:
    """The custom bouncer, and what it has had its program do: (add or del, value, number, time)."""

    def __init__(self, place: Place, frequency_s: int = 1) -> None:
        self.log = place.folder / "acts.ndjson"
        self.log.touch()
        script = place.folder / "carry-out"
        script.write_text(f'#!/bin/sh\nprintf \'%s\\t%s\\t%s\\t%s\\n\' "$1" "$2" "$(date +%s.%N)" "$5" >> {self.log}\n')
        script.chmod(0o755)
        self.config = place.folder / "bouncer.yaml"
        written = {
            "bin_path": str(script),
            "piddir": str(place.folder),
            "update_frequency": f"{frequency_s}s",
            "cache_retention_duration": "1s",
            "daemonize": False,
            "log_mode": "stdout",
            "log_level": "info",
            "api_url": f"http://127.0.0.1:{place.port}/",
            "api_key": place.token("bouncer", Role.BOUNCER),
            "scopes": ["AppId", "OpenId", "ip"],
            "prometheus": {"enabled": False},
        }
        self.config.write_text(json.dumps(written))
        self.output = place.folder / "bouncer.log"

    @contextmanager
    def running(self):
        with self.output.open("ab") as log:
            process = subprocess.Popen(
                [program("crowdsec-custom-bouncer"), "-c", str(self.config)], stdout=log, stderr=log
            )
        try:
            yield
            assert process.poll() is None, self.output.read_text()[-2000:]
        finally:
            process.kill()
            process.wait()

    def acts(self) -> list[tuple[str, str, int, float]]:
        lines = [line.split("\t") for line in self.log.read_text().splitlines()]
        return [(act, value, json.loads(told)["id"], float(at)) for act, value, at, told in lines]

    def state(self) -> dict[str, int]:
        """What is carried out now: number by value."""
        now = {}
        for act, value, number, _ in self.acts():
            now.pop(value, None)
            if act == "add":
                now[value] = number
        return now
