"""``kafka://host:port,host:port/topic?group=…``: the address of a topic."""

from __future__ import annotations

import re
from typing import Final

from monitor.sources import SourceError
from monitor.sources.kafka.settings import CLIENTS, Address
from monitor.sources.uri import FORMATS, meant, parameters, wrong

SCHEME: Final = "kafka:"
SYNTAX: Final = "kafka://HOST:PORT[,HOST:PORT…]/TOPIC[?group=NAME][&client=confluent][&format=combined]"

_ALLOWED: Final = ("group", "client", "format")
_BROKER: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
_LOOPBACK: Final = re.compile(r"(?:localhost|127\.[0-9.]+|\[::1\]):[0-9]+")


def is_kafka(uri: str) -> bool:
    """Whether an address is one of Kafka."""
    return uri.startswith(SCHEME)


def parse_address(uri: str, *, format: str = "ndjson", client: str = CLIENTS[0]) -> Address:  # noqa: A002 - the word of the configuration
    """The topic that an address means; raises `SourceError` that says what is wrong and what would be right."""
    place, _, query = uri.removeprefix(SCHEME).partition("?")
    given = parameters(uri, query, _ALLOWED, SYNTAX)
    if not place.startswith("//"):
        raise wrong(uri, "no brokers", SYNTAX)
    brokers, slash, topic = place[2:].partition("/")
    for broker in brokers.split(","):
        found = _BROKER.fullmatch(broker)
        if found is None or not 0 < int(found.group(1)) < 65536:
            raise wrong(uri, f"{broker!r} is no host:port", SYNTAX)
    if not slash or not _NAME.fullmatch(topic) or topic in {".", ".."}:
        raise wrong(uri, f"{topic!r} is no name of a topic" if topic else "no topic", SYNTAX)
    address = Address(
        tuple(brokers.split(",")),
        topic,
        _one_of(uri, "group", given.get("group", ""), None),
        _one_of(uri, "client", given.get("client", client), CLIENTS),
        _one_of(uri, "format", given.get("format", format), FORMATS),
    )
    if "group" in given and not address.group:
        raise wrong(uri, "group has no name", SYNTAX)
    return address


def _one_of(uri: str, name: str, value: str, allowed: tuple[str, ...] | None) -> str:
    if allowed is None:
        if value and not _NAME.fullmatch(value):
            raise wrong(uri, f"{value!r} is no name of a group", SYNTAX)
    elif value not in allowed:
        raise wrong(uri, f"unknown {name} {value!r}{meant(value, allowed)}; allowed are {', '.join(allowed)}", SYNTAX)
    return value


def refuse_readable_password(address: Address, mechanism: str, *, tls: bool) -> None:
    """PLAIN sends the password as it is: not to other machines without TLS. Raises `SourceError`."""
    if mechanism == "PLAIN" and not tls and not all(_LOOPBACK.fullmatch(broker) for broker in address.brokers):
        raise SourceError(
            "kafka.sasl_mechanism is PLAIN without kafka.tls: the password would be sent readable. Set kafka.tls, or take "
            "SCRAM-SHA-512",
            retryable=False,
        )
