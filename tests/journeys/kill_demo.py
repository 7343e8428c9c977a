"""Kills the daemon twenty times while it works, and shows that nothing is lost and nothing is done twice.

`make kill-demo` runs this. It simulates traffic with misbehaviour in it, lets one daemon read it undisturbed, and kills
another with SIGKILL again and again while it reads the same. Ends with 1 if the two have not come to the same.
"""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import journey
from child import START_S, Plan

from monitor.simulate import bad_lines, simulate

EVENTS: Final = 20_000
KILLS: Final = 20
SEED: Final = 20
TURN_S: Final = 0.1
KEYS: Final[dict[str, object]] = {"batch__rows_max": 400, "batch__bytes_max": 1 << 20, "snapshots__every_s": 1.0}


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="miniwatch-kill-demo-") as name:
        return demonstrate(Path(name))


def demonstrate(folder: Path) -> int:
    began = time.monotonic()
    source = folder / "events.ndjson"
    with source.open("wb") as file:
        blocks, bad = bad_lines(simulate(SEED, EVENTS), EVENTS, SEED, share=0.01)
        file.writelines(blocks)
    say(
        f"{EVENTS:,} events simulated and {sum(bad.values()):,} lines that cannot be read, {source.stat().st_size / 1e6:.0f} MB."
    )
    calm = _plan(folder / "undisturbed", source)
    began_calm = time.monotonic()
    if calm.run(within_s=300) != 0:
        return fail("The undisturbed run did not end well.", folder / "undisturbed")
    seconds = time.monotonic() - began_calm
    say(f"A daemon read them undisturbed in {seconds:.0f} s. Another reads the same now, and is killed {KILLS} times:")
    say("")
    if not killed_again_and_again(folder, source, account(folder / "undisturbed")[3]):
        return 1
    expected, found = journey.outcome(folder / "undisturbed"), journey.outcome(folder / "killed")
    wrong = journey.differences(expected, found)
    if wrong:
        say(json.dumps({name: str(what)[:300] for name, what in wrong.items()}, indent=1))
        return fail("The two runs have NOT come to the same.", folder / "killed")
    say("")
    say(f"The same as undisturbed, after {KILLS} kills: {len(found.findings):,} findings with the same evidence,")
    say(
        f"{len(found.incidents):,} incidents, {len(found.decisions):,} decisions, and {len(found.archived):,} events, each archived once."
    )
    say(f"Done in {time.monotonic() - began:.0f} s.")
    return 0


def killed_again_and_again(folder: Path, source: Path, turns_in_all: int) -> bool:
    """Kill at random moments, spread over the whole run; say how the account stands after each."""
    chance = random.Random()  # other moments every time
    moments = sorted(chance.randrange(turns_in_all) for _ in range(KILLS))
    plan = _plan(folder / "killed", source)
    say(f"{'kill':>5} {'received':>10} {'processed':>10} {'dead-lettered':>14} {'imbalance':>10} {'turns':>6}")
    for kill, moment in enumerate(moments, 1):
        starting = kill % 5 == 0  # every fifth is killed while it is still starting
        plan.killed_after(moment, chance.uniform(0, START_S if starting else TURN_S), starting=starting)
        received, processed, dead_lettered, turns = account(folder / "killed")
        imbalance = received - processed - dead_lettered
        say(f"{kill:>5} {received:>10,} {processed:>10,} {dead_lettered:>14,} {imbalance:>10} {turns:>6}")
        if imbalance:
            fail("Events are unaccounted for.", folder / "killed")
            return False
    if plan.run(within_s=300) != 0:
        fail("The last run did not end well.", folder / "killed")
        return False
    received, processed, dead_lettered, turns = account(folder / "killed")
    say(
        f"{'end':>5} {received:>10,} {processed:>10,} {dead_lettered:>14,} {received - processed - dead_lettered:>10} {turns:>6}"
    )
    return True


def account(data_dir: Path) -> tuple[int, int, int, int]:
    """Received, processed, dead-lettered and turns, as the record says."""
    database = next(data_dir.rglob("*.db"), None)
    if database is None:
        return 0, 0, 0, 0
    connection = sqlite3.connect(database)
    try:
        totals = "select coalesce(sum(received), 0), coalesce(sum(processed), 0), coalesce(sum(dead_lettered), 0) from progress"
        received, processed, dead_lettered = connection.execute(totals).fetchone()
        turn = connection.execute("select value from meta where key = 'last_turn'").fetchone()
    except sqlite3.OperationalError:  # killed before there was a table
        return 0, 0, 0, 0
    finally:
        connection.close()
    return received, processed, dead_lettered, int(turn[0]) if turn else 0


def _plan(data_dir: Path, source: Path) -> Plan:
    return Plan(data_dir=str(data_dir), sources=[f"file:{source}"], keys=KEYS, every_turn=False)


def fail(why: str, data_dir: Path) -> int:
    """Say what went wrong, with the daemon's last words."""
    say(why)
    log = data_dir.with_suffix(".log")
    if log.exists():
        say("\n".join(log.read_text(encoding="utf-8").splitlines()[-5:]))
    return 1


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
