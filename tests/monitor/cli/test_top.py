"""`miniwatch top`: what it shows, of whom, and that nobody who is named in it drives the terminal."""

import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from textwrap import dedent

import pytest
from daemons import START, daemon
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from detectors.finding import Entity, Severity
from monitor.cli.screen import screen_of, shares
from monitor.cli.top import _drawn
from monitor.overview import Busiest, BusyApp, Lag, Overview, Rates, SourceLag, Standing, Waiting
from monitor.stores import StoreError
from monitor.stores.standing_now import COUNTED_MAX
from monitor.testing import stored_finding

NOW = 1_772_500_000_000_000
ESCAPES = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def overview(**more):
    standing = Standing(
        running=True,
        since=NOW - 8_000_000_000,
        version="1.2.3",
        status="not-ready",
        reasons=("source file:a fails: gone",),
        held=("acts are paused",),
    )
    lag = Lag(
        sources=(
            SourceLag(source="file:a", bytes=None, failing=True),
            SourceLag(source="file:b", bytes=5_000_000, failing=False),
            SourceLag(source="http:", bytes=0, failing=False),
            SourceLag(source="file:c", bytes=0, failing=False),
        ),
        spool_bytes=2048,
        half_within_s=0.25,
        most_within_s=float("inf"),
    )
    lines = {"received": 12_345, "processed": 12_340, "dead_lettered": 5, "late": 0, "duplicate": 1, "future": 0}
    given = {
        "time": NOW,
        "standing": standing,
        "rates": Rates(over_s=10.0, events=1_234.56, dead_letters=0.1, findings=0.2, decisions=0.0),
        "lines": lines,
        "findings_lately": COUNTED_MAX + 1,
        "decisions_lately": 7,
        "decisions_waiting": 1,
        "lag": lag,
        "outbox": tuple(Waiting(channel=f"webhook:{n}", messages=n + 1, oldest_s=90.0 - n) for n in range(4)),
        "busiest": Busiest(
            events=2_000,
            apps=(
                BusyApp(app_id="wx0000000000000001", events=1_500, risk=81.4),
                BusyApp(app_id="小程序", events=500),
            ),
        ),
        "findings": (
            stored_finding("f" * 32, NOW - 60_000_000, severity=Severity.CRITICAL, title="One"),
            stored_finding("e" * 32, NOW - 10**11, entity=Entity(scope="Ip", value="192.0.2.1"), shadow=True),
        ),
    }
    return Overview(**{**given, **more})


def text_of(lines):
    return [("".join(part.text for part in line)).rstrip() for line in lines]


def test_all_that_there_is_stands_on_one_screen():
    assert "\n".join(text_of(screen_of(overview(), "var/miniwatch"))) == dedent(
        """\
        miniwatch 1.2.3  2026-03-03 01:06:40 UTC  var/miniwatch
        runs for 2 h 13 min, not-ready
        not ready: source file:a fails: gone
        acts held: acts are paused

                     A SECOND
        lines         1,234.6  12,345 received: 5 dead letters, 1 duplicate
        findings          0.2  more than 10,000 of the last hour
        decisions         0.0  7 of the last hour; 1 waits for a person

        lag        fails; not known: file:a
                   4.8 MiB to read: file:b
                   nothing to read: http:
                   0 B to read of 1 source more
        spool      2.0 KiB came over HTTP
        latency    from arrival to commit: half within 0.25 s, 99 of 100 over 1800 s
        outbox     10 messages, the oldest for 1 min 30 s: webhook:0 1, webhook:1 2, webhook:2 3, 1 channel more

        BUSIEST APPS        EVENTS  SHARE  RISK  of the newest 2,000 events
        wx0000000000000001   1,500  75.0%    81
        小程序                 500  25.0%

        NEWEST        TIME (UTC)  SEVERITY  WHO           TITLE
        ffffffffffff  01:05:40    critical  wx0001        One
        eeeeeeeeeeee  2026-03-01  high      Ip 192.0.2.1  Something was seen (shadow)"""
    )


