"""The spool: what was acknowledged is there, once and in order, however its writer ends and however it is read."""

import errno
import os
import shutil
import stat
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor import durable
from monitor.sealing import Seal
from monitor.sources import Position
from monitor.sources.spooled import SpoolSource
from monitor.spool import spool as spool_module
from monitor.spool import window
from monitor.spool.given import Given, Outcome
from monitor.spool.spool import Spool, unread_bytes
from monitor.spool.taking import Taker
from monitor.spool.window import KeyWindow, digest_of
from monitor.testing import check_source, failing_at, sources

SEAL = Seal(bytes(32))
MIB = 1 << 20


class Stopped(BaseException):
    """The process ends here."""


def key_of(key, *, client="t", lines=b""):
    return digest_of(client, key, lines)


def opened(folder, *, floor=0, bytes_max=64 * MIB, clock=lambda: 7, **more):
    return Spool(folder, SEAL, bytes_max=bytes_max, floor=floor, clock=clock, **more)


def take(spool, *given):
    """What became of requests that are given together."""
    return [taken.outcome for taken in spool.take(given)]


def read_all(spool, position=None, bytes_max=MIB, lines_max=50_000):
    """Everything there is from a position on: the lines, with where each stands and when it arrived."""
    source = SpoolSource(spool, follow=False)
    source.open(position)
    found = []
    while (batch := source.read(bytes_max, 0.0, lines_max)) is not None:
        at = batch.start
        for line in batch.data.splitlines(keepends=True):
            arrival = [time for begin, time in batch.arrivals if begin <= at][-1]
            found.append((at, line, arrival))
            at += len(line)
    source.close()
    return found


def lines_of(spool, **how):
    return [line for _, line, _ in read_all(spool, **how)]


def test_the_spool_keeps_the_laws_of_sources(tmp_path, monkeypatch):
    ended = [content if not content or content.endswith(b"\n") else content + b"\n" for content in sources._STREAMS]
    monkeypatch.setattr(sources, "_STREAMS", ended)
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 300)
    number, spools = count(), {}

    def make(content):
        if content not in spools:
            spools[content] = written(content)
        return SpoolSource(spools[content], follow=False, line_bytes_max=sources.SOURCE_LINE_BYTES_MAX)

    def written(content):
        spool = opened(tmp_path / str(next(number)))
        lines = content.splitlines(keepends=True) if b"\r" not in content else [content]
        for begin in range(0, len(lines), 3):
            assert take(spool, Given(b"".join(lines[begin : begin + 3]))) == [Outcome.TAKEN]
        return spool

    check_source(make)


def test_lines_have_the_time_at_which_they_arrived_however_they_are_read(tmp_path):
    clock = iter(range(100))
    spool = opened(tmp_path, clock=lambda: next(clock))
    for number in range(5):
        spool.take([Given(b"a\nbb\n" * (number + 1))])
    whole = read_all(spool)
    assert [arrival for _, _, arrival in whole] == [number for number in range(5) for _ in range(2 * number + 2)]
    for bytes_max, lines_max in [(1, 1), (3, 50), (7, 2), (MIB, 1)]:
        assert read_all(spool, bytes_max=bytes_max, lines_max=lines_max) == whole
    for at, _, _ in whole:
        assert read_all(spool, position=Position("http:", at)) == [one for one in whole if one[0] >= at]


def test_a_key_is_taken_once_also_after_a_restart_and_after_its_segment_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 500)
    spool = opened(tmp_path)
    keys = [key_of(str(number)) for number in range(20)]
    for number, key in enumerate(keys):
        assert take(spool, Given(b"%d\n" % number, key), Given(b"again\n", key)) == [Outcome.TAKEN, Outcome.REPEATED]
        spool.forget(spool.end)
    assert len(spool.segments()) == 1
    again = opened(tmp_path, floor=spool.end)
    assert [take(again, Given(b"x\n", key)) for key in keys] == [[Outcome.REPEATED]] * 20
    assert take(again, Given(b"x\n", key_of("1", client="other"))) == [Outcome.TAKEN]


def test_a_key_is_forgotten_after_a_day_and_where_there_are_too_many(monkeypatch):
    monkeypatch.setattr(window, "KEYS_MAX", 3)
    kept = KeyWindow()
    for number in range(5):
        kept.add(bytes([number]) * 16, number)
    assert [kept.find(bytes([number]) * 16, 10) is not None for number in range(5)] == [False, False, True, True, True]
    assert kept.find(bytes([4]) * 16, 4 + window.KEY_US_MAX) is None
    again = KeyWindow()
    again.unpack(kept.packed(10))
    assert len(again) == 3


