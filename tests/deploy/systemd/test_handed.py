"""A socket that was opened for the daemon is listened on in place of one of its own, where it is what is configured."""

import http.client
import os
import shutil
import signal
import socket
import sys

import pytest
from ports import free_port
from supervising import command, environment, started

from monitor.supervision.handed import FIRST, SocketRefused, handed_over, listener_of

ACTIVATE = shutil.which("systemd-socket-activate")


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


def _handed(listening, listen):
    """What is made of a socket; the descriptor is another than ours."""
    return listener_of([os.dup(listening.fileno())], listen)


def test_the_socket_that_is_configured_is_taken(listener):
    port = listener.getsockname()[1]
    for listen in (f"127.0.0.1:{port}", f"localhost:{port}"):
        with _handed(listener, listen) as taken:
            assert taken.getsockname() == listener.getsockname()


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.0.0.1:0", "0.0.0.0:{port}", "[::1]:{port}"])
def test_one_at_another_address_is_refused_and_both_are_named(listener, listen):
    port = listener.getsockname()[1]
    with pytest.raises(SocketRefused) as refused:
        _handed(listener, listen.format(port=port))
    assert f"listens at 127.0.0.1:{port}" in str(refused.value)
    assert listen.format(port=port) in str(refused.value)


def test_none_is_wanted_where_nothing_is_to_listen(listener):
    with pytest.raises(SocketRefused, match=r"disable the \.socket unit"):
        _handed(listener, "")


def test_several_are_refused(listener):
    with pytest.raises(SocketRefused, match="2 sockets"):
        listener_of([listener.fileno(), listener.fileno()], "127.0.0.1:9464")


def test_one_that_nobody_can_connect_to_is_refused(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found, pytest.raises(SocketRefused, match="SOCK_DGRAM"):
        _handed(found, "127.0.0.1:9464")
    with socket.socket(socket.AF_UNIX) as found:
        found.bind(str(tmp_path / "socket"))
        found.listen()
        with pytest.raises(SocketRefused, match="AF_UNIX"):
            _handed(found, "127.0.0.1:9464")


def test_descriptors_are_for_the_process_that_is_meant_and_the_word_of_them_for_nobody_after_it():
    environ = {"LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "http", "PATH": "/bin"}
    assert handed_over(environ, os.getpid()) == []
    assert environ == {"PATH": "/bin"}
    assert handed_over({}, os.getpid()) == []


CHILD = """
import os, subprocess, sys
from monitor.supervision.handed import handed_over
assert handed_over(os.environ, os.getpid()) == [3]
seen = subprocess.run([sys.executable, "-c", "import os; print(os.path.exists('/proc/self/fd/3'), 'LISTEN_FDS' in os.environ)"],
    close_fds=False, capture_output=True, text=True)
print(seen.stdout.strip(), os.get_inheritable(3), flush=True)
"""


@pytest.mark.skipif(ACTIVATE is None, reason="systemd is not there")
def test_processes_that_are_started_do_not_get_the_socket(tmp_path):
    assert FIRST == 3
    port = free_port()
    words = [
        ACTIVATE,
        "-l",
        f"127.0.0.1:{port}",
        "-E",
        f"PYTHONPATH={environment()['PYTHONPATH']}",
        sys.executable,
        "-c",
        CHILD,
    ]
    with started(words, tmp_path) as process:
        _knock(port)
        process.wait(60)
    assert "False False False" in (tmp_path / "said").read_text()


def _knock(port):
    """Connect as soon as somebody listens."""
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=120)
        except ConnectionRefusedError:
            continue


@pytest.mark.skipif(ACTIVATE is None, reason="systemd is not there")
def test_who_asked_before_the_daemon_was_started_is_answered(tmp_path):
    port = free_port()
    (tmp_path / "events.ndjson").touch()
    (tmp_path / "config.toml").write_text(f'http.listen = "127.0.0.1:{port}"\n')
    words = command("run", "--source", "file:events.ndjson?follow", "--data-dir", "data")
    given = [f"-E{name}={value}" for name, value in environment().items() if name in {"PYTHONPATH", "HOME"}]
    with started([ACTIVATE, "-l", f"127.0.0.1:{port}", *given, *words], tmp_path) as process:
        _knock(port).close()  # has the daemon started
        asking = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        asking.request("GET", "/healthz")
        assert asking.getresponse().status == 200
        asking.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.skipif(ACTIVATE is None, reason="systemd is not there")
def test_a_daemon_that_is_given_another_socket_says_so_and_ends(tmp_path):
    port = free_port()
    words = command("run", "--source", "http:", "--data-dir", "data")
    given = [f"-E{name}={value}" for name, value in environment().items() if name in {"PYTHONPATH", "HOME"}]
    with started([ACTIVATE, "-l", f"127.0.0.1:{port}", *given, *words], tmp_path) as process:
        _knock(port).close()
        assert process.wait(120) == 3
    said = (tmp_path / "said").read_text()
    assert f'listens at 127.0.0.1:{port}, http.listen = "127.0.0.1:9464": write the same in both' in said
