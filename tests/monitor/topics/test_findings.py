"""Each finding is written to its topic when it is made, and again as it grows, at most once in so many seconds; none is left out."""

from __future__ import annotations

import io
import itertools
import json
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.finding import Severity
from monitor import durable
from monitor.stores import Turn
from monitor.telemetry import Telemetry
from monitor.testing import scratch_store, stored_finding
from monitor.testing.topics import AGAIN_US, MemoryTopic, check_untold
from monitor.topics.findings import FindingsFeed
from monitor.topics.publisher import Publisher

SECOND = 1_000_000


class Killed(BaseException):
    """The process is gone."""


class Scene:
    """A record, a topic and who writes it, on a clock of their own."""

    def __init__(self, folder: Path, severity_min: Severity = Severity.INFORMATIONAL) -> None:
        self.now, self.turn, self.severity_min = 1_000 * SECOND, 0, severity_min
        self.store = scratch_store(folder, again_us=AGAIN_US)
        self.topic = MemoryTopic()
        self.start()

    def start(self) -> None:
        telemetry = Telemetry(stream=io.StringIO())
        clock = lambda: self.now  # noqa: E731
        feed = FindingsFeed(self.store, "siem", self.severity_min, AGAIN_US / SECOND, clock, telemetry)
        self.publisher = Publisher(feed, self.topic, telemetry, lambda: 1.0, lambda: self.now / SECOND)

    def find(self, number: int, count: int = 1, **more) -> None:
        self.turn += 1
        part = stored_finding(f"f{number}", count=count, **more)
        self.store.commit(Turn(number=self.turn, time=self.now, findings=[part]))

    def write(self) -> None:
        while self.publisher.work() is not None:
            pass

    def settle(self) -> None:
        self.topic.script.clear()
        for _ in range(3):
            self.now += 61 * SECOND
            self.write()

    def die_after_writing(self) -> None:
        def observe(name: str) -> None:
            if name == "send:topic:done":
                raise Killed

        earlier, durable.observer = durable.observer, observe
        try:
            with suppress(Killed):
                self.publisher.work()
        finally:
            durable.observer = earlier
        self.start()

    def told(self) -> dict[str, int]:
        """The evidence of each finding as it was written last."""
        values = [json.loads(item.value) for item in self.topic.log]
        return {value["id"]: value["evidence"]["count"] for value in values}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("find"), st.integers(0, 3), st.integers(1, 3)),
        st.tuples(st.just("wait"), st.sampled_from([1, 30, 61])),
        st.tuples(st.just("write"), st.sampled_from(["taken", "down", "half", "unanswered", "broken"])),
        st.tuples(st.just("die")),
    ),
    max_size=25,
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_whatever_happens_each_finding_is_written_as_it_stands(steps):
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder))
        for word, *rest in steps:
            match word, rest:
                case "find", (number, count):
                    scene.find(number, count)
                case "wait", (seconds,):
                    scene.now += seconds * SECOND
                case "write", (how,):
                    scene.topic.script[:] = [how]
                    scene.publisher.work()
                case "die", ():
                    scene.die_after_writing()
        scene.settle()
        assert scene.told() == {each.id: each.evidence.count for each in scene.store.findings()}
        assert scene.store.untold_since() == (0, None)
        scene.store.close()


def test_a_finding_that_grows_is_written_again_at_most_once_in_so_many_seconds(tmp_path):
    scene, written = Scene(tmp_path), []
    for _ in range(300):
        scene.find(1)
        scene.write()
        written += [scene.now] * (len(scene.topic.log) - len(written))
        scene.now += SECOND
    assert len(written) == 5
    assert min(later - earlier for earlier, later in itertools.pairwise(written)) >= AGAIN_US


def test_a_record_has_the_entity_as_its_key_and_the_finding_as_programs_get_it(tmp_path):
    scene = Scene(tmp_path)
    scene.find(1, 3)
    scene.write()
    (item,) = scene.topic.log
    assert (item.id, item.key) == ("f1:3", '["AppId","wx0001"]')
    assert json.loads(item.value)["first_event"].endswith("Z")


def test_what_is_too_slight_is_not_written_and_holds_nothing_up(tmp_path, monkeypatch):
    monkeypatch.setattr("monitor.topics.publisher.BATCH_MAX", 2)
    scene = Scene(tmp_path, Severity.HIGH)
    for number in range(5):
        scene.find(number, severity=Severity.LOW)
    scene.find(6, severity=Severity.CRITICAL)
    scene.write()
    assert [json.loads(item.value)["id"] for item in scene.topic.log] == ["f6"]
    assert scene.store.untold_since() == (0, None)


def test_a_record_keeps_which_findings_are_to_be_told(tmp_path):
    folders = (tmp_path / str(number) for number in itertools.count())

    def make():
        folder = next(folders)
        folder.mkdir()
        return scratch_store(folder, again_us=AGAIN_US)

    check_untold(make)


def test_without_a_topic_nothing_is_put_in_line(tmp_path):
    store = scratch_store(tmp_path)
    store.commit(Turn(number=1, time=1, findings=[stored_finding()]))
    assert store.untold_since() == (0, None)
