"""What ``miniwatch check`` says of a topic: whether it can be read, in the group that is named, and what of its settings should be known."""

from __future__ import annotations

import time
from contextlib import closing
from typing import Any, Final, NamedTuple

import msgspec
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import GroupAuthorizationFailedError, KafkaError
from kafka.protocol.consumer import HeartbeatRequest

from monitor.sources.kafka.client import Trouble, no_right_to_group
from monitor.sources.kafka.kafka_python import KafkaPythonClient, options_of
from monitor.sources.kafka.opening import client_of
from monitor.sources.kafka.settings import Address, KafkaSettings

TIMEOUT_S: Final = 10.0
"""How long a broker may take to answer, for who waits for the answer."""

AGAIN_S: Final = 0.2
"""How soon brokers are asked again about a group."""

_DAY_MS: Final = 86_400_000
_OVERHEAD_BYTES: Final = 1024  # what a batch of one message has beside its value, at most


class Told(NamedTuple):
    """What keeps a topic from being read, with what to do; and what is not wrong, but follows from its settings."""

    problems: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def look_at(address: Address, settings: KafkaSettings) -> Told:
    """Ask the brokers, as a run would and no longer than someone at a terminal waits."""
    quick = msgspec.structs.replace(settings, request_timeout_s=min(settings.request_timeout_s, TIMEOUT_S))
    try:
        client_of(address, quick).close()  # the extra that it may need is there
        client = KafkaPythonClient(msgspec.structs.replace(address, group=""), quick)
        try:
            client.bounds(min(client.topic().partitions))
        finally:
            client.close()
    except Trouble as error:
        return Told(((str(error), "correct the address, or what the brokers allow"),))
    with closing(KafkaAdminClient(**admin_options(address, quick))) as admin:
        notes = tuple(_settings(admin, address, quick))
        refused = _refused(admin, address.group, quick.request_timeout_s) if address.group else None
    if refused:
        return Told(((no_right_to_group(address), "grant it, or name another group"),), notes)
    unknown = f"whether the group {address.group} is ours to join is not known: the brokers do not say"
    return Told((), notes if refused is not None or not address.group else (*notes, unknown))


def _refused(admin: KafkaAdminClient, group: str, wait_s: float) -> bool | None:
    """Whether we are kept out of a group; None where the brokers do not say in time.

    They look at the right to read it before all else when somebody says to be there still as a member. Nothing comes of it where there
    is no such member; to describe a group asks for less, and tells nothing of one that nobody has joined yet.
    """
    until = time.monotonic() + wait_s
    while True:
        try:
            answer = admin._manager.run(_beaten, admin, group)  # noqa: SLF001 - for this there is no public way
        except GroupAuthorizationFailedError:
            return True
        except KafkaError:  # the brokers may have to make the topic of groups first
            if time.monotonic() > until:
                return None
            time.sleep(AGAIN_S)
        else:
            return bool(answer.error_code == GroupAuthorizationFailedError.errno)


async def _beaten(admin: KafkaAdminClient, group: str) -> Any:
    nodes = await admin._find_coordinator_ids([group])  # noqa: SLF001 - as above
    beat = HeartbeatRequest(group_id=group, generation_id=-1, member_id="miniwatch-check", max_version=4)
    return await admin._manager.send(beat, node_id=nodes[group])  # noqa: SLF001


def admin_options(address: Address, settings: KafkaSettings) -> dict[str, Any]:
    """Those of the client's options that one who only asks has too."""
    known = KafkaAdminClient.DEFAULT_CONFIG
    return {name: value for name, value in options_of(address, settings).items() if name in known}


def _settings(admin: KafkaAdminClient, address: Address, settings: KafkaSettings) -> list[str]:
    asked = [ConfigResource(ConfigResourceType.TOPIC, address.topic)]
    try:
        found = admin.describe_configs(asked, config_filter="all")["topic"][address.topic]
        value = {
            name: str(found[name]["value"]) for name in ("retention.ms", "message.timestamp.type", "max.message.bytes")
        }
    except (KafkaError, KeyError):
        return ["its settings are not ours to see: retention and the kind of its timestamps are not known"]
    notes = []
    retention_ms = int(value["retention.ms"])
    if 0 <= retention_ms < _DAY_MS:
        notes.append(
            f"messages are kept for {retention_ms / 3_600_000:g} hours: what is not read within that is lost, also while "
            "Miniwatch or its stores are down"
        )
    if value["message.timestamp.type"] == "CreateTime":
        notes.append(
            "its timestamps are CreateTime, what producers say: one whose clock is ahead moves time on for all events "
            "without event.ingested (set message.timestamp.type=LogAppendTime, or let only collectors produce)"
        )
    if int(value["max.message.bytes"]) > settings.message_bytes_max + _OVERHEAD_BYTES:
        notes.append(
            f"it takes messages of {value['max.message.bytes']} bytes: those over kafka.message_bytes_max "
            f"({settings.message_bytes_max}) become dead letters"
        )
    return notes
