"""What statistics have learned is not lost with a fault of ours: it is as the last snapshot before it has it, once they are taken up again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import journey
import polars as pl
import pytest
from changing import Killed
from journey import configured, daemon
from modelled import lines

from detectors.detector import State
from detectors.statistical.detector import NAME, StatisticalDetector
from detectors.statistical.series import Series
from monitor.app import Daemon
from monitor.config import Config
from monitor.settings import statistics_of

LEARNED, FAULT, END = 480, 600, 780
"""Lines until a snapshot is written, until statistics bring out a fault, and until the daemon ends."""


def config(folder: Path) -> Config:
    (folder / "events.ndjson").write_bytes(b"".join(lines()))
    words = {"rules__builtin": False, "playbooks__builtin": False, "batch__rows_max": 60}
    return configured(folder / "data", [folder / "events.ndjson"], **words)


def statistics(opened: Daemon) -> StatisticalDetector | None:
    return next((one for one in opened.pipeline.lineup.detectors if isinstance(one, StatisticalDetector)), None)


def memory(opened: Daemon) -> dict[str, pl.DataFrame]:
    found = statistics(opened)
    assert found is not None
    return dict(found.snapshot())


def are_same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(frame.equals(other[name]) for name, frame in one.items())


def read(opened: Daemon) -> int:
    return sum(intake.progress.received for intake in opened.pipeline.intakes)


def stopping_at(opened: Daemon, at: int) -> Callable[[object], None]:
    return lambda _: opened.stop() if read(opened) >= at else None


def failing(*_: object) -> None:
    raise IndexError


@pytest.fixture
def learned(tmp_path: Path) -> tuple[Config, dict[str, pl.DataFrame]]:
    """A data folder whose last snapshot is of statistics that have learned for hours, and what they know."""
    found = config(tmp_path)
    with daemon(found) as opened:
        opened.run(stopping_at(opened, LEARNED))
        return found, memory(opened)


@pytest.mark.parametrize("end", ["stopped", "killed", "killed before a snapshot"])
def test_the_next_start_goes_on_with_what_the_last_snapshot_before_the_fault_has(
    learned: tuple[Config, dict[str, pl.DataFrame]], monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    found, before = learned

    def after_turn(opened: Daemon) -> None:
        if read(opened) >= FAULT:
            monkeypatch.setattr(Series, "count", failing)
        if statistics(opened) is None and end == "killed":
            journey.remember_every_turn(opened)
        if read(opened) >= END and end != "stopped":
            raise Killed
        if read(opened) >= END:
            opened.stop()

    with daemon(found) as opened:
        try:
            opened.run(lambda _: after_turn(opened))
        except Killed:
            assert end != "stopped"
        assert statistics(opened) is None
    monkeypatch.undo()
    with daemon(found) as opened:
        opened.pipeline.recover()
        assert are_same(memory(opened), before)


def test_a_reload_takes_them_up_again_with_what_they_knew(
    learned: tuple[Config, dict[str, pl.DataFrame]], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, before = learned
    known = StatisticalDetector(statistics_of(found))
    known.restore(before)
    taken: list[int] = []

    def after_turn(opened: Daemon) -> None:
        if statistics(opened) is None and not taken:
            monkeypatch.undo()
            reloading = threading.Thread(target=opened.reloader.reload, args=("again",))
            reloading.start()
            while opened.pipeline._offer is None and reloading.is_alive():
                reloading.join(0.01)
            opened.pipeline._take_up()
            reloading.join()
            again = statistics(opened)
            taken.append(again.remembered if again is not None else 0)
            opened.stop()

    monkeypatch.setattr(Series, "count", failing)
    with daemon(found) as opened:
        opened.run(lambda _: after_turn(opened))
    assert taken == [known.remembered]
    assert known.remembered > 0


def test_where_no_statistics_are_wanted_any_more_nothing_is_kept(
    learned: tuple[Config, dict[str, pl.DataFrame]], tmp_path: Path
) -> None:
    found, _ = learned
    without = configured(
        tmp_path / "data",
        [tmp_path / "events.ndjson"],
        rules__builtin=False,
        playbooks__builtin=False,
        batch__rows_max=60,
        statistics__enabled=False,
    )
    with daemon(without) as opened:
        opened.run(stopping_at(opened, END))
        snapshot, _ = opened.pipeline.snapshots.load()
        assert snapshot is not None
        assert NAME not in snapshot.states
    assert found.statistics.enabled
