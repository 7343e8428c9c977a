"""Who has started a daemon is told when it does its work, that it moves, what it reloads, and that it stops; and nobody else speaks for it."""

import io
import os
import signal
import socket
import threading
import time

import pytest
from supervising import Listening, command, started

from monitor.app import open_daemon
from monitor.config import load_config
from monitor.console.health import Bounds, Health
from monitor.supervision.supervisor import STATUS_BYTES_MAX, Supervisor
from monitor.supervision.watched import told, watched, watched_daemon
from monitor.telemetry import Telemetry
from monitor.testing import MemorySource


@pytest.fixture(params=["path", "abstract"])
def listening(request, tmp_path):
    address = str(tmp_path / "notify") if request.param == "path" else f"@miniwatch-test-{os.getpid()}"
    heard = Listening(address)
    yield heard
    heard.close()


@pytest.fixture
def abstract():
    heard = Listening(f"@miniwatch-test-of-{os.getpid()}")
    yield heard
    heard.close()


def _supervisor(listening, **more):
    return Supervisor.of({"NOTIFY_SOCKET": listening.address, **more}, os.getpid())


def _all(listening):
    while listening.next(0.05):
        pass
    return listening.said()


def test_a_daemon_tells_its_whole_life(abstract, tmp_path):
    (tmp_path / "events.ndjson").touch()
    (tmp_path / "config.toml").write_text('http.listen = ""\n')
    words = command("run", "--source", "file:events.ndjson?follow", "--data-dir", "data")
    with started(words, tmp_path, NOTIFY_SOCKET=abstract.address, WATCHDOG_USEC="1000000") as process:
        abstract.until("READY=1")
        assert abstract.until("STATUS=Ready | live, turn ").endswith("1 source, 0 bytes behind")
        abstract.until("WATCHDOG=1")
        process.send_signal(signal.SIGHUP)
        began = int(abstract.until("MONOTONIC_USEC=").partition("=")[2])
        assert abs(time.clock_gettime(time.CLOCK_MONOTONIC) - began / 1e6) < 60
        abstract.until("READY=1")
        process.send_signal(signal.SIGTERM)
        abstract.until("STOPPING=1")
        assert process.wait(60) == 0
    said = [line.partition("|")[0].strip() for line in abstract.said()]
    order = [
        said.index(each)
        for each in (
            "STATUS=Starting: opening the record, reading rules",
            "READY=1",
            "STATUS=Ready",
            "RELOADING=1",
            "STOPPING=1",
        )
    ]
    assert order == sorted(order)


@pytest.mark.parametrize("watched", ["", "own", "other"])
def test_signs_of_life_are_for_the_process_that_is_meant(abstract, watched):
    pid = {"": "", "own": str(os.getpid()), "other": "1"}[watched]
    supervisor = _supervisor(abstract, WATCHDOG_USEC="3000000", WATCHDOG_PID=pid)
    assert supervisor.period_s == (None if watched == "other" else 3.0)


