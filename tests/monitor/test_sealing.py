import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import durable
from monitor.sealing import Seal, SealError, key_at


@given(plain=st.binary(max_size=300), context=st.text(max_size=20))
def test_what_is_sealed_opens_again(plain, context):
    seal = Seal(b"k" * 32)
    assert seal.open(seal.seal(plain, context), context) == plain


@given(plain=st.binary(max_size=60), at=st.integers(0), bit=st.integers(0, 7))
def test_one_changed_bit_is_noticed(plain, at, bit):
    seal = Seal(b"k" * 32)
    sealed = bytearray(seal.seal(plain, "here"))
    sealed[at % len(sealed)] ^= 1 << bit
    with pytest.raises(SealError):
        seal.open(bytes(sealed), "here")


def test_the_same_bytes_sealed_twice_do_not_look_the_same():
    seal = Seal(b"k" * 32)
    assert seal.seal(b"plain", "here") != seal.seal(b"plain", "here")


@pytest.mark.parametrize("cut", [0, 1, 12, 28])
def test_cut_bytes_and_foreign_ones_are_refused(cut):
    sealed = Seal(b"k" * 32).seal(b"", "here")
    with pytest.raises(SealError, match="here"):
        Seal(b"k" * 32).open(sealed[:cut], "here")


def test_what_is_sealed_opens_neither_elsewhere_nor_with_another_key():
    sealed = Seal(b"k" * 32).seal(b"plain", "here")
    with pytest.raises(SealError):
        Seal(b"k" * 32).open(sealed, "there")
    with pytest.raises(SealError):
        Seal(b"K" * 32).open(sealed, "here")


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path):
    path = tmp_path / "keys" / "seal.key"
    key = key_at(path)
    assert (len(key), key_at(path)) == (32, key)
    assert (oct(path.stat().st_mode & 0o777), oct(path.parent.stat().st_mode & 0o777)) == ("0o600", "0o700")
    assert [file.name for file in path.parent.iterdir()] == ["seal.key"]


def test_processes_that_start_at_once_share_one_key(tmp_path):
    path, keys, gate = tmp_path / "seal.key", [], threading.Barrier(8)

    def start():
        gate.wait()
        keys.append(key_at(path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(keys) == 8
    assert len(set(keys)) == 1


@pytest.mark.parametrize("boundary", ["write:key", "fsync:key", "rename:key"])
def test_a_disk_that_refuses_leaves_no_half_key(tmp_path, monkeypatch, boundary):
    def refuse(name):
        if name == boundary:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "observer", refuse)
    with pytest.raises(OSError, match="No space"):
        key_at(tmp_path / "seal.key")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, "ab" * 31, "ab" * 33])
def test_a_file_that_is_no_key_is_refused_and_kept(tmp_path, text):
    path = tmp_path / "seal.key"
    path.write_text(text)
    with pytest.raises(SealError, match="expected 64 hexadecimal digits"):
        key_at(path)
    assert path.read_text() == text
