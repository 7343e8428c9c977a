"""A followed file: rotated, truncated, copied, compressed, deleted; read by a program that is stopped at any time."""

import gzip
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.sources import Position, SourceError
from monitor.sources.file import FileSource

PACK = {".gz": gzip.compress, ".zst": zstandard.compress}


class Log:
    """A log file with its writer, its rotation and its reader."""

    def __init__(self, folder, *, line_bytes_max=1 << 20, quiet_s=0.0):
        self.path = Path(folder) / "app.log"
        self.options = {"line_bytes_max": line_bytes_max, "quiet_s": quiet_s}
        self.expected = []  # lines, the last perhaps unfinished
        self.unfinished = False
        self.rotations = 0
        self.batches = []
        self.source = None
        self.start(None)

    def start(self, batch):
        if self.source:
            self.source.close()
        self.source = FileSource(self.path, follow=True, **self.options)
        self.source.open(batch and Position(batch.partition, batch.end, batch.cursor))

    def write(self, data):
        with self.path.open("ab") as file:
            file.write(data)
        for part in data.splitlines(keepends=True):
            if self.unfinished:
                self.expected[-1] += part.rstrip(b"\n")
            else:
                self.expected.append(part.rstrip(b"\n"))
            self.unfinished = not part.endswith(b"\n")

    def shift(self):
        """Give each rotated file the next higher number."""
        self.unfinished = False
        self.rotations += 1
        for number in range(self.rotations, 0, -1):
            for suffix in ("", ".gz", ".zst"):
                old = self.path.with_name(f"app.log.{number}{suffix}")
                if old.exists():
                    old.rename(self.path.with_name(f"app.log.{number + 1}{suffix}"))
        return self.path.with_name("app.log.1")

    def rotate(self, *, create=True):
        first = self.shift()
        if self.path.exists():
            self.path.rename(first)
        if create:
            self.path.touch()

    def copytruncate(self):
        first = self.shift()
        if self.path.exists():
            shutil.copyfile(self.path, first)
            os.truncate(self.path, 0)

    def compress(self, number, suffix):
        plain = self.path.with_name(f"app.log.{number}")
        if plain.exists():
            plain.with_name(plain.name + suffix).write_bytes(PACK[suffix](plain.read_bytes()))
            plain.unlink()

    def read(self, bytes_max=1 << 20):
        batch = self.source.read(bytes_max, 0)
        if batch:
            assert batch.start == (self.batches[-1].end if self.batches else 0)
            self.batches.append(batch)
        return batch

    def restart(self, back):
        """Stop the reader; what it gave last was not committed."""
        del self.batches[max(1, len(self.batches) - back) :]
        self.start(self.batches[-1])

    def drain(self):
        idle = 0
        while idle < 6 * (self.rotations + 2):
            idle = 0 if self.read() else idle + 1

    def lines(self):
        given = []
        for batch in self.batches:
            lines = batch.data.split(b"\n")[:-1]
            starts = np.cumsum([0, *(len(line) + 1 for line in lines)], dtype=np.int64)[:-1]
            given += zip(batch.positions(starts).tolist(), lines, strict=True)
            given += [(line.position, line.head[:10] + b"~%d" % line.length) for line in batch.oversized]
        return [line for _, line in sorted(given)]


NUMBERS = st.integers(1, 4)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 30)),
        st.tuples(st.just("partial"), st.integers(1, 3)),
        st.tuples(st.just("large"), st.integers(0, 1)),
        st.tuples(st.just("rotate"), st.booleans()),
        st.tuples(st.just("copytruncate"), st.none()),
        st.tuples(st.just("compress"), NUMBERS, st.sampled_from(sorted(PACK))),
        st.tuples(st.just("restart"), st.integers(0, 3)),
        st.tuples(st.just("read"), st.sampled_from([1, 40, 200, 4096])),
        st.tuples(st.just("drain"), st.none()),
    ),
    max_size=30,
)


def perform(log, number, step, value, *more):
    unique = b"%05d" % number
    if step == "append":
        log.write(b"".join(b"%s line %d %s\n" % (unique, count, b"." * count) for count in range(value)))
    elif step == "partial":
        log.write(b"%s part " % unique * value)
    elif step == "large":
        log.write(unique + b"#" * 2000 + b"\n" * value)
    elif step == "rotate":
        log.rotate(create=value)
    elif step == "copytruncate":
        log.copytruncate()
    elif step == "compress":
        log.compress(value, *more)
    elif step == "restart":
        log.restart(value)
    elif step == "read":
        log.read(value)
    else:
        log.drain()


def bounded(line):
    return line if len(line) <= 1000 else line[:10] + b"~%d" % len(line)


@settings(max_examples=250, deadline=None)
@given(STEPS)
def test_nothing_is_lost_and_nothing_comes_twice_in_any_order_of_rotation_and_restart(steps):
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        log = Log(folder, line_bytes_max=1000)
        log.write(b"the beginning\n")
        log.read()
        for number, step in enumerate(steps):
            perform(log, number, *step)
        log.write(b"\nthe end\n" if log.unfinished else b"the end\n")
        log.drain()
        log.source.close()
        assert log.lines() == [bounded(line) for line in log.expected]


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path)


