"""The loop closed, in figures: an app that offends, found by the gateway's own log, limited, let go, found again and lifted.

    python tests/bench/gateway_loop.py [--bystanders N] [--seconds-of-decision S]

Needs HAProxy. A real daemon with the built-in rules takes the gateway's access log over HTTP; the rule on development tools
in production finds the offender; a playbook limits its login to few calls in each second for some seconds. Printed: calls of
the offender's login that the platform answered, a minute, before, while limited, after that has ended, and after a second
limit was lifted by a person; the share of its calls refused; calls of bystanders refused.
"""

# ruff: noqa: E402 - what the tests of the gateway stand on is found beside them

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]
sys.path[:0] = [
    str(TESTS / "deploy" / "gateway"),
    str(TESTS / "surroundings"),
    str(TESTS.parent / "deploy" / "gateway"),
]

from loop import PLAYBOOK, TOOLS, AgentProgram, Caller, Miniwatch, Shipper
from standing import Gateway, Platform, eventually

LIMIT: Final = 2
"""Calls of the offender's login let through in a second."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bystanders", type=int, default=4)
    parser.add_argument("--seconds-of-decision", type=int, default=10)
    parser.add_argument("--per-s", type=float, default=50, help="calls of the offender a second")
    given = parser.parse_args()
    haproxy = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
    if haproxy is None:
        sys.exit("HAProxy is needed")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        platform = stack.enter_context(Platform())
        gateway = stack.enter_context(Gateway(haproxy, folder, platform.port))
        playbook = PLAYBOOK.format(api="login", limit=LIMIT, per_s=1, lasts_s=given.seconds_of_decision)
        miniwatch = stack.enter_context(Miniwatch(folder / "miniwatch", playbook))
        stack.enter_context(AgentProgram(gateway, miniwatch))
        others = [stack.enter_context(Caller(gateway, f"wxother{n}", 25)) for n in range(given.bystanders)]
        quiet = stack.enter_context(Caller(gateway, "wxoffender", given.per_s, referer=TOOLS))
        begun = time.time()
        time.sleep(4)
        stack.enter_context(Shipper(gateway, miniwatch))  # from now on Miniwatch sees the log
        limited = _first(quiet, 429, begun)
        _told(quiet, "before", begun, limited)
        ended = _first(quiet, 200, limited + given.seconds_of_decision * 0.5, run=LIMIT + 3)
        _told(quiet, "while limited", limited, ended)
        again = _first(quiet, 429, ended, within_s=90)
        _told(quiet, "after it has ended", ended, again)
        (decision,) = miniwatch.in_force()
        time.sleep(2)
        asked = time.time()
        miniwatch.told("decisions", "revoke", decision.id, "--reason", "To measure", "--exempt-for", "1h")
        lifted = _first(quiet, 200, asked, run=LIMIT + 3)
        _told(quiet, "while limited again", again, lifted)
        time.sleep(5)
        _told(quiet, "after it was lifted", lifted, time.time())
        innocent = [status for one in others for status in one.statuses()]
        print(f"bystanders: {len(innocent):,} calls, {sum(status != 200 for status in innocent)} not answered by 200")


def _first(caller: Caller, status: int, since: float, run: int = 1, within_s: float = 30) -> float:
    """When so many calls in a row first had a status."""
    found: list[float] = []

    def seen() -> bool:
        calls = [one for one in list(caller.calls) if one[0] >= since]
        for place in range(len(calls) - run + 1):
            if all(one[1] == status for one in calls[place : place + run]):
                found.append(calls[place][0])
                return True
        return False

    if not eventually(seen, within_s):
        sys.exit(f"no {status} came within {within_s:.0f} s")
    return found[0]


def _told(caller: Caller, what: str, since: float, until: float) -> None:
    statuses = caller.statuses(since, until)
    lasted_s = until - since
    served, refused = statuses.count(200), sum(status in (403, 429) for status in statuses)
    print(
        f"{what:20} {lasted_s:5.1f} s: {served * 60 / lasted_s:6.0f} calls a minute answered by the platform,"
        f" {100 * refused / max(len(statuses), 1):5.1f} % of {len(statuses):,} refused"
    )


if __name__ == "__main__":
    main()
