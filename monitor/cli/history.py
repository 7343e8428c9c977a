"""``miniwatch rules history``: the control log."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from typing import Any, Final

from monitor.cli.moments import short
from monitor.cli.options import ConfigFile, DataDir, Form, Output
from monitor.cli.printing import Column, write_rows

Row = dict[str, Any]
DIGEST_DIGITS: Final = 12

COLUMNS: Final[list[Column[Row]]] = [
    ("TURN", lambda row: row["turn"]),
    ("TIME", lambda row: short(row["time"])),
    ("WHAT", lambda row: row["subject"]),
    ("DIGEST", lambda row: row["digest"][:DIGEST_DIGITS]),
    ("FROM", lambda row: ", ".join(f"{name}:{position}" for name, position in sorted(row["positions"].items()))),
]


def rule_history(output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """List since when which rules and playbooks are in force: the turn, and in each partition the first line's position."""
    import msgspec

    from monitor.cli.opening import record
    from monitor.content.control_log import PLAYBOOKS
    from monitor.rules.lineup import RULES

    with record(config, data_dir) as opened:
        found = [one for subject in (RULES, PLAYBOOKS) for one in opened.store.controls(subject)]
    rows = [msgspec.to_builtins(one) for one in sorted(found, key=lambda one: (one.turn, one.subject), reverse=True)]
    write_rows(output, rows, COLUMNS)