def test_a_file_that_is_not_there_yet_is_waited_for(log):
    assert log.read() is None
    assert not log.source.ended
    assert log.source.missing == f"{log.path}: there is no such file yet; it is waited for"
    log.write(b"one\n")
    assert log.read().data == b"one\n"
    assert log.source.missing is None


def test_waiting_keeps_to_its_time_and_does_not_spin(log):
    log.write(b"one\n")
    log.read()
    began, spent = time.monotonic(), time.process_time()
    assert log.source.read(1000, 0.5) is None
    assert 0.45 < time.monotonic() - began < 1.5
    assert time.process_time() - spent < 0.1


def test_the_end_of_a_line_is_waited_for(log):
    log.write(b"one\ntw")
    assert log.read().data == b"one\n"
    assert log.read() is None
    log.write(b"o\n")
    batch = log.read()
    assert (batch.data, batch.start, batch.end) == (b"two\n", 4, 8)


def test_positions_go_on_counting_across_rotation(log):
    log.write(b"one\ntwo")
    log.read()
    log.rotate()
    log.write(b"three\n")
    log.drain()
    assert [(batch.data, batch.start, batch.end) for batch in log.batches] == [
        (b"one\n", 0, 4),
        (b"two\n", 4, 7),
        (b"three\n", 7, 13),
    ]


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("reads", [(1, 0, 0, 0, 0), (1, 1, 1, 1, 1), (9, 9, 0, 0, 9)])
def test_numbers_that_count_up_are_understood_too(log, restarted, reads):
    for number in range(1, 6):
        log.write(b"line %d\n" % number)
        for _ in range(reads[number - 1]):
            log.read()
        if restarted and log.batches:
            log.restart(0)
        log.path.rename(log.path.with_name(f"app.log.{number}"))
        log.rotations += 1
    log.write(b"the end\n")
    log.drain()
    assert log.lines() == [*(b"line %d" % number for number in range(1, 6)), b"the end"]


def test_a_writer_that_has_not_reopened_is_still_read(tmp_path):
    log = Log(tmp_path, quiet_s=0.3)
    log.write(b"one\n")
    log.read()
    writer = log.path.open("ab", buffering=0)
    log.rotate()
    log.write(b"three\n")
    assert log.read() is None
    writer.write(b"two\n")
    writer.close()
    assert log.read().data == b"two\n"
    assert log.source.read(1000, 2).data == b"three\n"


def test_truncation_without_a_copy_starts_again_from_the_beginning(log):
    log.write(b"one\ntwo\n")
    log.read()
    log.path.write_bytes(b"new\n")
    assert log.read().data == b"new\n"
    log.path.write_bytes(b"longer than all before\n")
    batch = log.read()
    assert (batch.data, batch.start) == (b"longer than all before\n", 12)


def test_truncation_while_nobody_read_is_seen_though_the_file_has_grown_beyond(log):
    log.write(b"one\ntwo\n")
    last = log.read()
    inode = log.path.stat().st_ino
    os.truncate(log.path, 0)
    log.path.open("ab").write(b"a different beginning, and longer\n")
    assert log.path.stat().st_ino == inode
    log.start(last)
    assert log.read().data == b"a different beginning, and longer\n"


def test_a_new_file_that_begins_like_the_old_one_is_known_by_what_was_read_last(log):
    banner = b"# the same long banner\n" * 100
    log.write(banner + b"one\n")
    last = log.read()
    log.path.write_bytes(banner + b"two\nthree\n")
    log.start(last)
    assert log.read().data == banner + b"two\nthree\n"


def test_deleted_and_made_again_the_new_file_is_read_after_the_rest_of_the_old(log):
    log.write(b"one\n")
    log.read()
    log.write(b"two\n")
    log.path.unlink()
    log.write(b"three\n")
    log.drain()
    assert log.lines() == [b"one", b"two", b"three"]


def test_when_our_file_is_gone_those_written_since_are_read(log):
    log.write(b"one\n")
    last = log.read()
    log.rotate()
    os.utime(log.path.with_name("app.log.1"), (1, 1))
    for text in (b"two\n", b"three\n"):
        log.write(text)
        log.rotate()
    log.path.with_name("app.log.3").unlink()
    log.write(b"four\n")
    log.start(last)
    log.drain()
    assert log.lines() == [b"one", b"two", b"three", b"four"]


@pytest.mark.parametrize("name", ["app.log-20260102", "app.log.2026-01-02", "app.log-20260102.gz", "app-20260102.log"])
def test_files_rotated_by_date_are_found(log, name):
    log.write(b"one\n")
    last = log.read()
    log.write(b"two\n")
    rest = log.path.read_bytes()
    log.path.unlink()
    log.path.with_name(name).write_bytes(gzip.compress(rest) if name.endswith(".gz") else rest)
    log.path.with_name("app.log-other").write_bytes(b"not ours\n")
    log.write(b"three\n")
    log.start(last)
    log.drain()
    assert log.lines() == [b"one", b"two", b"three"]


def test_lag_counts_the_new_file_too(log):
    log.write(b"one\n")
    log.read()
    log.write(b"two\n")
    log.rotate()
    log.write(b"three\n")
    assert log.source.lag_bytes == 10


def test_a_compressed_file_cannot_be_followed(tmp_path):
    with pytest.raises(SourceError, match="cannot be followed"):
        FileSource(tmp_path / "app.log.gz", follow=True)