def test_a_full_spool_says_so_and_takes_again_once_it_was_read(tmp_path, monkeypatch):
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 2000)
    spool = opened(tmp_path, bytes_max=10_000)
    outcomes = [take(spool, Given(b"x" * 900 + b"\n"))[0] for _ in range(20)]
    taken = outcomes.count(Outcome.TAKEN)
    assert outcomes == [Outcome.TAKEN] * taken + [Outcome.FULL] * (20 - taken)
    assert 8 <= taken <= 10
    assert spool.disk_bytes <= 10_000
    source = SpoolSource(spool, follow=False)
    source.open(None)
    while (batch := source.read(MIB, 0.0)) is not None:
        spool.forget(batch.end)
    assert take(spool, Given(b"y\n")) == [Outcome.TAKEN]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == spool.disk_bytes


BODIES = st.lists(
    st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b" ") + b"\n"), min_size=1, max_size=4).map(
        b"".join
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_stopped_anywhere_and_opened_again_nothing_acknowledged_is_lost_and_nothing_is_there_twice(
    tmp_path_factory, data
):
    """Bodies with keys, given again until they are taken; the writer is stopped between any two steps, or its disk refuses."""
    folder = tmp_path_factory.mktemp("spool")
    bodies = data.draw(BODIES)
    size = data.draw(st.sampled_from([1, 400, 100_000]))
    passed, stops = count(), data.draw(st.sets(st.integers(0, 60), max_size=6))
    refusals = data.draw(st.sets(st.integers(0, 60), max_size=6))
    read, floor = [], 0

    def observe(_name):
        step = next(passed)
        if step in stops:
            raise Stopped
        if step in refusals:
            raise OSError(errno.ENOSPC, "full")

    original, spool_module.SEGMENT_BYTES = spool_module.SEGMENT_BYTES, size
    durable.observer = observe
    try:
        spool = None
        for number, body in enumerate(bodies):
            for _ in range(130):
                try:
                    spool = spool or opened(folder, floor=floor)
                    (outcome,) = take(spool, Given(body, key_of(str(number))))
                except Stopped:
                    spool = None
                except OSError:
                    continue
                else:
                    assert outcome in {Outcome.TAKEN, Outcome.REPEATED}
                    break
            if spool is not None and data.draw(st.booleans()):
                found = read_all(spool, position=Position("http:", floor))
                read += [line for _, line, _ in found]
                floor = max([floor, *(at + len(line) for at, line, _ in found)])
                try:
                    spool.forget(floor)
                except Stopped:
                    spool = None
                except OSError:
                    pass
    finally:
        durable.observer = durable._unobserved
        spool_module.SEGMENT_BYTES = original
    read += lines_of(opened(folder, floor=floor), position=Position("http:", floor))
    shutil.rmtree(folder)
    assert b"".join(read) == b"".join(bodies)


class Disk:
    """Keeps of a folder what somebody made it keep by fsync, be it a process that has been killed since; the rest goes with the power."""

    def __init__(self, folder):
        self._folder = folder
        self._sizes = {}
        self._names = set()
        self._fsync = os.fsync

    def fsync(self, descriptor):
        self._fsync(descriptor)
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode) and self._folder.exists():
            self._names = {(path.name, path.stat().st_ino) for path in self._folder.iterdir()}
        else:
            self._sizes[status.st_ino] = status.st_size

    def lose_power(self):
        for path in self._folder.iterdir():
            status = path.stat()
            if (path.name, status.st_ino) in self._names:
                os.truncate(path, min(status.st_size, self._sizes.get(status.st_ino, 0)))
            else:
                path.unlink()


@pytest.mark.parametrize("segment_bytes", [1, 250, 100_000])
def test_killed_anywhere_and_then_without_power_what_was_acknowledged_is_there(tmp_path, monkeypatch, segment_bytes):
    """A writer that was killed leaves what is not on disk yet: whoever opens it, and says that it was taken, puts it there."""
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", segment_bytes)
    was_killed, kills = True, count()
    while was_killed:  # at each step in turn, until there are no more
        kill, passed = next(kills), count()
        folder, was_killed = tmp_path / str(kill), False
        disk = Disk(folder)

        def observe(_name, passed=passed, kill=kill):
            if next(passed) == kill:
                raise Stopped

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", disk.fsync)
            patched.setattr(durable, "observer", observe)
            spool = None
            for number in range(4):
                for _ in range(2):
                    try:
                        spool = spool or opened(folder)
                        assert take(spool, Given(b"line %d\n" % number, key_of(str(number)))) != [Outcome.FULL]
                    except Stopped:
                        spool, was_killed = None, True
                    else:
                        break
            disk.lose_power()
        assert lines_of(opened(folder)) == [b"line %d\n" % number for number in range(4)]
    assert kill > 12  # steps there are, at the least


