"""The same input gives the same findings and decisions, however it is cut, packed, stopped, run again or shuffled."""

from __future__ import annotations

import gzip
import random
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import journey
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from journey import Outcome, configured, differences, outcome, run

from playbooks.decision import Mode

KIB = 1024
INGESTED = re.compile(rb'"ingested":"([^"]+)"')
few = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # to shrink what fails would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # `fresh` gives every example its own folder
)
"""An example is a run of the daemon: a second or two each."""

rows = st.sampled_from([91, 250, 401, 50_000])
sizes = st.sampled_from([64 * KIB, 300 * KIB, 32 * KIB * KIB])


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return journey.troubled(seed=1, events=1300)


@pytest.fixture(scope="module")
def expected(lines: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """What one undisturbed run in large batches comes to."""
    return _ran(tmp_path_factory.mktemp("undisturbed"), [lines])


@pytest.fixture(scope="module")
def ordered(lines: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], Outcome]:
    """The lines that arrive in order, and what they come to."""
    kept = _by_arrival(lines)
    return kept, _ran(tmp_path_factory.mktemp("ordered"), [kept])


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Path]:
    """A new empty folder for each example."""
    numbers = iter(range(1000))
    return lambda: tmp_path / str(next(numbers))


def _ran(folder: Path, files: Sequence[Sequence[bytes]], *, packed: bool = False, **keys: object) -> Outcome:
    """The outcome of reading these files to their ends."""
    run(configured(folder / "data", _written(folder, files, packed=packed), **keys))
    return outcome(folder / "data")


def _written(folder: Path, files: Sequence[Sequence[bytes]], *, packed: bool = False) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    places = [folder / f"part{number}.ndjson{'.gz' if packed else ''}" for number in range(len(files))]
    for place, content in zip(places, files, strict=True):
        data = b"".join(content)
        place.write_bytes(gzip.compress(data, 1) if packed else data)
    return places


def test_the_stream_of_these_laws_has_everything_in_it(expected: Outcome) -> None:
    assert len(expected.findings) > 40
    assert {finding.entity.scope.value for finding in expected.findings.values()} >= {
        "AppId",
        "Ip",
        "OpenId",
        "DeviceId",
    }
    assert any(finding.evidence.count > 1 for finding in expected.findings.values())
    assert {decision.state.value for decision in expected.decisions.values()} == {"active", "held"}
    assert min(expected.totals.values()) > 0
    assert len(expected.dead_letters) > 3


@few
@given(rows_max=rows, bytes_max=sizes, packed=st.booleans())
def test_cutting_the_stream_otherwise_changes_nothing(
    lines: list[bytes], expected: Outcome, fresh: Callable[[], Path], rows_max: int, bytes_max: int, packed: bool
) -> None:
    found = _ran(fresh(), [lines], packed=packed, batch__rows_max=rows_max, batch__bytes_max=bytes_max)
    assert differences(expected, found) == {}


@few
@given(seed=st.integers(0, 99), count=st.integers(2, 3), rows_max=rows, bytes_max=sizes)
def test_several_files_are_merged_to_the_stream_that_they_were(
    ordered: tuple[list[bytes], Outcome],
    fresh: Callable[[], Path],
    seed: int,
    count: int,
    rows_max: int,
    bytes_max: int,
) -> None:
    whole = ordered[1]
    parted = _dealt(ordered[0], count, random.Random(seed))
    found = _ran(fresh(), parted, batch__rows_max=rows_max, batch__bytes_max=bytes_max)
    assert differences(whole, found) == {}


def _arrival(line: bytes) -> bytes:
    match = INGESTED.search(line)
    return match[1] if match else b""


def _by_arrival(lines: list[bytes]) -> list[bytes]:
    """Without those that arrive out of order; what cannot be read stays."""
    kept, clock = [], b""
    for line in lines:
        if not (arrived := _arrival(line)) or arrived >= clock:
            kept.append(line)
            clock = max(clock, arrived)
    return kept


def _dealt(lines: list[bytes], count: int, chance: random.Random) -> list[list[bytes]]:
    """The lines dealt to several files; those of one instant stay together, their order is told by nothing else."""
    files: list[list[bytes]] = [[] for _ in range(count)]
    chosen, instant = files[0], b""
    for line in lines:
        if _arrival(line) != instant or not instant:
            chosen, instant = chance.choice(files), _arrival(line)
        chosen.append(line)
    return files


def test_a_file_of_which_nothing_can_be_read_yet_holds_the_others_up(lines: list[bytes], tmp_path: Path) -> None:
    ordered = [line for line in _by_arrival(lines) if _arrival(line)]
    files = [ordered[1::2], [b"?" * 200 + b"\n"] * 400 + ordered[::2]]
    whole = _ran(tmp_path / "large", files)
    found = _ran(tmp_path / "small", files, batch__bytes_max=64 * KIB, batch__rows_max=300)
    assert differences(whole, found) == {}