def test_a_daemon_that_says_nothing_is_told_as_such_and_the_rest_is_shown():
    silent = Standing(running=True, silent="nothing answers at 127.0.0.1:9464 (Connection refused)")
    shown = text_of(screen_of(overview(standing=silent, lag=None, rates=None, outbox=()), "x"))
    assert shown[1] == "runs"
    assert shown[2] == "lag and health are not known: nothing answers at 127.0.0.1:9464 (Connection refused)"
    assert "lines               …  12,345 received: 5 dead letters, 1 duplicate" in shown
    assert "outbox     nothing waits" in shown


def test_a_daemon_that_has_ended_meanwhile_is_told():
    gone = Standing(running=False, silent="nothing answers")
    assert text_of(screen_of(overview(standing=gone, lag=None), "x"))[1].startswith("no daemon runs here")


NAMES = st.text(max_size=40)


@given(NAMES, NAMES, NAMES, NAMES, NAMES, st.integers(10, 120), st.integers(1, 50))
def test_no_name_drives_the_terminal_or_breaks_a_line(app, title, who, channel, why, width, height):
    now = overview(
        standing=Standing(running=True, version=app, status=title, reasons=(why,), held=(why,), degraded=(why,)),
        lag=Lag(sources=(SourceLag(source=channel, bytes=1, failing=True),)),
        outbox=(Waiting(channel=channel, messages=1, oldest_s=1.0),),
        busiest=Busiest(events=1, apps=(BusyApp(app_id=app, events=1),)),
        findings=(stored_finding("f1", title=title, entity=Entity(scope=who, value=app)),),
    )
    for line in screen_of(now, why):
        assert not any(ESCAPES.search(part.text) for part in line)
    shown = drawn(now, height, width)
    assert len(shown) <= height
    assert all(cell_len(line) <= width and not ESCAPES.search(line) for line in shown)


class Shown:
    """Stands for who looks."""

    def __init__(self, now):
        self.now = now

    def look(self, _apps, _findings):
        if isinstance(self.now, Exception):
            raise self.now
        return self.now


