"""An anchor is made when it is due, at start when one was missed, and only once it is on disk is it said to be made."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from monitor.anchoring import HOUR_US, Anchoring
from monitor.audit import AuditEntry
from monitor.audit.anchors import read_anchors, verify_anchored
from monitor.signing import SigningKey
from monitor.telemetry import Telemetry
from monitor.testing import failing_at, scratch_store

KEY = SigningKey(bytes(31) + b"\x01")


class Scene:
    def __init__(self, store, file: Path) -> None:
        self.store, self.file, self.now = store, file, 1_000 * HOUR_US
        self.log = io.StringIO()
        self.telemetry = Telemetry(log_format="json", stream=self.log)

    def look(self, channels: tuple[str, ...] = ("webhook:ops",)) -> None:
        """As a daemon that has just started does, and then every half minute."""
        clock = lambda: self.now  # noqa: E731
        anchoring = Anchoring(
            self.store, self.telemetry, clock, every_us=HOUR_US, file=self.file, channels=channels, key=KEY
        )
        anchoring.look()

    def audit(self, subject: str) -> None:
        self.store.audit(AuditEntry(time=self.now, actor="a", action="b", subject=subject, reason="d"))

    @property
    def anchors(self):
        return list(read_anchors(self.file)) if self.file.exists() else []


@pytest.fixture
def scene(tmp_path):
    store = scratch_store(tmp_path)
    yield Scene(store, tmp_path / "anchors.ndjson")
    store.close()


def test_the_first_is_made_at_once_and_the_next_an_hour_later(scene):
    made = []
    for minute in range(150):
        scene.now += HOUR_US // 60
        scene.audit(str(minute))
        scene.look()
        made.append(len(scene.anchors))
    assert (made[0], made[59], made[60], made[119], made[120]) == (1, 1, 2, 2, 3)
    verdict = verify_anchored(
        scene.store.audit_entries(), scene.anchors, public=KEY.public, installation=scene.store.installation()
    )
    assert (verdict.held, verdict.problems) == (3, ())


def test_one_missed_while_nothing_ran_is_made_at_start(scene):
    scene.look()
    scene.now += 5 * HOUR_US
    scene.look()
    assert len(scene.anchors) == 2


def test_a_clock_that_was_set_back_does_not_stop_them(scene):
    scene.look()
    scene.now -= 1000 * HOUR_US
    scene.look()
    assert len(scene.anchors) == 2


def test_a_receiver_gets_what_the_file_has(scene):
    scene.audit("one")
    scene.look(("webhook:ops", "webhook:law"))
    due = scene.store.due_messages(scene.now, 10)
    assert sorted(item.message.channel for item in due) == ["webhook:law", "webhook:ops"]
    assert {item.message.body for item in due} == {scene.anchors[0].line}


def test_a_file_that_cannot_be_written_is_told_and_tried_again(scene):
    with failing_at("write:anchor"):
        scene.look()
    assert "anchor_failed" in scene.log.getvalue()
    assert scene.store.last_anchor() is None
    scene.look()
    assert len(scene.anchors) == 1


def test_dying_between_file_and_record_writes_the_same_head_again(scene):
    scene.audit("one")
    with failing_at("commit:anchor"), pytest.raises(Exception, match="No space"):
        scene.look()
    scene.look()
    heads = {(anchor.seq, anchor.hash) for anchor in scene.anchors}
    assert len(heads) == 1
    assert len(scene.store.due_messages(scene.now, 10)) == 1
