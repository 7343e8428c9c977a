"""A topic that gets more partitions while one process follows it: they are read from their beginning, without a new start."""

import io
import threading
import time

import pytest
from journey import configured, daemon, outcome, run, troubled

from monitor.clock import now_us
from monitor.intake import growing
from monitor.sources.kafka import group, opening
from monitor.testing.kafka import MemoryClient, MemoryTopic

TOPIC = "kafka://memory:1/events"


@pytest.fixture
def topic(monkeypatch):
    """A topic in memory with one partition; whoever connects to brokers reads it."""
    found = MemoryTopic({0: []})
    monkeypatch.setattr(opening, "client_of", lambda _address, _settings: MemoryClient(found))
    monkeypatch.setattr(group, "TOPIC_S", 0.05)
    monkeypatch.setattr(growing, "LOOK_S", 0.05)
    return found


class Following:
    """A daemon that follows the topic, in a thread of its own."""

    def __init__(self, config):
        self.log, self._begun = io.StringIO(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(config,))
        self._thread.start()
        assert self._begun.wait(30)

    def _run(self, config):
        with daemon(config, self.log, until_end=False, clock=now_us) as self.daemon:
            self._begun.set()
            self.daemon.run()

    def received(self, lines):
        """Wait until so many lines are accounted for."""
        until = time.monotonic() + 30
        while sum(one.received for one in self.daemon.kept.store.progress().values()) < lines:
            assert time.monotonic() < until, self.log.getvalue()[-2000:]
            time.sleep(0.02)

    def end(self):
        self.daemon.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()


@pytest.mark.parametrize("start_at", ["earliest", "latest"])
def test_partitions_that_are_added_are_read_from_their_beginning(topic, tmp_path, start_at):
    lines = troubled(3, 600)
    live = Following(configured(tmp_path / "data", [TOPIC], kafka__start_at=start_at))
    try:
        topic.logs = {0: topic.logs[0], 1: lines[:300], 2: []}
        live.received(300)
        topic.logs[0] += lines[300:400]
        topic.logs[2] += lines[400:]
        live.received(len(lines))
    finally:
        live.end()
    assert live.log.getvalue().count('"source_added"') == 2
    found = outcome(tmp_path / "data")
    assert (found.totals["received"], found.imbalance, found.strays) == (len(lines), 0, [])
    run(configured(tmp_path / "data", [TOPIC]))
    assert outcome(tmp_path / "data").totals == found.totals, "a run after it goes on where that one was"
