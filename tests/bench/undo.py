"""What it costs to undo a rule: seconds for 10,000 decisions of it, through the record on disk, and how long nobody else can write.

    python tests/bench/undo.py [DECISIONS]

Each decision is about another app; every third app was also seen by another rule, whose findings come before and after. Figures are
of this machine.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from monitor.audit import verify
from monitor.responding.undoing import undo_rule
from monitor.settings import Settings
from monitor.stores import Turn
from monitor.stores.undos import Span
from monitor.stream.committing import TurnCommitter
from monitor.testing import scratch_store
from playbooks.playbook import parse_playbooks
from playbooks.policy import BudgetConfig, Policy
from playbooks.risk import MICROSECONDS
from playbooks.testing import NOON, finding

DECISIONS: Final = 10_000
TURN: Final = 500
MANY: Final = 10**9
LADDER: Final = """\
name: ladder
title: Throttled at once
priority: 1
match: {scopes: [AppId]}
steps:
  - {tier: throttle, when: {risk: 20}, actions: [{type: throttle, limit: 9, per: 1m, for: 24h}]}
"""


class Quiet:
    """Surroundings in which nobody else is about."""

    def active(self, _findings: Any) -> Any:
        return {}

    def behind(self, _findings: Any, _orders: Any) -> Any:
        return {}

    def seen_by(self, policy: Any) -> Any:
        return policy


def main() -> None:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else DECISIONS
    budget = BudgetConfig(throttle_per_hour=MANY, all_per_hour=MANY, rule_per_hour=MANY)
    policy = Policy(playbooks=parse_playbooks([("ladder", LADDER)])[0], budget=budget)
    with tempfile.TemporaryDirectory() as folder:
        store = scratch_store(Path(folder))
        now = [NOON]
        committer = TurnCommitter(
            store,
            lambda: policy,
            Settings(),
            lambda: now[0],
            lambda f: f(),
            lambda _: contextlib.nullcontext(),
            Quiet(),  # type: ignore[arg-type]
        )
        for number, first in enumerate(range(0, wanted, TURN), start=1):
            now[0] += MICROSECONDS
            fresh = [
                finding(
                    app=f"wx{app:06}",
                    rule=rule,
                    time=now[0] - 1,
                    severity="medium",
                    owner=f"dev{app % (wanted // 3 + 1)}",
                )
                for app in range(first, min(first + TURN, wanted))
                for rule in (("bad", "other") if app % 3 == 0 else ("bad",))
            ]
            committer.commit(Turn(number=number, findings=fresh), fresh, {})
        span = Span(rule="bad", since=0, until=now[0] + 1)
        said = {"reason": "a benchmark", "actor": "operator:bench", "now": now[0] + MICROSECONDS}
        begun = time.perf_counter()
        undo_rule(store, span, policy, dry_run=True, **said)
        foreseen = time.perf_counter()
        undo, undone = undo_rule(store, span, policy, **said)
        done = time.perf_counter()
        entries = sum(link.entry.action == "decision.undo" for link in store.audit_entries())
        assert verify(store.audit_entries()).broken is None
        store.close()
    print(f"decisions of the rule  {undo.lifted:,}, of {undo.findings:,} findings")
    print(f"others                 {undo.released:,} released, {undo.waiting:,} wait for a person")
    print(f"receipts               {len(undone):,} in the undo, {entries:,} entries in the audit")
    print(f"worked out             {foreseen - begun:.1f} s")
    print(f"written                {max(done - foreseen - (foreseen - begun), 0.0):.1f} s, in which nobody else writes")
    print(f"undone                 {done - foreseen:.1f} s")


if __name__ == "__main__":
    main()
