"""What a shell makes of the blocks of a page that are pasted into it."""

from __future__ import annotations

import os
import re
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
    run = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", "\n".join(given)],
        cwd=folder,
        env={"PATH": os.pathsep.join(programs), "HOME": str(folder), **here, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert run.returncode == 0, f"{run.stdout[-1000:]}\n{run.stderr[-2000:]}"
    return run.stdout
