"""Addresses of topics, and what is said about wrong ones."""

import pytest

from monitor.config import ConfigError, load_config
from monitor.intake.opening import kafka_settings
from monitor.sources import SourceError
from monitor.sources.kafka.address import parse_address, refuse_readable_password
from monitor.sources.kafka.settings import Address, KafkaSettings


def test_an_address_names_brokers_a_topic_and_how_it_is_read():
    found = parse_address("kafka://a:9092,b.example:9093,[::1]:1/events.v2?group=seen&client=confluent&format=combined")
    assert found == Address(("a:9092", "b.example:9093", "[::1]:1"), "events.v2", "seen", "confluent", "combined")
    assert parse_address("kafka://a:9092/t", client="confluent", format="combined").client == "confluent"


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("kafka:events", "no brokers"),
        ("kafka://a/events", "'a' is no host:port"),
        ("kafka://a:0/events", "is no host:port"),
        ("kafka://a:9092,/events", "'' is no host:port"),
        ("kafka://user:secret@a:9092/events", "is no host:port"),
        ("kafka://a:9092", "no topic"),
        ("kafka://a:9092/", "no topic"),
        ("kafka://a:9092/a/b", "'a/b' is no name of a topic"),
        ("kafka://a:9092/..", "is no name of a topic"),
        ("kafka://a:9092/t?group=", "group has no name"),
        ("kafka://a:9092/t?group=a%20b", "'a b' is no name of a group"),
        ("kafka://a:9092/t?client=confluence", "did you mean 'confluent'?"),
        ("kafka://a:9092/t?gruop=x", "unknown parameter 'gruop' (did you mean 'group'?)"),
        ("kafka://a:9092/t?group=a&group=b", "'group' stands twice"),
    ],
)
def test_what_is_wrong_with_an_address_is_said(uri, told):
    with pytest.raises(SourceError) as refused:
        parse_address(uri)
    assert told in str(refused.value)


def test_a_password_is_not_sent_readable_to_other_machines():
    near, far = (parse_address(f"kafka://{host}:9092/t") for host in ("127.0.0.1", "broker"))
    refuse_readable_password(near, "PLAIN", tls=False)
    refuse_readable_password(far, "PLAIN", tls=True)
    refuse_readable_password(far, "SCRAM-SHA-256", tls=False)
    with pytest.raises(SourceError, match="readable"):
        refuse_readable_password(far, "PLAIN", tls=False)


def test_the_configuration_says_how_all_topics_are_read(tmp_path):
    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text("hunter2\n")
    given = {"kafka.sasl_mechanism": "PLAIN", "kafka.sasl_user": "me"}
    config = load_config(None, {}, given | {"kafka.sasl_password_file": str(tmp_path / "password")})
    assert kafka_settings(config).sasl_password == "hunter2"
    assert kafka_settings(config).security_protocol == "SASL_PLAINTEXT"
    assert "hunter2" not in str(config.describe()) + repr(config)
    assert kafka_settings(load_config(None, {}, {})) == KafkaSettings()


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"tls_ca": __file__}, "kafka.tls = true"),
        ({"tls": True, "tls_key": __file__}, "kafka.tls_certificate"),
        ({"sasl_user": "me"}, "together"),
        ({"sasl_mechanism": "GSSAPI"}, "SCRAM-SHA-512"),
        ({"release_s_max": 400.0}, "poll_interval_s_max"),
        ({"message_bytes_max": 2 << 20}, "1048576"),
    ],
)
def test_settings_that_mean_nothing_are_refused(keys, told):
    with pytest.raises(ConfigError) as refused:
        load_config(None, {}, {f"kafka.{name}": value for name, value in keys.items()})
    assert told in str(refused.value)
