"""The command line: ``miniwatch …``. Results go to standard output, talk to standard error.

Each group of commands has a file. What a command needs of the rest of the program is imported when the command runs, so
that ``miniwatch --help`` costs no more than the command line itself.
"""

from __future__ import annotations


def main() -> None:
    """The console script."""
    from monitor.cli.tree import app  # noqa: PLC0415 - importing this package alone should cost nothing

    app(prog_name="miniwatch")
