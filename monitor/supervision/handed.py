"""A socket that a supervisor has opened for this process and hands over, as systemd does for a ``.socket`` unit.

While the process is started anew nobody is refused: who comes meanwhile waits in the socket.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from typing import Final

from monitor.config.listening import split_listen

FIRST: Final = 3
SOCKETS_MAX: Final = 16
COUNT: Final = "LISTEN_FDS"
FOR: Final = "LISTEN_PID"
NAMES: Final = "LISTEN_FDNAMES"


class SocketRefused(OSError):
    """What was handed over is not what the configuration says."""


def handed_over(environ: MutableMapping[str, str], pid: int) -> list[int]:
    """The descriptors that were handed to the process with this number; processes that it starts inherit neither them nor the word of them."""
    count, meant, _names = (environ.pop(name, "") for name in (COUNT, FOR, NAMES))
    if meant != str(pid) or not count.isdecimal():
        return []
    found = list(range(FIRST, FIRST + min(int(count), SOCKETS_MAX)))
    for descriptor in found:
        os.set_inheritable(descriptor, False)
    return found


def listener_of(descriptors: list[int], listen: str) -> socket.socket | None:
    """The socket that was handed over for `http.listen`; None where none was. Raises `SocketRefused` when it is not as configured."""
    if not descriptors:
        return None
    if not listen:
        raise SocketRefused('a socket was handed over, and http.listen = "" wants none: disable the .socket unit')
    if len(descriptors) > 1:
        raise SocketRefused(f"{len(descriptors)} sockets were handed over: have one ListenStream= in the .socket unit")
    found = socket.socket(fileno=descriptors[0])
    listens = bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    if found.family not in {socket.AF_INET, socket.AF_INET6} or not listens or found.type != socket.SOCK_STREAM:
        what = f"{found.family.name} {found.type.name}{'' if listens else ', does not listen'}"
        raise SocketRefused(f"the socket that was handed over ({what}) is none that TCP connections come to")
    has, wanted = found.getsockname()[:2], _addresses(listen)
    if has not in wanted:
        told = f"[{has[0]}]:{has[1]}" if ":" in has[0] else f"{has[0]}:{has[1]}"
        raise SocketRefused(
            f'the socket that was handed over listens at {told}, http.listen = "{listen}": write the same in both '
            "(ListenStream= of the .socket unit)"
        )
    return found


def _addresses(listen: str) -> set[tuple[str, int]]:
    """All that `http.listen` may stand for, as numbers."""
    host, port = split_listen(listen)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return {(str(address[0]), int(address[1])) for *_, address in found}
