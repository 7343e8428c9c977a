"""One process on the partitions of a log that it has to catch up with: they are fetched as it comes, and none is late for that."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from journey import NOW, configured, daemon, stream

import monitor.stream.awaiting as awaiting_module
from monitor.sources import LINES_MAX, Position, RawBatch
from monitor.sources.file import FileSource


class Fetched:
    """A file as a partition of a log, of which nothing has been fetched until so many turns have asked for it."""

    def __init__(self, path: Path, turns: int) -> None:
        self._inner, self._turns = FileSource(path), turns
        self.partition = self._inner.partition

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def open(self, position: Position | None) -> None:
        self._inner.open(position)

    @property
    def ready(self) -> bool:
        return self._turns <= 0 and self._inner.ready

    @property
    def lag_bytes(self) -> int | None:
        return self._inner.lag_bytes

    def taken_as_of(self, _position: int) -> None:
        return None

    def read(self, bytes_max: int, wait_s: float, lines_max: int = LINES_MAX) -> RawBatch | None:
        self._turns -= 1
        return None if self._turns >= 0 else self._inner.read(min(bytes_max, 20_000), wait_s, lines_max)


@pytest.mark.parametrize("behind", [0, 1])
@pytest.mark.parametrize("turns", [1, 40])
def test_a_partition_of_which_nothing_was_fetched_yet_is_not_late(tmp_path, behind, turns):
    assert _late(tmp_path, behind, turns) == 0


def test_one_that_gives_nothing_for_long_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(awaiting_module, "BEHIND_S_MAX", 0.0)
    assert _late(tmp_path, 0, 40) > 0


def test_one_that_gives_nothing_that_can_be_read_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(awaiting_module, "BEHIND_S_MAX", 0.5)
    lines = stream(seed=6, events=1000).splitlines(keepends=True)
    paths = [tmp_path / "events.ndjson", tmp_path / "spoilt.ndjson"]
    paths[0].write_bytes(b"".join(lines))
    paths[1].write_bytes((b"{" + b"x" * 1000 + b"\n") * 3000)
    with daemon(configured(tmp_path / "data", paths), until_end=False, now=NOW) as opened:
        pipeline = opened.pipeline
        for path, intake in zip(paths, pipeline.intakes, strict=True):
            intake.source = Fetched(path, 0)
        good, spoilt = pipeline.intakes
        opened.run(lambda _: opened.stop() if good.progress.received >= len(lines) else None)
        assert spoilt.source.lag_bytes > 0
        assert pipeline.watermark == good.place.clock.clock - pipeline.settings.bounds.lateness


def test_a_silence_that_was_our_own_is_not_a_partition_s(tmp_path):
    path = tmp_path / "events.ndjson"
    path.write_bytes(stream(seed=6, events=10))
    with daemon(configured(tmp_path / "data", [path]), until_end=False, now=NOW) as opened:
        (intake,) = opened.pipeline.intakes
        intake.source = Fetched(path, 1000)
        intake.open(None)
        awaiting = awaiting_module.Awaiting([intake])
        assert awaiting.is_any
        awaiting._came_at[intake.partition] -= awaiting_module.BEHIND_S_MAX + 30
        awaiting._looked_at -= 60
        assert awaiting.is_any
        awaiting._came_at[intake.partition] -= awaiting_module.BEHIND_S_MAX + 30
        assert not awaiting.is_any


def _late(tmp_path: Path, behind: int, turns: int) -> int:
    """How many events of two partitions were late, one of which gives nothing for so many turns."""
    lines = stream(seed=6, events=1000).splitlines(keepends=True)
    paths = [tmp_path / f"{number}.ndjson" for number in range(2)]
    for number, path in enumerate(paths):
        path.write_bytes(b"".join(lines[number::2]))
    with daemon(configured(tmp_path / "data", paths), until_end=False, now=NOW) as opened:
        pipeline = opened.pipeline
        pipeline.settings = dataclasses.replace(pipeline.settings, idle_s=0.0)
        for number, intake in enumerate(pipeline.intakes):
            intake.source = Fetched(paths[number], turns if number == behind else 0)
        opened.run(lambda _: None if sum(i.progress.received for i in pipeline.intakes) < len(lines) else opened.stop())
        return sum(intake.progress.late for intake in pipeline.intakes)
