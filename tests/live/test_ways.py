"""A worker that reaches one of the servers and not the other: in the end all is as one process has it."""

import copy
import time
import uuid

import httpx
import pytest
from chaos import Site, _is_settled, of_one_process, outcome, settled
from cutting import Cutting
from ports import free_port
from server import until
from ways import Door, KafkaDoor

pytestmark = pytest.mark.live
EVENTS = 15_000
TOPIC = "doors"
SHUT_S = 18.0
"""Longer than a session (6 s)."""

ALIVE_S = 20
"""Without a sign of life for so long the worker that goes through doors is said to be dead."""

LOST = 15
"""Answers to commits that are lost, at least."""


@pytest.fixture(scope="module")
def expected(kafka, tmp_path_factory):
    """What one process makes of the topic."""
    return of_one_process(tmp_path_factory.mktemp("one"), kafka, TOPIC, EVENTS, 4)


class Apart:
    """A site of which one process goes through doors to the brokers and to the database."""

    def __init__(self, folder, kafka, url, client):
        self.brokers, port = KafkaDoor(kafka.port), int(url.rpartition(":")[2].partition("/")[0])
        self.database = Door(port)
        source = f"kafka://{kafka.bootstrap}/{TOPIC}?group={uuid.uuid4().hex}&client={client}"
        self.site = Site(folder, source, url, MINIWATCH_BATCH__ROWS_MAX="300")
        self.apart = copy.copy(self.site)
        self.apart.config = folder / "apart.toml"
        text = self.site.config.read_text().replace(kafka.bootstrap, f"127.0.0.1:{self.brokers.port}")
        self.listen = f"127.0.0.1:{free_port()}"
        text = text.replace('listen = ""', f'listen = "{self.listen}"\nalive_s_max = {ALIVE_S}')
        self.apart.config.write_text(text.replace(f":{port}/", f":{self.database.port}/"))
        self.kept = self.site.kept()

    @property
    def received(self):
        accounts = self.kept.store.progress().items()
        return sum(one.received for name, one in accounts if "miniwatch-hits" not in name)

    def _leases(self):
        return [one for one in self.kept.store.leases() if one.name.startswith(f"kafka:{TOPIC}")]

    def holders(self):
        """The processes that have partitions, of events or of hits."""
        return {int(one.holder.rpartition(":")[2]) for one in self._leases() if one.holder}

    def epochs(self):
        return {one.name: one.epoch for one in self._leases()}

    def stays_alive(self, seconds):
        """Whether it says so for as long."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if httpx.get(f"http://{self.listen}/healthz", timeout=5).status_code != 200:
                return False
            time.sleep(0.5)
        return True

    def end(self):
        self.brokers.open()
        self.database.open()
        self.kept.store.close()
        self.site.end()
        self.brokers.close()
        self.database.close()


@pytest.fixture
def apart(kafka, postgres, tmp_path, request):
    """With the client that the test names."""
    found = Apart(tmp_path / "many", kafka, postgres.database(), getattr(request, "param", "kafka-python"))
    yield found
    found.end()


def same(apart, expected):
    settled(apart.kept, EVENTS)
    apart.end()
    found = outcome(apart.site)
    for name in ("received", "imbalance", "unanswered", "archived", "findings", "proposed"):
        assert found[name] == expected[name], name


@pytest.mark.drawn(1)
@pytest.mark.parametrize("apart", ["kafka-python", "confluent"], indirect=True)
def test_a_member_whose_heartbeats_are_lost_gives_its_partitions_up_and_joins_again(apart, expected):
    """It reaches the leaders of its partitions, and not the coordinator of the group."""
    worker = apart.apart.start("--role", "detect")
    apart.site.start("--role", "respond")
    until(lambda: apart.received > 300, 60)
    apart.brokers.lose_coordinator()
    other = apart.site.start("--role", "detect")
    until(lambda: apart.holders() == {other.pid}, 60)
    epochs = apart.epochs()
    time.sleep(SHUT_S)
    assert apart.epochs() == epochs, "it takes nothing back as long as it is not a member"
    apart.brokers.open()
    until(lambda: worker.pid in apart.holders(), 60)
    same(apart, expected)
    assert worker.returncode == 0


def test_commits_whose_answers_are_lost_are_written_once(kafka, postgres, expected, tmp_path):
    url = postgres.database()
    way = Cutting(postgres.port)
    through = url.replace(f":{postgres.port}/", f":{way.port}/")
    source = f"kafka://{kafka.bootstrap}/{TOPIC}?group={uuid.uuid4().hex}"
    site = Site(tmp_path / "many", source, through, MINIWATCH_BATCH__ROWS_MAX="300")
    kept = Site(tmp_path / "watched", source, url).kept()
    lost = 0
    try:
        worker, responder = (site.start("--role", role) for role in ("detect", "respond"))
        until(kept.store.progress, 60)
        ends = time.monotonic() + 240
        while lost < LOST or not _is_settled(kept, EVENTS):
            way.lose(b"COMMIT\0")
            lost += way.cut.wait(10)
            assert (worker.poll(), responder.poll()) == (None, None)
            assert time.monotonic() < ends, "it did not come to that in time"
    finally:
        kept.store.close()
        site.end()
        way.close()
    found = outcome(site)
    for name in ("received", "imbalance", "unanswered", "archived", "findings", "proposed"):
        assert found[name] == expected[name], name


@pytest.mark.drawn(1)
@pytest.mark.parametrize("lost", ["database", "brokers"])
def test_a_worker_that_reaches_only_one_of_them_spoils_nothing(apart, expected, lost):
    worker = apart.apart.start("--role", "detect")
    apart.site.start("--role", "respond")
    until(lambda: apart.received > 300, 60)
    {"database": apart.database, "brokers": apart.brokers}[lost].shut()
    assert apart.received < EVENTS
    apart.site.start("--role", "detect")
    if lost == "brokers":
        assert apart.stays_alive(ALIVE_S + 6.0)
    else:
        time.sleep(SHUT_S)
    apart.brokers.open()
    apart.database.open()
    same(apart, expected)
    assert worker.returncode == 0, "it went on by itself, until it was told to stop"