def test_a_refused_fsync_leaves_nothing_that_could_be_read(tmp_path):
    spool = opened(tmp_path)
    spool.take([Given(b"first\n")])
    with failing_at("fsync:spool"), pytest.raises(OSError, match="No space"):
        spool.take([Given(b"refused\n")])
    assert lines_of(spool) == [b"first\n"]
    spool.take([Given(b"second\n")])
    assert lines_of(spool) == lines_of(opened(tmp_path)) == [b"first\n", b"second\n"]


def test_what_a_refused_write_left_is_gone_before_the_next(tmp_path):
    spool = opened(tmp_path)
    spool.take([Given(b"first\n")])
    with failing_at("fsync:spool"), pytest.raises(OSError, match="No space"):
        spool.take([Given(b"refused\n" * 9), Given(b"too\n")])
    spool.take([Given(b"second\n")])
    assert next(tmp_path.iterdir()).stat().st_size == spool.disk_bytes


def test_nothing_is_read_before_it_is_durable(tmp_path, monkeypatch):
    spool = opened(tmp_path)
    spool.take([Given(b"first\n")])
    seen = []
    monkeypatch.setattr(durable, "observer", lambda name: seen.append((name, lines_of(spool))))
    spool.take([Given(b"second\n")])
    assert seen[:2] == [("write:spool", [b"first\n"]), ("fsync:spool", [b"first\n"])]