def test_running_again_adds_nothing(lines: list[bytes], expected: Outcome, tmp_path: Path) -> None:
    assert differences(expected, _ran(tmp_path, [lines], batch__rows_max=400)) == {}
    assert differences(expected, _ran(tmp_path, [lines], batch__rows_max=300)) == {}


def test_a_fresh_folder_comes_to_the_same_in_the_mode_replay(
    lines: list[bytes], expected: Outcome, tmp_path: Path
) -> None:
    found = _ran(tmp_path, [lines])
    assert differences(expected, found) == {}
    assert {decision.mode for decision in found.decisions.values()} == {Mode.REPLAY}


legs = st.lists(
    st.tuples(st.integers(1, 4), rows, sizes, st.sampled_from(["kept", "kept", "lost", "damaged", "older"])),
    min_size=2,
    max_size=4,
)


@few
@given(legs=legs)
def test_stopping_between_turns_and_going_on_changes_nothing(
    lines: list[bytes], expected: Outcome, fresh: Callable[[], Path], legs: list[tuple[int, int, int, str]]
) -> None:
    folder = fresh()
    sources = _written(folder, [lines])
    for turns, rows_max, bytes_max, memory in legs:
        keys = {"batch__rows_max": min(rows_max, 401), "batch__bytes_max": bytes_max}
        run(configured(folder / "data", sources, **keys), stop_after=turns)
        _spoil(folder / "data" / "snapshots", memory)
    run(configured(folder / "data", sources, batch__rows_max=401))
    assert differences(expected, outcome(folder / "data")) == {}


def _spoil(snapshots: Path, memory: str) -> None:
    """What becomes of the detectors' memory between two runs."""
    found = sorted(snapshots.iterdir(), reverse=True)
    if memory == "lost":
        shutil.rmtree(snapshots)
    elif memory == "damaged":
        for frame in found[0].glob("*.arrow"):
            frame.write_bytes(frame.read_bytes()[:-7])
    elif memory == "older":
        shutil.rmtree(found[0])


def test_stopping_among_events_that_come_long_after_their_time_changes_nothing(
    ordered: tuple[list[bytes], Outcome], tmp_path: Path
) -> None:
    """The arrival clock stands still there, and what is read again must not let it begin anew."""
    lines = [line for line in ordered[0] if _arrival(line)]
    delayed = [*lines[:100], *lines[300:400], *lines[100:300], *lines[400:]]
    sources = _written(tmp_path, [delayed])
    keys = {"batch__rows_max": 100, "batch__bytes_max": sum(map(len, delayed[:200]))}
    run(configured(tmp_path / "data", sources, **keys), stop_after=3)
    run(configured(tmp_path / "data", sources))
    assert differences(_ran(tmp_path / "whole", [delayed]), outcome(tmp_path / "data")) == {}


def test_stopping_after_every_turn_with_several_files_changes_nothing(
    ordered: tuple[list[bytes], Outcome], tmp_path: Path
) -> None:
    sources = _written(tmp_path, _dealt(ordered[0], 2, random.Random(5)))
    keys = {"batch__rows_max": 400, "batch__bytes_max": 256 * KIB}
    while not run(configured(tmp_path / "data", sources, **keys), stop_after=1):
        pass
    assert differences(ordered[1], outcome(tmp_path / "data")) == {}


@few
@given(seed=st.integers(0, 99))
def test_order_within_lateness_does_not_matter(lines: list[bytes], fresh: Callable[[], Path], seed: int) -> None:
    chance = random.Random(seed)
    prompt = [line for line in _by_arrival(lines) if _is_prompt(line)]
    whole = _ran(fresh(), [prompt])
    shuffled = sorted(prompt, key=lambda line: _seconds(_arrival(line)) + chance.uniform(0, 0.9))
    found = _ran(fresh(), [shuffled], batch__rows_max=401)
    assert shuffled != prompt
    assert found.counts == whole.counts
    assert [_gist(found, key) for key in whole.findings] == [_gist(whole, key) for key in whole.findings]
    assert found.totals == whole.totals


def _gist(found: Outcome, key: str) -> tuple[object, ...]:
    finding = found.findings[key]
    return finding.first_event, finding.last_event, finding.severity, finding.entity


def _is_prompt(line: bytes) -> bool:
    """Whether an event arrived within a second: half of the lateness is left for shuffling."""
    happened = re.search(rb'"@timestamp":"2026([^"]+)"', line)
    return happened is not None and _seconds(_arrival(line)) - _seconds(b"2026" + happened[1]) < 1


def _seconds(instant: bytes) -> float:
    """Of a time of the simulated minutes; they lie within one hour."""
    _, minutes, seconds = instant.rstrip(b"Z").split(b":")
    return int(minutes) * 60 + float(seconds)
