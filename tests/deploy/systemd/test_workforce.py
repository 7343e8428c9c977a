"""A process that starts workers is ready once each of them is, and as alive as the one that moves least."""

import sys
import time

import pytest

from monitor.workforce import Workforce

WORKER = """
import socket, sys, time
from monitor.supervision.supervisor import Supervisor
told = Supervisor(socket.socket(fileno=int(sys.argv[sys.argv.index("--tells") + 1])))
told.status("Starting")
{after}
while True:
    time.sleep(0.1)
    {each}
"""


@pytest.fixture
def workforce(monkeypatch):
    def begun(after, each):
        words = [sys.executable, "-c", WORKER.format(after=after, each=each)]
        monkeypatch.setattr("monitor.workforce._command", lambda: words)
        return Workforce(2, "")

    return begun


def _until(true):
    ends = time.monotonic() + 120
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_all_are_ready_once_each_is(workforce):
    with workforce("told.ready()", "told.alive()") as standing:
        assert not standing.is_ready
        _until(lambda: standing.is_ready)
        assert standing.at_work == 2


def test_workers_that_are_not_at_work_are_waited_for(workforce):
    with workforce("", "told.alive()") as standing:
        _until(lambda: all(process is not None for process in standing._processes))
        time.sleep(1.0)  # signs of life come meanwhile, and are none of work
        assert (standing.is_ready, standing.at_work, standing.age_s) == (False, 0, 0.0)


def test_those_that_stand_still_make_it_old_and_those_that_have_ended_do_not(workforce):
    with workforce("told.ready()", "") as standing:
        _until(lambda: standing.age_s > 1.0)
        assert standing.is_ready
        for process in standing._processes:
            process.kill()
        _until(lambda: standing.age_s == 0.0)


def test_it_is_ready_for_whoever_waits_until_it_stops(workforce):
    with workforce("told.ready()", "told.alive()") as standing:
        called = []

        def ready():
            called.append(standing.at_work)
            standing.stopping.set()

        standing.wait(ready)
    assert called == [2]
