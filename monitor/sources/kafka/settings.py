"""How Kafka is read: the address of a topic, and what holds for all of them."""

from __future__ import annotations

import ssl
from typing import Final

import msgspec

from monitor.sources.messages import MESSAGE_BYTES_MAX

CLIENTS: Final = ("kafka-python", "confluent")

METADATA_S_MAX: Final = 30.0
"""How old what is known of the cluster may become before it is asked again."""


class Address(msgspec.Struct, frozen=True):
    """A topic of a cluster, the group that shares it, and by which client it is read."""

    brokers: tuple[str, ...]  # host:port
    topic: str
    group: str = ""  # empty: no group; all partitions are ours
    client: str = "kafka-python"
    format: str = "ndjson"


class KafkaSettings(msgspec.Struct, frozen=True):
    """What holds for all topics; times in seconds, sizes in bytes."""

    tls: bool = False
    tls_ca: str = ""  # PEM; empty: the system's
    tls_certificate: str = ""
    tls_key: str = ""
    sasl_mechanism: str = ""
    sasl_user: str = ""
    sasl_password: str = ""
    start_at: str = "earliest"  # where a partition is begun of which our store knows nothing
    message_bytes_max: int = MESSAGE_BYTES_MAX
    fetch_bytes_max: int = 32 << 20
    partition_fetch_bytes_max: int = 8 << 20
    fetch_wait_ms: int = 100
    buffer_bytes_max: int = 128 << 20  # of all partitions that are ours, fetched and not yet read
    session_timeout_s: float = 45.0
    poll_interval_s_max: float = 300.0
    release_s_max: float = 60.0  # how long a revoked partition is waited for
    request_timeout_s: float = 30.0
    group_instance_id: str = ""  # with it, a member that comes back within the session timeout has its partitions again

    @property
    def security_protocol(self) -> str:
        """Kafka's word for the two together."""
        channel = "SSL" if self.tls else "PLAINTEXT"
        return f"SASL_{channel}" if self.sasl_mechanism else channel

    def tls_context(self) -> ssl.SSLContext:
        """Certificates and host names are verified; raises `OSError` where a file cannot be used."""
        context = ssl.create_default_context(cafile=self.tls_ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.tls_certificate:
            context.load_cert_chain(self.tls_certificate, self.tls_key or None)
        return context
