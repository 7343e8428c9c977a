"""Keys of Kafka: how brokers are reached and trusted."""

from __future__ import annotations

from typing import Literal

from pydantic import SecretStr

from monitor.config.values import FileIfAny, Keys


class KafkaKeys(Keys):
    tls: bool = False
    tls_ca: FileIfAny = ""
    tls_certificate: FileIfAny = ""
    tls_key: FileIfAny = ""
    sasl_mechanism: Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = ""
    sasl_user: str = ""
    sasl_password_file: str = ""
    sasl_password: SecretStr | None = None  # from `sasl_password_file` or the environment, never from the file itself
