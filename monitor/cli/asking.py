"""Asks the running daemon for something and waits for its answer; ``miniwatch rules reload``."""

# ruff: noqa: PLC0415 - a command imports what it needs when it runs, so that help costs nothing

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Annotated, Final

from typer import Option

from monitor.cli.leaving import FOUND_PROBLEMS, Refused, leave, say
from monitor.cli.options import ConfigFile, DataDir
from monitor.cli.printing import write_text
from monitor.cli.terminal import visible
from monitor.clock import now_us

if TYPE_CHECKING:
    from monitor.cli.opening import Opened

WAIT_S_MAX: Final = 90.0
"""How long an answer is waited for; a daemon that is asked to compile thousands of rules anew needs some of it."""

Why = Annotated[str, Option("--reason", metavar="TEXT", help="Why; kept in the audit.")]


def reload_rules(reason: Why = "", config: ConfigFile = None, data_dir: DataDir = None) -> None:
    """Have the running daemon read its rules and playbooks anew. Exits 1 when they are refused: the old ones stay then."""
    from monitor.cli.opening import record
    from monitor.requests import RELOAD

    with record(config, data_dir) as opened:
        tell(opened, RELOAD, "rules", reason)


def tell(opened: Opened, kind: str, subject: str, reason: str, who: str = "") -> None:
    """Ask (as `who`, or whoever calls), wait, and write the answer; leaves with 1 when it was refused."""
    import msgspec

    from monitor.cli.opening import actor, is_attended
    from monitor.requests import Answer
    from monitor.stores.record import Request

    if not is_attended(opened):
        raise Refused(f"no daemon runs on {opened.config.data_dir}; it reads rules when it is started")
    key = secrets.token_hex(8)
    asks = who or actor()
    opened.store.ask(Request(id=key, kind=kind, subject=subject, reason=reason, actor=asks, created=now_us()))
    until = time.monotonic() + WAIT_S_MAX
    while (answer := opened.store.answer_of(key)) is None:
        if time.monotonic() > until or not is_attended(opened):
            raise Refused(f"the daemon has not answered within {WAIT_S_MAX:g} s; its log says what it does")
        time.sleep(0.1)
    found = msgspec.json.decode(answer, type=Answer)
    for problem in found.problems:
        write_text(visible(problem))
    if not found.done:
        say("Refused: what was in force before stays in force.")
        leave(FOUND_PROBLEMS)
    write_text(found.said)
