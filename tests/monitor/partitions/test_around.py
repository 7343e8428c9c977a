"""Streams of an earlier version of the program tell of who is about only with what they leave: on the side that harms nobody."""

import msgspec

from detectors.finding import Entity, Scope
from monitor.partitions.around import Around
from monitor.partitions.leaving import Left, left_in
from monitor.surroundings.activity import Activity
from monitor.surroundings.neighbours import Neighbours
from playbooks.surroundings import Active, Behind
from playbooks.testing import finding

ADDRESS = Entity(Scope.ADDRESS, "198.51.100.7")


def old(behind):
    """What such a stream leaves."""
    accused = finding(entity=ADDRESS)
    return msgspec.msgpack.encode(
        [{"order": 1, "finding": accused, "active": Active(people=900, apps=10), "behind": behind}]
    )


def test_neighbours_of_an_address_are_assumed_in_every_stream_that_tells_none():
    around = Around(Activity(302.0), Neighbours(), None)
    (left,) = left_in(old(Behind(people=5, apps=1)))
    around.untelling.update({"kafka:calls/1", "kafka:calls/2"})
    around.answering([left])
    assert around.behind([left.finding], {left.finding.id: 1}) == {left.finding.id: Behind(people=10, apps=2)}
    assert around.active([left.finding]) == {left.finding.id: Active(people=900, apps=10)}


def test_what_a_stream_that_tells_knows_alone_does_not_count():
    around = Around(Activity(302.0), Neighbours(), None)
    (left,) = left_in(old(Behind(people=5, apps=1)))
    told = msgspec.structs.replace(left, tells=True)
    assert isinstance(told, Left)
    around.answering([told])
    assert around.behind([told.finding], {told.finding.id: 1}) == {told.finding.id: Behind()}
    assert around.active([told.finding]) == {told.finding.id: Active()}
