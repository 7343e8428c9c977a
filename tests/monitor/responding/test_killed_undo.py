"""An undo that is killed has happened, or not; and none goes by what was decided meanwhile."""

import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from town import Town

from monitor import durable
from monitor.stores import Turn
from monitor.testing import store_state
from playbooks.decision import Reason
from playbooks.testing import finding

CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from town import Town
from monitor import durable
town = Town(Path(sys.argv[2]))
town.now_s = 50
durable.observer = lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == sys.argv[3] else None
town.undo("bad")
"""


def lived(town):
    for at_s in (10, 20, 30):
        town.now_s = at_s
        town.turn(
            [
                finding(app=f"wx{number}", rule=rule, after_s=at_s, severity="high", proof=True)
                for number in range(20)
                for rule in ("bad", "good")
            ]
        )
    town.now_s = 50


@pytest.mark.parametrize(("boundary", "is_done"), [("commit:undo", False), ("commit:undo:done", True)])
def test_a_killed_undo_has_happened_whole_or_not_at_all(tmp_path, boundary, is_done):
    town = Town(tmp_path)
    lived(town)
    before, acts = store_state(town.store), town.in_force()
    town.close()
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(tmp_path), boundary], check=False
    )
    assert child.returncode == -signal.SIGKILL
    town = Town(tmp_path)
    town.now_s = 50
    assert bool(town.store.undos()) is is_done
    assert (store_state(town.store) == before) is not is_done
    assert (town.in_force() == acts) is not is_done
    if not is_done:
        town.undo("bad")  # it can be done again
    assert not [one for one in town.in_force().values() if one.rule == "bad"]
    town.close()


def test_what_is_decided_while_an_undo_is_worked_out_is_undone_too(tmp_path, monkeypatch):
    town = Town(tmp_path)
    lived(town)
    gathered = type(town.store)._gathered

    def overtaken(store, asked):
        found = gathered(store, asked)
        monkeypatch.undo()
        town.number = 3
        town.turn([finding(app="wx99", rule="bad", after_s=49, severity="high", proof=True)])
        return found

    monkeypatch.setattr(type(town.store), "_gathered", overtaken)
    undo, _ = town.undo("bad")
    assert undo.findings == 61
    assert not [one for one in town.in_force().values() if one.rule == "bad"]
    town.close()


def test_a_disk_that_is_full_leaves_everything_as_it_was(tmp_path):
    town = Town(tmp_path)
    lived(town)
    before = store_state(town.store)

    def full(name):
        if name == "commit:undo":
            raise OSError(28, "No space left on device")

    durable.observer, earlier = full, durable.observer
    try:
        with pytest.raises(Exception, match="No space left"):
            town.undo("bad")
    finally:
        durable.observer = earlier
    assert store_state(town.store) == before
    town.close()


def test_what_a_person_approved_stays_whatever_it_rested_on(tmp_path):
    town = Town(tmp_path)
    lived(town)
    act = next(one for one in town.in_force().values() if one.rule == "bad")
    town.number += 1
    town.store.commit(Turn(number=town.number, decisions=[msgspec.structs.replace(act, reason=Reason.OPERATOR)]))
    _, undone = town.undo("bad")
    assert [one.decision.id for one in undone if one.fate == "kept"] == [act.id]
    assert [one.id for one in town.in_force().values() if one.rule == "bad"] == [act.id]
    town.close()
