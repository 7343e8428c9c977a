"""What a hostile stream costs is bounded, whatever its shape, and every line of it is accounted for."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from journey import configured, daemon, outcome

from detectors import kernel
from monitor.stores import Turn
from monitor.stores.sql import SqlStore

GOOD: Final = b'{"@timestamp":"2026-03-02T08:00:00Z","event":{"id":"%d"}}'
ROWS_MAX: Final = 500


def hostile(tmp_path: Path, lines: list[bytes], *, use_kernel: bool = True, **keys: object) -> list[Turn]:
    """Read these lines to their end; the turns that were committed."""
    (tmp_path / "events.ndjson").write_bytes(b"".join(line + b"\n" for line in lines))
    turns = []
    config = configured(tmp_path / "data", [tmp_path / "events.ndjson"], batch__rows_max=ROWS_MAX, **keys)
    with daemon(config) as opened:
        commit = opened.kept.store.commit

        def noted(turn: Turn) -> None:
            turns.append(turn)
            commit(turn)

        pipeline = opened.pipeline
        pipeline._committer._store = _Noting(opened.kept.store, noted)
        for intake in pipeline.intakes:
            intake.native = intake.native if use_kernel else None
        opened.run()
    return turns


class _Noting:
    def __init__(self, store: SqlStore, commit: object) -> None:
        self._store = store
        self.commit = commit

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@pytest.mark.parametrize(
    "use_kernel", [pytest.param(True, marks=pytest.mark.skipif(not kernel.available(), reason="no kernel")), False]
)
@pytest.mark.parametrize("junk", [b"", b" ", b"x", b"{}"])
def test_a_turn_takes_no_more_lines_than_it_may_however_short_they_are(
    tmp_path: Path, junk: bytes, use_kernel: bool
) -> None:
    lines = [junk] * 2200 + [GOOD % 1] + [junk] * 900 + [GOOD % 2, GOOD % 3]
    turns = hostile(tmp_path, lines, use_kernel=use_kernel)
    found = outcome(tmp_path / "data")
    assert found.totals == {
        "received": 3103,
        "processed": 3,
        "dead_lettered": 3100,
        "late": 0,
        "duplicate": 0,
        "future": 0,
    }
    assert found.imbalance == 0
    received = [0, *(turn.progress[0].received for turn in turns if turn.progress)]
    assert max(after - before for before, after in pairwise(received)) <= ROWS_MAX
    assert max(len(turn.dead_letters) for turn in turns) <= ROWS_MAX
    if not junk.strip():
        assert sum(len(turn.dead_letters) for turn in turns) <= 3103 // ROWS_MAX + 3
