"""Counts the query messages a client sends: a proxy that reads PostgreSQL's protocol.

PostgreSQL 18 documentation, 53.2 Message Flow: after start-up, each message is a type byte
and a length that includes itself; a simple query is one `Q` message and one answer.
"""

from __future__ import annotations

import socket
import struct
import threading


class CountingProxy:
    """Listens on a free port of 127.0.0.1, passes one connection on, and counts `Q` messages."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.queries = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(self._upstream)
        threading.Thread(target=self._answers, args=(server, client), daemon=True).start()
        self._start_up(client, server)
        while header := _exactly(client, 5):
            (length,) = struct.unpack("!i", header[1:])
            body = _exactly(client, length - 4)
            if header[:1] == b"Q":
                self.queries += 1
            server.sendall(header + body)
        server.close()

    @staticmethod
    def _start_up(client: socket.socket, server: socket.socket) -> None:
        length = _exactly(client, 4)
        server.sendall(length + _exactly(client, struct.unpack("!i", length)[0] - 4))

    @staticmethod
    def _answers(server: socket.socket, client: socket.socket) -> None:
        try:
            while data := server.recv(65536):
                client.sendall(data)
        except OSError:
            # The client hung up while an answer was on its way: there is nobody to tell.
            return

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = source.recv(size - len(data))
        if not part:
            return b""
        data += part
    return data
