"""Killed anywhere, or met by a disk that refuses, the daemon comes to what it would have come to undisturbed."""

from __future__ import annotations

import errno
import io
import os
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Final

import journey
import pytest
from child import START_S, Plan
from journey import Outcome, configured, daemon, differences, outcome, refusing, run, watched

from monitor.app import Daemon
from monitor.stores import StoreError

KEYS: Final[dict[str, object]] = {"batch__rows_max": 190}
SMALL: Final[dict[str, object]] = {**KEYS, "batch__rows_max": 26, "batch__bytes_max": 64 << 10}
"""Cuts the stream into some fifty turns."""

LINES: Final = 1325
TURN_S: Final = 0.06
"""About what a turn takes when each saves a snapshot."""
KILLED: Final = -signal.SIGKILL


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "events.ndjson"
    path.write_bytes(b"".join(journey.troubled(seed=2, events=1300)))
    return path


@pytest.fixture(scope="module")
def undisturbed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Counter[str]]:
    """What a run comes to that nothing befalls, and which durable boundaries it passes how often."""
    folder = tmp_path_factory.mktemp("undisturbed")
    passed: Counter[str] = Counter()
    with watched(lambda name: passed.update([name])):
        _run(folder / "data", source)
    return outcome(folder / "data"), passed


@pytest.fixture
def expected(undisturbed: tuple[Outcome, Counter[str]]) -> Outcome:
    return undisturbed[0]


@pytest.fixture
def boundaries(undisturbed: tuple[Outcome, Counter[str]]) -> Counter[str]:
    return undisturbed[1]


def _run(data_dir: Path, source: Path, log: io.StringIO | None = None) -> None:
    with daemon(configured(data_dir, [source], **KEYS), log) as opened:
        journey.remember_every_turn(opened)
        opened.run()


def _plan(data_dir: Path, source: Path, **more: object) -> Plan:
    return Plan(data_dir=str(data_dir), sources=[f"file:{source}"], **{"keys": KEYS, **more})


def test_every_kind_of_durable_step_is_passed(boundaries: Counter[str]) -> None:
    assert set(boundaries) >= {
        *(f"{step}:{kind}" for kind in ("key", "segment", "snapshot") for step in ("write", "fsync", "rename")),
        *(
            f"{step}:done"
            for step in (
                "rename:key",
                "rename:segment",
                "rename:snapshot",
                "commit:schema",
                "commit:turn",
                "commit:marks",
            )
        ),
        "fsync:folder",
    }
    assert boundaries["commit:turn"] > 5


@pytest.mark.parametrize(("kills", "rows_max"), [(5, 26), pytest.param(journey.KILLS, 10, marks=pytest.mark.slow)])
def test_kills_at_random_moments_change_nothing(
    source: Path, expected: Outcome, tmp_path: Path, kills: int, rows_max: int
) -> None:
    """The moments are spread over the turns of the work; one in five is while the daemon starts."""
    chance = random.Random(8)
    moments = sorted(chance.uniform(0, LINES / rows_max) for _ in range(kills))
    keys = {**SMALL, "batch__rows_max": rows_max}
    amid = 0
    for number, moment in enumerate(moments):
        plan = _plan(tmp_path / "data", source, keys=keys, every_turn=chance.random() < 0.5)
        starting = number % 5 == 4
        wait_s = chance.uniform(0, START_S if starting else TURN_S)
        amid += plan.killed_after(int(moment), wait_s, starting=starting)
    assert amid >= kills * 2 / 3
    assert plan.run() == 0
    assert _turns(tmp_path / "data") >= 40
    assert differences(expected, outcome(tmp_path / "data")) == {}


def test_one_kill_after_another_at_every_durable_boundary_changes_nothing(
    source: Path, expected: Outcome, boundaries: Counter[str], tmp_path: Path
) -> None:
    for name in sorted(boundaries, key=lambda name: name == "fsync:folder"):  # it would hide that of the key's name
        assert _plan(tmp_path / "data", source, at=name).run() == KILLED
    assert _plan(tmp_path / "data", source).run() == 0
    assert differences(expected, outcome(tmp_path / "data")) == {}


@pytest.mark.slow
@pytest.mark.parametrize("which", ["first", "second", "last"])
def test_a_kill_at_each_durable_boundary_changes_nothing(
    source: Path, expected: Outcome, boundaries: Counter[str], tmp_path: Path, which: str
) -> None:
    for number, (name, times) in enumerate(boundaries.items()):
        data_dir = tmp_path / str(number)
        occurrence = {"first": 1, "second": min(2, times), "last": times}[which]
        assert _plan(data_dir, source, at=name, occurrence=occurrence).run() == KILLED
        assert _plan(data_dir, source).run() == 0
        assert (name, differences(expected, outcome(data_dir))) == (name, {})


