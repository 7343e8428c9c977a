"""A broker with listeners of its own making: TLS and SASL, and TLS with certificates of clients; who may what is asked for."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from ports import free_port
from server import Kafka, alive, until

USERS = {"reader": "reader's", "nobody": "nobody's"}


class Secured:
    """`broker`, a server that runs, started again with two more listeners; to be stopped before it is removed."""

    def __init__(self, broker: Kafka, chain: str, key: str, authority: str) -> None:
        (pid,) = broker.processes()
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
        settings = Path(command[-1])
        broker.stop()
        self.sasl, self.mutual = (f"127.0.0.1:{free_port()}" for _ in range(2))
        listeners = f"SASL_SECURE://{self.sasl},MUTUAL://{self.mutual}"
        lines = []
        for line in settings.read_text().splitlines():
            more = dict.fromkeys(("listeners", "advertised.listeners"), f",{listeners}")
            more["listener.security.protocol.map"] = ",SASL_SECURE:SASL_SSL,MUTUAL:SSL"
            lines.append(line + more.get(line.partition("=")[0], ""))
        jaas = "org.apache.kafka.common.security"
        known = " ".join(f'user_{user}="{password}"' for user, password in USERS.items())
        lines += [
            "inter.broker.listener.name=PLAINTEXT",
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users=User:ANONYMOUS",
            "listener.name.sasl_secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            f"listener.name.sasl_secure.plain.sasl.jaas.config={jaas}.plain.PlainLoginModule required {known};",
            f"listener.name.sasl_secure.scram-sha-256.sasl.jaas.config={jaas}.scram.ScramLoginModule required;",
            f"listener.name.sasl_secure.scram-sha-512.sasl.jaas.config={jaas}.scram.ScramLoginModule required;",
            "listener.name.mutual.ssl.client.auth=required",
        ]
        for name in ("sasl_secure", "mutual"):
            lines += [
                f"listener.name.{name}.ssl.keystore.type=PEM",
                f"listener.name.{name}.ssl.keystore.certificate.chain={_in_a_line(chain)}",
                f"listener.name.{name}.ssl.keystore.key={_in_a_line(key)}",
                f"listener.name.{name}.ssl.truststore.type=PEM",
                f"listener.name.{name}.ssl.truststore.certificates={_in_a_line(authority)}",
            ]
        secured = settings.with_name("secured.properties")
        secured.write_text("\n".join(lines) + "\n")
        self._log = settings.with_name("secured.log").open("wb")
        self._process = subprocess.Popen([*command[:-1], str(secured)], stdout=self._log, stderr=subprocess.STDOUT)
        until(self._answers, 60)

    def _answers(self) -> bool:
        assert self._process.poll() is None, Path(self._log.name).read_text()[-2000:]
        host, _, port = self.mutual.rpartition(":")
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        until(lambda: not alive(self._process.pid))
        self._log.close()


def _in_a_line(pem: str) -> str:
    return pem.strip().replace("\n", "\\n")
