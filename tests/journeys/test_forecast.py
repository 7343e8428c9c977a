"""A daemon at work measures by the clock what fills and how busy it is, and commands say what is to be expected, while it runs and after."""

import io
import json
from contextlib import contextmanager

import pytest
from journey import NOW, configured, daemon, stream
from typer.testing import CliRunner

from monitor.cli.tree import app
from monitor.moments import DAY_US
from monitor.stores.measured import SLOT_S, Gauge

SLOT = SLOT_S * 1_000_000
SLOTS = 29
"""Seven hours: one more than is wanted before growth is told."""


class Work:
    """A daemon that follows a file, by a clock that only the test moves on."""

    def __init__(self, folder):
        self.events, self.now = folder / "events.ndjson", NOW
        self.events.touch()
        self.config = configured(folder / "data", [f"file:{self.events}?follow"])

    @contextmanager
    def at_work(self):
        with daemon(self.config, io.StringIO(), until_end=False, clock=lambda: self.now) as self.daemon:
            self.daemon.pipeline.recover()
            yield self.daemon.kept

    def seven_hours(self):
        """In every quarter of an hour as many events come."""
        pipeline = self.daemon.pipeline
        for slot in range(SLOTS):
            with self.events.open("ab") as file:
                file.write(stream(slot, 400))
            read = pipeline.turn_number
            while pipeline.turn_number == read or pipeline.intakes[0].source.lag_bytes:
                pipeline.turn()
            pipeline.turn()  # nothing is left: it waits
            self.now += SLOT
            self.do("measure what fills")

    def do(self, name):
        """What is done by the clock."""
        (job,) = (each for each in self.daemon.schedule._scheduler.get_jobs() if each.id == name)
        job.func()

    def asked(self):
        words = ["doctor", "--forecast", "-o", "ndjson", "--data-dir", str(self.config.data_dir)]
        said = CliRunner().invoke(app, words)
        assert said.exit_code in {0, 1}, said.output
        return {row["what"]: row for row in map(json.loads, said.stdout.splitlines())}


@pytest.fixture
def work(tmp_path):
    return Work(tmp_path)


def test_what_a_daemon_measures_is_told_as_growth_while_it_runs_and_when_it_has_stopped(work):
    with work.at_work() as kept:
        work.seven_hours()
        told = work.asked()
        held, _ = kept.store.archived_in(kept.archive.name)
    assert told.keys() == {"disk", "archive", "record", "busy", "lag"}
    archive = told["archive"]
    assert archive["now"] == held > 0
    assert archive["growth_day"] == pytest.approx(held / SLOTS * DAY_US / SLOT, rel=0.2)
    assert archive["outlook"] == "stays under"
    assert told["record"]["growth_day"] >= 0
    assert told["lag"]["found"] == "is read as it comes"
    assert 0 < told["busy"]["now"] < 0.98
    assert told["busy"]["found"].startswith("not enough history yet: ")
    assert {row["measured"] for row in told.values()} == {told["disk"]["measured"]}
    assert work.asked() == told


def test_once_a_day_what_is_old_is_forgotten(work):
    with work.at_work() as kept:
        work.seven_hours()

        def left():
            return [one for one in kept.store.measurements() if one.what is Gauge.ARCHIVE]

        assert len(left()) == SLOTS
        work.now += 10 * DAY_US
        work.do("retention")
        assert len(left()) == pytest.approx(SLOTS / 4, abs=1)
        work.now += 40 * DAY_US
        work.do("retention")
        assert kept.store.measurements() == []