def test_forgetting_keeps_all_that_was_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 1)
    spool = opened(tmp_path)
    for number in range(9):
        spool.take([Given(b"line %d\n" % number)])
    whole = read_all(spool)
    for position in range(spool.end + 1):
        spool.forget(position)
        rest = [one for one in whole if one[0] + 7 > position]
        assert read_all(spool)[-len(rest) or 9 :] == rest
        assert len(spool.segments()) == max(1, 9 - position // 7)


def test_a_torn_last_frame_is_cut_off_wherever_it_was_torn(tmp_path):
    spool = opened(tmp_path / "whole")
    spool.take([Given(b"first\n")])
    good = spool.disk_bytes
    spool.take([Given(b"second\n" * 9)])
    for size in range(good, spool.disk_bytes):
        folder = tmp_path / str(size)
        shutil.copytree(tmp_path / "whole", folder)
        os.truncate(next(folder.iterdir()), size)
        again = opened(folder)
        assert lines_of(again) == [b"first\n"]
        again.take([Given(b"third\n")])
        assert lines_of(again) == [b"first\n", b"third\n"]


@pytest.mark.parametrize("segment_bytes", [1, 100_000])
def test_what_the_disk_has_damaged_is_gone_over_and_told(tmp_path, monkeypatch, segment_bytes):
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", segment_bytes)
    spool = opened(tmp_path / "whole")
    bodies = [b"line %d\n" % number for number in range(5)]
    for body in bodies:
        spool.take([Given(body)])
    paths = sorted((tmp_path / "whole").iterdir())
    for number, path in enumerate(paths):
        for at in range(0, path.stat().st_size, 29):
            folder = tmp_path / f"{number}-{at}"
            shutil.copytree(tmp_path / "whole", folder)
            changed = bytearray((folder / path.name).read_bytes())
            changed[at] ^= 0xFF
            (folder / path.name).write_bytes(changed)
            told = []
            again = opened(folder, damaged=lambda position, what, told=told: told.append((position, what)))
            again.take([Given(b"more\n")])
            found = [(at, line) for at, line, _ in read_all(again)]
            assert found[-1][1] == b"more\n"
            assert found[:-1] == [(at * 7, body) for at, body in enumerate(bodies) if (at * 7, body) in found]
            assert len(found) >= 5 or segment_bytes > 1
            shutil.rmtree(folder)


@pytest.mark.parametrize("place", ["head", "body"])
@pytest.mark.parametrize("number", [0, 2, 4])
def test_a_flipped_bit_costs_its_own_frame_alone_and_is_told_also_after_a_restart(tmp_path, place, number):
    spool = opened(tmp_path)
    bodies = [b"line %d\n" % number for number in range(5)]
    begins = []
    for body in bodies:
        begins.append(spool.disk_bytes)
        spool.take([Given(body, key_of(body.decode()))])
    begins[0] = begins[1] - (begins[2] - begins[1])  # behind the keys with which the segment begins
    end = spool.end
    flip(next(tmp_path.iterdir()), begins[number] + (9 if place == "head" else 60))
    told = []
    again = opened(tmp_path, damaged=lambda position, what: told.append((position, what)))
    assert again.end >= end
    more = [Given(b"more\n"), *(Given(body, key_of(body.decode())) for body in bodies)]
    repeated = [Outcome.TAKEN if at == number else Outcome.REPEATED for at in range(5)]
    assert take(again, *more) == [Outcome.TAKEN, *repeated]
    found = [(at, line) for at, line, _ in read_all(again)]
    assert found[:4] == [(at * 7, body) for at, body in enumerate(bodies) if at != number]
    assert [line for _, line in found[4:]] == [b"more\n", bodies[number]]
    assert found[4][0] >= end
    assert told[0][0] == number * 7


def test_an_append_that_came_to_no_end_is_cut_off_without_a_word(tmp_path):
    spool = opened(tmp_path / "whole")
    spool.take([Given(b"first\n")])
    good, end = spool.disk_bytes, spool.end
    spool.take([Given(b"second\n" * 9)])
    content = next((tmp_path / "whole").iterdir()).read_bytes()
    for tail in [content[good : good + size] for size in range(1, len(content) - good)] + [bytes(len(content) - good)]:
        next((tmp_path / "whole").iterdir()).write_bytes(content[:good] + tail)
        told = []
        again = opened(tmp_path / "whole", damaged=lambda position, what, told=told: told.append((position, what)))
        assert (again.disk_bytes, again.end, told) == (good, end, [])


def flip(path, at):
    changed = bytearray(path.read_bytes())
    changed[at] ^= 0x10
    path.write_bytes(changed)


def test_frames_cannot_be_exchanged_or_read_with_another_key(tmp_path):
    spool = opened(tmp_path)
    spool.take([Given(b"secret\n")])
    content = next(tmp_path.iterdir()).read_bytes()
    assert b"secret" not in content
    other = Spool(tmp_path, Seal(b"k" * 32), bytes_max=MIB, floor=0, clock=lambda: 7)
    assert lines_of(other) == []


def test_a_spool_that_was_lost_goes_on_where_reading_had_come_to(tmp_path):
    spool = opened(tmp_path / "a")
    spool.take([Given(b"first\n")])
    again = opened(tmp_path / "b", floor=spool.end)
    again.take([Given(b"second\n")])
    assert read_all(again, position=Position("http:", spool.end)) == [(6, b"second\n", 7)]
    shorter = opened(tmp_path / "a", floor=100)
    shorter.take([Given(b"third\n")])
    assert read_all(shorter, position=Position("http:", 100)) == [(100, b"third\n", 7)]


def test_lines_damaged_at_the_end_hide_none_that_come_after(tmp_path):
    spool = opened(tmp_path)
    spool.take([Given(b"first\n")])
    size = spool.disk_bytes
    spool.take([Given(b"second\n")])
    path = next(tmp_path.iterdir())
    damaged = bytearray(path.read_bytes())
    damaged[size + 5] ^= 0xFF
    path.write_bytes(damaged)
    source = SpoolSource(spool)
    source.open(None)
    assert source.read(MIB, 0.0).data == b"first\n"
    assert source.read(MIB, 0.0) is None
    spool.take([Given(b"third\n")])
    assert source.read(MIB, 1.0).data == b"third\n"


def test_many_give_at_once_and_each_is_answered(tmp_path):
    spool = opened(tmp_path)
    taker = Taker(spool)
    promised = [taker.take(Given(b"%d\n" % number, key_of(str(number % 50)))) for number in range(100)]
    taker.start()
    outcomes = [one.result(10).outcome for one in promised]
    taker.stop()
    assert outcomes == [Outcome.TAKEN] * 50 + [Outcome.REPEATED] * 50
    assert lines_of(spool) == [b"%d\n" % number for number in range(50)]


def test_who_waits_when_the_disk_refuses_is_told_and_the_next_is_tried(tmp_path):
    spool = opened(tmp_path)
    taker = Taker(spool)
    taker.start()
    with failing_at("fsync:spool"):
        refused = taker.take(Given(b"x\n"))
        assert isinstance(refused.exception(10), OSError)
    assert taker.take(Given(b"y\n")).result(10).outcome is Outcome.TAKEN
    taker.stop()
    assert lines_of(spool) == [b"y\n"]


def test_a_key_with_other_lines_is_told_apart_at_once_and_after_a_restart(tmp_path):
    spool = opened(tmp_path)
    one, other = (Given(lines, key_of("1", lines=lines)) for lines in [b"one\n", b"other\n"])
    assert take(spool, one, other, one) == [Outcome.TAKEN, Outcome.OTHER, Outcome.REPEATED]
    assert take(opened(tmp_path), other, one) == [Outcome.OTHER, Outcome.REPEATED]
    assert lines_of(spool) == [b"one\n"]


def test_what_is_not_read_is_counted_without_opening_the_spool(tmp_path, monkeypatch):
    monkeypatch.setattr(spool_module, "SEGMENT_BYTES", 300)
    spool = opened(tmp_path)
    for number in range(9):
        spool.take([Given(b"line %d\n" % number)])
    assert [unread_bytes(tmp_path, position) for position in [0, 10, 56, 63, 99]] == [63, 53, 7, 0, 0]
    assert unread_bytes(tmp_path / "none", 0) == 0
