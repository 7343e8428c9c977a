"""``miniwatch ledger``: every line that came in, and what became of it."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from monitor.cli.leaving import FOUND_PROBLEMS, leave, say
from monitor.cli.options import ConfigFile, DataDir, Form, Output
from monitor.cli.printing import Column, write_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from monitor.stores import Progress

Account = dict[str, Any]
COUNTS: Final = ("received", "processed", "dead_lettered", "late", "duplicate", "future")

COLUMNS: Final[list[Column[Account]]] = [
    ("PARTITION", lambda row: row["partition"]),
    *[(name.replace("_", "-").upper(), lambda row, name=name: row[name]) for name in (*COUNTS, "imbalance")],
]


def account(progress: Progress) -> Account:
    """A partition's account; `imbalance` is what is unaccounted for."""
    return {
        "partition": progress.partition,
        **{name: getattr(progress, name) for name in COUNTS},
        "imbalance": progress.imbalance,
    }


def total(accounts: Iterable[Account]) -> Account:
    """All partitions together."""
    held = list(accounts)
    return {"partition": "all", **{name: sum(row[name] for row in held) for name in (*COUNTS, "imbalance")}}


def ledger(output: Output = Form.TABLE, config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Show the account of every source: received = processed + dead-lettered. Exits 1 when it does not balance."""
    from monitor.cli.opening import record

    with record(config, data_dir) as opened:
        progress = opened.store.progress()
    accounts = [account(progress[name]) for name in sorted(progress)]
    shown = [*accounts, total(accounts)] if output is Form.TABLE and len(accounts) > 1 else accounts
    write_rows(output, shown, COLUMNS, none="Nothing has come in yet.")
    off = [row["partition"] for row in accounts if row["imbalance"]]
    if off:
        say(f"The ledger does not balance: {', '.join(off)}. `miniwatch doctor` looks further.")
        leave(FOUND_PROBLEMS)
    if output is Form.TABLE and accounts:
        say("Every event is accounted for. Late, duplicate and future ones are among the processed.")
