"""Keys of Kafka as a source: how brokers are reached and trusted, and how much is fetched ahead."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from monitor.config.values import GIB, KIB, MIB, FileIfAny, Keys, RefusedValueError

KeyField = Literal[
    "", "miniprogram.app_id", "miniprogram.developer_id", "user.id", "device.id", "session.id", "source.ip"
]  # who a finding can be about
Seconds = Annotated[float, Field(ge=1, le=3600)]


class KafkaKeys(Keys):
    client: Literal["kafka-python", "confluent"] = "kafka-python"
    tls: bool = False
    tls_ca: FileIfAny = ""
    tls_certificate: FileIfAny = ""
    tls_key: FileIfAny = ""
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = ""
    sasl_user: str = ""
    sasl_password_file: str = ""
    sasl_password: SecretStr | None = None  # from `sasl_password_file` or the environment, never from the file itself
    start_at: Literal["earliest", "latest"] = "earliest"
    message_bytes_max: Annotated[int, Field(ge=KIB, le=MIB)] = MIB
    fetch_bytes_max: Annotated[int, Field(ge=MIB, le=GIB)] = 32 * MIB
    partition_fetch_bytes_max: Annotated[int, Field(ge=64 * KIB, le=256 * MIB)] = 8 * MIB
    fetch_wait_ms: Annotated[int, Field(ge=1, le=10_000)] = 100
    buffer_bytes_max: Annotated[int, Field(ge=MIB, le=16 * GIB)] = 128 * MIB
    session_timeout_s: Seconds = 45.0
    poll_interval_s_max: Seconds = 300.0
    release_s_max: Seconds = 60.0
    request_timeout_s: Seconds = 30.0
    keyed_by: KeyField = "miniprogram.app_id"
    hits_partitions: Annotated[int, Field(ge=1, le=1000)] = 4
    group_instance_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,200}$")] = ""

    @field_validator("tls_ca", "tls_certificate", "tls_key")
    @classmethod
    def _only_with_tls(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("tls") is False:
            raise RefusedValueError("kafka.tls = true beside it", "set it; without TLS it means nothing")
        return value

    @field_validator("tls_key")
    @classmethod
    def _key_of_a_certificate(cls, value: str, info: ValidationInfo) -> str:
        if value and info.data.get("tls_certificate") == "":
            raise RefusedValueError("kafka.tls_certificate beside it", "name the certificate that the key is of")
        return value

    @field_validator("sasl_user")
    @classmethod
    def _who(cls, value: str, info: ValidationInfo) -> str:
        if bool(value) is not bool(info.data.get("sasl_mechanism", value)):
            raise RefusedValueError("kafka.sasl_mechanism and kafka.sasl_user together", "give both, or neither")
        return value

    @field_validator("release_s_max")
    @classmethod
    def _within_the_poll_interval(cls, value: float, info: ValidationInfo) -> float:
        most = info.data.get("poll_interval_s_max", value)
        if value > most:
            raise RefusedValueError(f"at most poll_interval_s_max ({most:g})", "lower it, or raise the other")
        return value
