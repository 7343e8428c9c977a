"""Files of lines: plain and compressed, whole and damaged."""

import gzip
import os
import re
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from monitor.sources import Position, SourceError
from monitor.sources.file import FileSource
from monitor.testing import SOURCE_LINE_BYTES_MAX, check_source


def several_members(content: bytes) -> bytes:
    half = len(content) // 2
    return gzip.compress(content[:half]) + gzip.compress(b"") + gzip.compress(content[half:])


def several_frames(content: bytes) -> bytes:
    half = len(content) // 2
    skippable = b"\x53\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    checked = zstandard.ZstdCompressor(write_checksum=True, write_content_size=False)
    return zstandard.compress(content[:half]) + skippable + checked.compress(content[half:])


FORMS = {
    "plain": ("log.ndjson", bytes),
    "gzip": ("log.ndjson.gz", gzip.compress),
    "gzip of several members": ("log.ndjson.gz", several_members),
    "padded gzip": ("log.ndjson.gz", lambda content: gzip.compress(content) + bytes(1000)),
    "zstd": ("log.ndjson.zst", zstandard.compress),
    "zstd of several frames": ("log.ndjson.zst", several_frames),
}


def read_all(source, bytes_max=1 << 20):
    source.open(None)
    batches = []
    while not source.ended:
        batch = source.read(bytes_max, 0)
        if batch:
            batches.append(batch)
    source.close()
    return batches


def read_until_error(source):
    batches = []
    try:
        while not source.ended:
            if batch := source.read(10_000, 0):  # a stretch without a line may take longer than one look
                batches.append(batch)
    except SourceError as error:
        return batches, error
    return batches, None


@pytest.mark.parametrize("form", FORMS)
def test_a_file_keeps_the_laws_of_a_source(tmp_path, form):
    name, pack = FORMS[form]
    path = tmp_path / name

    def make(content):
        packed = pack(content)
        if not path.exists() or path.read_bytes() != packed:
            path.write_bytes(packed)
        return FileSource(path, line_bytes_max=SOURCE_LINE_BYTES_MAX)

    check_source(make)


def test_a_partition_is_the_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert FileSource("a/../b.ndjson").partition == f"file:{tmp_path}/b.ndjson"


@pytest.mark.parametrize("form", FORMS)
def test_a_line_of_any_length_costs_bounded_memory(tmp_path, form):
    name, pack = FORMS[form]
    path = tmp_path / name
    path.write_bytes(pack(b"before\n" + b"[" * 30_000_000 + b"\nafter\n"))
    tracemalloc.start()
    batches = read_all(FileSource(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert b"".join(batch.data for batch in batches) == b"before\nafter\n"
    assert [(line.position, line.length, len(line.head)) for batch in batches for line in batch.oversized] == [
        (7, 30_000_000, 65536)
    ]
    assert peak < 12_000_000


@pytest.mark.parametrize("form", ["gzip", "gzip of several members", "zstd", "zstd of several frames"])
def test_a_compressed_file_cut_short_gives_its_whole_lines_then_an_error(tmp_path, form):
    name, pack = FORMS[form]
    content = b"".join(b"%d %s\n" % (number, os.urandom(20).hex().encode()) for number in range(20_000))
    path = tmp_path / name
    path.write_bytes(pack(content)[:-5000])
    source = FileSource(path)
    source.open(None)
    batches, error = read_until_error(source)
    got = b"".join(batch.data for batch in batches)
    assert content.startswith(got)
    assert got.endswith(b"\n")
    assert len(got) > len(content) * 0.8
    assert re.search(r"ends too early.*sound copy", str(error))
    assert str(path) in str(error)


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_damage_in_the_middle_costs_nothing_before_it_and_a_sound_copy_goes_on(tmp_path, form):
    name, pack = FORMS[form]
    content = b"".join(b"%d %s\n" % (number, os.urandom(20).hex().encode()) for number in range(20_000))
    path = tmp_path / name
    packed = pack(content) if form == "gzip" else zstandard.ZstdCompressor(write_checksum=True).compress(content)
    middle = len(packed) // 2
    path.write_bytes(packed[:middle] + bytes(50) + b"\xff" * 50 + packed[middle + 100 :])
    source = FileSource(path)
    source.open(None)
    batches, error = read_until_error(source)
    assert "damaged" in str(error)
    got = b"".join(batch.data for batch in batches)
    assert len(got) > len(content) * 0.25
    sound = next((at for at, pair in enumerate(zip(content, got, strict=False)) if pair[0] != pair[1]), len(got))
    # Damage may show late: only the checksum at the end tells.
    path.write_bytes(packed)
    last = [batch for batch in batches if batch.end <= sound][-1]
    source.open(Position(last.partition, last.end, last.cursor))
    while not source.ended:
        if batch := source.read(10_000, 0):
            got = got[: batch.start] + batch.data
    assert got == content


def test_what_is_not_compressed_at_all_is_said(tmp_path):
    for name in ("a.gz", "a.zst"):
        (tmp_path / name).write_bytes(b'{"plain": "text"}\n')
        source = FileSource(tmp_path / name)
        source.open(None)
        with pytest.raises(SourceError, match=r"damaged gzip data|not zstd data"):
            source.read(1000, 0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder / "absent", "there is no such file; check the path"),
        (lambda folder: folder, "is a directory; name a file"),
        (lambda folder: os.mkfifo(folder / "pipe") or folder / "pipe", "not a regular file; for a pipe use stdin:"),
    ],
)
def test_what_cannot_be_read_says_what_and_why(tmp_path, make, says):
    with pytest.raises(SourceError, match=says) as caught:
        FileSource(make(tmp_path)).open(None)
    assert str(tmp_path) in str(caught.value)
    assert not caught.value.retryable


def test_a_file_one_may_not_read_says_so(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "log").write_text("line\n")
    monkeypatch.setattr(os, "open", refuse)  # the tests may run as root, whom nothing is refused
    with pytest.raises(SourceError, match="no permission"):
        FileSource(tmp_path / "log").open(None)


def test_a_broken_cursor_is_an_error_not_a_new_start(tmp_path):
    (tmp_path / "log").write_text("line\n")
    with pytest.raises(SourceError, match="broken cursor"):
        FileSource(tmp_path / "log").open(Position("file:x", 3, b"{"))


def test_a_file_that_has_grown_is_read_on_from_its_end(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"one\ntw")
    first = read_all(FileSource(path))[-1]
    with path.open("ab") as file:
        file.write(b"o\nthree\n")
    source = FileSource(path)
    source.open(Position(first.partition, first.end, first.cursor))
    batch = source.read(1000, 0)
    assert (batch.data, batch.start, batch.end) == (b"o\nthree\n", 6, 14)


def test_a_file_replaced_by_another_is_read_from_its_beginning_and_positions_go_on(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"monday 1\nmonday 2\n")
    first = read_all(FileSource(path))[-1]
    path.write_bytes(b"tuesday 1\ntuesday 2\ntuesday 3\n")
    source = FileSource(path)
    source.open(Position(first.partition, first.end, first.cursor))
    batch = source.read(1000, 0)
    assert (batch.data, batch.start) == (b"tuesday 1\ntuesday 2\ntuesday 3\n", 18)


def test_lag_counts_what_has_not_been_given(tmp_path: Path):
    path = tmp_path / "log"
    path.write_bytes(b"12345678\n" * 10)
    source = FileSource(path)
    source.open(None)
    assert source.lag_bytes == 90
    source.read(30, 0)
    assert source.lag_bytes == 63
