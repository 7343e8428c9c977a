"""What a process measures of itself, and keeps."""

import io
import shutil
import socket
import time

import pytest

from monitor.config import load_config
from monitor.forecasting import measuring
from monitor.forecasting.measuring import Measuring
from monitor.kept import Kept
from monitor.process import Role
from monitor.stores import Segment, Turn
from monitor.stores.measured import SLOT_S, Gauge
from monitor.telemetry import Telemetry
from monitor.telemetry.metrics import WAITED

NOW = 1_772_500_500_000_000
SLOT = SLOT_S * 1_000_000


class Scene:
    """One process on a data folder, with clocks of its own."""

    def __init__(self, folder, role=Role.ALL, **config):
        self.kept = Kept.open(folder)
        self.telemetry = Telemetry(stream=io.StringIO())
        self.now, self.seconds, self.lags = NOW, 0.0, {}
        overrides = {"data_dir": str(folder), "http.listen": "", **config}
        self.measuring = Measuring(
            config=load_config(None, {}, overrides),
            kept=self.kept,
            telemetry=self.telemetry,
            clock=lambda: self.now,
            role=role,
            lags=lambda: self.lags,
            monotonic=lambda: self.seconds,
        )

    def look(self, waited_s=0.0):
        """After a quarter of an hour in which the pipeline waited for so long; what is kept of it."""
        self.now += SLOT
        self.seconds += SLOT_S
        self.telemetry.meter.add(WAITED, waited_s)
        self.measuring.look()
        slot = self.now - self.now % SLOT
        return {one.what: one for one in self.kept.store.measurements() if one.time == slot}


@pytest.fixture
def scene(tmp_path):
    return Scene(tmp_path)


def test_the_disk_the_archive_and_the_record_are_measured_where_they_are(scene, tmp_path):
    segment = {
        "day": "2026-03-01",
        "turn_first": 1,
        "turn_last": 1,
        "rows": 5,
        "time_min": 0,
        "time_max": 1,
        "sha256": "",
    }
    mine = Segment(path="a", bytes=700, folder=scene.kept.archive.name, **segment)
    other = Segment(path="b", bytes=90, folder="elsewhere", **segment)
    scene.kept.store.commit(Turn(number=1, segments=[mine, other]))
    found = scene.look()
    assert {(one.host, one.place) for one in found.values()} == {(socket.gethostname(), str(tmp_path))}
    usage = shutil.disk_usage(tmp_path)
    assert found[Gauge.DISK].bound == usage.total
    assert found[Gauge.DISK].value == pytest.approx(usage.total - usage.free, rel=0.05)
    assert found[Gauge.ARCHIVE].value == 700
    assert found[Gauge.RECORD].value >= (tmp_path / "miniwatch.db").stat().st_size > 0


def test_a_pipeline_is_busy_for_as_long_as_it_does_not_wait(scene):
    assert Gauge.BUSY not in scene.look(waited_s=100.0), "what starting took is no measure of work"
    assert scene.look(waited_s=SLOT_S * 0.75)[Gauge.BUSY].value == pytest.approx(0.25)
    assert scene.look(waited_s=0.0)[Gauge.BUSY].value == 1.0
    assert scene.look(waited_s=SLOT_S + 0.1)[Gauge.BUSY].value == 0.0


def test_lags_are_of_partitions_wherever_they_are_read_and_what_is_not_known_is_not_kept(scene):
    scene.lags = {"kafka:calls/0": 5_000_000, "stdin": None}
    found = scene.look()[Gauge.LAG]
    assert (found.host, found.place, found.value, found.bound) == ("", "kafka:calls/0", 5_000_000, 1 << 30)


def test_of_very_many_partitions_those_furthest_behind_are_measured(scene, monkeypatch):
    monkeypatch.setattr(measuring, "PARTITIONS_MAX", 3)
    scene.lags = {f"kafka:calls/{n}": n * 100 for n in range(10)}
    scene.look()
    kept = [one.value for one in scene.kept.store.measurements() if one.what is Gauge.LAG]
    assert sorted(kept) == [700, 800, 900]


@pytest.mark.parametrize(
    ("role", "listen", "name", "others"),
    [
        (Role.DETECT, "127.0.0.1:9471", "{} (worker at 127.0.0.1:9471)", {Gauge.ARCHIVE}),
        (Role.DETECT, "", "{} (workers)", {Gauge.ARCHIVE}),
        (Role.RESPOND, "", "{} (responder)", {Gauge.ARCHIVE, Gauge.RECORD}),
        (Role.API, "", None, set()),
    ],
)
def test_each_role_measures_what_is_its_own(tmp_path, role, listen, name, others):
    scene = Scene(tmp_path, role, **{"http.listen": listen})
    scene.look()
    found = scene.look(waited_s=SLOT_S / 2)
    busy = found.pop(Gauge.BUSY, None)
    assert found.keys() == {Gauge.DISK} | others
    assert (busy and busy.place) == (name and name.format(tmp_path))


def test_waiting_is_counted_but_for_what_is_computed_meanwhile(scene):
    begun, worked = time.perf_counter(), time.thread_time()
    with scene.telemetry.waiting():
        time.sleep(0.2)
        while time.thread_time() - worked < 0.3:
            sum(range(10_000))
    took = time.perf_counter() - begun
    assert 0.19 <= scene.telemetry.meter.value(WAITED) <= took - 0.29
