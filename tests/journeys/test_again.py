"""Given where rules and playbooks changed, nothing else about a run matters: how it is cut, stopped, killed and resumed, or gone through again."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from changing import AFTER, BASES, BEFORE, Killed, counting, event, lineup, many, rule
from hypothesis import given
from hypothesis import strategies as st
from journey import configured, daemon, differences, outcome, remember_every_turn

from monitor.app import Daemon
from monitor.content.again import CannotRepeat, Point, again, points_of
from monitor.playbook_files import builtin_playbooks, load_playbooks
from monitor.rules.lineup import Offer
from monitor.stores.places import Places
from playbooks.ladder import Playbook

LINES: Final = 600
THIRD: Final = BASES + counting(4, "pong", 3) + rule(6, "x.other", "w3") + rule(8, "x.word", "w5")
LIBRARY: Final = load_playbooks([builtin_playbooks()]).playbooks
IN_FORCE: Final = ((BEFORE, LIBRARY), (AFTER, LIBRARY), (THIRD, ()), (BEFORE, LIBRARY))
"""Rules and playbooks, one after the other: windows that go on, end, begin and come again, and a time without any playbook."""


def lines(seed: int) -> list[bytes]:
    """The stream of `changing`, with silences, times that nobody believes, late and repeated events, and lines that are none."""
    chance = random.Random(seed)
    found = [event(number) for number in range(LINES)]
    for number, line in enumerate(found):
        told = json.loads(line)
        told["@timestamp"] += 400_000 * (number // 150)
        if number % 97 == 50:
            told["@timestamp"] += chance.choice([90_000, 5 * 365 * 86_400_000])
        if number % 83 == 40:
            told["@timestamp"] -= 5_000
        found[number] = json.dumps(told).encode() + b"\n"
    for _ in range(6):
        place = chance.randrange(10, LINES - 10)
        found.insert(place + chance.randrange(1, 9), found[place])
        found.insert(chance.randrange(LINES), b"{\n")
    return found


class Journey:
    """A data folder, and runs over the same files on it; each may be cut otherwise."""

    def __init__(self, folder: Path, sources: Sequence[Path]) -> None:
        self.data, self.sources = folder / "data", sources

    def go(
        self,
        rows_max: int,
        lot_bytes: int,
        changes: Sequence[int] = (),
        like: Journey | None = None,
        kill_at: int | None = None,
        *,
        every_turn: bool = False,
    ) -> None:
        """Read on. Rules change after so many lines, or where they did in another journey; `kill_at` is of lines too."""
        config = configured(self.data, self.sources, rules__builtin=False, batch__rows_max=rows_max)
        repeated = again(like.data, 1_000_000) if like is not None else None
        with suppress(Killed), daemon(config, repeated=repeated) as opened:
            if every_turn:
                remember_every_turn(opened)
            settings = dataclasses.replace(opened.pipeline.settings, bytes_max=lot_bytes)
            opened.pipeline.settings = settings
            if repeated is None:
                begun = max(len(points_of(opened.kept.store)) - 1, 0)
                self._put(opened, begun)
                opened.run(lambda _: self._after_turn(opened, changes, kill_at))
            else:
                opened.run(lambda _: self._after_turn(opened, (), kill_at))

    def _put(self, opened: Daemon, place: int) -> None:
        opened.pipeline.lineup = lineup(IN_FORCE[place][0])
        self._answer(opened, IN_FORCE[place][1])

    @staticmethod
    def _answer(opened: Daemon, playbooks: tuple[Playbook, ...]) -> None:
        opened.pipeline.policy.take(playbooks)  # type: ignore[attr-defined]

    def _after_turn(self, opened: Daemon, changes: Sequence[int], kill_at: int | None) -> None:
        read = sum(intake.progress.received for intake in opened.pipeline.intakes)
        if kill_at is not None and read >= kill_at:
            raise Killed
        done = len(points_of(opened.kept.store)) - 1
        if done < len(changes) and read >= changes[done]:
            text, playbooks = IN_FORCE[done + 1]
            opened.pipeline.offer(
                Offer(lineup(text), lambda: True, lambda _: None, pytest.fail, lambda: self._answer(opened, playbooks))
            )

    @property
    def points(self) -> list[Point]:
        config = configured(self.data, self.sources, rules__builtin=False)
        with daemon(config) as opened:
            return points_of(opened.kept.store)


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[int, int], Callable[[], Journey]]:
    """Makes journeys over a stream that is dealt to some files."""
    numbers = iter(range(1000))

    def dealt(seed: int, files: int) -> Callable[[], Journey]:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        found = lines(seed)
        sources = [folder / f"part{part}.ndjson" for part in range(files)]
        for part, path in enumerate(sources):
            path.write_bytes(b"".join(found[part::files]))

        def made() -> Journey:
            (place := folder / str(next(numbers))).mkdir()
            return Journey(place, sources)

        return made

    return dealt


rows = st.integers(20, 350)
lots = st.sampled_from([3_000, 7_001, 20_000, 65_536, 1 << 22])
changing = st.lists(st.integers(1, LINES), min_size=1, max_size=3).map(sorted)
kills = st.tuples(st.integers(0, 2), st.integers(1, 40))
"""Soon after one of the changes: so many lines later."""


def after(changes: Sequence[int], kill: tuple[int, int]) -> int:
    return changes[kill[0] % len(changes)] + kill[1]


@many
@given(
    seed=st.integers(0, 9),
    files=st.integers(1, 3),
    changes=changing,
    cut=st.tuples(rows, lots),
    otherwise=st.lists(st.tuples(rows, lots, kills, st.booleans()), max_size=3),
    last=st.tuples(rows, lots),
)
def test_the_control_log_and_the_stream_are_all_that_matters(
    fresh: Callable[[int, int], Callable[[], Journey]],
    seed: int,
    files: int,
    changes: list[int],
    cut: tuple[int, int],
    otherwise: list[tuple[int, int, tuple[int, int], bool]],
    last: tuple[int, int],
) -> None:
    made = fresh(seed, files)
    first, second = made(), made()
    first.go(*cut, changes)
    for rows_max, lot_bytes, kill, every_turn in otherwise:
        second.go(rows_max, lot_bytes, like=first, kill_at=after(changes, kill), every_turn=every_turn)
    second.go(*last, like=first)
    assert differences(outcome(first.data), outcome(second.data)) == {}
    assert first.points == second.points


@many
@given(
    files=st.integers(1, 3),
    changes=changing,
    legs=st.lists(st.tuples(rows, lots, kills, st.booleans()), min_size=1, max_size=3),
    last=st.tuples(rows, lots),
    otherwise=st.tuples(rows, lots),
)
def test_a_run_that_is_killed_and_resumed_with_other_batches_is_what_an_undisturbed_one_is(
    fresh: Callable[[int, int], Callable[[], Journey]],
    files: int,
    changes: list[int],
    legs: list[tuple[int, int, tuple[int, int], bool]],
    last: tuple[int, int],
    otherwise: tuple[int, int],
) -> None:
    made = fresh(3, files)
    killed, calm = made(), made()
    for rows_max, lot_bytes, kill, every_turn in legs:
        killed.go(rows_max, lot_bytes, changes, kill_at=after(changes, kill), every_turn=every_turn)
    killed.go(*last, changes)
    calm.go(*otherwise, like=killed)
    assert differences(outcome(killed.data), outcome(calm.data)) == {}


def test_where_the_rules_change_matters(fresh: Callable[[int, int], Callable[[], Journey]]) -> None:
    made = fresh(0, 1)
    one, other = made(), made()
    one.go(50, 1 << 22, [100, 300])
    other.go(50, 1 << 22, [100, 350])
    assert differences(outcome(one.data), outcome(other.data)) != {}


def test_the_record_names_the_position_of_every_partition(fresh: Callable[[int, int], Callable[[], Journey]]) -> None:
    journey = fresh(0, 2)()
    journey.go(100, 1 << 22, [200])
    content = [path.read_bytes() for path in journey.sources]
    first, second = journey.points
    assert set(first.positions.values()) == {0}
    for path, whole in zip(journey.sources, content, strict=True):
        position = second.positions[f"file:{path}"]
        assert 0 < position < len(whole)
        assert whole[:position].endswith(b"\n")


def test_what_cannot_be_gone_through_again_is_refused(
    fresh: Callable[[int, int], Callable[[], Journey]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fresh(0, 2)
    first, other = made(), made()
    with pytest.raises(CannotRepeat, match="has no record"):
        other.go(100, 1 << 22, like=first)
    first.go(100, 1 << 22, [200])
    other.sources = other.sources[:1]
    with pytest.raises(CannotRepeat, match=r"part1\.ndjson, which is not among the sources"):
        other.go(100, 1 << 22, like=first)
    third = made()
    third.go(100, 1 << 22, [300])
    with pytest.raises(CannotRepeat, match="has gone by other rules or positions"):
        third.go(100, 1 << 22, like=first)
    monkeypatch.setattr("monitor.rules.lineup.engine_digest", lambda: "newer")
    with pytest.raises(CannotRepeat, match="compiled by another version"):
        made().go(100, 1 << 22, like=first)
    assert Places(first.data).database.is_file()
