"""Who has a data folder for himself, and whether whoever had it last gave it back."""

import fcntl
import subprocess
import sys

import pytest

from monitor.stores.held_folder import AlreadyRunning, only_one, was_left

HOLDING = """
import sys, time
from pathlib import Path
from monitor.stores.held_folder import only_one
with only_one(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def killed_while_it_had(path):
    with subprocess.Popen([sys.executable, "-c", HOLDING, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        process.kill()


def test_who_was_killed_has_not_given_the_folder_back_and_the_next_one_has(tmp_path):
    lock = tmp_path / "run.lock"
    assert not was_left(lock), "nobody was ever there"
    killed_while_it_had(lock)
    assert was_left(lock)
    with only_one(lock):
        pass
    assert not was_left(lock)


def test_who_ends_with_an_error_has_given_it_back_and_those_who_share_one_say_nothing(tmp_path):
    lock = tmp_path / "run.lock"
    with pytest.raises(KeyError), only_one(lock):
        raise KeyError
    assert not was_left(lock)
    with only_one(lock, shared=True), only_one(lock, shared=True):
        assert not was_left(lock)
    killed_while_it_had(lock)
    with only_one(lock, shared=True):
        pass
    assert was_left(lock)


def test_a_lock_that_was_taken_away_while_one_waited_holds_nothing(tmp_path, monkeypatch):
    lock, real = tmp_path / "data" / "run.lock", fcntl.flock

    def taken_away_once(descriptor, operation):
        monkeypatch.setattr(fcntl, "flock", real)
        lock.unlink()
        lock.parent.rmdir()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", taken_away_once)
    with only_one(lock), pytest.raises(AlreadyRunning), only_one(lock):
        pass
