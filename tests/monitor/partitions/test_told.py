"""What workers tell of who is about, put together on the side that harms nobody."""

from detectors.finding import Entity, Scope
from monitor.partitions.answering import Told
from monitor.partitions.leaving import Left
from monitor.surroundings.activity import Activity
from monitor.surroundings.neighbours import Neighbours
from playbooks.surroundings import Active, Behind
from playbooks.testing import finding

ADDRESS = Entity(Scope.ADDRESS, "198.51.100.7")


def left(people, apps, behind):
    accused = finding(entity=ADDRESS)
    return Left(order=1, finding=accused, active=Active(people=people, apps=apps), behind=behind)


def test_neighbours_of_an_address_are_assumed_in_every_partition():
    told = Told(Activity(302.0), Neighbours(), None)
    told.hear("kafka:calls/0", [left(900, 10, Behind(people=3, apps=2))])
    told.hear("kafka:calls/1", [left(700, 15, Behind(people=5, apps=1))])
    told.know(["kafka:calls/1", "kafka:calls/2"])
    accused = [finding(entity=ADDRESS)]
    assert told.behind(accused) == {ADDRESS: Behind(people=15, apps=6)}
    assert list(told.active(accused).values()) == [Active(people=900, apps=25)]
