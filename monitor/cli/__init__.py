"""The command line: ``miniwatch …``. Results go to standard output, talk to standard error.

Each group of commands has a file. What a command needs of the rest of the program is imported when the command runs, so
that ``miniwatch --help`` costs no more than the command line itself.
"""

from __future__ import annotations

import sys


def main() -> None:
    """The console script."""
    if sys.argv[1:2] == ["completion"] and sys.argv[3:]:
        from monitor.cli.completing import answer  # noqa: PLC0415 - as below

        answer(*sys.argv[2:])
        return
    from monitor.cli.tree import app  # noqa: PLC0415 - importing this package alone should cost nothing

    app(prog_name="miniwatch")
