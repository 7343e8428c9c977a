"""Two that may answer, of which one loses the database, or the database stands still: the other takes over, and all is as one process has it."""

import shutil
import time
import uuid

import pytest
from chaos import Site, of_one_process, outcome, settled
from server import until
from ways import Door

from monitor.partitions.answering import LEASE
from monitor.stores import StoreError

pytestmark = pytest.mark.live
EVENTS = 6_000
TOPIC = "responders"
AWAY_S = 20.0
"""Longer than the lease of who answers (15 s)."""

TAKEN_OVER_S_MAX = 35.0
"""The server ends a transaction in which nothing is said after 20 s, and what waits for its lock asks again within 5 s."""


@pytest.fixture(scope="module")
def expected(kafka, tmp_path_factory):
    """What one process makes of the topic."""
    return of_one_process(tmp_path_factory.mktemp("one"), kafka, TOPIC, EVENTS, 2)


class Two:
    """A worker and two that may answer, on folders of their own; the first goes to the database through a door."""

    def __init__(self, folder, kafka, url):
        port = int(url.rpartition(":")[2].partition("/")[0])
        self.way = Door(port)
        source, small = (
            f"kafka://{kafka.bootstrap}/{TOPIC}?group={uuid.uuid4().hex}",
            {"MINIWATCH_BATCH__ROWS_MAX": "100"},
        )
        self.site = Site(folder / "worker", source, url, **small)
        self.kept = self.site.kept()
        self.first, self.second = (
            Site(folder / name, source, where)
            for name, where in (("first", url.replace(f":{port}/", f":{self.way.port}/")), ("second", url))
        )
        for one in (self.first, self.second):
            shutil.copytree(self.site.folder / "data" / "keys", one.folder / "data" / "keys")

    def begin(self):
        """Let the first answer, and the second stand by."""
        self.first.start("--role", "respond")
        until(self.leader, 60)
        self.second.start("--role", "respond")
        self.site.start("--role", "detect")
        until(lambda: any(self.kept.store.findings()), 90)

    def leader(self):
        """Who answers; None where nobody does, or nobody can be asked."""
        try:
            found = self.kept.store.held(LEASE, 0)
        except StoreError:
            return None
        return found.holder if found is not None else None

    def settled(self, expected):
        settled(self.kept, EVENTS)
        self.way.open()
        time.sleep(1.0)
        codes = [one.poll() for site in (self.first, self.second) for one in site.processes]
        assert codes == [None, None], "both go on"
        for site in (self.site, self.first, self.second):
            site.end()
        found = outcome(self.site)
        for name in ("received", "imbalance", "unanswered", "archived", "findings", "proposed"):
            assert found[name] == expected[name], name

    def end(self):
        self.way.open()
        self.kept.store.close()
        for site in (self.site, self.first, self.second):
            site.end()
        self.way.close()


@pytest.fixture
def two(kafka, fresh_postgres, tmp_path):
    found = Two(tmp_path, kafka, fresh_postgres.url)
    yield found
    found.end()


def test_who_loses_the_database_in_the_middle_of_a_turn_is_followed_by_the_other(two, expected):
    two.begin()
    before = two.leader()
    two.way.shut_at(b"COMMIT\0")
    until(lambda: two.way.is_shut, 30)
    begun = time.monotonic()
    until(lambda: two.leader() not in {None, before}, TAKEN_OVER_S_MAX)
    print(f"taken over after {time.monotonic() - begun:.1f} s")
    two.settled(expected)


@pytest.mark.drawn(1)
@pytest.mark.parametrize("blow", ["stands still", "is killed"])
def test_a_database_that_is_away_for_longer_than_the_lease_has_one_that_answers_afterwards(
    two, expected, fresh_postgres, blow
):
    two.begin()
    fresh_postgres.pause() if blow == "stands still" else fresh_postgres.kill()
    time.sleep(AWAY_S)
    fresh_postgres.resume() if blow == "stands still" else fresh_postgres.start()
    begun = time.monotonic()
    until(two.leader, 30)
    print(f"answered again after {time.monotonic() - begun:.1f} s")
    two.settled(expected)
