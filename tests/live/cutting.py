"""A way to a server on which words get lost."""

import socket
import threading


class Cutting:
    """Hands bytes on to a port of this machine. `lose` cuts the way once, after those words went in and before any answer comes back."""

    def __init__(self, port):
        self._port = port
        self._losing = None
        self.cut = threading.Event()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        threading.Thread(target=self._open, daemon=True).start()

    def lose(self, words):
        self.cut.clear()
        self._losing = words

    def close(self):
        self._door.close()

    def _open(self):
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            lost = threading.Event()
            threading.Thread(target=self._in, args=(client, server, lost), daemon=True).start()
            threading.Thread(target=self._out, args=(client, server, lost), daemon=True).start()

    def _in(self, client, server, lost):
        while data := _received(client):
            if self._losing is not None and self._losing in data:
                self._losing = None
                lost.set()
            try:
                server.sendall(data)
            except OSError:
                break
        _end(server)

    def _out(self, client, server, lost):
        while (data := _received(server)) and not lost.is_set():
            try:
                client.sendall(data)
            except OSError:
                break
        _end(client)
        if lost.is_set():
            self.cut.set()


def _end(end):
    try:
        end.shutdown(socket.SHUT_RDWR)  # a close alone waits for whoever still reads
    except OSError:
        return
    finally:
        end.close()


def _received(end):
    try:
        return end.recv(65536)
    except OSError:
        return b""