def test_what_the_environment_says_is_taken_out_of_it(listening):
    environ = {"NOTIFY_SOCKET": listening.address, "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "PATH": "/bin"}
    Supervisor.of(environ, os.getpid()).ready()
    assert environ == {"PATH": "/bin"}
    assert listening.next() == ["READY=1"]


def test_without_a_supervisor_nobody_is_told():
    supervisor = Supervisor.of({}, os.getpid())
    supervisor.ready()
    supervisor.status("well")
    assert not supervisor.is_there


def test_a_supervisor_that_is_gone_is_told_of_once_and_nothing_is_raised(tmp_path):
    reasons = []
    supervisor = Supervisor.of({"NOTIFY_SOCKET": str(tmp_path / "nobody")}, os.getpid())
    supervisor.untold = reasons.append
    supervisor.ready()
    supervisor.alive()
    assert reasons == ["No such file or directory"]


def test_a_supervisor_that_does_not_listen_holds_nobody_up():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    reasons = []
    with ours, theirs:
        supervisor = Supervisor(ours, untold=reasons.append)
        while not reasons:
            supervisor.alive()
    assert reasons == ["timed out"]


def test_ready_is_said_once_and_nothing_is_ready_that_stops(abstract):
    supervisor = _supervisor(abstract)
    supervisor.ready()
    supervisor.ready()
    supervisor.stopping()
    supervisor.stopping()
    with supervisor.reloading():
        pass
    late = _supervisor(abstract)
    late.stopping()
    late.ready()
    assert [line for line in _all(abstract) if not line.startswith("STATUS")] == ["READY=1", "STOPPING=1", "STOPPING=1"]


def test_a_reload_that_fails_ends_as_well(abstract):
    supervisor = _supervisor(abstract)
    supervisor.ready()
    with pytest.raises(ValueError, match="broken"), supervisor.reloading():
        raise ValueError("broken")
    assert _all(abstract)[-1] == "READY=1"


def test_what_people_see_is_one_line_of_bounded_length(abstract):
    supervisor = _supervisor(abstract)
    supervisor.status("a\nREADY=1\x1b[31m" + "界" * 1000)
    (line,) = abstract.next()
    assert line.startswith("STATUS=a READY=1 [31m界")
    assert len(line.encode()) <= STATUS_BYTES_MAX + 16


def test_what_people_see_says_what_is_wrong():
    health = Health(heartbeat_age_s=0, store_stalled="disk full", held=lambda: ("paused",), degraded=("search",))
    assert told(health, Bounds(), "live, turn 7") == (
        "Not ready: the store cannot be written: disk full | live, turn 7 | held: paused | degraded: search"
    )


class Noted(threading.Event):
    """An event that says how long it was waited for, and is set after the third time."""

    def __init__(self):
        super().__init__()
        self.waited = []

    def wait(self, timeout=None):
        self.waited.append(timeout)
        if len(self.waited) > 2:
            self.set()
        return self.is_set()


def test_signs_of_life_are_given_at_half_of_the_period(abstract):
    supervisor = _supervisor(abstract, WATCHDOG_USEC="30000000")
    supervisor.ready()
    stopping = Noted()
    with watched(supervisor, lambda: 0.0, lambda: Health(heartbeat_age_s=0.0), str, Bounds(), stopping):
        abstract.until("STOPPING=1")
    assert stopping.waited == [15.0, 15.0, 15.0]
    assert abstract.said().count("WATCHDOG=1") == 2


def test_before_it_is_ready_more_time_is_asked_for_while_it_moves(abstract):
    supervisor = _supervisor(abstract, WATCHDOG_USEC="30000000")
    ages = iter((0.0, 1000.0))
    with watched(supervisor, lambda: next(ages), lambda: Health(heartbeat_age_s=0.0), str, Bounds(), Noted()):
        abstract.until("STOPPING=1")
    assert [line for line in abstract.said() if "STATUS" not in line] == ["EXTEND_TIMEOUT_USEC=60000000", "STOPPING=1"]


class Hanging(MemorySource):
    """A source within which the pipeline stands still, once it is told to, until it is let go."""

    format = "ndjson"

    def __init__(self):
        super().__init__(follow=True)
        self.hang, self.let_go, self.stands = threading.Event(), threading.Event(), threading.Event()

    def read(self, *words, **more):
        if self.hang.is_set():
            self.stands.set()
            self.let_go.wait()
        return super().read(*words, **more)


def test_a_pipeline_that_stands_still_gives_no_more_signs(abstract, tmp_path):
    config = load_config(None, {}, {"data_dir": str(tmp_path / "data"), "http.listen": "", "http.alive_s_max": 1.0})
    source = Hanging()
    supervisor = _supervisor(abstract, WATCHDOG_USEC="200000")
    with (
        open_daemon(config, Telemetry(stream=io.StringIO()), sources=[(source, True)]) as daemon,
    ):

        def run():
            with watched_daemon(supervisor, daemon) as turned:
                daemon.run(turned)

        running = threading.Thread(target=run)
        running.start()
        try:
            abstract.until("WATCHDOG=1")
            source.hang.set()
            assert source.stands.wait(60)
            while daemon.age_s <= config.http.alive_s_max:
                time.sleep(0.05)
            signs = _all(abstract).count("WATCHDOG=1")
            time.sleep(1.0)  # ten signs, if any were given
            assert _all(abstract).count("WATCHDOG=1") - signs <= 1  # one may have been under way
            source.hang.clear()
            source.let_go.set()
            abstract.until("WATCHDOG=1")
        finally:
            source.hang.clear()
            source.let_go.set()
            daemon.stop()
            running.join()
    assert "STOPPING=1" in _all(abstract)
