"""Ports that a test may have for its own."""

from __future__ import annotations

import random
import socket
from pathlib import Path


def free_port() -> int:
    """A port of the loopback interface that nobody has.

    None from which the system takes those of connections: a server that is to have its port for a while would lose it to
    whoever connects between two of its lives.
    """
    taken_from = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10_000, taken_from)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
