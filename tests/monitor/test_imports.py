"""What importing the daemon does besides: nothing that a fork would not survive."""

import re
import subprocess
import sys

THREADS = """
import pathlib
import monitor.app, monitor.detecting
print(*{one.read_text().strip() for one in pathlib.Path("/proc/self/task").glob("*/comm")}, sep="\\n")
"""


def test_importing_the_daemon_has_polars_do_nothing():
    """Its threads start with its first work; a process forked from one that has them waits for them for ever."""
    told = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True).stdout
    assert "python" in told
    assert not [name for name in told.splitlines() if re.fullmatch(r"polars-\d+", name)]
