"""What a shell makes of the blocks of a page that are pasted into it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import monitor

FENCED = re.compile(r"(?ms)^```(\w*)\n(.*?)^```")
SECONDS_MAX = 300.0
"""A block that takes longer waits for something that does not come."""


def blocks(text: str, *languages: str) -> list[str]:
    """The blocks of a page that are in one of these languages, in order."""
    return [block for language, block in FENCED.findall(text) if language in languages]


def typed(given: Sequence[str], folder: Path, environment: Mapping[str, str] = {}, first: Path | None = None) -> str:
    """What blocks print that are pasted one after the other, in a folder that is also the home; the first command that fails is an error.

    Programs in the folder `first` come before those installed. The program is the one that the tests import.
    """
    here = {"PYTHONPATH": str(Path(monitor.__file__).parents[1]), "PYTHONSAFEPATH": "1"}
    programs = (*((str(first),) if first is not None else ()), str(Path(sys.executable).parent), os.environ["PATH"])
    shell = subprocess.Popen(
        ["bash", "-e", "-o", "pipefail", "-c", "\n".join(given)],
        cwd=folder,
        env={"PATH": os.pathsep.join(programs), "HOME": str(folder), **here, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, told = shell.communicate(timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:
        os.killpg(shell.pid, signal.SIGKILL)  # what the blocks have started, too
        said, told = shell.communicate()
    assert shell.returncode == 0, f"{said[-1000:]}\n{told[-2000:]}"
    return said
