"""Why no broker answers: clients say that it took too long, and nothing of what was wrong."""

from __future__ import annotations

import socket
import ssl
from typing import Final

from monitor.sources.kafka.settings import Address, KafkaSettings

PROBE_S: Final = 3.0
"""How long a broker may take to answer a look."""


def why_unreachable(address: Address, settings: KafkaSettings) -> str:
    """What a look at the brokers says, one after another: whether they are there, and whether they are who they should be."""
    found = [_look(broker, settings) for broker in address.brokers]
    if any(one is not None for one in found):
        return "; ".join(one for one in found if one is not None)
    where = ", ".join(address.brokers)
    if settings.sasl_mechanism:
        return (
            f"{where} answers, and does not let {settings.sasl_user} in by {settings.sasl_mechanism}: authentication failed, or "
            "that listener wants something else"
        )
    wants = "with TLS" if settings.tls else "without TLS"
    return f"{where} answers, and not as Kafka does {wants} and without a user: another listener, or one that wants a certificate"


def _look(broker: str, settings: KafkaSettings) -> str | None:
    host, _, port = broker.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        with socket.create_connection((host, int(port)), PROBE_S) as plain:
            if settings.tls:
                settings.tls_context().wrap_socket(plain, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return f"{broker}: its certificate is refused: {error.verify_message}"
    except ssl.SSLError as error:
        return f"{broker}: no TLS ({error.reason or 'it hangs up'})"
    except OSError as error:
        return f"{broker}: {error.strerror or 'no answer'}"
    return None
