"""A real daemon in a process of its own, on an empty data folder: what commands find that look at one beside it."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ports import free_port

START: Final = "from monitor.cli import main; main()"
READY_S_MAX: Final = 120.0


@dataclass(frozen=True)
class Running:
    """Where it is, the file that it follows, and its configuration."""

    folder: Path
    events: Path
    config: Path
    log: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"


@contextmanager
def daemon(folder: Path, more: str = "") -> Iterator[Running]:
    """One that is ready, for as long as the block lasts. `more` is of its configuration."""
    events, config, port = folder / "followed.ndjson", folder / "daemon.toml", free_port()
    events.touch()
    config.write_text(
        f'data_dir = "{folder}/data"\n[http]\nlisten = "127.0.0.1:{port}"\n[[sources]]\nuri = "file:{events}?follow"\n{more}'
    )
    command = [sys.executable, "-c", START, "run", "--config", str(config)]
    log = folder / "daemon.log"
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        try:
            _await_ready(f"http://127.0.0.1:{port}/readyz", process)
            yield Running(folder, events, config, log)
        finally:
            process.terminate()


def _await_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + READY_S_MAX
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - our own
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the daemon did not become ready")
