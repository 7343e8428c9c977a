"""Brokers that want to know who asks, over TLS: with either client, by the settings of the configuration."""

import contextlib
import sys
from pathlib import Path

import kafka as kk
import msgspec
import pytest
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
    UserScramCredentialUpsertion,
)
from secured import USERS, Secured
from server import Kafka, running, until

sys.path.insert(0, str(Path(__file__).parents[1] / "monitor" / "console"))

from authority import Authority

from monitor.sources.kafka.checking import look_at
from monitor.sources.kafka.group import Group
from monitor.sources.kafka.opening import client_of
from monitor.sources.kafka.settings import Address, KafkaSettings

pytestmark = pytest.mark.live
TOPIC = "guarded"


class World:
    def __init__(self, folder, broker):
        self.authority = Authority(folder, "brokers")
        self.stranger = Authority(folder, "strangers")
        chain, key = self.authority.issue("broker")
        self.certificate, self.key = map(str, self.authority.issue("client"))
        self.secured = Secured(broker, chain.read_text(), key.read_text(), self.authority.path.read_text())
        try:
            self._let_in(broker.bootstrap)
        except BaseException:
            self.secured.stop()
            raise
        self.trusting = KafkaSettings(tls=True, tls_ca=str(self.authority.path), request_timeout_s=5.0)

    def _let_in(self, bootstrap):
        pattern = ResourcePattern(ResourceType.TOPIC, TOPIC)
        with contextlib.closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
            admin.create_topics({TOPIC: {"num_partitions": 1, "replication_factor": 1}})
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                changes = [UserScramCredentialUpsertion(user, mechanism, word) for user, word in USERS.items()]
                admin.alter_user_scram_credentials(changes)
            may = [
                (user, does)
                for user in ("User:reader", "User:CN=client")
                for does in (ACLOperation.READ, ACLOperation.DESCRIBE)
            ]
            admin.create_acls([ACL(user, "*", does, ACLPermissionType.ALLOW, pattern) for user, does in may])
            groups = (("ours", ACLOperation.READ), ("seen", ACLOperation.DESCRIBE), ("theirs", ACLOperation.DESCRIBE))
            for group, does in groups:  # who is spoken of by a rule is kept from what it does not allow
                user = "User:somebody" if group == "theirs" else "User:reader"
                ours = ResourcePattern(ResourceType.GROUP, group)
                admin.create_acls([ACL(user, "*", does, ACLPermissionType.ALLOW, ours)])
        with contextlib.closing(kk.KafkaProducer(bootstrap_servers=bootstrap)) as made:
            made.send(TOPIC, b"secret")

    def as_user(self, user="reader", mechanism="PLAIN", **changes):
        known = {"sasl_mechanism": mechanism, "sasl_user": user, "sasl_password": USERS.get(user, "")}
        return msgspec.structs.replace(self.trusting, **known | changes)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    for broker in running(Kafka):
        world = World(tmp_path_factory.mktemp("keys"), broker)
        yield world
        world.secured.stop()


@pytest.fixture(params=["kafka-python", "confluent"])
def opened(request):
    with contextlib.ExitStack() as stack:

        def open_group(place, settings):
            address = Address((place,), TOPIC, client=request.param)
            group = Group(address, settings, lambda: client_of(address, settings))
            stack.callback(group.close)
            return group

        yield open_group


def read(group):
    until(lambda: group.poll(0.1).assigned)
    source = group.source(f"kafka:{TOPIC}/0")
    source.open(None)
    return until(lambda: source.read(1 << 20, 0.1)).data


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_user_with_a_password_reads_over_tls(world, opened, mechanism):
    assert read(opened(world.secured.sasl, world.as_user(mechanism=mechanism))) == b"secret\n"


def test_a_client_with_a_certificate_reads(world, opened):
    own = msgspec.structs.replace(world.trusting, tls_certificate=world.certificate, tls_key=world.key)
    assert read(opened(world.secured.mutual, own)) == b"secret\n"


def test_without_the_certificate_that_is_wanted_nothing_is_read(world, opened):
    assert until(lambda: _trouble(opened(world.secured.mutual, world.trusting)))


def test_a_broker_whose_authority_is_unknown_gets_no_password(world, opened):
    told = until(lambda: _trouble(opened(world.secured.sasl, world.as_user(tls_ca=str(world.stranger.path)))))
    assert "certificate" in told.lower()


def test_a_broker_by_another_name_than_its_certificate_s_gets_no_password(world, opened):
    place = world.secured.sasl.replace("127.0.0.1", "localhost")
    assert "certificate" in until(lambda: _trouble(opened(place, world.as_user()))).lower()


def test_a_wrong_password_is_said(world, opened):
    told = until(lambda: _trouble(opened(world.secured.sasl, world.as_user(sasl_password="wrong"))))
    assert "authentication" in told.lower()
    assert "wrong" not in told


def test_who_may_not_read_the_topic_is_told(world, opened):
    told = until(lambda: _trouble(opened(world.secured.sasl, world.as_user("nobody"))))
    assert "no right" in told or "there is no topic" in told


def _trouble(group):
    until(lambda: group.trouble)
    return group.trouble


def checked(place, settings, group=""):
    return look_at(Address((place,), TOPIC, group), settings)


def test_check_finds_nothing_wrong_where_we_may_read_and_says_what_it_may_not_see(world):
    told = checked(world.secured.sasl, world.as_user())
    assert told.problems == ()
    assert "not ours to see" in told.notes[0]


def test_check_tells_who_may_not_read(world):
    assert checked(world.secured.sasl, world.as_user("nobody")).problems


@pytest.mark.parametrize("group", ["seen", "theirs"])
def test_check_tells_that_a_group_is_not_ours_to_join(world, group):
    ((found, _),) = checked(world.secured.sasl, world.as_user(), group).problems
    assert found == f"no right to the group {group}: grant this user Read on it"


def test_check_finds_nothing_wrong_with_a_group_that_is_ours_and_that_nobody_has_joined_yet(world):
    told = checked(world.secured.sasl, world.as_user(), "ours")
    assert (told.problems, len(told.notes)) == ((), 1)


@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_who_may_not_join_the_group_is_told_and_so_is_who_may_not_say_how_far_it_is(world, client):
    address = Address((world.secured.sasl,), TOPIC, "seen", client)
    with contextlib.closing(Group(address, world.as_user(), lambda: client_of(address, world.as_user()))) as member:
        assert "no right to the group seen" in until(lambda: _trouble(member))
    with contextlib.closing(
        Group(address, world.as_user(), lambda: client_of(address, world.as_user()), whole=True)
    ) as reader:
        assert read(reader) == b"secret\n"
        reader.commit({f"kafka:{TOPIC}/0": 1 << 20})
        assert until(lambda: reader.lag.look().failures)


def test_check_tells_that_nobody_answers(world):
    ((found, _),) = checked("127.0.0.1:1", world.as_user(request_timeout_s=1.0)).problems
    assert "refused" in found
