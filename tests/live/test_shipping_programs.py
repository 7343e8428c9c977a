"""rsyslog and telemetrygen, as they are installed, ship into a real daemon; they are killed, and so is it.

The programs are found on the path, or where RSYSLOGD_PROGRAM (with RSYSLOG_MODULES) and TELEMETRYGEN_PROGRAM say.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "journeys"))

from ports import free_port
from served import Served

pytestmark = pytest.mark.programs

COUNT = 600
RSYSLOGD = os.environ.get("RSYSLOGD_PROGRAM") or shutil.which("rsyslogd", path="/usr/sbin:/usr/local/sbin")
MODULES = Path(os.environ.get("RSYSLOG_MODULES", "/usr/lib/x86_64-linux-gnu/rsyslog"))
TELEMETRYGEN = os.environ.get("TELEMETRYGEN_PROGRAM") or shutil.which("telemetrygen")

CONFIGURATION = """
global(workDirectory="{folder}/queue" maxMessageSize="8k")
module(load="imptcp")
module(load="omelasticsearch")
input(type="imptcp" port="{port}" address="127.0.0.1")
template(name="id" type="string" string="%$!id%")
template(name="event" type="list" option.jsonf="on") {{
    property(outname="@timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")
    property(outname="message" name="msg" format="jsonf")
    property(outname="host" name="hostname" format="jsonf")
    property(outname="log.level" name="syslogseverity-text" format="jsonf")
    property(outname="process" name="programname" format="jsonf")
    constant(outname="event.dataset" value="syslog" format="jsonf")
}}
set $!id = $uuid;
action(type="omelasticsearch" server="127.0.0.1" serverport="{served}" uid="shipper" pwd="{token}"
    template="event" bulkmode="on" dynbulkid="on" bulkid="id" writeoperation="create" retryfailures="off"
    queue.type="disk" queue.filename="miniwatch" queue.checkpointinterval="1" queue.syncqueuefiles="on"
    queue.saveonshutdown="on" queue.dequeuebatchsize="20" action.resumeretrycount="-1" action.resumeinterval="1")
"""


class Rsyslog:
    """rsyslogd with a disk queue, which outlives it."""

    def __init__(self, folder: Path, served: Served) -> None:
        (folder / "queue").mkdir()
        self.port = free_port()
        self._folder = folder
        text = CONFIGURATION.format(folder=folder, port=self.port, served=served.port, token=served.token)
        (folder / "rsyslog.conf").write_text(text)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (self._folder / "pid").unlink(missing_ok=True)
        command = [str(RSYSLOGD), "-n", "-f", str(self._folder / "rsyslog.conf"), "-i", str(self._folder / "pid")]
        with (self._folder / "rsyslog.log").open("ab") as log:
            self._process = subprocess.Popen([*command, "-M", str(MODULES)], stdout=log, stderr=log)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def send(self, first: int, after: int) -> None:
        """Messages over TCP, given to rsyslog as a program does."""
        until = time.monotonic() + 20
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", self.port), timeout=5)
                break
            except OSError:
                assert time.monotonic() < until, (self._folder / "rsyslog.log").read_text()
                time.sleep(0.05)
        with connection:
            lines = [f"<134>2026-03-02T10:00:00.{at:06d}Z web-1 shop: line {at}\n" for at in range(first, after)]
            connection.sendall("".join(lines).encode())


@pytest.mark.skipif(
    RSYSLOGD is None or not (MODULES / "omelasticsearch.so").is_file(), reason="rsyslog-elasticsearch is not installed"
)
def test_rsyslog_loses_nothing_and_brings_nothing_twice(tmp_path: Path) -> None:
    """What rsyslog has in its queue on disk is there once, in the end; the daemon is killed before it answers, and so is rsyslog."""
    served = Served(tmp_path)
    rsyslog = Rsyslog(tmp_path, served)
    rsyslog.start()
    try:
        for part in range(6):
            process = served.start(at="fsync:spool:done", occurrence=3)
            rsyslog.send(part * COUNT // 6, (part + 1) * COUNT // 6)
            process.join(20)
            if process.is_alive():
                process.kill()
                process.join()
            time.sleep(1.0)  # what was sent is in the queue by now
            if part % 2:
                rsyslog.kill()
                rsyslog.start()
        served.start()
        found = served.ended(COUNT)
    finally:
        rsyslog.kill()
    messages = served.counted("message")
    assert {str(message).strip() for message in messages} == {f"line {number}" for number in range(COUNT)}
    assert set(messages.values()) == {1}
    assert found.totals["received"] == found.totals["processed"] == COUNT


@pytest.mark.skipif(TELEMETRYGEN is None, reason="telemetrygen is not installed")
def test_telemetrygen_loses_nothing_that_was_acknowledged_and_brings_nothing_twice(tmp_path: Path) -> None:
    """Each round has a body of its own. In every second the daemon is killed before it answers; in the last telemetrygen is, too.

    It does not send again when the connection is lost, and then its records were not acknowledged.
    """
    served = Served(tmp_path)
    for number in range(4):
        process = served.start(at="fsync:spool:done", occurrence=2) if number % 2 else served.start()
        while not served.listens():
            time.sleep(0.05)
        client = subprocess.Popen(
            [
                str(TELEMETRYGEN),
                "logs",
                "--otlp-http",
                "--otlp-insecure",
                f"--otlp-endpoint=127.0.0.1:{served.port}",
                f'--otlp-header=Authorization="Bearer {served.token}"',
                "--logs=40",
                "--rate=40",
                "--batch-size=10",
                "--workers=1",
                f"--body=round {number}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if number % 2:
            process.join(30)
            assert process.exitcode is not None
            served.start()
        if number == 3:
            client.kill()
        code = client.wait(60)
        assert number % 2 or code == 0
        served.kill()
    served.start()
    served.ended(80)
    events = [(event["message"], event["@timestamp"]) for event in served.events()]
    rounds = Counter(message for message, _ in events)
    assert (rounds["round 0"], rounds["round 2"]) == (40, 40)
    assert 0 < rounds["round 1"] <= 40
    assert len(set(events)) == len(events)