def drawn(now, height, width):
    """The lines of the live screen, as a terminal without colours has them."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(_drawn(Shown(now), height, width, "var/miniwatch"))
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("height", [24, 40, 200])
def test_a_screen_is_full_and_no_fuller(height):
    many = [stored_finding(f"f{n}", NOW) for n in range(300)]
    apps = tuple(BusyApp(app_id=f"wx{n}", events=1) for n in range(10))
    shown = drawn(overview(findings=many, busiest=Busiest(events=10, apps=apps)), height, 80)
    assert len(shown) == height
    assert shown[-1] == "q: leave"
    assert shown[-2].startswith("f")
    assert any(line.startswith("wx0 ") for line in shown)


def test_what_there_is_room_for_is_shared_out():
    assert [shares(left) for left in (0, 3, 4, 10, 30, 100)] == [(0, 0), (0, 0), (1, 0), (3, 4), (10, 17), (10, 87)]


def test_a_record_that_does_not_answer_is_tried_again():
    shown = drawn(StoreError("the database is locked", retryable=True), 10, 80)
    assert shown[0] == "the database is locked; it is tried again"


# Beside a daemon


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    dead = '[[webhooks]]\nname = "oncall"\nurl = "http://127.0.0.1:9/x"\nmin_severity = "informational"\n'
    with daemon(tmp_path_factory.mktemp("top"), dead) as one:
        yield one


EVENT = {"event": {"dataset": "miniprogram.api", "action": "getClipboardData"}}


def write_events(running, count, app="wx1"):
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    program = {"app_id": app, "api": "getClipboardData", "phase": "onLaunch"}
    with running.events.open("a") as file:
        file.writelines(json.dumps({"@timestamp": now, **EVENT, "miniprogram": program}) + "\n" for _ in range(count))


def until(look, is_so):
    end = time.monotonic() + 60
    while not is_so(found := look()):
        assert time.monotonic() < end, found
    return found


def test_one_look_at_a_running_daemon_has_what_it_does(fresh, running):
    def look():
        return json.loads(fresh("top", "--json", "--every", "0.5", "-c", str(running.config)).stdout)

    write_events(running, 70, "wx\x1b[2Jevil")
    write_events(running, 30, "wx1")
    seen = until(look, lambda now: now["lines"]["received"] >= 100 and now["findings"] and now["outbox"])
    assert seen["standing"] | {"since": ""} == {
        "running": True, "since": "", "version": seen["standing"]["version"], "status": "ready", "reasons": [], "held": [],
        "degraded": [], "silent": "",
    }  # fmt: skip
    assert seen["busiest"]["events"] == 100
    assert [(app["app_id"], app["events"]) for app in seen["busiest"]["apps"]] == [("wx\x1b[2Jevil", 70), ("wx1", 30)]
    assert seen["busiest"]["apps"][0]["risk"] > 0
    assert seen["outbox"][0]["channel"] == "webhook:oncall"
    assert seen["lag"]["sources"][0]["source"] == f"file:{running.events}"
    assert seen["findings"][0]["title"] == "Clipboard read as soon as the app starts"
    shown = fresh("top", "--once", "--every", "0.5", "-c", str(running.config)).stdout
    assert "\x1b" not in shown
    assert r"wx\x1b[2Jevil      70  70.0%" in shown
    assert "ready" in shown.splitlines()[1]


def test_for_programs_each_look_is_a_line_until_they_leave(running):
    command = [sys.executable, "-c", START, "top", "-o", "ndjson", "--every", "0.5", "-c", str(running.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        seen = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.stdout.close()
        assert process.wait(60) == 0
    assert [one["rates"] is None for one in seen] == [True, False, False]
    assert seen[2]["rates"]["over_s"] >= 0.9


def test_it_changes_nothing_that_is_kept(fresh, running):
    audit = fresh("audit", "list", "-o", "ndjson", "-c", str(running.config)).stdout
    fresh("top", "--once", "--every", "0.5", "-c", str(running.config))
    assert fresh("audit", "list", "-o", "ndjson", "-c", str(running.config)).stdout == audit


@pytest.mark.parametrize("leave", [b"q", b"\x03", "terminate"])
def test_a_terminal_is_as_it_was_before_when_one_leaves(running, leave):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(theirs)
    command = [sys.executable, "-c", START, "top", "--every", "0.5", "-c", str(running.config)]
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
        preexec_fn=_controls,  # noqa: PLW1509 - no other thread here forks
    )
    seen = b""
    end = time.monotonic() + 60
    while seen.count(b"q: leave") < 2 and time.monotonic() < end:
        seen += os.read(ours, 65536)
    if leave == "terminate":
        process.terminate()
    else:
        os.write(ours, leave)
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    seen += _rest(ours)
    assert process.returncode == 0
    assert seen.count(b"\x1b[?1049h") == seen.count(b"\x1b[?1049l") == 1
    assert seen.endswith(b"\x1b[?25h\x1b[?1049l")  # the cursor, and what was there before
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)


def _controls():
    """The terminal is that of the new session: what is typed there interrupts it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _rest(ours):
    os.set_blocking(ours, False)
    try:
        return os.read(ours, 1 << 20)
    except BlockingIOError:
        return b""


# Where there is none


def test_without_a_daemon_it_says_so_and_what_to_do(miniwatch, fresh):
    told = miniwatch.here("top", "--once", code=3).stderr
    assert "no daemon runs on" in told
    assert "miniwatch run" in told
    assert "there is nothing in" in fresh.here("top", code=3).stderr


def test_a_token_that_is_none_is_refused_before_it_is_sent(fresh, running):
    file = fresh.folder / "token"
    file.write_text("hello")
    refused = fresh("top", "--once", "--token-file", str(file), "-c", str(running.config), code=3)
    assert "does not hold a token" in refused.stderr
    assert (
        "No such file" in fresh("top", "--once", "--token-file", "/nowhere", "-c", str(running.config), code=3).stderr
    )


def test_one_look_and_many_are_not_asked_for_at_once(fresh):
    assert "--json" in fresh.here("top", "--json", "-o", "ndjson", code=2).stderr
