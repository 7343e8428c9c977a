import io

import pytest

from monitor.decoders import DeadLetter, DeadLetterReason
from monitor.intake.misread import MisreadWatch, misread
from monitor.sealing import Seal
from monitor.sources.stdin import StdinSource
from monitor.stores import Progress, Turn
from monitor.stores.sqlite import sqlite_store
from monitor.telemetry import Telemetry

ACCESS = b'192.0.2.1 - - [02/Mar/2026:00:00:00 +0000] "GET /a HTTP/1.1" 200 12'
NAME = "stdin:1"


@pytest.fixture
def store(tmp_path):
    return sqlite_store(tmp_path / "miniwatch.db", seal=Seal(bytes(32)))


def piped(line_format="ndjson"):
    return StdinSource(io.BytesIO(), run="1", format=line_format)


def lettered(store, *lines: bytes) -> None:
    """Lines of a source become dead letters for broken JSON."""
    letters = [
        DeadLetter(NAME, at, DeadLetterReason.BROKEN_JSON, "x", line, len(line)) for at, line in enumerate(lines)
    ]
    progress = Progress(partition=NAME, end=9, received=len(lines), dead_lettered=len(lines))
    store.commit(Turn(number=1, dead_letters=letters, progress=[progress]))


def test_a_daemon_says_once_that_a_source_looks_like_an_access_log(store):
    log = io.StringIO()
    watch = MisreadWatch(store, [piped()], Telemetry(stream=log, log_format="json"))
    watch.look()
    assert log.getvalue() == ""
    lettered(store, *[ACCESS] * 9, b"{")
    watch.look()
    watch.look()
    assert log.getvalue().count('"source_misread"') == 1
    assert "format=combined" in log.getvalue()


def test_a_source_of_which_some_lines_were_read_is_what_it_is_said_to_be(store):
    lettered(store, ACCESS)
    sources = [piped()]
    assert list(misread(store, sources, {NAME: (10, 9)})) == [NAME]
    assert misread(store, sources, {NAME: (10, 8)}) == {}
    assert misread(store, [piped("combined")], {NAME: (10, 9)}) == {}


def test_only_the_newest_letters_of_a_source_are_looked_at(store):
    lettered(store, *[ACCESS] * 30, *[b"{"] * 20)
    assert misread(store, [piped()], {NAME: (50, 50)}) == {}