def test_one_power_cut_after_another_at_every_durable_boundary_changes_nothing(
    source: Path, expected: Outcome, boundaries: Counter[str], tmp_path: Path
) -> None:
    """What was not fsynced by then is torn, and a name in a folder that was not is gone. What has its name is whole."""
    for name in sorted(boundaries, key=lambda name: name == "fsync:folder"):
        occurrence = min(2, boundaries[name])
        cut = _plan(tmp_path / "data", source, keys=SMALL, at=name, occurrence=occurrence, power_cut=True)
        assert cut.run() == KILLED
    assert _plan(tmp_path / "data", source).run() == 0
    assert "snapshot_refused" not in cut.log.read_text(encoding="utf-8")
    assert differences(expected, outcome(tmp_path / "data")) == {}


def test_a_torn_file_that_no_commit_names_is_written_again(source: Path, expected: Outcome, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    assert _plan(data_dir, source, at="rename:segment:done", occurrence=3).run() == KILLED
    _cut(max(data_dir.rglob("*.parquet")), 0.5)
    assert _plan(data_dir, source, at="rename:snapshot:done", occurrence=2).run() == KILLED
    _cut(max(data_dir.rglob("*.arrow")), 0.5)
    assert _plan(data_dir, source).run() == 0
    assert differences(expected, outcome(data_dir)) == {}


def test_a_turn_that_is_cut_otherwise_after_a_kill_leaves_nothing_of_what_it_was(tmp_path: Path) -> None:
    """It had reached into the next day, and had more dead letters."""
    source = tmp_path / "events.ndjson"
    lines = journey.crowded(seed=6, begun_s=journey.BEFORE_MIDNIGHT_S)
    source.write_bytes(b"{\n".join(b"".join(lines[first : first + 40]) for first in range(0, len(lines), 40)))
    whole = {"batch__rows_max": 50_000}
    assert _plan(tmp_path / "calm", source, keys=whole).run() == 0
    assert _plan(tmp_path / "data", source, keys=whole, at="rename:segment:done", occurrence=2).run() == KILLED
    assert _plan(tmp_path / "data", source, keys=whole, at="commit:turn").run() == KILLED
    assert len({path.parent for path in tmp_path.glob("data/archive/*/*.parquet")}) == 2
    assert _plan(tmp_path / "data", source, keys={"batch__rows_max": 100}).run() == 0
    assert differences(outcome(tmp_path / "calm"), outcome(tmp_path / "data")) == {}


def _cut(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))


@pytest.mark.parametrize(
    ("at", "lost_bytes"), [("commit:turn:done", 1), ("commit:turn:done", 700), ("rename:snapshot:done", 4200)]
)
def test_a_database_whose_last_commit_was_torn_off_is_made_whole(
    source: Path, expected: Outcome, tmp_path: Path, at: str, lost_bytes: int
) -> None:
    """There may be a snapshot of the turn that was torn off: it knows what has not happened."""
    data_dir = tmp_path / "data"
    assert _plan(data_dir, source, at=at, occurrence=4).run() == KILLED
    wal = next(data_dir.rglob("*-wal"))
    os.truncate(wal, wal.stat().st_size - lost_bytes)
    assert _turns(data_dir) == 3
    assert _plan(data_dir, source).run() == 0
    assert differences(expected, outcome(data_dir)) == {}


def test_a_database_that_lost_several_commits_is_refused_and_nothing_is_deleted(source: Path, tmp_path: Path) -> None:
    """Those turns were promised; what the archive holds of them may be the only copy."""
    data_dir = tmp_path / "data"
    assert _plan(data_dir, source, at="commit:turn:done", occurrence=6).run() == KILLED
    wal = next(data_dir.rglob("*-wal"))
    while _turns(data_dir) > 3:
        os.truncate(wal, wal.stat().st_size - 4120)
    files = sorted(data_dir.rglob("*.parquet"))
    with pytest.raises(StoreError, match="holds events of turn 6, but the database ends with turn 3"):
        _run(data_dir, source)
    assert sorted(data_dir.rglob("*.parquet")) == files


def _turns(data_dir: Path) -> int:
    """The last committed turn, seen without touching the database."""
    copy = data_dir.with_suffix(".copy")
    copy.mkdir(exist_ok=True)
    database = next(data_dir.rglob("*.db"))
    for path in database.parent.glob(f"{database.name}*"):
        if not path.name.endswith("-shm"):
            (copy / path.name).write_bytes(path.read_bytes())
    (copy / f"{database.name}-shm").unlink(missing_ok=True)
    connection = sqlite3.connect(copy / database.name)
    try:
        return int(connection.execute("select value from meta where key = 'last_turn'").fetchone()[0])
    finally:
        connection.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["full", "failing"])
