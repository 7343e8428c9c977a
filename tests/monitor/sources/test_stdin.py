"""Standard input and other pipes."""

import os
import threading
import time

import pytest

from monitor.sources.stdin import StdinSource
from monitor.testing import SOURCE_LINE_BYTES_MAX, check_source


@pytest.fixture
def pipes():
    opened = []

    def make():
        reading, writing = os.pipe()
        stream = os.fdopen(reading, "rb")
        opened.append(stream)
        return stream, writing

    yield make
    for stream in opened:
        stream.close()


def test_a_pipe_keeps_the_laws_of_a_source(pipes):
    def make(content):
        stream, writing = pipes()
        os.write(writing, content)
        os.close(writing)
        return StdinSource(stream, run="r1", line_bytes_max=SOURCE_LINE_BYTES_MAX)

    check_source(make, rewinds=False)


def test_reading_waits_no_longer_than_it_may_and_does_not_spin(pipes):
    stream, _writing = pipes()
    source = StdinSource(stream, run="r1")
    source.open(None)
    began, spent = time.monotonic(), time.process_time()
    assert source.read(1000, 0.2) is None
    assert 0.15 < time.monotonic() - began < 1
    assert time.process_time() - spent < 0.1
    assert not source.ended


def test_whole_lines_come_at_once_and_the_rest_of_a_line_waits(pipes):
    stream, writing = pipes()
    source = StdinSource(stream, run="r1", format="combined")
    source.open(None)
    os.write(writing, b"one\ntw")
    first = source.read(1000, 5)
    assert (first.partition, first.format, first.data, first.end) == ("stdin:r1", "combined", b"one\n", 4)
    assert source.read(1000, 0.01) is None
    os.write(writing, b"o\n")
    assert source.read(1000, 5).data == b"two\n"
    os.close(writing)
    assert source.read(1000, 5) is None
    assert source.ended


def test_a_fast_writer_fills_a_batch_beyond_what_a_pipe_holds(pipes):
    stream, writing = pipes()
    source = StdinSource(stream, run="r1")
    source.open(None)

    def write():
        with os.fdopen(writing, "wb") as file:
            file.write(b"0123456789abcde\n" * 65536)

    writer = threading.Thread(target=write)
    writer.start()
    batches = []
    while not source.ended:
        if batch := source.read(1 << 22, 1):
            batches.append(batch)
    writer.join()
    assert sum(len(batch.data) for batch in batches) == 1 << 20
    assert len(batches) < 8
