"""Ways to a server that can be shut and opened: what is sent meanwhile waits, as where a network loses packets and TCP sends them again."""

from __future__ import annotations

import socket
import struct
import threading


class Door:
    """Hands bytes on to a port of this machine while it is open."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._open = threading.Event()
        self._open.set()
        self._words: bytes | None = None
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        """Nothing goes through, either way, until it is opened."""
        self._open.clear()

    def shut_at(self, words: bytes) -> None:
        """Shut it as soon as these words would go to the server: they wait too."""
        self._words = words

    @property
    def is_shut(self) -> bool:
        return not self._open.is_set()

    def open(self) -> None:
        self._words = None
        self._open.set()

    def close(self) -> None:
        self._listening.close()
        self._open.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server))
            except OSError:  # nobody listens there now: who comes later is let through
                client.close()
                continue
            for ends in ((client, server, self._to_server), (server, client, self._to_client)):
                threading.Thread(target=self._hand_on, args=ends, daemon=True).start()

    def _hand_on(self, begin: socket.socket, end: socket.socket, passed) -> None:
        try:
            while data := passed(begin):
                self._open.wait()
                end.sendall(data)
        except OSError:
            pass
        for one in (begin, end):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def _to_server(self, begin: socket.socket) -> bytes:
        data = begin.recv(65536)
        if self._words is not None and self._words in data:
            self.shut()
        return data

    def _to_client(self, begin: socket.socket) -> bytes:
        return begin.recv(65536)


OF_MEMBERS = {struct.pack(">h", kind) for kind in (8, 11, 12, 13, 14)}
"""What requests of members to the coordinator of their group begin with: how far they are, joining, beating, leaving, sharing out."""


class KafkaDoor(Door):
    """The same to a broker, which tells its clients to come through the door.

    `lose_coordinator` is as where a member reaches the leaders of its partitions and not the coordinator of its group.
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        address = b"127.0.0.1"
        self._theirs = address + struct.pack(">i", port)
        self._ours = address + struct.pack(">i", self.port)
        self._coordinated = threading.Event()
        self._coordinated.set()

    def lose_coordinator(self) -> None:
        self._coordinated.clear()

    def open(self) -> None:
        super().open()
        self._coordinated.set()

    def _to_server(self, begin: socket.socket) -> bytes:
        request = _frame(begin)
        if request[4:6] in OF_MEMBERS:
            self._coordinated.wait()
        return request

    def _to_client(self, begin: socket.socket) -> bytes:
        return _frame(begin).replace(self._theirs, self._ours)


def _frame(begin: socket.socket) -> bytes:
    """A request or an answer, with its length before it; nothing where the connection has ended."""
    size = begin.recv(4, socket.MSG_WAITALL)
    return size + begin.recv(struct.unpack(">i", size)[0], socket.MSG_WAITALL) if len(size) == 4 else b""