def test_a_disk_that_refuses_each_step_for_a_while_is_outlived(
    source: Path, expected: Outcome, tmp_path: Path, number: int
) -> None:
    log = io.StringIO()
    data_dir = tmp_path / "data"
    with daemon(configured(data_dir, [source], **KEYS), log) as opened:
        journey.remember_every_turn(opened)
        refused = {"commit:turn": (2, 4), "commit:turn:done": (3, 3)}
        with watched(refusing(lambda name, time: _between(time, refused.get(name, (2, 2))), number)):
            opened.run()
    assert differences(expected, outcome(data_dir)) == {}
    assert os.strerror(number) in log.getvalue()
    assert log.getvalue().count("store_stalled") == log.getvalue().count("store_resumed") > 1


def _between(time: int, bounds: tuple[int, int]) -> bool:
    return bounds[0] <= time <= bounds[1]


def test_a_disk_that_refuses_for_good_stops_the_daemon_when_told_and_costs_nothing(
    source: Path, expected: Outcome, boundaries: Counter[str], tmp_path: Path
) -> None:
    blocking = {name for name in boundaries if _kind(name) in {"turn", "segment"}} - {"commit:turn:done"}
    for name in sorted(blocking):
        with watched(refusing(lambda passed, _, name=name: passed == name, errno.ENOSPC)):
            assert os.strerror(errno.ENOSPC) in _stopped_when_stalled(tmp_path / "data", source)
    run(configured(tmp_path / "data", [source], **KEYS))
    assert differences(expected, outcome(tmp_path / "data")) == {}


def test_a_disk_that_never_takes_a_snapshot_makes_a_restart_slower_and_nothing_else(
    source: Path, expected: Outcome, tmp_path: Path
) -> None:
    log = io.StringIO()
    with watched(refusing(lambda passed, _: _kind(passed) in {"snapshot", "marks"}, errno.EIO)):
        _run(tmp_path / "data", source, log)
    assert "snapshot_failed" in log.getvalue()
    assert differences(expected, outcome(tmp_path / "data")) == {}


def _kind(name: str) -> str:
    return name.split(":")[1]


def _stopped_when_stalled(data_dir: Path, source: Path) -> str:
    """Run, and stop once the daemon waits for its disk; the error that the run ended with."""
    over = threading.Event()

    def stop(opened: Daemon) -> None:
        while opened.pipeline.stalled is None and not over.wait(0.02):
            pass
        opened.stop()

    try:
        with daemon(configured(data_dir, [source], **KEYS)) as opened:
            threading.Thread(target=stop, args=(opened,)).start()
            opened.run()
    except (StoreError, OSError) as error:
        return str(error)
    finally:
        over.set()
    return ""


def test_a_full_disk_at_the_first_start_is_told_and_costs_nothing(
    source: Path, expected: Outcome, tmp_path: Path
) -> None:
    for name in ("write:key", "fsync:key", "rename:key", "commit:schema", "commit:schema:done"):
        with watched(refusing(lambda passed, _, name=name: passed == name, errno.ENOSPC)):
            assert os.strerror(errno.ENOSPC) in _stopped_when_stalled(tmp_path / "data", source)
    run(configured(tmp_path / "data", [source], **KEYS))
    assert differences(expected, outcome(tmp_path / "data")) == {}


def test_a_live_daemon_killed_while_its_file_grows_loses_nothing(source: Path, tmp_path: Path) -> None:
    lines = source.read_bytes().splitlines(keepends=True)
    whole, growing = tmp_path / "whole.ndjson", tmp_path / "growing.ndjson"
    whole.write_bytes(b"".join(lines))
    growing.touch()
    process = _live(tmp_path / "disturbed", growing).start()
    with growing.open("ab", buffering=0) as file:
        for number, first in enumerate(range(0, len(lines), 150)):
            piece = b"".join(lines[first : first + 150])
            file.write(piece[:-40])
            time.sleep(0.3)
            file.write(piece[-40:])
            if number in {2, 4, 7}:
                process.kill()
                process.join()
                process = _live(tmp_path / "disturbed", growing).start()
    found = _ended(process, tmp_path / "disturbed", len(lines))
    undisturbed = _ended(_live(tmp_path / "calm", whole).start(), tmp_path / "calm", len(lines))
    assert differences(undisturbed, found, decided=False) == {}


def _live(data_dir: Path, source: Path) -> Plan:
    """Windows wait long enough that no pause of the writer lets time go on by itself."""
    keys = {**KEYS, "clock__lateness_s_max": 30.0}
    return Plan(data_dir=str(data_dir), sources=[f"file:{source}?follow"], keys=keys, live=True)


def _ended(process, data_dir: Path, lines: int) -> Outcome:
    """The outcome once so many lines are accounted for and the daemon was told to stop."""
    until = time.monotonic() + 30
    while _received(data_dir) < lines and time.monotonic() < until:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGTERM)
    process.join(20)
    assert process.exitcode == 0
    return outcome(data_dir)


def _received(data_dir: Path) -> int:
    database = next(data_dir.rglob("*.db"), None)
    if database is None:
        return 0
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return int(connection.execute("select coalesce(sum(received), 0) from progress").fetchone()[0])
    except sqlite3.OperationalError:  # no tables yet
        return 0
    finally:
        connection.close()
